#include "server_processes.hpp"

#include "accepted_client.hpp"
#include "http/admission/accept_pace.hpp"

#include <genever/base/log.hpp>
#include <genever/net/tcp.hpp>
#include <genever/otp/run.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/socket_source.hpp>
#include <genever/runtime/time.hpp>

#include <algorithm>
#include <sys/socket.h>

namespace genever::http {

using namespace std::chrono_literals;

namespace {

/// Ends the calling process, which traps exits, with `reason`.
task<> end_with(exit_reason reason) {
    trap_exit(false);
    exit(self(), std::move(reason));
    co_await sleep_until(time_point::max());
}

task<exit_signal> next_exit() {
    auto any = [](exit_signal e) { return e; };
    exit_signal s = co_await receive(any);
    co_return s;
}

// ---- connections

task<> connections_process(std::shared_ptr<server_state> server, pid parent) {
    for (;;) {
        // Connections come and go; how those that crashed did is in their own reports.
        exit_signal s = co_await next_exit();
        if (s.from != parent) continue;
        if (s.reason == exit_kind::shutdown) {
            server->drain(self());
            co_await receive([](drained) {});
        }
        co_await end_with(std::move(s.reason));
    }
}

// ---- the listener

/// Whom an address belongs to, for the limits.
client_key client_of(const net::endpoint& peer) noexcept {
    const auto bytes = peer.bytes();
    client_key k = bytes.size() == 4 ? 0xFFFF'FFFF : 0; // ffff:ffff::/32 is nobody's (RFC 4291 section 2.4)
    for (const std::uint8_t b : bytes.first(bytes.size() == 4 ? 4 : 8)) k = k << 8 | b;
    return k;
}

/// Answers and ends a connection for which there is no room, with no process of its own. The answer is lost where the system
/// has no room for it at once, or where the client has sent more than is read here.
void turn_away(net::unique_fd fd, const admission_control& admission) noexcept {
    const std::string_view answer = admission.text().get(true, false, false);
    [[maybe_unused]] auto sent = ::send(fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    ::shutdown(fd.get(), SHUT_WR);
    char passed[4096]; // what stays unread would make the close a reset, which destroys the answer
    [[maybe_unused]] auto read = ::recv(fd.get(), passed, sizeof passed, MSG_DONTWAIT);
}

/// Since when those who are accepted have waited: with their first bytes in the backlog, too, as long as nothing but the server's
/// other work kept them there.
class backlog_wait {
public:
    /// All were accepted who had come until then.
    void none_since(time_point then) noexcept { counts_from_ = then; }
    /// There is, or was, a reason to leave them there: they are not blamed for that, until all have been accepted, or for a
    /// second.
    void held(time_point now) noexcept { counts_from_ = now + 1s; }
    /// The one who is accepted `now`. The system is asked only if it may have been a while.
    time_point came(int fd, time_point now) const noexcept {
        if (now - counts_from_ < short_wait) return now;
        return std::max(counts_from_, now - net::unread_for(fd));
    }

private:
    static constexpr duration short_wait = 2ms;
    time_point counts_from_{};
};

/// Accepts for ever. An error that lasts (no descriptors left) is reported once and waited out: the connections wait in
/// the backlog meanwhile. From a connection's acceptance to its process there is no suspension, at which a kill
/// would lose it.
task<> accept_connections(std::shared_ptr<server_state> server, std::shared_ptr<net::tcp_listener> listener,
                          pid connections) {
    duration pause = 0ms;
    int in_a_row = 0; // at most: others may have had a turn meanwhile
    accept_pace pace{server->options.admission.accept_rate};
    if (accepting_is_held()) co_await until_accepting();
    backlog_wait in_backlog;
    in_backlog.held(now()); // they may have waited for this start
    for (;;) {
        auto a = listener->try_accept();
        if (a) {
            pause = 0ms;
            const time_point came = in_backlog.came(a->fd.get(), now());
            spawn_connection(server, connections, std::move(*a), came);
            if (const duration rest = pace.pause(now()); rest > 0ms) {
                co_await sleep_for(rest);
                in_backlog.held(now());
            } else if (++in_a_row == accept_batch) {
                in_a_row = 0;
                co_await yield();
            }
            continue;
        }
        if (a.error() == std::errc::operation_would_block) {
            co_await listener->io().readable();
            in_backlog.none_since(listener->io().readable_since());
            continue;
        }
        if (pause == 0ms)
            log::write(log::level::error, "http: cannot accept connections: " + a.error().message() +
                                              "; trying again until it works");
        pause = std::clamp<duration>(pause * 2, 5ms, 1s);
        co_await sleep_for(pause);
        in_backlog.held(now());
    }
}

task<> listener_process(std::shared_ptr<server_state> server, std::shared_ptr<net::tcp_listener> listener,
                        pid connections, pid parent) {
    const pid acceptor = spawn_link(accept_connections, server, listener, connections);
    server->acceptor.store(acceptor, std::memory_order_relaxed); // read after our end
    for (;;) {
        exit_signal s = co_await next_exit();
        if (s.from == parent && s.reason == exit_kind::shutdown) {
            // Who has connected by now is served, and then drained with the others.
            exit(acceptor, exit_kind::killed);
            for (;;) {
                s = co_await next_exit();
                if (s.from == acceptor) break;
            }
            // With another instance there it is that one's to accept.
            const bool ours = !being_replaced() && !accepting_is_held();
            for (int left = server->options.backlog; left > 0 && ours; --left) {
                auto a = listener->try_accept();
                if (!a) break;
                spawn_connection(server, connections, std::move(*a), now());
            }
            s.reason = exit_kind::shutdown;
        } else if (s.from != acceptor && s.reason == exit_kind::normal) {
            continue;
        }
        listener.reset();
        co_await end_with(std::move(s.reason));
    }
}

} // namespace

void spawn_connection(const std::shared_ptr<server_state>& server, pid connections, net::accepted a,
                      time_point came) {
    auto presence = server_state::enter(server, client_of(a.peer));
    if (!presence) {
        turn_away(std::move(a.fd), server->admission);
        return;
    }
    const spawn_options options{.label = "http connection", .link = connections};
    spawn(options, serve_client,
          std::make_unique<accepted_client>(std::move(*presence), connections, std::move(a), came));
}

pid start_connections(std::shared_ptr<server_state> server) {
    const spawn_options options{.label = "http connections", .link = self(), .trap_exit = true};
    server->open();
    return spawn(options, connections_process, std::move(server), self());
}

std::expected<pid, exit_reason> start_listener(std::shared_ptr<server_state> server, pid connections) {
    const server_options& o = server->options;
    auto at = net::endpoint::parse(o.address, server->port);
    if (!at) return std::unexpected(exit_reason::error("http: cannot listen: " + at.error()));
    auto listener = net::tcp_listener::bind(*at, {.backlog = o.backlog});
    if (!listener)
        return std::unexpected(exit_reason::error("http: cannot listen on " + to_string(*at) + ": " +
                                                  listener.error().message()));
    server->port = listener->local().port();
    const spawn_options options{.label = "http listener", .link = self(), .trap_exit = true};
    return spawn(options, listener_process, std::move(server),
                 std::make_shared<net::tcp_listener>(std::move(*listener)), connections, self());
}

task<> limit_detached(pid connection, duration limit) {
    monitor(connection);
    const bool late = co_await receive([](const down&) { return false; }, after(limit, [] { return true; }));
    if (late) exit(connection, exit_kind::killed);
}

} // namespace genever::http
