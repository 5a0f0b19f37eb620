// Counts restarts within a period.
#pragma once

#include <genever/base/clock.hpp>

#include <algorithm>
#include <cstddef>
#include <deque>

namespace genever::detail {

/// Whether restarts come too often: more than `max` within `period` (OTP: a restart exactly `period` ago counts).
///
/// Exact while `max` is at most `most_kept`. Above that, restarts that follow each other within a `most_kept`th of the period
/// are counted together, as of the first of them: each may be forgotten so much too early (OTP's clock is coarser). So time
/// is constant, amortised, and memory bounded, however many restarts lie within the period.
class restart_intensity {
public:
    static constexpr std::size_t most_kept = 1024;

    restart_intensity(unsigned max, duration period) noexcept
        : max_(max), period_(period),
          together_(max > most_kept ? std::max(period / static_cast<duration::rep>(most_kept), duration{1})
                                    : duration::zero()) {}

    /// Counts one more, unless that is one too many: false.
    bool add(time_point now) {
        while (!groups_.empty() && now - groups_.front().first > period_) {
            recent_ -= groups_.front().count;
            groups_.pop_front();
        }
        if (recent_ >= max_) return false;
        if (!groups_.empty() && now - groups_.back().first < together_)
            ++groups_.back().count;
        else
            groups_.push_back({now, 1});
        ++recent_;
        return true;
    }
    /// How many lay within the period at the last `add`.
    std::size_t recent() const noexcept { return recent_; }
    /// How many points in time it remembers.
    std::size_t kept() const noexcept { return groups_.size(); }

private:
    struct group {
        time_point first;
        std::size_t count;
    };
    std::deque<group> groups_;
    std::size_t recent_ = 0;
    std::size_t max_;
    duration period_;
    duration together_; // zero: each for itself
};

} // namespace genever::detail
