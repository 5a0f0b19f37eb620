// How long a supervisor waits before it starts a child again.
#pragma once

#include <genever/base/clock.hpp>

#include <chrono>

namespace genever {

/// Exponential back-off between the restarts of one child: for `supervisor::back_off`. A child that ends, or whose start
/// fails, again and again is started after `first`, then after `factor` times as long each time, but never after more than
/// `most`. One that has run for `most` begins anew. So that children that fell together do not come back together, each
/// delay is shortened at random by a part of up to `jitter` of it.
struct back_off {
    duration first = std::chrono::milliseconds{100}; ///< more than zero
    double factor = 2;                               ///< 1 or more
    duration most = std::chrono::seconds{30};        ///< `first` or more
    double jitter = 0.5;                             ///< from 0 (exactly that long) to 1

    /// The delay before the `n`th restart in a row (from 1), for a random number from 0 to 1.
    duration delay(unsigned n, double random) const noexcept;
};

} // namespace genever
