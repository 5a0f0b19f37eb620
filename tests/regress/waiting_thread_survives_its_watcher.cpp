// A thread in `runtime::run` or `runtime::wait` used to wait for ever when somebody killed the process that watches for it.
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

using namespace genever;
using namespace std::chrono_literals;

TEST(Regress, AThreadThatWaitsHearsOfTheEndOfItsWatcher) {
    runtime rt{{.workers = 1}};
    EXPECT_THROW(rt.run([]() -> task<> {
        for (pid p : processes())
            if (p != self()) exit(p, exit_kind::killed);
        co_await sleep_for(50ms);
    }),
                 std::runtime_error);
    rt.spawn([]() -> task<> {
        co_await sleep_for(5ms);
        for (pid p : processes())
            if (p != self()) exit(p, exit_kind::killed);
    });
    const pid p = rt.spawn([]() -> task<> { co_await sleep_for(1h); });
    EXPECT_EQ(rt.wait(p).kind(), exit_kind::killed);
}
