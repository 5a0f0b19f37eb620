// What a heart has to tell the service manager, which may be slow to listen, or never do.
//
// A state (READY=1, RELOADING=1, STOPPING=1) is kept until it is taken, in order. A status is of interest only as the last
// one. A watchdog's beat that is not taken is tried again: the manager kills whose beats it does not get.
#pragma once

#include "systemd.hpp"

#include <genever/base/clock.hpp>

#include <deque>
#include <optional>
#include <string>

namespace genever::detail {

class service_manager {
public:
    /// `path`: of NOTIFY_SOCKET, or null. `watchdog`: within how much time it wants a beat, if it wants any.
    service_manager(const char* path, std::optional<duration> watchdog) noexcept;

    /// Lines of a message, a state first if there is one. Never waits.
    void tell(std::string lines);
    /// Says what is due, and again what was not taken.
    void look(time_point now) noexcept;
    /// How long the next look may be put off.
    duration look_again_in(time_point now) const noexcept;

private:
    void say_unsaid() noexcept;

    notify_socket socket_;
    std::optional<duration> watchdog_;
    time_point next_beat_{};
    std::deque<std::string> unsaid_;
};

} // namespace genever::detail
