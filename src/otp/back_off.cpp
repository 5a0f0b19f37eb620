#include <genever/otp/back_off.hpp>

#include <algorithm>
#include <cmath>

namespace genever {

// In floating point, where what is too large for a duration is no overflow.
duration back_off::delay(unsigned n, double random) const noexcept {
    const double whole = std::min(static_cast<double>(first.count()) * std::pow(factor, n - 1),
                                  static_cast<double>(most.count()));
    const double cut = std::clamp(whole * (1 - jitter * random), 0.0, static_cast<double>(most.count()));
    if (cut >= static_cast<double>(duration::max().count())) return most;
    return std::min(duration{static_cast<duration::rep>(cut)}, most);
}

} // namespace genever
