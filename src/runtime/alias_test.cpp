#include <genever/runtime/alias.hpp>
#include <genever/runtime/mailbox.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>

#include "simulation_test_support.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <string>
#include <utility>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::under_seeds;

namespace {

struct question {
    alias reply_to;
    int number;
};
struct answer {
    int number;
};

/// Answers late, as often as told.
task<> answer_slowly(duration delay, int times) {
    for (;;) {
        const question q = co_await receive([](question it) { return it; });
        co_await sleep_for(delay);
        for (int i = 0; i < times; ++i) send(q.reply_to, answer{q.number});
    }
}

task<int> answer_within(duration d) {
    co_return co_await receive([](answer a) { return a.number; }, after(d, [] { return -1; }));
}

} // namespace

TEST(Alias, DeliversUntilItIsTakenBack) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const alias a = make_alias();
            EXPECT_TRUE(a);
            EXPECT_EQ(a.owner(), self());
            spawn([a]() -> task<> {
                EXPECT_FALSE(unalias(a)); // not its own
                EXPECT_EQ(send(a, 1), send_result::delivered);
                EXPECT_EQ(send(a, 2), send_result::delivered);
                co_await sleep_for(1s);
                EXPECT_EQ(send(a, 3), send_result::inactive);
            });
            co_await sleep_for(500ms);
            EXPECT_TRUE(unalias(a));
            EXPECT_FALSE(unalias(a));
            EXPECT_EQ(co_await receive([](int i) { return i; }), 1);
            EXPECT_EQ(co_await receive([](int i) { return i; }), 2);
            EXPECT_EQ(co_await receive([](int i) { return i; }, after(1h, [] { return -1; })), -1);
        });
    });
}

TEST(Alias, KeepsALateReplyOutOfTheMailbox) {
    under_seeds([](simulation& sim) {
        sim.run([&]() -> task<> {
            const pid server = spawn(answer_slowly, 10ms, 3);
            for (int i = 0; i < 20; ++i) {
                const alias reply_to = make_alias({alias_mode::reply});
                send(server, question{reply_to, i});
                const int got = co_await answer_within(sim.random(2) == 0 ? 5ms : 15ms);
                EXPECT_EQ(unalias(reply_to), got == -1);
                EXPECT_TRUE(got == -1 || got == i);
                co_await sleep_for(20ms);
                EXPECT_EQ(info(self())->mailbox_length, 0U);
            }
        });
    });
}

TEST(Alias, IsGoneWithItsProcess) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const pid me = self();
            spawn_monitor([me] { send(me, make_alias()); });
            const alias a = co_await receive([](alias it) { return it; });
            co_await receive([](const down&) {});
            EXPECT_EQ(send(a, 1), send_result::noproc);
            EXPECT_EQ(send(alias{}, 1), send_result::noproc);
            EXPECT_EQ(send(alias{self(), a.number()}, 1), send_result::inactive);
        });
    });
}

TEST(Alias, IsNotEndedByAMessageThatFindsNoRoom) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            set_mailbox_limit({.capacity = 1});
            const alias a = make_alias({alias_mode::reply});
            send(self(), 1);
            EXPECT_EQ(send(a, 2), send_result::full);
            co_await receive([](int) {});
            EXPECT_EQ(send(a, 3), send_result::delivered);
            EXPECT_EQ(send(a, 4), send_result::inactive);
            EXPECT_EQ(co_await receive([](int i) { return i; }), 3);
        });
    });
}

TEST(Alias, OfAMonitorLivesAsItsModeSays) {
    for (const monitor_alias mode :
         {monitor_alias::explicit_unalias, monitor_alias::demonitor, monitor_alias::reply_demonitor}) {
        under_seeds([mode](simulation& sim) {
            sim.run([mode]() -> task<> {
                const bool outlives = mode == monitor_alias::explicit_unalias;
                const pid other = spawn([]() -> task<> { co_await sleep_for(1h); });
                auto [ref, a] = monitor(other, mode);
                EXPECT_EQ(ref.value, a.number());
                EXPECT_TRUE(send(a, 1));
                EXPECT_EQ(bool{send(a, 2)}, mode != monitor_alias::reply_demonitor);

                auto [second, b] = monitor(other, mode);
                demonitor(second);
                EXPECT_EQ(bool{send(b, 3)}, outlives);

                auto [third, c] = monitor(other, mode);
                EXPECT_EQ(info(other)->monitored_by.size(), mode == monitor_alias::reply_demonitor ? 1U : 2U);
                exit(other, exit_kind::killed);
                std::set<std::uint64_t> told;
                for (;;) {
                    const std::uint64_t r = co_await receive([](const down& d) { return d.ref.value; },
                                                             after(1s, [] { return std::uint64_t{0}; }));
                    if (r == 0) break;
                    told.insert(r);
                }
                EXPECT_TRUE(told.contains(third.value));
                EXPECT_EQ(told.contains(ref.value), mode != monitor_alias::reply_demonitor);
                EXPECT_FALSE(told.contains(second.value));
                EXPECT_EQ(bool{send(c, 4)}, outlives);

                auto [fourth, d] = monitor(other, mode); // gone already
                co_await receive([r = fourth](const down& it) { EXPECT_EQ(it.ref, r); });
                EXPECT_EQ(bool{send(d, 5)}, outlives);
            });
        });
        if (::testing::Test::HasFailure()) return;
    }
}

TEST(Alias, TakesOneReplyOfManyThreads) {
    for (const unsigned workers : test::thread_counts) {
        runtime rt{{.workers = workers}};
        rt.run([]() -> task<> {
            for (int round = 0; round < 200; ++round) {
                const pid other = spawn([]() -> task<> { co_await sleep_for(1h); });
                const auto [ref, a] = monitor(other, monitor_alias::reply_demonitor);
                std::atomic<int> taken = 0;
                std::vector<monitor_ref> all;
                for (int i = 0; i < 4; ++i)
                    all.push_back(spawn_monitor([&taken, to = a, i] { taken += send(to, i); }).second);
                exit(other, exit_kind::killed);
                int downs = 0;
                for (int i = 0; i < 4;)
                    co_await receive([&, r = ref](const down& d) { ++(d.ref == r ? downs : i); });
                const bool replied =
                    co_await receive([](int) { return true; }, after(0s, [] { return false; }));
                if (!replied)
                    downs += co_await receive([](const down&) { return 1; }, after(0s, [] { return 0; }));
                EXPECT_EQ(replied, taken == 1);
                EXPECT_EQ(downs + taken, 1); // the reply or the end, never both
                EXPECT_EQ(info(self())->mailbox_length, 0U);
            }
        });
    }
}
