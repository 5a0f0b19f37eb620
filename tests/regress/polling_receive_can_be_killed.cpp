// A loop of `receive(..., after(0s, ...))` used to keep its worker for ever, and could not be killed.
#include <genever/runtime/receive.hpp>
#include <genever/runtime/simulation.hpp>

#include "runtime/simulation_test_support.hpp"

#include <gtest/gtest.h>

using namespace genever;
using namespace std::chrono_literals;

TEST(Regress, ALoopThatOnlyLooksIntoItsMailboxYieldsAndCanBeKilled) {
    test::under_seeds([](simulation& sim) {
        const auto reason = sim.run([]() -> task<exit_reason> {
            auto [p, ref] = spawn_monitor([]() -> task<> {
                for (;;) co_await receive([](int) {}, after(0s, [] {}));
            });
            for (int i = 0; i < 3; ++i) co_await yield();
            exit(p, exit_kind::killed);
            co_return co_await receive([](const down& d) { return d.reason; });
        });
        EXPECT_EQ(reason.kind(), exit_kind::killed);
    });
}
