// How fast connections are accepted.
#pragma once

#include <genever/base/clock.hpp>

#include <algorithm>
#include <cstdint>

namespace genever::http {

/// How many connections are accepted in a row before others may run.
inline constexpr int accept_batch = 64;

/// An even rate of connections, and up to a batch at once. Used by one process.
class accept_pace {
public:
    /// So many a second; 0: without a bound.
    explicit accept_pace(std::uint32_t rate) noexcept : step_(rate == 0 ? 0 : 1'000'000'000 / rate) {}
    /// After one has been accepted: how long to wait before the next.
    duration pause(time_point now) noexcept {
        if (step_ == 0) return duration{0};
        due_ = std::max(due_, now) + duration{step_};
        return due_ - now > accept_batch * duration{step_} ? due_ - now : duration{0};
    }

private:
    duration::rep step_;
    time_point due_{};
};

} // namespace genever::http
