// Kills at each wait for a descriptor: the runtime's io_handle (readable, writable), and what this room makes of it. A kill
// wherever the victim is, beside what would have ended its wait: destructors run once, its descriptors are closed, what it
// did not own goes on working for the next one, and a connection that nobody has accepted is still there. Real sockets, and
// therefore real threads; a simulation has none. For the driver and the other rooms' tables see runtime/kill_test_support.hpp.
#include "runtime/kill_test_support.hpp"

#include <genever/net/tcp.hpp>
#include <genever/runtime/for_peer.hpp>
#include <genever/runtime/io.hpp>
#include <genever/runtime/socket_source.hpp>
#include <genever/runtime/timeout.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <netinet/in.h>
#include <optional>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;

namespace {

using net::unique_fd;

net::endpoint loopback(std::uint16_t port) { return *net::endpoint::parse("127.0.0.1", port); }

/// How many sockets this program has.
std::size_t open_sockets() {
    std::size_t n = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone; // the iterator's own
        n += std::filesystem::read_symlink(entry.path(), gone).string().starts_with("socket:");
    }
    return n;
}

// More than a socket holds. One who fills and one who drains at the same time would otherwise keep each other at it for as long
// as they are in step.
constexpr int most_pieces = 128;

void fill(int fd) {
    const std::string much(65536, 'x');
    for (int i = 0; i < most_pieces; ++i)
        if (::send(fd, much.data(), much.size(), MSG_NOSIGNAL | MSG_DONTWAIT) <= 0) break;
}
/// Takes what is there. False: the other side is closed.
bool drain(int fd) {
    char buffer[65536];
    for (int i = 0; i < most_pieces; ++i) {
        const ssize_t n = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR);
    }
    return true;
}
/// A poller that looks at the other side at the moment of its close holds it open until it has looked.
task<bool> sees_the_end(int fd) {
    const time_point patience = now() + 10s;
    for (test::turns t;;) {
        if (!drain(fd)) co_return true;
        if (now() > patience) co_return false;
        co_await t.next();
    }
}
void put_byte(int fd) { EXPECT_EQ(::send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT), 1); }

/// Its close is a reset: each port that waited for a minute (TIME_WAIT) would make the search for a free one longer, for every
/// listener, and thousands of rounds leave thousands.
unique_fd connected_to(std::uint16_t port) {
    unique_fd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    EXPECT_EQ(::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int r = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to);
    EXPECT_TRUE(r == 0 || errno == EINPROGRESS);
    return fd;
}

struct place {
    std::atomic<int> alive{0};

    // Two connected pairs. Of each, `theirs` is the test's; the first's other end lies in a handle that outlives the victim,
    // the second's goes to the victim.
    io_handle handle;
    unique_fd theirs_of_handle;
    unique_fd ours;
    unique_fd theirs;
    bool shut = false;
    bool nudged = false;
    // Whether a wait at the handle has ended other than by a kill, and may have used its edge up.
    std::atomic<bool> has_read{false};
    std::atomic<bool> has_written{false};

    std::optional<net::tcp_listener> listener;
    std::vector<unique_fd> clients;                // that have connected to it
    std::optional<net::tcp_listener> own_listener; // the victim's

    // Its backlog is full: who connects to it waits.
    unique_fd full;
    std::uint16_t full_port = 0;
    std::vector<unique_fd> in_full;

    std::atomic<pid> gate{};
    std::size_t sockets = 0; // before the victim has done anything
};
using at_place = std::shared_ptr<place>;
using witness = test::witness<place>;

// ---- io_handle

task<> waiting_to_read(at_place p) {
    const witness w{p};
    co_await p->handle.readable();
    p->has_read = true;
}
task<> waiting_to_read_with_a_limit(at_place p) {
    const witness w{p};
    co_await p->handle.readable(now() + 1ms);
    p->has_read = true;
}
task<> waiting_to_write(at_place p) {
    const witness w{p};
    fill(p->handle.fd());
    co_await p->handle.writable();
    p->has_written = true;
}
task<> waiting_to_write_with_a_limit(at_place p) {
    const witness w{p};
    fill(p->handle.fd());
    co_await p->handle.writable(now() + 1ms);
    p->has_written = true;
}
/// Another process waits at the same handle's other side.
task<> reading_beside_a_writer(at_place p) {
    const witness w{p};
    spawn([p]() -> task<> {
        const witness other{p};
        fill(p->handle.fd());
        co_await p->handle.writable(now() + 10ms); // it may come after the last one who drains
        p->has_written = true;
    });
    co_await p->handle.readable();
    p->has_read = true;
}
task<> waiting_on_an_own_handle(at_place p) {
    const witness w{p};
    io_handle own{p->ours.release()};
    co_await own.readable();
}

// ---- for_peer: its scope, and the wait within

task<> working(at_place p) {
    const witness w{p};
    co_await sleep_for(1h);
}
task<> working_for_a_peer(at_place p) {
    const witness w{p};
    io_handle own{p->ours.release()};
    auto work = working(p);
    [[maybe_unused]] const auto r =
        co_await for_peer(own, gone_when::half_closed, time_point::max(), std::move(work));
}
task<> working_for_a_peer_until_it_breaks(at_place p) {
    const witness w{p};
    io_handle own{p->ours.release()};
    auto work = working(p);
    [[maybe_unused]] const auto r =
        co_await for_peer(own, gone_when::broken, time_point::max(), std::move(work));
}
task<> working_for_a_peer_with_a_limit(at_place p) {
    const witness w{p};
    auto work = working(p);
    [[maybe_unused]] const auto r =
        co_await for_peer(p->handle, gone_when::half_closed, now() + 1ms, std::move(work));
}
task<> done_for_a_peer(at_place p) {
    const witness w{p};
    auto work = [](at_place at) -> task<> {
        const witness inner{at};
        co_await yield();
    }(p);
    [[maybe_unused]] const auto r =
        co_await for_peer(p->handle, gone_when::half_closed, time_point::max(), std::move(work));
}
/// The scope of what is over must be gone when another one is called off.
task<> limited_after_work_for_a_peer(at_place p) {
    const witness w{p};
    co_await done_for_a_peer(p); // and its frame is gone
    auto pause = [](at_place at) -> task<> {
        const witness inner{at};
        co_await sleep_for(1h);
    }(p);
    [[maybe_unused]] const auto r = co_await with_timeout(200us, std::move(pause));
    co_await working(p);
}
/// The work reads from the very peer.
task<> reading_for_a_peer(at_place p) {
    const witness w{p};
    auto work = waiting_to_read(p);
    [[maybe_unused]] const auto r =
        co_await for_peer(p->handle, gone_when::half_closed, time_point::max(), std::move(work));
}

// ---- streams and listeners

task<> reading(at_place p) {
    const witness w{p};
    net::tcp_stream s{std::move(p->ours)};
    char buffer[8];
    for (;;) {
        const auto n = co_await s.read_some(buffer);
        if (!n || *n == 0) break;
    }
}
task<> reading_with_a_limit(at_place p) {
    const witness w{p};
    net::tcp_stream s{std::move(p->ours)};
    char buffer[8];
    [[maybe_unused]] const auto n = co_await s.read_some(buffer, now() + 1ms);
}
task<> writing(at_place p) {
    const witness w{p};
    net::tcp_stream s{std::move(p->ours)};
    const std::string much(8 * 1024 * 1024, 'y');
    [[maybe_unused]] const auto r = co_await s.write_all(much);
}
task<> writing_with_a_limit(at_place p) {
    const witness w{p};
    net::tcp_stream s{std::move(p->ours)};
    const std::string much(8 * 1024 * 1024, 'y');
    [[maybe_unused]] const auto r = co_await s.write_all(much, now() + 1ms);
}
task<> accepting(at_place p) {
    const witness w{p};
    for (;;) {
        const auto a = co_await p->listener->accept();
        if (!a) break;
    }
}
task<> accepting_by_an_own_listener(at_place p) {
    const witness w{p};
    net::tcp_listener own = std::move(*p->own_listener);
    p->own_listener.reset();
    auto waiting = own.accept();
    [[maybe_unused]] const auto a = co_await std::move(waiting);
}
task<> accepting_while_it_is_held(at_place p) {
    const witness w{p};
    p->gate = spawn([]() -> task<> { co_await receive([](int) {}); });
    set_accept_gate(p->gate.load());
    [[maybe_unused]] const auto a = co_await p->listener->accept();
}
task<> connecting(at_place p) {
    const witness w{p};
    [[maybe_unused]] const auto s = co_await net::connect(loopback(p->full_port));
}
task<> connecting_with_a_limit(at_place p) {
    const witness w{p};
    [[maybe_unused]] const auto s = co_await net::connect(loopback(p->full_port), now() + 1ms);
}

// ---- triggers

void nothing(place&, pid) {}
void write_to_handle(place& p, pid) { put_byte(p.theirs_of_handle.get()); }
void read_from_handle(place& p, pid) { drain(p.theirs_of_handle.get()); }
void write_and_read(place& p, pid) {
    put_byte(p.theirs_of_handle.get());
    drain(p.theirs_of_handle.get());
}
void nudge(place& p, pid) {
    p.nudged = true;
    p.handle.nudge();
}
void shut(place& p, pid) {
    p.shut = true;
    p.handle.shut();
}
// The victim may be gone, and its end closed.
void write_to_victim(place& p, pid) { ::send(p.theirs.get(), "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT); }
void read_from_victim(place& p, pid) { drain(p.theirs.get()); }
void hang_up(place& p, pid) { ::shutdown(p.theirs.get(), SHUT_RDWR); }
void connect_a_client(place& p, pid) { p.clients.push_back(connected_to(p.listener->local().port())); }
void connect_and_open(place& p, pid who) {
    connect_a_client(p, who);
    if (const pid gate = p.gate) send(gate, 1);
}

// ---- the place

void make_pair(unique_fd& one, unique_fd& other) {
    int fds[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
        throw std::system_error(errno, std::generic_category());
    one = unique_fd{fds[0]};
    other = unique_fd{fds[1]};
}

task<> begin_pairs(at_place p) {
    unique_fd for_handle;
    make_pair(for_handle, p->theirs_of_handle);
    p->handle = io_handle{for_handle.release()};
    make_pair(p->ours, p->theirs);
    p->sockets = open_sockets();
    co_return;
}

task<> begin_listeners(at_place p) {
    p->listener = std::move(*net::tcp_listener::bind(loopback(0)));
    p->own_listener = std::move(*net::tcp_listener::bind(loopback(0)));

    p->full = unique_fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    sockaddr_in at{};
    socklen_t size = sizeof at;
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(p->full.get(), reinterpret_cast<const sockaddr*>(&at), size), 0);
    EXPECT_EQ(::listen(p->full.get(), 0), 0);
    EXPECT_EQ(::getsockname(p->full.get(), reinterpret_cast<sockaddr*>(&at), &size), 0);
    p->full_port = ntohs(at.sin_port);
    p->in_full.push_back(connected_to(p->full_port));
    p->in_full.push_back(connected_to(p->full_port));

    p->sockets = open_sockets();
    co_return;
}

task<> settle_pairs(at_place p) {
    // For those beside the victim.
    drain(p->theirs_of_handle.get());
    co_return;
}
task<> settle_listeners(at_place p) {
    set_accept_gate({});
    if (const pid gate = p->gate) send(gate, 1);
    co_return;
}

task<> check_pairs(at_place p) {
    // The victim's descriptor is closed, and its peer sees it.
    const bool given = p->ours.get() < 0;
    if (given) {
        const bool ended = co_await sees_the_end(p->theirs.get());
        EXPECT_TRUE(ended);
    }
    EXPECT_EQ(open_sockets(), p->sockets - (given ? 1 : 0));

    // What had ended its wait, but not reached it, is for the next one.
    pollfd ready{.fd = p->handle.fd(), .events = POLLIN | POLLOUT, .revents = 0};
    EXPECT_GE(::poll(&ready, 1, 0), 0);
    if (!p->shut && !p->has_read && (p->nudged || (ready.revents & POLLIN) != 0)) {
        const io_result r = co_await p->handle.readable(now() + 10s);
        EXPECT_EQ(r, p->nudged ? io_result::closed : io_result::ready);
    }
    if (!p->shut && !p->has_written && (ready.revents & POLLOUT) != 0) {
        const io_result r = co_await p->handle.writable(now() + 10s);
        EXPECT_EQ(r, io_result::ready);
    }

    // What was not its own serves the next one: both sides of the handle.
    if (!p->shut) {
        char c = 0;
        while (::recv(p->handle.fd(), &c, 1, 0) == 1) {
        }
        put_byte(p->theirs_of_handle.get());
        for (;;) {
            const io_result r = co_await p->handle.readable(now() + 10s);
            EXPECT_NE(r, io_result::timeout);
            if (r == io_result::timeout || ::recv(p->handle.fd(), &c, 1, 0) == 1) break;
        }
        fill(p->handle.fd());
        drain(p->theirs_of_handle.get());
        for (;;) {
            const io_result r = co_await p->handle.writable(now() + 10s);
            EXPECT_NE(r, io_result::timeout);
            if (r == io_result::timeout || ::send(p->handle.fd(), &c, 1, MSG_NOSIGNAL) == 1) break;
        }
    } else {
        const io_result r = co_await p->handle.readable(now() + 10s);
        EXPECT_EQ(r, io_result::closed);
    }
}

task<> check_listeners(at_place p) {
    const std::size_t own_listeners = p->own_listener ? 0 : 1;
    EXPECT_EQ(open_sockets(), p->sockets + p->clients.size() - own_listeners);
    // The listener serves the next one: each client is in its backlog still, or was the victim's, and has seen its end.
    for (;;) {
        const auto a = p->listener->try_accept();
        if (!a) break;
    }
    for (const unique_fd& c : p->clients) {
        const bool ended = co_await sees_the_end(c.get());
        EXPECT_TRUE(ended);
    }
    const unique_fd last = connected_to(p->listener->local().port());
    const auto a = co_await p->listener->accept();
    EXPECT_TRUE(a);
}

const test::kill_table<place> pairs{
    .cases =
        {
            {"io_handle::readable", waiting_to_read, write_to_handle},
            {"io_handle::readable, with a deadline", waiting_to_read_with_a_limit, write_to_handle},
            {"io_handle::readable, nudged", waiting_to_read, nudge},
            {"io_handle::readable, shut", waiting_to_read, shut},
            {"io_handle::writable", waiting_to_write, read_from_handle},
            {"io_handle::writable, with a deadline", waiting_to_write_with_a_limit, read_from_handle},
            {"io_handle::writable, shut", waiting_to_write, shut},
            {"io_handle, another process at its other side", reading_beside_a_writer, write_and_read},
            {"io_handle, the victim's own", waiting_on_an_own_handle, write_to_victim},
            {"for_peer", working_for_a_peer, hang_up, "working("},
            {"for_peer, until it breaks", working_for_a_peer_until_it_breaks, hang_up, "working("},
            {"for_peer, with a deadline", working_for_a_peer_with_a_limit, nothing, "working("},
            {"for_peer, and another scope after it", limited_after_work_for_a_peer, nothing, "working("},
            {"for_peer, whose work reads", reading_for_a_peer, write_to_handle, "waiting_to_read("},
            {"for_peer, whose work reads, shut", reading_for_a_peer, shut, "waiting_to_read("},
            {"tcp_stream::read_some", reading, write_to_victim, "tcp_stream::read_some("},
            {"tcp_stream::read_some, the peer goes", reading, hang_up, "tcp_stream::read_some("},
            {"tcp_stream::read_some, with a deadline", reading_with_a_limit, write_to_victim,
             "tcp_stream::read_some("},
            {"tcp_stream::write_all", writing, read_from_victim, "tcp_stream::write_all("},
            {"tcp_stream::write_all, the peer goes", writing, hang_up, "tcp_stream::write_all("},
            {"tcp_stream::write_all, with a deadline", writing_with_a_limit, read_from_victim,
             "tcp_stream::write_all("},
        },
    .begin = begin_pairs,
    .settle = settle_pairs,
    .check = check_pairs,
};

const test::kill_table<place> listeners{
    .cases =
        {
            {"tcp_listener::accept", accepting, connect_a_client, "tcp_listener::accept("},
            {"tcp_listener::accept, the victim's own", accepting_by_an_own_listener, nothing,
             "tcp_listener::accept("},
            {"tcp_listener::accept, while it is held", accepting_while_it_is_held, connect_and_open,
             "until_accepting("},
            {"connect", connecting, nothing, "net::connect("},
            {"connect, with a deadline", connecting_with_a_limit, nothing, "net::connect("},
        },
    .begin = begin_listeners,
    .settle = settle_listeners,
    .check = check_listeners,
};

} // namespace

TEST(Kill, AtEveryWaitForADescriptorOnRealThreads) { test::kill_everywhere_threaded(pairs); }

TEST(Kill, AtEveryWaitForAConnectionOnRealThreads) { test::kill_everywhere_threaded(listeners); }
