// Timers of a whole runtime: a million at once, and what `stats` says of them.
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/simulation.hpp>
#include <genever/runtime/stats.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <cstddef>
#include <random>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t many = 50'000;
#else
constexpr std::size_t many = 1'000'000;
#endif

struct fired {
    std::size_t number;
};

} // namespace

TEST(Timers, AMillionFireOnceEachInTheOrderOfTheirDeadlinesUnlessCancelled) {
    simulation sim{1};
    sim.run([]() -> task<> {
        std::mt19937_64 random{1};
        std::vector<time_point> due(many);
        std::vector<timer_ref> timers(many);
        std::vector<bool> to_come(many, true);
        const time_point start = now();
        for (std::size_t i = 0; i < many; ++i) {
            const duration delay = 1ms * (random() % 100'000); // some ten of each
            due[i] = start + delay;
            timers[i] = send_after(self(), delay, fired{i});
        }
        EXPECT_EQ(stats().timers, many);
        for (std::size_t i = 0; i < many; i += 2) {
            EXPECT_TRUE(timers[i].cancel());
            to_come[i] = false;
        }
        EXPECT_EQ(stats().timers, many / 2);
        EXPECT_EQ(stats().timers_fired, 0U);

        time_point last_due = start;
        std::size_t last = 0;
        for (std::size_t n = 0; n < many / 2; ++n) {
            const std::size_t i = co_await receive([](fired f) { return f.number; });
            if (!to_come[i]) {
                ADD_FAILURE() << "timer " << i << " was cancelled, or has fired before";
                co_return;
            }
            to_come[i] = false;
            if (now() < due[i] || due[i] < last_due || (due[i] == last_due && n != 0 && i < last)) {
                ADD_FAILURE() << "timer " << i << " fired out of turn";
                co_return;
            }
            last_due = due[i];
            last = i;
        }
        EXPECT_EQ(now(), last_due);
        EXPECT_FALSE(co_await receive([](fired) { return true; }, after(1h, [] { return false; })));
        for (std::size_t i = 0; i < many; ++i) EXPECT_FALSE(timers[i].cancel());
        EXPECT_EQ(stats().timers, 0U);
        EXPECT_EQ(stats().timers_fired, many / 2 + 1); // with that of the last receive
    });
}

TEST(Timers, AreNotLateInVirtualTime) {
    simulation sim{1};
    sim.run([]() -> task<> {
        for (int i = 1; i <= 10; ++i) send_after(self(), i * 1ms, i);
        for (int i = 1; i <= 10; ++i) co_await receive([&](int n) { EXPECT_EQ(n, i); });
        const runtime_stats s = stats();
        EXPECT_EQ(s.timers_fired, 10U);
        EXPECT_EQ(s.timer_lateness_mean, 0s);
        EXPECT_EQ(s.timer_lateness_max, 0s);
    });
}

// (A message's timer counts from the worker's next look at the clock, if it is armed by a length of time: a sleep does not.)
TEST(Timers, AreReportedLateWhenTheirWorkerWasHeld) {
    constexpr int late = 5;
    constexpr duration length = 1ms;
    constexpr duration held = 60ms;
    constexpr duration tick = 66us;
    runtime rt{{.workers = 1, .on_stall = [](const stall_report&) {}, .most_stuck_threads = 0}};
    rt.run([&]() -> task<> {
        int asleep = 0;
        int woken = 0;
        for (int i = 0; i < 2 * late; ++i)
            spawn([&asleep, &woken, lasts = i < late ? length : duration{1h}]() -> task<> {
                ++asleep;
                co_await sleep_for(lasts);
                ++woken;
            });
        const time_point before = now();
        while (asleep < 2 * late) co_await yield();
        const time_point armed = now();
        while (now() < armed + held) {
            // Nobody takes the worker from this thread.
        }
        while (woken < late) co_await yield();
        const runtime_stats s = stats();
        EXPECT_EQ(s.timers, std::size_t{late});
        EXPECT_EQ(s.timers_fired, std::uint64_t{late});
        // Some may have fired before it was held, if the machine has held all of it up.
        if (armed < before + length) {
            EXPECT_GE(s.timer_lateness_mean, held - length - tick);
        }
        EXPECT_GE(s.timer_lateness_max, s.timer_lateness_mean);
        EXPECT_LE(s.timer_lateness_max, now() - before);
    });
}
