#include <genever/net/tcp.hpp>

#include "native_address.hpp"

#include <genever/runtime/socket_source.hpp>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace genever::net {

namespace {

std::error_code last_error() noexcept { return {errno, std::generic_category()}; }

std::unexpected<std::error_code> failed(std::errc e) noexcept {
    return std::unexpected(std::make_error_code(e));
}

/// What a wait that did not end in readiness means.
std::error_code wait_error(io_result r) noexcept {
    return std::make_error_code(r == io_result::timeout ? std::errc::timed_out
                                                        : std::errc::connection_aborted);
}

bool would_block(const std::error_code& e) noexcept { return e == std::errc::operation_would_block; }

/// The result of a system call that moves bytes; EAGAIN becomes operation_would_block.
std::expected<std::size_t, std::error_code> bytes_moved(ssize_t n) noexcept {
    if (n >= 0) return static_cast<std::size_t>(n);
    return std::unexpected(last_error());
}

} // namespace

unique_fd::~unique_fd() {
    if (fd_ >= 0) ::close(fd_);
}

tcp_stream::tcp_stream(unique_fd fd) : io_(fd.release()) {}

std::expected<std::size_t, std::error_code> tcp_stream::try_read(std::span<char> into) noexcept {
    for (;;) {
        const ssize_t n = ::recv(io_.fd(), into.data(), into.size(), 0);
        if (n < 0 && errno == EINTR) continue;
        return bytes_moved(n);
    }
}

std::expected<std::size_t, std::error_code> tcp_stream::try_write(std::string_view bytes) noexcept {
    for (;;) {
        const ssize_t n = ::send(io_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        return bytes_moved(n);
    }
}

task<std::expected<std::size_t, std::error_code>> tcp_stream::read_some(std::span<char> into,
                                                                        time_point deadline) {
    for (;;) {
        auto n = try_read(into);
        if (n || !would_block(n.error())) co_return n;
        const io_result r = co_await io_.readable(deadline);
        if (r != io_result::ready) co_return std::unexpected(wait_error(r));
    }
}

task<std::expected<void, std::error_code>> tcp_stream::write_all(std::string_view bytes,
                                                                 time_point deadline) {
    for (;;) {
        if (bytes.empty()) co_return std::expected<void, std::error_code>{};
        auto n = try_write(bytes);
        if (n) {
            bytes.remove_prefix(*n);
            continue;
        }
        if (!would_block(n.error())) co_return std::unexpected(n.error());
        const io_result r = co_await io_.writable(deadline);
        if (r != io_result::ready) co_return std::unexpected(wait_error(r));
    }
}

void tcp_stream::shutdown_write() noexcept { ::shutdown(io_.fd(), SHUT_WR); }

task<std::expected<tcp_stream, std::error_code>> connect(endpoint to, time_point deadline) {
    native_address address{to};
    unique_fd fd{::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (!fd) co_return std::unexpected(last_error());
    const int raw = fd.get();
    const int on = 1;
    ::setsockopt(raw, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const bool pending = ::connect(raw, address.get(), address.size) != 0;
    if (pending && errno != EINPROGRESS && errno != EINTR) co_return std::unexpected(last_error());
    tcp_stream s{std::move(fd)};
    for (;;) {
        if (!pending) break;
        const io_result r = co_await s.io().writable(deadline);
        if (r != io_result::ready) co_return std::unexpected(wait_error(r));
        int error = 0;
        socklen_t size = sizeof error;
        ::getsockopt(raw, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) co_return std::unexpected(std::error_code{error, std::generic_category()});
        native_address peer; // an edge may come before the connection does: it is there once it has a peer
        if (::getpeername(raw, peer.get(), &peer.size) == 0) break;
    }
    co_return std::expected<tcp_stream, std::error_code>{std::move(s)};
}

duration unread_for(int fd) noexcept {
    static const duration tick = [] {
        timespec t{};
        ::clock_getres(CLOCK_MONOTONIC_COARSE, &t); // its resolution is the system's tick (clock_getres(2))
        return std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec};
    }();
    int bytes = 0;
    if (::ioctl(fd, FIONREAD, &bytes) != 0 || bytes == 0) return duration{0};
    tcp_info info{};
    socklen_t size = sizeof info;
    if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return duration{0};
    return std::max(duration{0}, std::chrono::milliseconds{info.tcpi_last_data_recv} - tick);
}

struct tcp_listener::source_lease {
    std::shared_ptr<socket_source> source;
    native_address at;
};

void tcp_listener::end_lease::operator()(source_lease* l) const noexcept {
    l->source->closed(l->at.get(), l->at.size);
    delete l;
}

namespace {

std::expected<unique_fd, std::error_code> bind_own(native_address& address, int backlog) {
    unique_fd fd{::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (!fd) return std::unexpected(last_error());
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(fd.get(), address.get(), address.size) != 0) return std::unexpected(last_error());
    if (::listen(fd.get(), backlog) != 0) return std::unexpected(last_error());
    return fd;
}

} // namespace

std::expected<tcp_listener, std::error_code> tcp_listener::bind(const endpoint& at, listen_options options) {
    native_address address{at};
    tcp_listener l;
    unique_fd fd;
    if (auto source = installed_socket_source()) {
        auto given = source->listener(address.get(), address.size, options.backlog);
        if (!given) return std::unexpected(given.error());
        if (*given >= 0) {
            fd = unique_fd{*given};
            l.lease_.reset(new source_lease{std::move(source), address});
        }
    }
    if (!fd) {
        auto own = bind_own(address, options.backlog);
        if (!own) return std::unexpected(own.error());
        fd = std::move(*own);
    }
    native_address actual;
    if (::getsockname(fd.get(), actual.get(), &actual.size) != 0) return std::unexpected(last_error());
    if (l.lease_) l.lease_->at = actual;
    l.local_ = actual.to_endpoint();
    try {
        l.io_ = io_handle{fd.release(), l.lease_ ? io_file::shared : io_file::own};
    } catch (const std::system_error& e) {
        return std::unexpected(e.code());
    }
    return l;
}

std::expected<accepted, std::error_code> tcp_listener::try_accept() noexcept {
    for (;;) {
        native_address peer;
        unique_fd fd{::accept4(io_.fd(), peer.get(), &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC)};
        if (fd) {
            const int on = 1;
            ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            return accepted{std::move(fd), peer.to_endpoint()};
        }
        // accept(2): errors of the connection, not of the listener.
        switch (errno) {
        case EINTR:
        case ECONNABORTED:
        case EPROTO:
        case ENETDOWN:
        case ENETUNREACH:
        case EHOSTDOWN:
        case EHOSTUNREACH: continue;
        case EAGAIN: return failed(std::errc::operation_would_block);
        default: return std::unexpected(last_error());
        }
    }
}

task<std::expected<accepted, std::error_code>> tcp_listener::accept() {
    if (accepting_is_held()) co_await until_accepting();
    for (;;) {
        auto a = try_accept();
        if (a || !would_block(a.error())) co_return a;
        const io_result r = co_await io_.readable();
        if (r != io_result::ready) co_return std::unexpected(wait_error(r));
    }
}

} // namespace genever::net
