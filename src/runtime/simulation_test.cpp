// What the simulated runtime promises for itself.
#include <genever/runtime/blocking.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/simulation.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "simulation_test_support.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::under_seeds;

TEST(Simulation, RepeatsItselfFromItsSeed) {
    enum what : std::uint8_t { begins, has_received, has_waited_in_vain, was_in_time, was_too_late, ends };
    using step = std::tuple<int, what, int, time_point>; // whose, what, from whom, when
    auto nap = [](duration d) -> task<> { co_await sleep_for(d); };
    auto trace = [&](std::uint64_t seed) {
        std::vector<step> steps;
        simulation sim{seed, [](const crash_report&) {}};
        sim.run([&]() -> task<> {
            std::vector<pid> all;
            for (int i = 0; i < 10; ++i)
                all.push_back(spawn([&, i]() -> task<> {
                    const auto note = [&, i](what w, int from = -1) {
                        steps.emplace_back(i, w, from, now());
                    };
                    const auto anybody = [&] { return all[sim.random(all.size())]; };
                    note(begins);
                    for (int n = 0; n < 6; ++n) {
                        send(anybody(), i);
                        if (sim.random(2) == 0) co_await yield();
                        const int from = co_await receive([](int f) { return f; },
                                                          after(sim.random(3) * 1ms, [] { return -1; }));
                        note(from < 0 ? has_waited_in_vain : has_received, from);
                        auto work = nap(sim.random(3) * 1ms);
                        const auto r = co_await with_timeout(1ms, std::move(work));
                        note(r ? was_in_time : was_too_late);
                        if (sim.random(20) == 0) exit(anybody(), exit_kind::killed);
                        co_await blocking([] {});
                    }
                    note(ends);
                }));
            co_await sleep_for(1s);
        });
        return steps;
    };
    std::set<what> seen;
    constexpr unsigned seeds = 200;
    under_seeds(
        [&](simulation& sim) {
            const auto steps = trace(sim.seed());
            EXPECT_TRUE(steps == trace(sim.seed())) << "another run";
            EXPECT_FALSE(steps == trace(sim.seed() + 1)) << "the same from another seed";
            for (const step& s : steps) seen.insert(std::get<what>(s));
        },
        seeds);
    if (seed_to_replay() || seeds_to_run(seeds) < seeds) return;
    EXPECT_EQ(seen.size(), 6U) << "all of it has been met";
}

TEST(Simulation, TellsADeadlock) {
    simulation sim{1};
    EXPECT_THROW(sim.run([]() -> task<> { co_await receive([](int) {}); }), std::runtime_error);
}
