// A server's children, and how each new generation of them makes sure that the one before is gone.
//
//     start of connections:  end what is left of listener, acceptor, connections ─▶ spawn ─▶ register
//     start of listener:     end what is left of listener, acceptor ─▶ bind ─▶ spawn ─▶ register ─▶ on_listening
//
// Whoever kills the server's supervisor, or one of its children, starts their end by way of the links, and it goes on
// while the restart has begun. Until it is complete the old ones have the names and hold the socket.
#include <genever/http/server.hpp>

#include "server_processes.hpp"

#include "otp/end_process.hpp"

#include <genever/otp/supervisor.hpp>
#include <genever/runtime/process.hpp>

#include <stdexcept>

namespace genever::http {

namespace {

/// A server's processes, the present ones or the last. Used by its supervisor's process only: the next supervisor
/// comes when the one before has ended.
struct generation {
    explicit generation(server_options o) : server(std::make_shared<server_state>(std::move(o))) {}

    const std::shared_ptr<server_state> server;
    pid connections;
    pid listener;
};

task<> end_left_over(pid p) {
    if (p) co_await genever::detail::end_process(p, exit_kind::killed, infinity);
}

/// After it the listening socket is closed: it closes with the last of the two.
task<> end_listener(generation& g) {
    co_await end_left_over(g.listener);
    const pid acceptor =
        g.server->acceptor.load(std::memory_order_relaxed); // written before the listener's end
    co_await end_left_over(acceptor);
}

/// Gives `p`, which the caller has just started, its name. Without the name it is not started.
task<start_result> with_name(std::string name, pid p) {
    if (register_name(name, p)) co_return p;
    const std::string owner = to_string(whereis(name));
    co_await end_left_over(p);
    co_return std::unexpected(exit_reason::error("the name " + name + " belongs to " + owner));
}

task<start_result> start_first(std::shared_ptr<generation> g, std::string name) {
    co_await end_listener(*g);
    co_await end_left_over(g->connections);
    g->connections = start_connections(g->server);
    start_result named = co_await with_name(std::move(name), g->connections);
    co_return named;
}

task<start_result> start_second(std::shared_ptr<generation> g, std::string name) {
    co_await end_listener(*g);
    const auto p = start_listener(g->server, g->connections);
    if (!p) co_return std::unexpected(p.error());
    g->listener = *p;
    start_result named = co_await with_name(std::move(name), *p);
    if (!named) co_return named;
    const server_options& o = g->server->options;
    std::exception_ptr failed;
    try {
        if (o.on_listening) o.on_listening(o.address, g->server->port);
    } catch (...) {
        failed = std::current_exception();
    }
    if (!failed) co_return named;
    co_await end_listener(*g);
    co_return std::unexpected(exit_reason::from_exception(failed));
}

} // namespace

genever::child_spec server::child_spec(std::string name, options o) {
    if (!o.handler) throw std::invalid_argument("genever: http::server '" + name + "' has no handler");
    const duration drain_timeout = o.drain_timeout;
    auto g = std::make_shared<generation>(std::move(o));
    genever::child_spec first(name + ".connections",
                              [g, name = name + ".connections"] { return start_first(g, name); });
    first.shutdown(drain_timeout);
    genever::child_spec second(name + ".listener",
                               [g, name = name + ".listener"] { return start_second(g, name); });
    return child<supervisor>(std::move(name),
                             supervisor{strategy::rest_for_one, {std::move(first), std::move(second)}});
}

} // namespace genever::http
