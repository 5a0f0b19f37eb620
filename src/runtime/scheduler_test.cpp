// Whom a worker that is busy for ever runs next: nobody is left out. A test that fails here hangs until its time is up.
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <atomic>

using namespace genever;
using namespace std::chrono_literals;

namespace {

struct ball {};

/// Two processes that wake each other in turn, each through the slot that is served before the queue, until `enough`.
void start_a_rally(runtime& rt, const std::atomic<bool>& enough) {
    rt.spawn([&enough]() -> task<> {
        const pid me = self();
        const pid other = spawn_link([me]() -> task<> {
            for (;;) {
                co_await receive([](ball) {});
                send(me, ball{});
            }
        });
        while (!enough) {
            send(other, ball{});
            co_await receive([](ball) {});
        }
        exit(other, exit_kind::killed);
    });
}

/// Three processes that are ready whenever they do not run, until `enough`.
void start_a_busy_queue(runtime& rt, const std::atomic<bool>& enough) {
    for (int i = 0; i < 3; ++i)
        rt.spawn([&enough]() -> task<> {
            while (!enough) co_await yield();
        });
}

/// On a worker that never runs dry: a process from outside comes to run, to wait for its turn, and to wake at its time.
void expect_that_others_run(void (*keep_busy)(runtime&, const std::atomic<bool>&)) {
    std::atomic<bool> enough = false;
    runtime rt{{.workers = 1}};
    keep_busy(rt, enough);
    const int turns = rt.run([]() -> task<int> {
        int n = 0;
        for (; n < 100; ++n) co_await yield();
        for (; n < 105; ++n) co_await sleep_for(1ms);
        co_return n;
    });
    EXPECT_EQ(turns, 105);
    enough = true;
}

} // namespace

TEST(Scheduler, TwoThatWakeEachOtherStarveNobody) { expect_that_others_run(start_a_rally); }

TEST(Scheduler, AQueueThatIsNeverEmptyKeepsNobodyOut) { expect_that_others_run(start_a_busy_queue); }
