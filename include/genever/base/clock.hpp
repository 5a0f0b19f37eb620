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

} // namespace genever
