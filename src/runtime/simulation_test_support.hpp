// For tests: one body under many interleavings.
#pragma once

#include <genever/runtime/simulation.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace genever::test {

/// With how many workers a test on real threads runs where the number does not matter to it.
inline constexpr unsigned thread_counts[] = {2, 4, 8};

/// Runs `body(simulation&)` once for each of many seeds (GENEVER_SEEDS, or `count`), each in a fresh simulation that
/// swallows crash reports. The first failure ends the run and names its seed; GENEVER_SEED replays just that one.
template <class F>
void under_seeds(F body, unsigned count = 200) {
    const auto one = seed_to_replay();
    const std::uint64_t first = one.value_or(1);
    const std::uint64_t last = one ? first : seeds_to_run(count);
    for (std::uint64_t seed = first; seed <= last; ++seed) {
        SCOPED_TRACE("replay with GENEVER_SEED=" + std::to_string(seed));
        simulation sim{seed, [](const crash_report&) {}};
        body(sim);
        if (::testing::Test::HasFailure()) return;
    }
}

} // namespace genever::test
