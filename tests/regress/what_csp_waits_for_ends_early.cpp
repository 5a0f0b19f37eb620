// A member that counted itself down used to end the program; children that were killed before their first step counted as
// successes without a result; a timer that was cancelled while it fired said that its message had been sent.
#include <genever/csp/error_group.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/csp/when_all.hpp>
#include <genever/runtime/simulation.hpp>

#include "runtime/simulation_test_support.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

using namespace genever;

namespace {

task<std::string> work() { co_return std::string("done"); }

void kill_all_but(const std::vector<pid>& kept) {
    for (pid p : processes())
        if (std::ranges::find(kept, p) == kept.end()) exit(p, exit_kind::killed);
}

} // namespace

TEST(Regress, AMemberOfAWaitGroupThatCountsItselfDownCrashesNobodyElse) {
    int reports = 0;
    simulation sim{1, [&reports](const crash_report&) { ++reports; }};
    sim.run([]() -> task<> {
        wait_group wg;
        wg.go([wg]() mutable { wg.done(); }); // one too many: `go` counts by itself
        co_await wg.wait();
    });
    EXPECT_LE(reports, 1);
}

TEST(Regress, AMemberThatIsKilledBeforeItsFirstStepHasFailed) {
    test::under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const std::vector<pid> before = processes();
            error_group g;
            bool ran = false;
            g.go([&ran] { ran = true; });
            kill_all_but(before);
            bool failed = false;
            try {
                co_await g.wait();
            } catch (const std::exception&) {
                failed = true;
            }
            EXPECT_TRUE(failed);
            EXPECT_FALSE(ran);
        });
    });
}

TEST(Regress, WhenAllOfWhatWasKilledBeforeItsFirstStepThrows) {
    test::under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const std::vector<pid> before = processes();
            const pid killer = spawn([before]() -> task<> {
                std::vector<pid> kept = before;
                kept.push_back(self());
                for (int i = 0; i < 3; ++i) {
                    kill_all_but(kept);
                    co_await yield();
                }
            });
            (void)killer;
            bool failed = false;
            std::string text;
            try {
                auto [a, b] = co_await when_all(work(), work());
                text = a + b;
            } catch (const std::exception&) {
                failed = true;
            }
            EXPECT_TRUE(failed || text == "donedone");
        });
    });
}
