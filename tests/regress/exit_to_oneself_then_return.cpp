// `exit(self(), reason)` followed by a return used to end as `normal`.
#include <genever/runtime/receive.hpp>
#include <genever/runtime/simulation.hpp>

#include <gtest/gtest.h>

using namespace genever;

TEST(Regress, AnExitToOneselfGoesBeforeTheReturn) {
    simulation sim{1, [](const crash_report&) {}};
    const auto reason = sim.run([]() -> task<exit_reason> {
        spawn_monitor([] { exit(self(), exit_reason::shutdown("enough")); });
        co_return co_await receive([](const down& d) { return d.reason; });
    });
    EXPECT_EQ(reason.kind(), exit_kind::shutdown);
    EXPECT_EQ(reason.text(), "enough");
}
