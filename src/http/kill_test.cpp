// Kills of a connection in each of its states, that is at each wait of connection.cpp and at its handler's own: all
// destructors run once, the connection does not count any more, its client sees the end, the others are served, and a drain
// has nothing to wait for. Real sockets, and therefore real threads. For the other rooms' tables see
// runtime/kill_test_support.hpp.
#include "server_processes.hpp"
#include "server_test_support.hpp"

#include "runtime/kill_test_support.hpp"

#include <genever/runtime/process_info.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

using namespace genever;
using namespace genever::http::test;
using namespace std::chrono_literals;

namespace {

struct place {
    std::atomic<int> alive{0};
    std::atomic<int> reached{0}; // handlers that are about to wait
};
using at_place = std::shared_ptr<place>;
using witness = test::witness<place>;

/// Does what the path says.
task<> handle(at_place p, http::exchange& x) {
    const witness w{p};
    const std::string path{x.request.path};
    if (path == "/answer") {
        x.response.body = "answered";
        co_return;
    }
    if (path == "/big") {
        x.response.body.assign(64 * 1024 * 1024, 'x');
        ++p->reached;
        co_return;
    }
    if (path == "/detached") x.detach();
    ++p->reached;
    if (path == "/body") {
        [[maybe_unused]] const auto body = co_await x.read_body();
    }
    if (path == "/pieces") {
        const std::string piece(256 * 1024, 'x');
        for (;;) {
            const auto sent = co_await x.send_piece(piece);
            if (!sent) co_return;
        }
    }
    if (path == "/piece") {
        [[maybe_unused]] const auto sent = co_await x.send_piece("piece");
    }
    auto below = [](at_place at) -> task<> {
        const witness inner{at};
        co_await sleep_for(24h);
    }(p);
    co_await std::move(below);
}

struct state_case {
    std::string name;
    /// The coroutine in which the connection's process is parked then; a part of its name.
    std::string parked_in;
    std::string says;
    /// What the client hears before the state is reached.
    std::string hears = {};
    /// How many handlers are about to wait then.
    int handlers = 0;
    /// Beyond the connections' process.
    bool detached = false;
};

const std::string post = "POST /body HTTP/1.1\r\nHost: t\r\n";

const std::vector<state_case>& cases() {
    static const std::vector<state_case> all{
        {"nothing was said yet", "serve", ""},
        {"idle, after a request", "serve", get("/answer"), "answered"},
        {"half a head", "serve", get("/answer") + "GET /answer HTTP/1.1\r\nHo", "answered"},
        {"the handler waits", "handle", get("/wait"), "", 1},
        {"the handler waits, more requests are there", "handle", get("/wait") + get("/wait"), "", 1},
        {"the handler waits, a response before it", "handle", get("/answer") + get("/wait"), "answered", 1},
        {"half a body", "wait_for_bytes", post + "Content-Length: 10\r\n\r\n01234", "", 1},
        {"half a body in another block", "wait_for_bytes",
         post + "Content-Length: 100000\r\n\r\n" + std::string(50'000, 'b'), "", 1},
        {"half a chunk", "wait_for_bytes", post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\nde", "",
         1},
        {"a body that was asked for", "wait_for_bytes",
         post + "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n", "100 Continue", 1},
        {"a body that nobody wanted", "wait_for_bytes",
         "POST /answer HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n12345", "answered"},
        {"a response that the client does not read", "flush", get("/big"), "", 1},
        {"a piece that the client does not read", "flush", get("/pieces"), "HTTP/1.1 200 OK", 1},
        {"between two pieces", "handle", get("/piece"), "piece", 1},
        {"detached", "handle", get("/detached"), "", 1, true},
        {"lingering", "wait_for_bytes", "GET /answer HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
         "answered"},
    };
    return all;
}

pid connection_process() {
    for (const process_info& i : process_list())
        if (i.label == "http connection") return i.pid;
    return {};
}

enum class killed { itself, with_the_others };

/// Reads to the end, whatever it is.
task<bool> sees_the_end(client& c) {
    for (;;) {
        char buffer[65536];
        const auto n = co_await c.stream.read_some(buffer, now() + 5s);
        if (!n) co_return n.error() != std::errc::timed_out;
        if (*n == 0) co_return true;
    }
}

/// `exactly`: not before the process waits where the case says. Else wherever it is after so many steps.
task<> kill_in(const state_case& c, killed how, bool exactly, unsigned steps) {
    trap_exit(true);
    auto p = std::make_shared<place>();
    const http::server_options options{.address = "127.0.0.1",
                                       .port = 0,
                                       .handler = [p](http::exchange& x) -> task<> { return handle(p, x); },
                                       .drain_timeout = 10s};
    auto server = std::make_shared<http::server_state>(options);
    const pid connections = http::start_connections(server);
    auto listener = http::start_listener(server, connections);
    EXPECT_TRUE(listener);

    client visitor;
    co_await visitor.connect(server->port);
    if (!c.says.empty()) co_await visitor.say(c.says);
    if (!c.hears.empty()) {
        const bool heard = co_await visitor.hear(c.hears);
        EXPECT_TRUE(heard) << visitor.got;
    }
    for (;;) {
        if (p->reached >= c.handlers && connection_process()) break;
        co_await yield();
    }
    const pid victim = connection_process();
    const monitor_ref ref = monitor(victim);
    const time_point patience = now() + 10s;
    for (;;) {
        if (!exactly) break;
        const auto i = info(victim);
        EXPECT_TRUE(i) << "it has ended by itself";
        if (!i) break;
        const std::string where = i->suspension_point();
        if (where.find(c.parked_in) != std::string::npos) break;
        EXPECT_LT(now(), patience) << "it waits in " << where;
        if (now() >= patience) break;
        co_await yield();
    }
    for (unsigned i = 0; i < steps; ++i) co_await yield();

    exit(how == killed::itself ? victim : connections, exit_kind::killed);
    for (;;) {
        const auto d = co_await receive([](const down& m) { return m; });
        if (d.ref == ref) break;
    }
    EXPECT_EQ(p->alive, 0);
    EXPECT_EQ(server->connections(), 0U);
    const bool ended = co_await sees_the_end(visitor);
    EXPECT_TRUE(ended);

    std::vector<pid> to_end{*listener};
    if (how == killed::itself) {
        to_end.push_back(connections);
        client other;
        co_await other.connect(server->port);
        co_await other.say(get("/answer"));
        const bool heard = co_await other.hear("answered");
        EXPECT_TRUE(heard);
    } else {
        const auto why = co_await receive([](const exit_signal& s) { return s.reason.kind(); });
        EXPECT_EQ(why, exit_kind::killed);
    }
    for (const pid q : to_end) {
        exit(q, exit_kind::shutdown);
        const auto why = co_await receive([](const exit_signal& s) { return s.reason.kind(); },
                                          after(5s, [] { return exit_kind::timeout; }));
        EXPECT_EQ(why, exit_kind::shutdown);
    }
    EXPECT_EQ(p->alive, 0);
}

void in_every_state(bool exactly, unsigned rounds) {
    for (const unsigned workers : {1U, 2U, 4U}) {
        for (const state_case& c : cases()) {
            SCOPED_TRACE(c.name + " with " + std::to_string(workers) + " workers");
            runtime rt{{.workers = workers, .on_crash = [](const crash_report&) {}}};
            rt.run([&]() -> task<> {
                for (unsigned round = 0; round < rounds; ++round)
                    for (const killed how : {killed::itself, killed::with_the_others}) {
                        if (c.detached && how == killed::with_the_others) continue;
                        co_await kill_in(c, how, exactly, exactly ? 0 : round);
                    }
            });
            if (::testing::Test::HasFailure()) return;
        }
    }
}

} // namespace

TEST(HttpKill, InEveryStateOfAConnectionLeavesNothingBehind) { in_every_state(true, 2); }

TEST(HttpKill, WhereverAConnectionIsLeavesNothingBehind) { in_every_state(false, 6); }
