#include "heart_policy.hpp"

#include <algorithm>
#include <chrono>

namespace genever::detail {

restart_policy::verdict restart_policy::failed(std::optional<duration> up_for) noexcept {
    if (up_for && *up_for >= options_.quick_failure) {
        quick_ = 0;
        return {};
    }
    if (quick_ < ~0U) ++quick_;
    if (options_.give_up_after != 0 && quick_ > options_.give_up_after) return {.give_up = true};
    if (quick_ < 2) return {};
    duration delay = std::min(options_.backoff, options_.max_backoff);
    for (unsigned i = 2; i < quick_ && delay < options_.max_backoff && delay > duration::zero(); ++i)
        delay = delay > options_.max_backoff / 2 ? options_.max_backoff : delay * 2;
    return {.delay = delay};
}

duration last_chance(const heart_options& o) noexcept {
    if (o.start_timeout != infinity) return o.start_timeout;
    using namespace std::chrono_literals;
    return 6 * std::clamp<duration>(o.max_backoff, 100ms, 10min);
}

bool hang_watch::late(time_point now) noexcept {
    if (limit_ == infinity) return false;
    // Looked at in time, the gap is a quarter of the limit and some delay.
    if (const duration gap = now - last_look_; gap > limit_ / 2)
        last_beat_ = std::min(now, later(last_beat_, gap));
    last_look_ = now;
    return now - last_beat_ > limit_;
}

} // namespace genever::detail
