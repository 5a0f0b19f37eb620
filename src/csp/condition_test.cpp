#include <genever/csp/condition.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "csp/test_support.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <stdexcept>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::everywhere;
using genever::test::simulated;

namespace {

struct guarded {
    mutex m;
    condition changed;
    int n = 0;
    std::vector<int> order;
};

task<> wait_once(guarded& s, int id) {
    auto g = co_await s.m.lock();
    co_await s.changed.wait(g);
    EXPECT_TRUE(g.owns_lock());
    EXPECT_TRUE(s.m.is_locked());
    s.order.push_back(id);
}

} // namespace

TEST(Condition, NotifyOneLetsTheLongestWaitingGo) {
    simulated([]() -> task<> {
        guarded s;
        wait_group wg;
        for (int i = 0; i < 4; ++i) {
            wg.go([&s, i]() -> task<> { co_await wait_once(s, i); });
            co_await sleep_for(1s);
        }
        for (int i = 0; i < 4; ++i) {
            EXPECT_EQ(s.order.size(), static_cast<std::size_t>(i));
            s.changed.notify_one();
            co_await sleep_for(1s);
        }
        co_await wg.wait();
        EXPECT_EQ(s.order, (std::vector{0, 1, 2, 3}));
    });
}

TEST(Condition, NotifyAllLetsAllGoOneAfterTheOther) {
    simulated([](simulation& sim) -> task<> {
        guarded s;
        wait_group wg;
        for (int i = 0; i < 4; ++i) wg.go([&s, i]() -> task<> { co_await wait_once(s, i); });
        co_await sleep_for(1s);
        {
            mutex::guard g;
            if (sim.random(2) == 0) g = co_await s.m.lock();
            s.changed.notify_all();
        }
        co_await wg.wait();
        EXPECT_EQ(s.order.size(), 4U);
        s.changed.notify_all(); // remembered by nobody
        s.changed.notify_one();
        auto g = co_await s.m.lock();
        const auto r = co_await s.changed.wait_for(g, 1s);
        EXPECT_EQ(r, std::cv_status::timeout);
        EXPECT_TRUE(g.owns_lock());
    });
}

TEST(Condition, ABoundedBufferLosesNothing) {
    everywhere([]() -> task<> {
        struct buffer {
            mutex m;
            condition not_empty;
            condition not_full;
            std::deque<int> items;
        };
        auto b = std::make_shared<buffer>();
        auto sum = std::make_shared<std::atomic<long>>(0);
        wait_group wg;
        for (int p = 0; p < 3; ++p) {
            wg.go([b]() -> task<> {
                for (int i = 1; i <= 60; ++i) {
                    auto g = co_await b->m.lock();
                    co_await b->not_full.wait(g, [&] { return b->items.size() < 2; });
                    b->items.push_back(i);
                    b->not_empty.notify_one();
                }
            });
            wg.go([b, sum]() -> task<> {
                for (int i = 0; i < 60; ++i) {
                    auto g = co_await b->m.lock();
                    co_await b->not_empty.wait(g, [&] { return !b->items.empty(); });
                    *sum += b->items.front();
                    b->items.pop_front();
                    b->not_full.notify_one();
                }
            });
        }
        co_await wg.wait();
        EXPECT_EQ(sum->load(), 3L * 60 * 61 / 2);
    });
}

TEST(Condition, ANotificationOfAWaiterThatDiesBeforeItRunsGoesToTheNextOne) {
    simulated([](simulation& sim) -> task<> {
        guarded s;
        std::vector<pid> waiting;
        for (int i = 0; i < 3; ++i) {
            waiting.push_back(go([&s, i]() -> task<> { co_await wait_once(s, i); }));
            co_await sleep_for(1s);
        }
        {
            // With the mutex held it is notified and waits for that; without, it has it, and has not run.
            mutex::guard g;
            if (sim.random(2) == 0) g = co_await s.m.lock();
            s.changed.notify_one();
            exit(waiting[0], exit_kind::killed);
            if (g && sim.random(2) == 0) co_await sleep_for(1s);
        }
        co_await sleep_for(1s);
        EXPECT_EQ(s.order, (std::vector{1}));
        s.changed.notify_one();
        co_await sleep_for(1s);
        EXPECT_EQ(s.order, (std::vector{1, 2}));
        EXPECT_FALSE(s.m.is_locked());
    });
}

TEST(Condition, AWaitWithALimitEndsWithTheMutexHeld) {
    simulated([]() -> task<> {
        guarded s;
        auto g = co_await s.m.lock();
        const auto start = now();
        EXPECT_EQ(co_await s.changed.wait_for(g, 2s), std::cv_status::timeout);
        EXPECT_EQ(now() - start, 2s);
        EXPECT_TRUE(g.owns_lock());
        EXPECT_FALSE(co_await s.changed.wait_for(g, 2s, [&] { return s.n == 1; }));
        go([&s]() -> task<> {
            co_await sleep_for(1s);
            auto mine = co_await s.m.lock();
            s.n = 1;
            s.changed.notify_one();
            co_await sleep_for(
                5s); // beyond the limit: the waiter has been notified, and has to wait for the mutex
        });
        const auto before = now();
        EXPECT_EQ(co_await s.changed.wait_for(g, 2s), std::cv_status::no_timeout);
        EXPECT_EQ(now() - before, 6s);
        EXPECT_TRUE(g.owns_lock());
    });
}

TEST(Condition, ANotifiedWaiterThatDiesWhileItWaitsForTheMutexBeyondItsLimitPassesOn) {
    simulated([]() -> task<> {
        guarded s;
        const pid victim = go([&s]() -> task<> {
            auto g = co_await s.m.lock();
            co_await s.changed.wait_for(g, 2s);
        });
        co_await sleep_for(1s);
        go([&s]() -> task<> { co_await wait_once(s, 7); });
        co_await sleep_for(500ms);
        auto g = co_await s.m.lock();
        s.changed.notify_one();
        co_await sleep_for(3s); // its time is up meanwhile
        exit(victim, exit_kind::killed);
        co_await sleep_for(1s);
        g.unlock();
        co_await sleep_for(1s);
        EXPECT_EQ(s.order, (std::vector{7}));
    });
}

TEST(Condition, ADestroyedWaitLeavesTheGuardWithoutTheMutex) {
    simulated([]() -> task<> {
        guarded s;
        auto g = co_await s.m.lock();
        auto waiting = [](guarded& sh, mutex::guard& held) -> task<> { co_await sh.changed.wait(held); };
        auto r = co_await with_timeout(1s, waiting(s, g));
        EXPECT_FALSE(r.has_value());
        EXPECT_FALSE(g.owns_lock());
        EXPECT_FALSE(s.m.is_locked());
        EXPECT_THROW((void)s.changed.wait(g), std::logic_error);
    });
}
