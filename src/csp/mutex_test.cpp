#include <genever/csp/mutex.hpp>
#include <genever/csp/once.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "csp/test_support.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::everywhere;
using genever::test::kill_and_wait;
using genever::test::simulated;

TEST(Mutex, LetsOneProcessInAtATimeAlsoAcrossAwaits) {
    everywhere([]() -> task<> {
        struct guarded {
            mutex m;
            long n = 0;
        };
        auto s = std::make_shared<guarded>();
        wait_group wg;
        for (int p = 0; p < 8; ++p)
            wg.go([s]() -> task<> {
                for (int i = 0; i < 50; ++i) {
                    auto g = co_await s->m.lock();
                    const long before = s->n;
                    co_await yield();
                    s->n = before + 1;
                }
            });
        co_await wg.wait();
        EXPECT_EQ(s->n, 400);
        EXPECT_FALSE(s->m.is_locked());
    });
}

TEST(Mutex, ServesInTheOrderOfArrivalAndNobodyCutsIn) {
    simulated([]() -> task<> {
        mutex m;
        std::vector<int> order;
        auto g = co_await m.lock();
        EXPECT_FALSE(m.try_lock());
        wait_group wg;
        for (int i = 0; i < 5; ++i) {
            wg.go([&m, &order, i]() -> task<> {
                auto mine = co_await m.lock();
                order.push_back(i);
                co_await yield();
            });
            co_await sleep_for(1s);
        }
        g.unlock();
        EXPECT_FALSE(m.try_lock()); // it was handed over
        co_await wg.wait();
        EXPECT_EQ(order, (std::vector{0, 1, 2, 3, 4}));
        EXPECT_TRUE(m.try_lock());
    });
}

TEST(Mutex, AGuardMovesAndUnlocksOnce) {
    simulated([]() -> task<> {
        mutex m;
        mutex::guard a = co_await m.lock();
        mutex::guard b = std::move(a);
        EXPECT_FALSE(a.owns_lock());
        EXPECT_TRUE(b.owns_lock());
        b.unlock();
        b.unlock();
        EXPECT_FALSE(m.is_locked());
        b = m.try_lock();
        EXPECT_TRUE(b);
        b = mutex::guard{};
        EXPECT_FALSE(m.is_locked());
    });
}

TEST(Mutex, IsUnlockedByItsHoldersDeath) {
    simulated([]() -> task<> {
        mutex m;
        const pid holder = go([&m]() -> task<> {
            auto g = co_await m.lock();
            co_await sleep_for(24h);
        });
        co_await sleep_for(1s);
        EXPECT_TRUE(m.is_locked());
        exit(holder, exit_kind::killed);
        auto g = co_await m.lock();
        EXPECT_TRUE(g);
    });
}

TEST(Mutex, HandedToAWaiterThatDiesBeforeItRunsGoesToTheNextOne) {
    simulated([](simulation& sim) -> task<> {
        mutex m;
        int got = 0;
        auto g = co_await m.lock();
        std::vector<pid> waiting;
        for (int i = 0; i < 4; ++i) {
            waiting.push_back(go([&m, &got]() -> task<> {
                auto mine = co_await m.lock();
                ++got;
            }));
            co_await sleep_for(1s);
        }
        const std::uint64_t killed = 1 + sim.random(4);
        g.unlock(); // the first one has it, and has not run
        for (std::uint64_t i = 0; i < killed; ++i) exit(waiting[i], exit_kind::killed);
        co_await sleep_for(1s);
        EXPECT_FALSE(m.is_locked());
        EXPECT_EQ(got, 4 - static_cast<int>(killed));
    });
}

TEST(Mutex, AWaiterWhoseDeadlinePassesLeavesTheLine) {
    simulated([]() -> task<> {
        mutex m;
        auto g = co_await m.lock();
        auto waiting = [](mutex& mm) -> task<> { auto held = co_await mm.lock(); };
        for (int i = 0; i < 3; ++i) {
            auto r = co_await with_timeout(1s, waiting(m));
            EXPECT_FALSE(r.has_value());
        }
        g.unlock();
        EXPECT_FALSE(m.is_locked());
    });
}

TEST(Mutex, MayBeDestroyedByWhoeverUnlocksItLast) {
    test::threaded([]() -> task<> {
        for (int i = 0; i < 200; ++i) {
            auto m = new mutex;
            auto left = std::make_shared<int>(3);
            wait_group wg;
            for (int p = 0; p < 3; ++p)
                wg.go([m, left]() -> task<> {
                    bool last = false;
                    {
                        auto g = co_await m->lock();
                        last = --*left == 0;
                    }
                    if (last) delete m;
                });
            co_await wg.wait();
        }
    });
}

TEST(Once, RunsOneOfItsCallablesOnceAndOthersWaitForIt) {
    everywhere([]() -> task<> {
        auto o = std::make_shared<once>();
        auto ran = std::make_shared<std::atomic<int>>(0);
        wait_group wg;
        for (int i = 0; i < 6; ++i)
            wg.go([o, ran]() -> task<> {
                auto f = [ran]() -> task<> {
                    co_await yield();
                    ++*ran;
                };
                co_await o->call(f);
                EXPECT_EQ(ran->load(), 1);
                EXPECT_TRUE(o->done());
            });
        co_await wg.wait();
        co_await o->call([] { ADD_FAILURE(); });
        EXPECT_EQ(ran->load(), 1);
    });
}

TEST(Once, ACallThatThrowsOrIsKilledDoesNotCount) {
    simulated([]() -> task<> {
        once o;
        auto failing = []() -> task<> {
            co_await yield();
            throw std::runtime_error("not this time");
        };
        bool thrown = false;
        try {
            co_await o.call(failing);
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        EXPECT_TRUE(thrown);
        const pid slow = go([&o]() -> task<> {
            auto forever = []() -> task<> { co_await sleep_for(24h); };
            co_await o.call(forever);
        });
        co_await sleep_for(1s);
        int ran = 0;
        wait_group wg;
        for (int i = 0; i < 2; ++i) wg.go([&o, &ran]() -> task<> { co_await o.call([&ran] { ++ran; }); });
        co_await sleep_for(1s);
        EXPECT_EQ(ran, 0);
        co_await kill_and_wait(slow);
        co_await wg.wait();
        EXPECT_EQ(ran, 1);
    });
}
