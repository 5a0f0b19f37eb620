// The monitor, which fetches a stuck worker's events, used to swallow the word that was to wake it from a sleep that had
// just begun: the runtime then slept for good.
#include <genever/runtime/runtime.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <random>
#include <unistd.h>

using namespace genever;
using namespace std::chrono_literals;

TEST(Regress, AWorkerThatFallsAsleepUnderTheMonitorsEyesIsWoken) {
    runtime rt{{.workers = 1, .report_stall_after = 1h}};
    std::atomic<int> ended = 0;
    std::atomic<int> quick = 0;
    std::mt19937 random{1};
    const auto end = std::chrono::steady_clock::now() + 4s; // it took 1,000 to 5,000 rounds of 1 ms
    for (int round = 0; std::chrono::steady_clock::now() < end; ++round) {
        const auto us = static_cast<useconds_t>(900 + random() % 1500); // about when the monitor looks
        rt.spawn([&ended, us] {
            ::usleep(us);
            ++ended;
        });
        while (ended == round) {
        }
        const auto moment = std::chrono::steady_clock::now() + std::chrono::microseconds{random() % 25};
        while (std::chrono::steady_clock::now() < moment) {
        }
        rt.spawn([&quick] { ++quick; });
        const auto patience = std::chrono::steady_clock::now() + 10s;
        while (quick == round && std::chrono::steady_clock::now() < patience) {
        }
        ASSERT_EQ(quick, round + 1) << "the worker sleeps";
    }
}

TEST(Regress, AStallHandlerMayStartATimer) {
    std::atomic<bool> told = false;
    runtime rt{{.workers = 1, .on_stall = [&](const stall_report& r) {
                    send_after(r.pid, 1ms, 1);
                    told = true;
                }}};
    const int n = rt.run([&]() -> task<int> {
        while (!told) { // hogs, and is reported
        }
        co_return co_await receive([](int i) { return i; });
    });
    EXPECT_EQ(n, 1);
}

TEST(Regress, ThreadsThatAreStuckNoMoreDoNotCount) {
    std::atomic<int> round = 0;
    runtime rt{{.workers = 1, .on_stall = [](const stall_report&) {}, .most_stuck_threads = 1}};
    rt.run([&]() -> task<> {
        for (int i = 1; i <= 3; ++i) {
            // Each hog ends only when another process has run meanwhile: it needs a thread of its own each time.
            spawn_monitor([&round, i] {
                while (round < i) {
                }
            });
            co_await sleep_for(5ms);
            round = i;
            co_await receive([](const down&) {});
            co_await sleep_for(20ms); // the monitor has seen that it is over
        }
    });
    EXPECT_EQ(round, 3);
}
