#include "systemd.hpp"

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace genever::detail {

namespace {

template <class T>
bool whole(const char* text, T& n) {
    if (!text) return false;
    const char* end = text + std::strlen(text);
    const auto [at, error] = std::from_chars(text, end, n);
    return error == std::errc{} && at == end && at != text;
}

/// Whether the variable names this process; `otherwise` where it is not set.
bool is_meant(const char* text, pid_t self, bool otherwise) {
    if (!text) return otherwise;
    pid_t p = 0;
    return whole(text, p) && p == self;
}

} // namespace

notify_socket::notify_socket(const char* path, duration patience) noexcept {
    if (!path || (path[0] != '/' && path[0] != '@') || path[1] == '\0') return;
    sockaddr_un a{};
    a.sun_family = AF_UNIX;
    const std::size_t length = std::strlen(path);
    if (length >= sizeof a.sun_path) return;
    std::memcpy(a.sun_path, path, length);
    if (path[0] == '@') a.sun_path[0] = '\0';
    const std::size_t size = offsetof(sockaddr_un, sun_path) + length + (path[0] == '/' ? 1 : 0);
    address_.assign(reinterpret_cast<const char*>(&a), size);
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const timeval limit{.tv_sec = std::chrono::ceil<std::chrono::seconds>(patience).count(), .tv_usec = 0};
    if (fd_ >= 0) ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

notify_socket::notify_socket(notify_socket&& o) noexcept
    : fd_(std::exchange(o.fd_, -1)), address_(std::move(o.address_)) {}

notify_socket::~notify_socket() {
    if (fd_ >= 0) ::close(fd_);
}

bool notify_socket::send(std::string_view lines, int flags) const noexcept {
    if (fd_ < 0) return true;
    sockaddr_un a;
    std::memcpy(&a, address_.data(), address_.size());
    return ::sendto(fd_, lines.data(), lines.size(), flags | MSG_NOSIGNAL,
                    reinterpret_cast<const sockaddr*>(&a), static_cast<socklen_t>(address_.size())) >= 0;
}

// A beat may be lost, what happens once may not: that waits for room, as long as the socket's send timeout says.
void notify_socket::tell(std::string_view lines) const noexcept {
    send(lines, lines.starts_with("WATCHDOG=1") ? MSG_DONTWAIT : 0);
}

bool notify_socket::offer(std::string_view lines) const noexcept {
    return send(lines, MSG_DONTWAIT) || (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS);
}

std::optional<duration> watchdog_limit(const environment& get, pid_t self) {
    std::uint64_t microseconds = 0;
    if (!whole(get("WATCHDOG_USEC"), microseconds) || microseconds == 0) return std::nullopt;
    if (microseconds > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max() / 1000))
        return std::nullopt; // "infinity"
    if (!is_meant(get("WATCHDOG_PID"), self, true)) return std::nullopt;
    return std::chrono::microseconds{microseconds};
}

int passed_sockets(const environment& get, pid_t self) {
    if (!is_meant(get("LISTEN_PID"), self, false)) return 0;
    int n = 0;
    constexpr int most = 4096;
    return whole(get("LISTEN_FDS"), n) && n > 0 && n <= most ? n : 0;
}

std::string reloading_at(time_point now) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch());
    return "RELOADING=1\nMONOTONIC_USEC=" + std::to_string(us.count());
}

} // namespace genever::detail
