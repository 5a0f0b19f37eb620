// The supervised HTTP server: listens, accepts, and serves each connection in a process of its own.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/http/admission.hpp>
#include <genever/http/exchange.hpp>
#include <genever/http/limits.hpp>
#include <genever/otp/child_spec.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace genever::http {

/// How a server is set up.
struct server_options {
    /// The numeric address to listen on.
    std::string address = "0.0.0.0";
    /// 0: the system chooses one; a restarted listener keeps it.
    std::uint16_t port = 4000;
    /// What answers the requests.
    http::handler handler = {};
    http::limits limits = {};
    /// From a request's first byte to the end of its head: 408 after that.
    duration header_timeout = std::chrono::seconds{10};
    /// For the whole of a body: 408 after that.
    duration body_timeout = std::chrono::seconds{30};
    /// The slowest sender of a body that is put up with, in bytes a second: the time spent waiting for a body's bytes may add
    /// up to `body_grace` and a second for each so many bytes that have come; 408 after that. 0: no such bound.
    std::uint64_t body_rate = 512;
    duration body_grace = std::chrono::seconds{5};
    /// How long a handler may take, where its route says nothing else. One that waits then is destroyed where it waits, and the
    /// client gets 503 at once; if it has begun to respond, the connection ends. A handler that does not wait is not
    /// interrupted. `infinity`: no such bound.
    duration handler_timeout = std::chrono::seconds{60};
    /// What is made of a client that ends its sending side while its handler waits: it has gone, and the handler is destroyed
    /// (false), or it may still read the response (true). Most clients that do so have gone; which it is, the wire does not say.
    bool half_closed_clients = false;
    /// How long a connection may be idle between requests before it is closed.
    duration idle_timeout = std::chrono::seconds{60};
    /// For one write to make progress: a client that does not read is dropped after that.
    duration write_timeout = std::chrono::seconds{30};
    /// The slowest reader that is put up with, in bytes a second: over one response the time spent waiting for the client
    /// to read may add up to `write_timeout` and a second for each so many bytes; then the client is dropped. Time in
    /// which there is nothing to send does not count. 0: no such bound.
    std::uint64_t write_rate = 4096;
    /// For what is in flight to finish when the server is shut down; what still runs then is killed.
    duration drain_timeout = std::chrono::seconds{30};
    /// When another instance takes over (`being_replaced`): how long an idle connection is kept for one more request, which is
    /// answered with `Connection: close`, before it is closed. So no request is lost that is on its way at that moment.
    /// At most half of `drain_timeout`.
    duration handover_grace = std::chrono::seconds{5};
    /// What is admitted when more comes than can be served.
    admission_options admission = {};
    /// Where to count; one of the server's own if null.
    std::shared_ptr<server_stats> stats = {};
    /// How many connections wait to be accepted.
    int backlog = 1024;
    /// Called with the address (`0.0.0.0`) and the actual port each time the listener is up.
    std::function<void(const std::string& address, std::uint16_t port)> on_listening = {};
};

/// The server as a child of a supervisor: `child<http::server>("endpoint", {.port = 4000, .handler = app})`.
///
/// It is a small tree of its own (rest_for_one): `<name>.connections`, to which every connection is linked and which
/// drains them at a shutdown, then `<name>.listener`, which accepts. A connection that crashes touches nobody; a
/// listener that crashes is restarted on the same port while the connections live on; and if `connections` is
/// lost, so are they, but for those that have been detached (exchange::detach).
///
/// The names are registered: one that is taken makes the start fail. A restart first waits until the processes before it
/// are gone. A drain may take `drain_timeout`.
struct server {
    using options = server_options;

    static genever::child_spec child_spec(std::string name, options o);
};

} // namespace genever::http
