#include <genever/csp/semaphore.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "csp/test_support.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::everywhere;
using genever::test::kill_and_wait;
using genever::test::simulated;

TEST(Semaphore, HandsOutNoMoreThanItHas) {
    everywhere([]() -> task<> {
        static constexpr std::size_t size = 5;
        struct shared {
            semaphore s{size};
            std::atomic<std::size_t> out{0};
        };
        auto sh = std::make_shared<shared>();
        wait_group wg;
        for (std::size_t p = 0; p < 8; ++p)
            wg.go([sh, p]() -> task<> {
                const std::size_t n = p % size + 1;
                for (int i = 0; i < 20; ++i) {
                    auto permit = co_await sh->s.acquire(n);
                    EXPECT_LE(sh->out += n, std::size_t{5});
                    co_await yield();
                    sh->out -= n;
                }
            });
        co_await wg.wait();
        EXPECT_EQ(sh->s.available(), size);
    });
}

TEST(Semaphore, ManySmallRequestsDoNotStarveALargeOne) {
    simulated([]() -> task<> {
        semaphore s(3);
        auto one = co_await s.acquire(1);
        std::vector<int> order;
        wait_group wg;
        wg.go([&]() -> task<> {
            auto all = co_await s.acquire(3);
            order.push_back(3);
        });
        co_await sleep_for(1s);
        EXPECT_FALSE(s.try_acquire(1)); // there are two, but somebody waits in front
        wg.go([&]() -> task<> {
            auto small = co_await s.acquire(1);
            order.push_back(1);
        });
        co_await sleep_for(1s);
        EXPECT_TRUE(order.empty());
        one.release();
        co_await wg.wait();
        EXPECT_EQ(order, (std::vector{3, 1}));
    });
}

TEST(Semaphore, ALargeRequestThatLeavesTheLineLetsThoseBehindItBeServed) {
    simulated([]() -> task<> {
        semaphore s(3);
        auto one = co_await s.acquire(1);
        const pid large = go([&s]() -> task<> { auto p = co_await s.acquire(3); });
        co_await sleep_for(1s);
        wait_group wg;
        for (int i = 0; i < 2; ++i)
            wg.go([&s]() -> task<> {
                auto p = co_await s.acquire(1);
                co_await sleep_for(1s);
            });
        co_await sleep_for(1s);
        const auto start = now();
        co_await kill_and_wait(large);
        co_await wg.wait();
        EXPECT_EQ(now() - start, 1s);
        EXPECT_EQ(s.available(), 2U);
    });
}

TEST(Semaphore, PermitsGivenToAWaiterThatDiesBeforeItRunsComeBack) {
    simulated([](simulation& sim) -> task<> {
        semaphore s(2);
        auto both = co_await s.acquire(2);
        std::vector<pid> waiting;
        int got = 0;
        for (int i = 0; i < 4; ++i)
            waiting.push_back(go([&]() -> task<> {
                auto p = co_await s.acquire(i % 2 + 1);
                ++got;
            }));
        co_await sleep_for(1s);
        both.release();
        const auto victim = sim.random(4);
        exit(waiting[victim], exit_kind::killed);
        co_await sleep_for(1s);
        EXPECT_EQ(s.available(), 2U);
        EXPECT_GE(got, 3);
    });
}

TEST(Semaphore, RefusesWhatCanNeverBe) {
    simulated([]() -> task<> {
        semaphore s(2);
        EXPECT_THROW((void)s.acquire(3), std::invalid_argument);
        EXPECT_FALSE(s.try_acquire(3));
        EXPECT_THROW(s.release(1), std::logic_error);
        EXPECT_EQ(s.available(), 2U);
        auto none = co_await s.acquire(0);
        EXPECT_EQ(s.available(), 2U);
    });
}

TEST(Semaphore, APermitMayBeForgottenAndReleasedByHand) {
    simulated([]() -> task<> {
        semaphore s(2);
        {
            auto p = co_await s.acquire(2);
            p.forget();
        }
        EXPECT_EQ(s.available(), 0U);
        go([&s]() -> task<> {
            co_await sleep_for(1s);
            s.release(2);
        });
        auto p = co_await s.acquire(2);
        semaphore::permit q = std::move(p);
        EXPECT_FALSE(p);
        EXPECT_TRUE(q);
    });
}
