#include "http/admission/queue_delay.hpp"

#include <algorithm>

namespace genever::http {

namespace {
constexpr auto relaxed = std::memory_order_relaxed;

duration::rep ticks(time_point t) noexcept { return t.time_since_epoch().count(); }
} // namespace

bool queue_delay::note_slowly(time_point now, duration waited) noexcept {
    const duration::rep t = ticks(now);
    const bool overloaded = t < overloaded_until_.load(relaxed);
    if (waited <= target_) {
        above_since_.store(0, relaxed);
        if (!overloaded) trouble_.store(false, relaxed);
        return overloaded;
    }
    trouble_.store(true, relaxed);
    const duration::rep last = above_last_.exchange(t, relaxed);
    duration::rep since = above_since_.load(relaxed);
    // Two that have waited with nobody between them for an interval tell nothing about that time.
    if (since == 0 || t - last > interval_.count()) {
        since = t;
        above_since_.store(since, relaxed);
    }
    if (overloaded) return true;
    if (t - since < interval_.count() && waited <= limit_) return false;
    note_refusal(now);
    return true;
}

duration queue_delay::tolerance(bool overloaded, double share) const noexcept {
    if (!overloaded) return limit_;
    const double times = 1.0 + std::clamp(share, 0.0, 1.0);
    return std::min(limit_,
                    duration{static_cast<duration::rep>(static_cast<double>(target_.count()) * times)});
}

void queue_delay::note_refusal(time_point now) noexcept {
    overloaded_until_.store(ticks(later(now, interval_)), relaxed);
    trouble_.store(true, relaxed);
}

} // namespace genever::http
