// The service manager's side of a program: readiness, watchdog, sockets. A few lines of text over a datagram socket and
// three variables (sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3)), so no library is needed.
#pragma once

#include "heart_settings.hpp"

#include <genever/base/clock.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace genever::detail {

/// Where NOTIFY_SOCKET points; sends nothing where it is not set.
class notify_socket {
public:
    notify_socket() noexcept = default;
    /// `path`: the variable's value, or null. A leading @ stands for an abstract name. `patience`: with a manager that does
    /// not read.
    explicit notify_socket(const char* path, duration patience = std::chrono::seconds{2}) noexcept;
    ~notify_socket();
    notify_socket(notify_socket&& o) noexcept;
    notify_socket& operator=(notify_socket&&) = delete;

    explicit operator bool() const noexcept { return fd_ >= 0; }
    /// Waits for a manager that does not read, but not for ever; a WATCHDOG=1 does not wait.
    void tell(std::string_view lines) const noexcept;
    /// Never waits. False: there is no room; it may be offered again.
    bool offer(std::string_view lines) const noexcept;

private:
    bool send(std::string_view lines, int flags) const noexcept;

    int fd_ = -1;
    std::string address_; // as the system has it, a sockaddr_un
};

/// The time within which the service manager wants a WATCHDOG=1 from process `self`; none: it wants none.
std::optional<duration> watchdog_limit(const environment& get, pid_t self);

/// How many sockets have been passed to process `self`, from descriptor 3 on.
int passed_sockets(const environment& get, pid_t self);
inline constexpr int first_passed_socket = 3;

/// What announces a reload: the manager wants the time as well (CLOCK_MONOTONIC, microseconds).
std::string reloading_at(time_point now);

} // namespace genever::detail
