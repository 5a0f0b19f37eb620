// The two processes of a server beside its connections. See server.hpp for the tree they form.
#pragma once

#include "server_state.hpp"

#include <genever/base/exit_reason.hpp>
#include <genever/base/pid.hpp>
#include <genever/net/tcp.hpp>
#include <genever/runtime/task.hpp>

#include <expected>
#include <memory>

namespace genever::http {

/// Starts the process to which every connection is linked, linked itself to the caller. When the caller tells it to
/// shut down it drains: it ends when the last connection has ended.
pid start_connections(std::shared_ptr<server_state> server);

/// Binds, and starts the process that accepts, linked to the caller; the error says why it could not listen.
/// `connections` is the process above.
std::expected<pid, exit_reason> start_listener(std::shared_ptr<server_state> server, pid connections);

/// Starts the process of a connection that has been accepted, linked to `connections`. It counts from this call on; its
/// first request has waited since `came`.
void spawn_connection(const std::shared_ptr<server_state>& server, pid connections, net::accepted a,
                      time_point came);

/// The process of a connection that leaves its server (exchange::detach), for the time until it has ended: kills
/// `connection` after `limit`.
task<> limit_detached(pid connection, duration limit);

} // namespace genever::http
