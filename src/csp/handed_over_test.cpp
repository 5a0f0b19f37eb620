// A value that was handed to a receiver which is destroyed before it runs again: to the next one, or back to the front.
#include <genever/csp/chan.hpp>
#include <genever/csp/select.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "csp/test_support.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::kill_and_wait;
using genever::test::simulated;

namespace {

/// A receiver that waits, in one of three ways.
task<> receive_one(chan<int> c, std::uint64_t how, std::shared_ptr<std::vector<int>> got) {
    std::optional<int> v;
    if (how == 0) v = co_await c.recv();
    if (how == 1) co_await select(recv(c, v), after(24h));
    if (how == 2) {
        std::vector<any_case> cases;
        cases.push_back(recv(c, v));
        cases.push_back(recv(c, v));
        co_await select(cases);
    }
    if (v) got->push_back(*v);
}

} // namespace

TEST(HandedOver, ToADeadReceiverGoesToTheNextOne) {
    simulated([](simulation& sim) -> task<> {
        for (std::size_t capacity : {0, 2}) {
            chan<int> c(capacity);
            auto got = std::make_shared<std::vector<int>>();
            std::vector<pid> waiting;
            for (int i = 0; i < 3; ++i) {
                waiting.push_back(go(receive_one, c, sim.random(3), got));
                co_await sleep_for(1ms);
            }
            co_await c.send(1); // the first one has it, and may not have run
            for (int i = 0; i < 2; ++i) exit(waiting[static_cast<std::size_t>(i)], exit_kind::killed);
            co_await sleep_for(1s);
            EXPECT_EQ(*got, std::vector{1});
            co_await kill_and_wait(waiting[2]);
            EXPECT_EQ(c.size(), 0U);
        }
    });
}

TEST(HandedOver, WithNobodyElseWaitingGoesBackToTheFront) {
    simulated([](simulation& sim) -> task<> {
        for (std::size_t capacity : {0, 2}) {
            chan<int> c(capacity);
            auto got = std::make_shared<std::vector<int>>();
            const pid victim = go(receive_one, c, sim.random(3), got);
            co_await sleep_for(1ms);
            EXPECT_TRUE(c.try_send(1));
            if (capacity == 2) {
                EXPECT_TRUE(c.try_send(2));
                EXPECT_TRUE(c.try_send(3));
            }
            co_await kill_and_wait(victim);
            EXPECT_TRUE(got->empty());
            EXPECT_EQ(c.size(), capacity + 1); // one beyond
            EXPECT_FALSE(c.try_send(4));
            if (sim.random(2) == 0) c.close(); // also behind a close
            for (int i = 1; i <= (capacity == 2 ? 3 : 1); ++i) {
                auto v = co_await c.recv();
                EXPECT_EQ(v, i);
            }
            EXPECT_EQ(c.try_recv(), std::nullopt);
        }
    });
}

TEST(HandedOver, SeveralThatComeBackKeepTheirOrder) {
    simulated([](simulation& sim) -> task<> {
        chan<int> c(2);
        auto got = std::make_shared<std::vector<int>>();
        std::vector<pid> waiting;
        for (int i = 0; i < 4; ++i) {
            waiting.push_back(go(receive_one, c, sim.random(3), got));
            co_await sleep_for(1ms);
        }
        for (int i = 0; i < 6; ++i) EXPECT_TRUE(c.try_send(i));
        for (const pid p : waiting) exit(p, exit_kind::killed); // they go in any order
        co_await sleep_for(1s);
        EXPECT_EQ(c.size(), 6U);
        for (int i = 0; i < 6; ++i) EXPECT_EQ(c.try_recv(), i);
    });
}

// One process that receives with deadlines sees every value of its sender, in order, though deadlines and values meet.
TEST(HandedOver, AReceiverWithDeadlinesMissesNothing) {
    simulated([](simulation& sim) -> task<> {
        chan<int> c(sim.random(3));
        go([c]() -> task<> {
            for (int i = 0; i < 40; ++i) {
                co_await sleep_for(1s);
                co_await c.send(i);
            }
            c.close();
        });
        auto one = [](chan<int> from) -> task<std::optional<int>> { co_return co_await from.recv(); };
        int expected = 0;
        int late = 0;
        for (;;) {
            auto r = co_await with_timeout(1s, one(c));
            if (!r) {
                ++late;
                continue;
            }
            if (!*r) break;
            EXPECT_EQ(**r, expected++);
        }
        EXPECT_EQ(expected, 40);
        EXPECT_LE(late, 41);
    });
}

// Consumers that are killed all the time, and replaced: every value is processed once.
TEST(HandedOver, NothingIsLostWhileConsumersAreKilled) {
    test::everywhere([]() -> task<> {
        constexpr int values = 200;
        for (std::size_t capacity : {0, 3}) {
            chan<int> c(capacity);
            auto seen = std::make_shared<std::vector<std::atomic<int>>>(values);
            auto total = std::make_shared<std::atomic<int>>(0);
            auto consume = [](chan<int> from, std::shared_ptr<std::vector<std::atomic<int>>> marks,
                              std::shared_ptr<std::atomic<int>> n) -> task<> {
                for (;;) {
                    auto v = co_await from.recv();
                    if (!v) co_return;
                    ++(*marks)[static_cast<std::size_t>(*v)]; // no suspension between the two
                    ++*n;
                }
            };
            go([c]() -> task<> {
                for (int i = 0; i < values; ++i) co_await c.send(i);
            });
            std::vector<pid> consumers;
            for (int i = 0; i < 3; ++i) consumers.push_back(go(consume, c, seen, total));
            for (std::size_t i = 0; total->load() < values; ++i) {
                co_await yield();
                co_await yield();
                exit(consumers[i % 3], exit_kind::killed);
                consumers[i % 3] = go(consume, c, seen, total);
            }
            for (const auto& n : *seen) EXPECT_EQ(n.load(), 1);
            for (const pid p : consumers) co_await kill_and_wait(p);
            EXPECT_EQ(c.size(), 0U);
        }
    });
}

TEST(HandedOver, AValueThatIsGivenBackToNobodyGoesWithItsChannel) {
    simulated([]() -> task<> {
        auto value = std::make_shared<int>(1);
        {
            chan<std::shared_ptr<int>> c;
            const pid victim = go([c]() -> task<> { co_await c.recv(); });
            co_await sleep_for(1ms);
            EXPECT_TRUE(c.try_send(std::shared_ptr<int>{value}));
            co_await kill_and_wait(victim);
            EXPECT_EQ(value.use_count(), 2);
        }
        EXPECT_EQ(value.use_count(), 1);
    });
}
