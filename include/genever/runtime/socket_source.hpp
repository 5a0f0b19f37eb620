// Listening sockets that the program does not open itself: they belong to a parent process that outlives it, or to the
// system's service manager.
#pragma once

#include <genever/base/pid.hpp>
#include <genever/runtime/task.hpp>

#include <expected>
#include <memory>
#include <sys/socket.h>
#include <system_error>

namespace genever {

/// Gives out listening sockets by address. `net::tcp_listener` asks the one that is installed before it binds a socket of
/// its own. Implementations are safe to use from any thread.
class socket_source {
public:
    virtual ~socket_source() = default;

    /// A stream socket that listens at `at`: non-blocking, close-on-exec, the caller's to close. Its open file is shared
    /// with others, so a poller must be told before it is closed. -1: this source has none for the address, and the caller
    /// is to bind one. The error is the system's; std::errc::address_in_use when it is given out already.
    virtual std::expected<int, std::error_code> listener(const sockaddr* at, socklen_t size, int backlog) = 0;
    /// The caller of `listener` has closed its descriptor. `at` is the socket's own address.
    virtual void closed(const sockaddr* at, socklen_t size) noexcept = 0;
};

/// Where listeners come from, from now on; null: they are bound. Any thread.
void install_socket_source(std::shared_ptr<socket_source> source) noexcept;
/// The one that is installed; null for none. Any thread.
std::shared_ptr<socket_source> installed_socket_source() noexcept;

/// From now on `until_accepting` waits for the end of process `gate`, of the same runtime; the null pid opens the way.
void set_accept_gate(pid gate) noexcept;
/// Whether connections are to be left in the backlog for now: another program, which this one is about to replace,
/// takes them. Any thread.
bool accepting_is_held() noexcept;
/// Waits until connections may be accepted; at once as a rule. A process that does not call `tcp_listener::accept` but
/// `try_accept` awaits this first.
task<> until_accepting();

} // namespace genever
