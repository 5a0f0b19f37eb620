// A client as long as it is connected. What serves its requests (`connection`) comes and goes.
#pragma once

#include "server_state.hpp"

#include <genever/base/clock.hpp>
#include <genever/base/pid.hpp>
#include <genever/base/pool.hpp>
#include <genever/net/tcp.hpp>
#include <genever/runtime/task.hpp>
#include <genever/runtime/time.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

namespace genever::http {

/// How long one of the last connections may be without a request before it makes room for another.
inline constexpr duration reserve_patience = std::chrono::seconds{2};

/// All that is kept of a client between its requests, once that takes longer: its socket and its place among the server's
/// clients. Made where it was accepted; from `open` on used by its process only.
struct accepted_client : detail::pooled {
    /// `connections_process` is the process to which the client's is linked.
    accepted_client(server_state::presence p, pid connections_process, net::unique_fd fd,
                    std::string client_address)
        : presence(std::move(p)), server(*presence.server()), connections(connections_process),
          address(std::move(client_address)), member(server, stream.io()), socket_(std::move(fd)) {}

    /// In its process, before anything else. Throws std::system_error when the system refuses.
    void open() { stream = net::tcp_stream{std::move(socket_)}; }
    /// Whether this is one of the last connections, which are for critical requests, as long as there are no others.
    bool in_reserve() const noexcept { return presence.in_reserve() && server.admission.nearly_full(); }
    /// How long it may be idle.
    duration idle_patience() const noexcept {
        const duration usual = server.options.idle_timeout;
        return in_reserve() ? std::min(usual, reserve_patience) : usual;
    }

    server_state::presence presence; // goes last: the client counts until all else is gone
    server_state& server;
    const pid connections;
    const std::string address;
    net::tcp_stream stream;
    server_state::member member;
    time_point idle_since{}; // when it was last found without a request; zero before

private:
    net::unique_fd socket_; // until it is opened
};

/// The client's process: waits for it with next to no memory, and serves it while it asks.
task<> serve_client(std::unique_ptr<accepted_client> client);

} // namespace genever::http
