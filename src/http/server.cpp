#include <genever/http/server.hpp>

#include "server_processes.hpp"

#include <genever/otp/supervisor.hpp>
#include <genever/runtime/process.hpp>

#include <stdexcept>

namespace genever::http {

namespace {

/// The state of the present generation of connections: each start of the connections' process makes a new one, so
/// that a drain that was under way, and connections that are still dying, are the old one's. Used by the server's
/// supervisor only.
struct generations {
    server_options options;
    std::shared_ptr<server_state> present;

    std::shared_ptr<server_state> renew() {
        auto next = std::make_shared<server_state>(options);
        if (present) next->port = present->port;
        return present = std::move(next);
    }
};

} // namespace

genever::child_spec server::child_spec(std::string name, options o) {
    if (!o.handler) throw std::invalid_argument("genever: http::server '" + name + "' has no handler");
    const duration drain_timeout = o.drain_timeout;
    const std::string connections = name + ".connections";
    const std::string listener = name + ".listener";
    auto state = std::make_shared<generations>(std::move(o), nullptr);

    genever::child_spec first(connections, [state, connections]() -> task<start_result> {
        const pid p = start_connections(state->renew());
        register_name(connections, p);
        co_return p;
    });
    first.shutdown(drain_timeout);
    genever::child_spec second(listener, [state, connections, listener]() -> task<start_result> {
        auto p = start_listener(state->present, connections);
        if (p) register_name(listener, *p);
        co_return p;
    });
    return child<supervisor>(std::move(name),
                             supervisor{strategy::rest_for_one, {std::move(first), std::move(second)}});
}

} // namespace genever::http
