// /hits/:ip filled the map that /limited reads, with as many and as long keys as a client liked.
#include "showcase/rate_limiter.hpp"

#include "runtime/simulation_test_support.hpp"

#include <genever/genever.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <string>

using namespace genever;
using namespace std::chrono_literals;
using showcase::rate_limiter;

TEST(Regress, LimiterKeepsHitsAndTheLimitApart) {
    test::under_seeds(
        [](simulation& sim) {
            sim.run([]() -> task<> {
                const auto started = co_await start_link<rate_limiter>("limiter", 3U, duration{60s});
                EXPECT_TRUE(started);
                const server_ref<rate_limiter> limiter{"limiter"};
                for (int i = 0; i < 10; ++i) limiter.cast<rate_limiter::increment>("a");
                const auto first = co_await limiter.call<rate_limiter::acquire>("a");
                EXPECT_TRUE(first.allowed);
                EXPECT_EQ(first.remaining, 2U);
                const auto hits = co_await limiter.call<rate_limiter::get_count>("a");
                EXPECT_EQ(hits, 10U);
            });
        },
        10);
}

TEST(Regress, LimiterKnowsSoManyAddressesAndTheOthersShareOneCount) {
    test::under_seeds(
        [](simulation& sim) {
            sim.run([]() -> task<> {
                const auto started =
                    co_await start_link<rate_limiter>("limiter", 3U, duration{60s}, std::size_t{2});
                EXPECT_TRUE(started);
                const server_ref<rate_limiter> limiter{"limiter"};
                for (int i = 0; i < 1000; ++i)
                    limiter.cast<rate_limiter::increment>("address " + std::to_string(i % 500));
                const auto known = co_await limiter.call<rate_limiter::get_count>("address 1");
                EXPECT_EQ(known, 2U);
                const auto other = co_await limiter.call<rate_limiter::get_count>("address 7");
                EXPECT_EQ(other, 996U);
                for (int i = 0; i < 500; ++i)
                    co_await limiter.call<rate_limiter::acquire>("address " + std::to_string(i));
                const auto mine = co_await limiter.call<rate_limiter::acquire>("address 0");
                EXPECT_TRUE(mine.allowed) << "who is known has a limit of his own";
                const auto theirs = co_await limiter.call<rate_limiter::acquire>("address 7");
                EXPECT_FALSE(theirs.allowed);
                const auto size = co_await limiter.call<rate_limiter::clients>();
                EXPECT_EQ(size, 4U);
                co_await sleep_for(61s);
                const auto fresh = co_await limiter.call<rate_limiter::acquire>("address 7");
                EXPECT_TRUE(fresh.allowed);
                EXPECT_EQ(fresh.remaining, 2U);
                const auto none = co_await limiter.call<rate_limiter::get_count>("address 7");
                EXPECT_EQ(none, 0U);
            });
        },
        10);
}
