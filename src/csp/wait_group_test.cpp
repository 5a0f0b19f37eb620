#include <genever/csp/go.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/runtime/time.hpp>

#include "csp/test_support.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::everywhere;
using genever::test::under_seeds;

TEST(WaitGroup, WaitsForAllAlsoForThoseThatThrowOrAreKilled) {
    under_seeds([](simulation& sim) {
        int done = 0;
        sim.run([&]() -> task<> {
            wait_group wg;
            for (int i = 0; i < 5; ++i)
                wg.go([&done, i]() -> task<> {
                    co_await sleep_for(i * 1s);
                    if (i == 2) throw std::runtime_error("in the background");
                    ++done;
                });
            const pid victim = wg.go([]() -> task<> { co_await sleep_for(24h); });
            co_await yield();
            exit(victim, exit_kind::killed);
            const auto start = now();
            co_await wg.wait();
            EXPECT_EQ(now() - start, 4s);
        });
        EXPECT_EQ(done, 4);
    });
}

TEST(WaitGroup, RefusesMoreDoneThanAdd) {
    wait_group wg;
    wg.add(2);
    wg.done();
    wg.done();
    EXPECT_THROW(wg.done(), std::logic_error);
}

TEST(WaitGroup, CountsOutAProcessThatIsKilledBeforeItsFirstStep) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            wait_group wg;
            exit(wg.go([]() -> task<> { co_await sleep_for(24h); }), exit_kind::killed);
            co_await wg.wait();
        });
    });
}

TEST(WaitGroup, AKilledWaiterLeavesItIntact) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            wait_group wg;
            wg.add();
            const pid waiter = spawn([wg]() -> task<> { co_await wg.wait(); });
            co_await sleep_for(1s);
            exit(waiter, exit_kind::killed);
            co_await sleep_for(1s);
            wg.done();
            co_await wg.wait();
        });
    });
}

TEST(WaitGroup, IsWaitedForByManyAndUsedAgain) {
    everywhere([]() -> task<> {
        wait_group wg;
        for (int round = 0; round < 5; ++round) {
            auto ended = std::make_shared<std::atomic<int>>(0);
            wg.add(3);
            wait_group waiters;
            for (int i = 0; i < 4; ++i)
                waiters.go([wg, ended]() -> task<> {
                    co_await wg.wait();
                    EXPECT_EQ(ended->load(), 3);
                });
            for (int i = 0; i < 3; ++i)
                go([wg, ended]() mutable -> task<> {
                    co_await yield();
                    ++*ended;
                    wg.done();
                });
            co_await wg.wait();
            co_await waiters.wait();
        }
        co_await wg.wait(); // nothing to wait for
    });
}

TEST(WaitGroup, WhatItsProcessesOwnIsGoneWhenTheWaitIsOver) {
    everywhere([]() -> task<> {
        auto owned = std::make_shared<int>(0);
        wait_group wg;
        for (int i = 0; i < 5; ++i)
            wg.go(
                [owned](std::shared_ptr<int> argument) -> task<> {
                    co_await yield();
                    EXPECT_EQ(owned, argument);
                },
                owned);
        co_await wg.wait();
        EXPECT_EQ(owned.use_count(), 1);
    });
}
