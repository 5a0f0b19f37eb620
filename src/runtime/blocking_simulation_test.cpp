// Blocking calls in a simulation: they run at once, on the simulation's thread, and take no time.
#include <genever/runtime/blocking.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "blocking_test_support.hpp"
#include "simulation_test_support.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::counted;
using genever::test::under_seeds;

TEST(BlockingInASimulation, RunsAtOnceAndTakesNoTime) {
    bool before = false;
    bool after = false;
    under_seeds([&](simulation& sim) {
        sim.run([&]() -> task<> {
            const pid me = self();
            const auto start = now();
            bool other = false;
            spawn([&other] { other = true; });
            const auto here = std::this_thread::get_id();
            const std::string text(100, 'x');
            auto call = blocking([me, here, text, start] {
                EXPECT_EQ(std::this_thread::get_id(), here);
                EXPECT_EQ(self(), pid{});
                EXPECT_EQ(now(), start);
                EXPECT_EQ(whereis("x"), pid{});
                EXPECT_THROW(spawn([] {}), std::logic_error);
                EXPECT_TRUE(send(me, 1));
                return text;
            });
            register_name("x", me);
            EXPECT_EQ(co_await call, text);
            (other ? after : before) = true;
            EXPECT_EQ(self(), me);
            EXPECT_EQ(now(), start);
            EXPECT_EQ(co_await receive([](int i) { return i; }), 1);
            bool thrown = false;
            try {
                co_await blocking([] { throw std::runtime_error("x"); });
            } catch (const std::runtime_error&) {
                thrown = true;
            }
            EXPECT_TRUE(thrown);
            spawn([] {});
            co_await sleep_for(1s);
        });
    });
    if (!seed_to_replay() && seeds_to_run(50) > 20) {
        EXPECT_TRUE(before);
        EXPECT_TRUE(after);
    }
}

TEST(BlockingInASimulation, ACallThatKillsItsCallerGetsNoAnswerThrough) {
    under_seeds([](simulation& sim) {
        std::atomic<int> alive{0};
        sim.run([&]() -> task<> {
            spawn_monitor([&alive]() -> task<> {
                const pid me = self();
                const counted frame{alive};
                auto call = blocking([me, c = counted{alive}] {
                    exit(me, exit_kind::killed);
                    return c;
                });
                co_await call;
                ADD_FAILURE() << "went on";
            });
            EXPECT_EQ((co_await receive([](const down& d) { return d.reason.kind(); })), exit_kind::killed);
            EXPECT_EQ(alive, 0);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(BlockingInASimulation, KillsAndDeadlinesLeaveNothingBehind) {
    under_seeds(
        [](simulation& sim) {
            std::atomic<int> alive{0};
            const auto steps = sim.random(12);
            sim.run([&]() -> task<> {
                auto [victim, ref] = spawn_monitor([&alive]() -> task<> {
                    const counted frame{alive};
                    auto work_of = [](counted c) -> task<> {
                        for (;;) {
                            auto call = blocking([c] { return c; });
                            co_await call;
                            co_await sleep_for(1ms);
                        }
                    };
                    for (;;) {
                        auto work = work_of(frame);
                        co_await with_timeout(3ms, std::move(work));
                    }
                });
                for (std::uint64_t i = 0; i < steps; ++i) co_await yield();
                if (steps % 3 == 0) co_await sleep_for(3ms);
                exit(victim, exit_kind::killed);
                const auto why = co_await receive([](const down& d) { return d.reason.kind(); });
                EXPECT_EQ(why, exit_kind::killed);
                EXPECT_EQ(alive, 0);
            });
            EXPECT_EQ(sim.live(), 0U);
        },
        100);
}
