#include <genever/csp/chan.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/runtime/time.hpp>

#include "csp/test_support.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::everywhere;
using genever::test::simulated;
using genever::test::under_seeds;

TEST(Chan, KeepsTheOrderForEveryCapacity) {
    under_seeds([](simulation& sim) {
        for (std::size_t capacity : {0, 1, 2, 7, 100}) {
            sim.run([capacity]() -> task<> {
                chan<int> c(capacity);
                go([c]() -> task<> {
                    for (int i = 0; i < 50; ++i) co_await c.send(i);
                    c.close();
                });
                int expected = 0;
                for (;;) {
                    auto v = co_await c.recv();
                    if (!v) break;
                    EXPECT_EQ(*v, expected++);
                }
                EXPECT_EQ(expected, 50);
            });
        }
    });
}

TEST(Chan, WithoutABufferASendWaitsForItsReceiver) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            chan<int> c;
            bool sent = false;
            go([c, &sent]() -> task<> {
                co_await c.send(1);
                sent = true;
            });
            co_await sleep_for(1s);
            EXPECT_FALSE(sent);
            EXPECT_EQ(co_await c.recv(), 1);
            co_await sleep_for(1s);
            EXPECT_TRUE(sent);
        });
    });
}

TEST(Chan, NonBlockingOperationsAnswerAtOnce) {
    chan<int> c(1);
    EXPECT_EQ(c.try_recv(), std::nullopt);
    EXPECT_FALSE(chan<int>{}.try_send(1)); // nobody receives
    EXPECT_TRUE(c.try_send(1));
    EXPECT_FALSE(c.try_send(2));
    EXPECT_EQ(c.size(), 1U);
    EXPECT_EQ(c.try_recv(), 1);
    c.close();
    EXPECT_EQ(c.try_recv(), std::nullopt);
    EXPECT_THROW(c.try_send(3), closed_channel);
    EXPECT_THROW(c.close(), closed_channel);
}

TEST(Chan, CloseWakesSendersWithAnErrorAndReceiversWithNothing) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            chan<int> full;
            chan<int> empty;
            int thrown = 0;
            int nothing = 0;
            wait_group wg;
            for (int i = 0; i < 3; ++i) {
                wg.go([full, &thrown]() -> task<> {
                    try {
                        co_await full.send(1);
                    } catch (const closed_channel&) {
                        ++thrown;
                    }
                });
                wg.go([empty, &nothing]() -> task<> {
                    auto v = co_await empty.recv();
                    if (!v) ++nothing;
                });
            }
            co_await sleep_for(1s);
            full.close();
            empty.close();
            co_await wg.wait();
            EXPECT_EQ(thrown, 3);
            EXPECT_EQ(nothing, 3);
        });
    });
}

TEST(Chan, AKilledReceiverTakesNoValueWithIt) {
    under_seeds([](simulation& sim) {
        sim.run([&sim]() -> task<> {
            chan<int> c;
            std::vector<pid> receivers;
            auto got = std::make_shared<std::vector<int>>();
            for (int i = 0; i < 8; ++i)
                receivers.push_back(go([c, got]() -> task<> {
                    for (;;) {
                        auto v = co_await c.recv();
                        if (!v) co_return;
                        got->push_back(*v);
                    }
                }));
            const pid sender = go([c]() -> task<> {
                for (int i = 0; i < 40; ++i) co_await c.send(i);
                c.close();
            });
            for (int i = 0; i < 7; ++i) {
                for (auto n = sim.random(6); n > 0; --n) co_await yield();
                exit(receivers[static_cast<std::size_t>(i)], exit_kind::killed);
            }
            monitor(sender);
            co_await receive([](const down&) {});
            co_await sleep_for(1s);
            // Also what a receiver had been given when it was killed is not lost; at the very end, when the others have
            // been told of the close already, it stays in the channel.
            while (auto v = c.try_recv()) got->push_back(*v);
            EXPECT_EQ(got->size(), 40U);
            std::ranges::sort(*got);
            for (std::size_t i = 0; i < got->size(); ++i) EXPECT_EQ((*got)[i], static_cast<int>(i));
        });
    });
}

TEST(Chan, ManySendersAndReceiversOnSeveralWorkersLoseNothing) {
    runtime rt{{.workers = 4}};
    constexpr int senders = 8;
    constexpr int each = 2000;
    for (std::size_t capacity : {0, 1, 64}) {
        const long sum = rt.run([capacity]() -> task<long> {
            chan<int> c(capacity);
            wait_group sending;
            wait_group receiving;
            auto total = std::make_shared<std::atomic<long>>(0);
            for (int s = 0; s < senders; ++s)
                sending.go([c]() -> task<> {
                    for (int i = 1; i <= each; ++i) co_await c.send(i);
                });
            for (int r = 0; r < 5; ++r)
                receiving.go([c, total]() -> task<> {
                    for (;;) {
                        auto v = co_await c.recv();
                        if (!v) co_return;
                        *total += *v;
                    }
                });
            co_await sending.wait();
            c.close();
            co_await receiving.wait();
            co_return total->load();
        });
        EXPECT_EQ(sum, static_cast<long>(senders) * each * (each + 1) / 2);
    }
}

TEST(Chan, ALongLoopOfReadySendsNeitherGrowsTheStackNorStarvesOthers) {
    runtime rt{{.workers = 1}};
    const long others = rt.run([]() -> task<long> {
        auto ran = std::make_shared<long>(0);
        const pid ticking = go([ran]() -> task<> {
            for (;;) {
                ++*ran;
                co_await yield();
            }
        });
        chan<int> c(2);
        for (int i = 0; i < 100'000; ++i) {
            co_await c.send(i);
            co_await c.recv();
        }
        exit(ticking, exit_kind::killed);
        co_return *ran;
    });
    EXPECT_GT(others, 1000);
}

TEST(Chan, ATrySendThatFailsLeavesItsValue) {
    chan<std::unique_ptr<int>> c(1);
    auto p = std::make_unique<int>(1);
    EXPECT_TRUE(c.try_send(std::move(p)));
    EXPECT_FALSE(p);
    p = std::make_unique<int>(2);
    EXPECT_FALSE(c.try_send(std::move(p)));
    EXPECT_EQ(*p, 2); // NOLINT(bugprone-use-after-move): that is the contract
}

TEST(Chan, ForEachRangesOverItUntilItIsClosed) {
    everywhere([]() -> task<> {
        chan<int> c(3);
        go([c]() -> task<> {
            for (int i = 1; i <= 10; ++i) co_await c.send(i);
            c.close();
        });
        int sum = 0;
        auto slowly = [&sum](int v) -> task<> {
            co_await yield();
            sum += v;
        };
        co_await c.for_each(slowly);
        EXPECT_EQ(sum, 55);
    });
}

TEST(Chan, LivesAsLongAsAnAwaitAtItThoughEveryHandleHasGone) {
    simulated([]() -> task<> {
        auto c = std::make_shared<chan<int>>();
        const pid waiting = go([c]() mutable -> task<> {
            const chan<int>& handle = *c;
            auto receive = handle.recv();
            c.reset(); // another one has it still
            co_await receive;
        });
        co_await yield();
        co_await sleep_for(1s);
        c.reset();
        exit(waiting, exit_kind::killed);
        co_await sleep_for(1s);
    });
}

TEST(Chan, AHandleThatIsAssignedOrMovedNamesAnother) {
    chan<int> a(1);
    chan<int> b = a;
    EXPECT_EQ(a, b);
    b = nil;
    EXPECT_TRUE(b == nil);
    EXPECT_FALSE(a == b);
    chan<int> c = std::move(a);
    EXPECT_TRUE(a == nil); // NOLINT(bugprone-use-after-move): that is the contract
    EXPECT_TRUE(c.try_send(1));
}
