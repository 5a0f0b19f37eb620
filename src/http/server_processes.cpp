#include "server_processes.hpp"

#include "connection.hpp"

#include <genever/base/log.hpp>
#include <genever/net/tcp.hpp>
#include <genever/otp/run.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/socket_source.hpp>
#include <genever/runtime/time.hpp>

#include <algorithm>

namespace genever::http {

using namespace std::chrono_literals;

namespace {

// How many connections are accepted in a row before others may run.
constexpr int accept_batch = 64;

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

task<> serve_connection(server_state::presence presence, pid connections, net::unique_fd fd,
                        std::string peer) {
    connection c{std::move(presence), connections, std::move(fd), std::move(peer)};
    co_await c.serve();
}

task<> connections_process(std::shared_ptr<server_state> server, pid parent) {
    trap_exit(true);
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

/// Accepts for ever. An error that lasts (no descriptors left) is reported once and waited out: the connections wait in
/// the backlog meanwhile. From a connection's acceptance to its process there is no suspension, at which a kill
/// would lose it.
task<> accept_connections(std::shared_ptr<server_state> server, std::shared_ptr<net::tcp_listener> listener,
                          pid connections) {
    duration pause = 0ms;
    int in_a_row = 0;
    if (accepting_is_held()) co_await until_accepting();
    for (;;) {
        auto a = listener->try_accept();
        if (a) {
            pause = 0ms;
            spawn_connection(server, connections, std::move(*a));
            if (++in_a_row % accept_batch == 0) co_await yield();
            continue;
        }
        if (a.error() == std::errc::operation_would_block) {
            co_await listener->io().readable();
            continue;
        }
        if (pause == 0ms)
            log::write(log::level::error, "http: cannot accept connections: " + a.error().message() +
                                              "; trying again until it works");
        pause = std::clamp<duration>(pause * 2, 5ms, 1s);
        co_await sleep_for(pause);
    }
}

task<> listener_process(std::shared_ptr<server_state> server, std::shared_ptr<net::tcp_listener> listener,
                        pid connections, pid parent) {
    trap_exit(true);
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
            for (;;) {
                if (!ours) break;
                auto a = listener->try_accept();
                if (!a) break;
                spawn_connection(server, connections, std::move(*a));
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

void spawn_connection(const std::shared_ptr<server_state>& server, pid connections, net::accepted a) {
    const spawn_options options{.label = "http connection", .link = connections};
    spawn(options, serve_connection, server_state::presence{server}, connections, std::move(a.fd),
          a.peer.address());
}

pid start_connections(std::shared_ptr<server_state> server) {
    const spawn_options options{.label = "http connections", .link = self()};
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
    const spawn_options options{.label = "http listener", .link = self()};
    return spawn(options, listener_process, std::move(server),
                 std::make_shared<net::tcp_listener>(std::move(*listener)), connections, self());
}

task<> limit_detached(pid connection, duration limit) {
    monitor(connection);
    const bool late = co_await receive([](const down&) { return false; }, after(limit, [] { return true; }));
    if (late) exit(connection, exit_kind::killed);
}

} // namespace genever::http
