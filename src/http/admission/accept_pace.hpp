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
    /// After one has been accepted: how long to wait before the next. Where that would be for less than a timer's grain, it is
    /// for longer, and more are accepted at once afterwards: at most half a batch.
    duration pause(time_point now) noexcept {
        if (step_ == 0) return duration{0};
        due_ = std::max(due_, now) + duration{step_};
        const duration excess = due_ - now - accept_batch * duration{step_};
        if (excess <= duration{0}) return duration{0};
        return std::max(excess, std::min(least_pause, accept_batch / 2 * duration{step_}));
    }

private:
    static constexpr duration least_pause = std::chrono::milliseconds{1}; // a timer's grain
    duration::rep step_;
    time_point due_{};
};

} // namespace genever::http
