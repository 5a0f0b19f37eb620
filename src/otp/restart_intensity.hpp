// Counts restarts within a period.
#pragma once

#include <genever/base/clock.hpp>

#include <cstddef>
#include <deque>

namespace genever::detail {

/// Whether restarts come too often: more than `max` within `period` (OTP: a restart exactly `period` ago counts). Amortised
/// constant time however many lie within the period; memory for `max` points in time at most.
class restart_intensity {
public:
    restart_intensity(unsigned max, duration period) noexcept : max_(max), period_(period) {}

    /// Counts one more, unless that is one too many: false.
    bool add(time_point now) {
        while (!times_.empty() && now - times_.front() > period_) times_.pop_front();
        if (times_.size() >= max_) return false;
        times_.push_back(now);
        return true;
    }
    /// How many lay within the period at the last `add`.
    std::size_t recent() const noexcept { return times_.size(); }

private:
    std::deque<time_point> times_;
    std::size_t max_;
    duration period_;
};

} // namespace genever::detail
