#include <genever/csp/select.hpp>
#include <genever/csp/ticker.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "csp/test_support.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::simulated;

TEST(Ticker, TicksAtMultiplesOfItsPeriod) {
    simulated([]() -> task<> {
        const auto start = now();
        ticker t(1s);
        for (int i = 1; i <= 5; ++i) {
            EXPECT_EQ(co_await t.tick(), start + i * 1s);
            EXPECT_EQ(now(), start + i * 1s);
            co_await sleep_for(300ms); // a receiver that takes a while does not shift it
        }
    });
}

TEST(Ticker, KeepsOneTickForASlowReceiverAndDropsTheRest) {
    simulated([]() -> task<> {
        const auto start = now();
        ticker t(1s);
        co_await sleep_for(3500ms);
        EXPECT_EQ(co_await t.tick(), start + 1s);
        EXPECT_EQ(now(), start + 3500ms);
        EXPECT_EQ(co_await t.tick(), start + 4s);
        EXPECT_EQ(now(), start + 4s);
        co_await sleep_for(1s); // to the moment
        EXPECT_EQ(co_await t.tick(), start + 5s);
        EXPECT_EQ(co_await t.tick(), start + 6s);
    });
}

TEST(Ticker, StopsAndBeginsAnew) {
    simulated([]() -> task<> {
        ticker t(1s);
        co_await sleep_for(2s);
        t.stop();
        EXPECT_EQ(co_await select(tick(t), after(10s)), 1U); // also the one that was kept
        auto waiting = [](ticker& k) -> task<> { co_await k.tick(); };
        auto r = co_await with_timeout(10s, waiting(t));
        EXPECT_FALSE(r.has_value());
        const auto start = now();
        t.reset(3s);
        EXPECT_EQ(co_await t.tick(), start + 3s);
        EXPECT_EQ(co_await t.tick(), start + 6s);
        EXPECT_THROW(t.reset(0s), std::invalid_argument);
        EXPECT_THROW(ticker{-1s}, std::invalid_argument);
    });
}

TEST(Ticker, IsACaseOfSelect) {
    simulated([]() -> task<> {
        chan<int> c;
        go([c]() -> task<> {
            co_await sleep_for(3500ms);
            c.close();
        });
        const auto start = now();
        ticker t(1s);
        int ticks = 0;
        for (;;) {
            const bool more = co_await select(tick(t,
                                                   [&](time_point at) {
                                                       EXPECT_EQ(at, start + ++ticks * 1s);
                                                       return true;
                                                   }),
                                              recv(c, [] { return false; }));
            if (!more) break;
        }
        EXPECT_EQ(ticks, 3);
        EXPECT_EQ(co_await select(tick(t), otherwise()), 1U);
        co_await sleep_for(1s);
        EXPECT_EQ(co_await select(tick(t), otherwise()), 0U);
    });
}

TEST(Ticker, AWaitThatIsDestroyedLosesNoTick) {
    simulated([](simulation& sim) -> task<> {
        const auto start = now();
        ticker t(1s);
        auto waiting = [](ticker& k) -> task<> { co_await k.tick(); };
        // To the moment of the tick: either may be first.
        auto r = co_await with_timeout(sim.random(2) == 0 ? 1s : 500ms, waiting(t));
        EXPECT_EQ(co_await t.tick(), start + (r ? 2s : 1s));
    });
}
