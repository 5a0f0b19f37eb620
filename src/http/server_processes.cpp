#include "server_processes.hpp"

#include "connection.hpp"

#include <genever/base/log.hpp>
#include <genever/net/tcp.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/time.hpp>

#include <algorithm>

namespace genever::http {

using namespace std::chrono_literals;

namespace {

/// Ends the calling process, which traps exits, with `reason`.
task<> end_with(exit_reason reason) {
    trap_exit(false);
    exit(self(), std::move(reason));
    co_await sleep_until(time_point::max());
}

// ---- connections

task<> serve_connection(std::shared_ptr<server_state> server, net::unique_fd fd, std::string peer) {
    connection c{std::move(server), std::move(fd), std::move(peer)};
    co_await c.serve();
}

task<> connections_process(std::shared_ptr<server_state> server, pid parent) {
    trap_exit(true);
    for (;;) {
        // Connections come and go; how those that crashed did is in their own reports.
        exit_signal s = co_await receive([](exit_signal e) { return e; });
        if (s.from != parent) continue;
        if (s.reason == exit_kind::shutdown) {
            server->drain(self());
            co_await receive([](drained) {});
        }
        co_await end_with(std::move(s.reason));
    }
}

// ---- the listener

void spawn_connection(const std::shared_ptr<server_state>& server, pid connections, net::accepted a) {
    const spawn_options options{.label = "http connection", .link = connections};
    spawn(options, serve_connection, server, std::move(a.fd), a.peer.address());
}

/// Accepts for ever. An error that lasts (no descriptors left) is reported once and waited out: the connections wait in
/// the backlog meanwhile.
task<> accept_connections(std::shared_ptr<server_state> server, std::shared_ptr<net::tcp_listener> listener,
                          pid connections) {
    duration pause = 0ms;
    for (;;) {
        auto a = co_await listener->accept();
        if (a) {
            pause = 0ms;
            spawn_connection(server, connections, std::move(*a));
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
    for (;;) {
        exit_signal s = co_await receive([](exit_signal e) { return e; });
        if (s.from == parent && s.reason == exit_kind::shutdown) {
            // Who has connected by now is served, and then drained with the others.
            exit(acceptor, exit_kind::killed);
            while (s.from != acceptor) s = co_await receive([](exit_signal e) { return e; });
            while (auto a = listener->try_accept()) spawn_connection(server, connections, std::move(*a));
            s.reason = exit_kind::shutdown;
        } else if (s.from != acceptor && s.reason == exit_kind::normal) {
            continue;
        }
        listener.reset();
        co_await end_with(std::move(s.reason));
    }
}

} // namespace

pid start_connections(std::shared_ptr<server_state> server) {
    const spawn_options options{.label = "http connections", .link = self()};
    return spawn(options, connections_process, std::move(server), self());
}

std::expected<pid, exit_reason> start_listener(std::shared_ptr<server_state> server,
                                               std::string connections) {
    const server_options& o = server->options;
    auto at = net::endpoint::parse(o.address, server->port);
    if (!at) return std::unexpected(exit_reason::error("http: cannot listen: " + at.error()));
    auto listener = net::tcp_listener::bind(*at, {.backlog = o.backlog});
    if (!listener)
        return std::unexpected(exit_reason::error("http: cannot listen on " + to_string(*at) + ": " +
                                                  listener.error().message()));
    const std::uint16_t port = listener->local().port();
    server->port = port;
    if (o.on_listening) o.on_listening(o.address, port);
    const spawn_options options{.label = "http listener", .link = self()};
    return spawn(options, listener_process, std::move(server),
                 std::make_shared<net::tcp_listener>(std::move(*listener)), whereis(connections), self());
}

} // namespace genever::http
