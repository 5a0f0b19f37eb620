// Durations and points on the runtime's clock.
#pragma once

#include <chrono>

namespace genever {

/// A length of time.
using duration = std::chrono::nanoseconds;

/// The runtime's clock: monotonic; virtual in a simulation. `genever::now()` (runtime/time.hpp) reads it.
struct clock {
    using duration = std::chrono::nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<clock>;
    static constexpr bool is_steady = true;
};

using time_point = clock::time_point;

/// Where "for ever" is meant.
inline constexpr duration infinity = duration::max();

/// `t + d`, or the end of time where that would overflow: `infinity` after any point is `time_point::max()`.
constexpr time_point later(time_point t, duration d) noexcept {
    if (d > duration::zero() && t > time_point::max() - d) return time_point::max();
    if (d < duration::zero() && t < time_point::min() - d) return time_point::min();
    return t + d;
}

} // namespace genever
