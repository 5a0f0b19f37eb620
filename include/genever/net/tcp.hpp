// TCP: listeners and byte streams.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/net/address.hpp>
#include <genever/runtime/io.hpp>
#include <genever/runtime/task.hpp>

#include <cstddef>
#include <expected>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace genever::net {

/// Owns a plain descriptor that is not registered anywhere yet: a connection on its way from the process that
/// accepted it to the one that serves it.
class unique_fd {
public:
    unique_fd() noexcept = default;
    explicit unique_fd(int fd) noexcept : fd_(fd) {}
    unique_fd(unique_fd&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
    unique_fd& operator=(unique_fd&& o) noexcept {
        std::swap(fd_, o.fd_);
        return *this;
    }
    ~unique_fd();

    int get() const noexcept { return fd_; }
    int release() noexcept { return std::exchange(fd_, -1); }
    explicit operator bool() const noexcept { return fd_ >= 0; }

private:
    int fd_ = -1;
};

/// An open TCP connection. Used by one process at a time, but for `io().shut()`.
///
/// Errors come as std::error_code: std::errc::timed_out for a deadline, std::errc::connection_aborted where
/// `io().shut()` ended the wait, else the system's. Killed while it waits, a stream closes with its owner's frame.
class tcp_stream {
public:
    tcp_stream() noexcept = default;
    /// Registers the connection with the runtime; throws std::system_error when that fails.
    explicit tcp_stream(unique_fd fd);

    explicit operator bool() const noexcept { return static_cast<bool>(io_); }

    /// Reads what is there, without waiting. 0: the peer has ended its side. std::errc::operation_would_block:
    /// nothing is there yet. After fewer bytes than `into` holds there is nothing more for now.
    std::expected<std::size_t, std::error_code> try_read(std::span<char> into) noexcept;
    /// Writes what the system takes, without waiting; std::errc::operation_would_block for nothing.
    std::expected<std::size_t, std::error_code> try_write(std::string_view bytes) noexcept;

    /// Reads at least one byte, or 0 at the peer's end, waiting until `deadline`.
    task<std::expected<std::size_t, std::error_code>> read_some(std::span<char> into,
                                                                time_point deadline = time_point::max());
    /// Writes everything, waiting until `deadline`.
    task<std::expected<void, std::error_code>> write_all(std::string_view bytes,
                                                         time_point deadline = time_point::max());

    /// Ends the sending side: the peer reads 0 after what was sent.
    void shutdown_write() noexcept;

    io_handle& io() noexcept { return io_; }

private:
    io_handle io_;
};

/// Connects to `to`.
task<std::expected<tcp_stream, std::error_code>> connect(endpoint to,
                                                         time_point deadline = time_point::max());

struct listen_options {
    /// How many connections the system keeps that nobody has accepted yet.
    int backlog = 1024;
};

/// A connection that was accepted, and whose it is.
struct accepted {
    unique_fd fd;
    endpoint peer;
};

/// How long bytes have been there to be read from this TCP socket: since the last of them came. The system counts that in ticks
/// (1 to 10 ms), of which one is taken off. Zero where there are none, or the system does not know. Any
/// thread.
duration unread_for(int fd) noexcept;

/// A listening socket, with SO_REUSEADDR: a restarted listener gets its port back at once. Where a socket source is
/// installed (runtime/socket_source.hpp: the heart, or the service manager's socket activation) it comes from there, and
/// connections wait in its backlog while this program is not there to accept them.
class tcp_listener {
public:
    /// Binds and listens. Call it inside a runtime. The error is the system's (address in use, no permission).
    static std::expected<tcp_listener, std::error_code> bind(const endpoint& at, listen_options options = {});

    /// Where it listens: with the actual port where 0 was asked for.
    const endpoint& local() const noexcept { return local_; }

    /// Takes one connection, without waiting; std::errc::operation_would_block when there is none. Connections that
    /// the peer gave up meanwhile are passed over. Does not look whether accepting is held (`until_accepting`).
    std::expected<accepted, std::error_code> try_accept() noexcept;
    /// Waits for a connection. An error that concerns the listener or the system (no descriptors left) comes
    /// back to the caller, who decides how long to pause.
    task<std::expected<accepted, std::error_code>> accept();

    io_handle& io() noexcept { return io_; }

private:
    /// Tells the source when the descriptor has been closed.
    struct source_lease;
    struct end_lease {
        void operator()(source_lease* l) const noexcept;
    };

    std::unique_ptr<source_lease, end_lease> lease_; // goes after io_; null: the socket is our own
    io_handle io_;
    endpoint local_;
};

} // namespace genever::net
