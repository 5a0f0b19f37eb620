// Timeouts close to `infinity` used to overflow into the past, and `run_for(infinity)` never returned.
#include <genever/runtime/receive.hpp>
#include <genever/runtime/simulation.hpp>
#include <genever/runtime/timeout.hpp>

#include <gtest/gtest.h>

using namespace genever;
using namespace std::chrono_literals;

TEST(Regress, ADeadlineBeyondTheEndOfTimeNeverComes) {
    for (const duration d : {infinity, infinity - 1ns, infinity / 2 + 1h}) {
        simulation sim{1};
        sim.run([d]() -> task<> {
            co_await sleep_for(1h); // so that now() + d overflows
            const pid me = self();
            send_after(me, d, std::string{"too late"});
            spawn([me]() -> task<> {
                co_await sleep_for(1h);
                send(me, 1);
            });
            const int n = co_await receive([](int i) { return i; }, [](std::string) { return -2; },
                                           after(d, [] { return -1; }));
            EXPECT_EQ(n, 1);
            auto body = []() -> task<int> {
                co_await sleep_for(1h);
                co_return 7;
            };
            auto work = body();
            const auto result = co_await with_timeout(d, std::move(work));
            EXPECT_EQ(result.value_or(0), 7);
        });
    }
}

TEST(Regress, RunningForEverEndsWhenNothingIsLeftToDo) {
    simulation sim{1};
    int ticks = 0;
    sim.spawn([&ticks]() -> task<> {
        for (; ticks < 3; ++ticks) co_await sleep_for(1h);
        co_await sleep_for(infinity);
    });
    sim.run_for(infinity);
    EXPECT_EQ(ticks, 3);
}
