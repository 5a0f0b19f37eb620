// For this room's tests: one body on every kind of runtime.
#pragma once

#include <genever/runtime/process.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>

#include "runtime/simulation_test_support.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <utility>

namespace genever::test {

/// Runs `body()`, which makes a task<> (or takes the simulation and makes one), as the main process of a simulation for
/// each of many seeds. Afterwards nobody may be left over.
template <class F>
void simulated(F body, unsigned seeds = 200) {
    under_seeds(
        [&](simulation& sim) {
            try {
                if constexpr (std::is_invocable_v<F&, simulation&>)
                    sim.run([&]() -> task<> { return body(sim); });
                else
                    sim.run([&]() -> task<> { return body(); });
                sim.run_for(std::chrono::hours{1000});
                EXPECT_EQ(sim.live(), 0U);
            } catch (const std::exception& e) {
                ADD_FAILURE() << e.what();
            }
        },
        seeds);
}

/// Runs `body()` on real threads: with 2, 4 and 8 workers.
template <class F>
void threaded(F body) {
    for (const unsigned workers : thread_counts) {
        SCOPED_TRACE("with " + std::to_string(workers) + " workers");
        runtime rt{{.workers = workers, .on_crash = [](const crash_report&) {}}};
        rt.run([&]() -> task<> { return body(); });
        if (::testing::Test::HasFailure()) return;
    }
}

/// Both. The body may not count on time, and what its processes share must bear threads.
template <class F>
void everywhere(F body, unsigned seeds = 200) {
    simulated([&](simulation&) { return body(); }, seeds);
    if (!::testing::Test::HasFailure() && !seed_to_replay()) threaded(body);
}

/// Ends a process and waits until it is gone.
inline task<> kill_and_wait(pid p) {
    const monitor_ref ref = monitor(p);
    exit(p, exit_kind::killed);
    for (;;) {
        auto d = co_await receive([](const down& m) { return m; });
        if (d.ref == ref) co_return;
    }
}

} // namespace genever::test
