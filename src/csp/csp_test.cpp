#include <genever/csp/chan.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/runtime/time.hpp>

#include "runtime/simulation_test_support.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
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
            // A value that a receiver had been given when it was killed is the only one that may be missing.
            EXPECT_GE(got->size(), 40U - 7U);
            for (std::size_t i = 1; i < got->size(); ++i) EXPECT_NE((*got)[i], (*got)[i - 1]);
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
