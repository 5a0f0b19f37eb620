// A deadline that fired on another worker while its work was running, and ended in time by itself, used to stay noted in
// the process: its next wait, for whatever, was ended without cause.
#include <genever/csp/chan.hpp>
#include <genever/csp/go.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/timeout.hpp>

#include <gtest/gtest.h>

#include <atomic>

using namespace genever;
using namespace std::chrono_literals;

TEST(Regress, ADeadlineThatFiresWhileItsWorkRunsEndsNoLaterWait) {
    runtime rt{{.workers = 2}};
    std::atomic<bool> done = false;
    // Keeps the other worker awake: it looks after the timers of the busy one.
    rt.spawn([&done]() -> task<> {
        while (!done) co_await sleep_for(50us);
    });
    rt.run([]() -> task<> {
        for (int i = 0; i < 200; ++i) {
            auto body = []() -> task<int> {
                const time_point end = now() + 300us;
                while (now() < end) {
                }
                co_return 1;
            };
            auto work = body();
            auto result = co_await with_timeout(100us, std::move(work));
            EXPECT_TRUE(result.has_value()); // it never waited, so there was nothing to destroy
            chan<int> c;
            go([c, i]() -> task<> { co_await c.send(i); });
            auto v = co_await c.recv();
            EXPECT_EQ(v, i);
            send(self(), i);
            const int m = co_await receive([](int n) { return n; });
            EXPECT_EQ(m, i);
        }
    });
    done = true;
}
