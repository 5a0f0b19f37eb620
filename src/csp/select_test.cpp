#include <genever/csp/select.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "csp/test_support.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::everywhere;
using genever::test::simulated;

TEST(Select, TakesTheCaseThatIsReady) {
    simulated([]() -> task<> {
        chan<int> a(1);
        chan<std::string> b(1);
        b.try_send("hello");
        std::string got;
        co_await select(recv(a, [&](std::optional<int>) { got = "a"; }),
                        recv(b, [&](std::optional<std::string> s) { got = *s; }));
        EXPECT_EQ(got, "hello");
        co_await select(recv(b, [&](std::optional<std::string>) { got = "b"; }),
                        send(a, 5, [&] { got = "sent"; }));
        EXPECT_EQ(got, "sent");
        EXPECT_EQ(a.try_recv(), 5);
    });
}

TEST(Select, WaitsForTheFirstCaseThatBecomesReadyAndLeavesTheOthers) {
    simulated([](simulation& sim) -> task<> {
        const bool by_send = sim.random(2) == 0;
        chan<int> in;
        chan<std::string> out;
        go([in, out, by_send]() -> task<> {
            co_await sleep_for(1s);
            if (by_send) {
                co_await in.send(7);
            } else {
                auto v = co_await out.recv();
                EXPECT_EQ(v, "x");
            }
        });
        const int which = co_await select(recv(in,
                                               [](std::optional<int> v) {
                                                   EXPECT_EQ(v, 7);
                                                   return 1;
                                               }),
                                          send(out, "x", [] { return 2; }));
        EXPECT_EQ(which, by_send ? 1 : 2);
        // Nobody waits at either any more.
        EXPECT_FALSE(in.try_send(1));
        EXPECT_EQ(out.try_recv(), std::nullopt);
    });
}

TEST(Select, GivesTheNumberOfTheCaseWhenNoneHasACallable) {
    simulated([]() -> task<> {
        chan<int> jobs;
        chan<int> quit;
        go([jobs, quit]() -> task<> {
            for (int i = 0; i < 5; ++i) co_await jobs.send(i);
            quit.close();
        });
        std::optional<int> j;
        int expected = 0;
        bool over = false;
        while (!over) {
            switch (co_await select(recv(jobs, j), recv(quit))) {
            case 0: EXPECT_EQ(j, expected++); break;
            case 1: over = true; break;
            default: ADD_FAILURE();
            }
        }
        EXPECT_EQ(expected, 5);
    });
}

TEST(Select, TakesAfterWhenNothingElseComesInTime) {
    simulated([]() -> task<> {
        chan<int> c;
        const auto start = now();
        EXPECT_EQ(co_await select(recv(c), after(3s)), 1U);
        EXPECT_EQ(now() - start, 3s);
        go([c]() -> task<> {
            co_await sleep_for(1s);
            co_await c.send(1);
        });
        EXPECT_EQ(co_await select(recv(c), after(3s)), 0U);
        EXPECT_EQ(now() - start, 4s);
        EXPECT_EQ(co_await select(recv(c), after(0s)), 1U);
        EXPECT_EQ(now() - start, 4s);
        EXPECT_FALSE(c.try_send(1)); // nobody waits there any more
    });
}

TEST(Select, TakesOtherwiseOnlyWhenNothingIsReady) {
    everywhere([]() -> task<> {
        chan<int> c(1);
        for (int i = 0; i < 20; ++i) {
            EXPECT_EQ(co_await select(recv(c), otherwise()), 1U);
            EXPECT_EQ(co_await select(send(c, i), otherwise()), 0U);
            EXPECT_EQ(co_await select(send(c, i), otherwise()), 1U);
            std::optional<int> v;
            EXPECT_EQ(co_await select(otherwise(), recv(c, v)), 1U);
            EXPECT_EQ(v, i);
        }
    });
}

TEST(Select, ANilChannelIsACaseThatIsSwitchedOff) {
    simulated([]() -> task<> {
        chan<int> off = nil;
        EXPECT_TRUE(off == nil);
        EXPECT_EQ(off.size(), 0U);
        EXPECT_EQ(off.capacity(), 0U);
        EXPECT_FALSE(off.try_send(1));
        EXPECT_EQ(off.try_recv(), std::nullopt);
        EXPECT_THROW(off.close(), closed_channel);
        EXPECT_EQ(co_await select(recv(off), send(off, 1), after(1s)), 2U);
        EXPECT_EQ(co_await select(recv(off), send(off, 1), otherwise()), 2U);
        // Both directions of one stream, switched on and off: Go's idiom.
        chan<int> in(3);
        for (int i : {1, 2, 3}) in.try_send(i);
        in.close();
        chan<int> out(3);
        std::optional<int> held;
        for (;;) {
            const chan<int> from = held ? chan<int>{nil} : in;
            const chan<int> to = held ? out : chan<int>{nil};
            const auto i = co_await select(recv(from, held), send(to, held.value_or(0)));
            if (i == 1) held.reset();
            if (i == 0 && !held) break;
        }
        EXPECT_EQ(out.size(), 3U);
    });
}

TEST(Select, ForEverWithoutACaseOrWithNilOnesUntilItIsDestroyed) {
    simulated([]() -> task<> {
        auto none = []() -> task<> { co_await select(); };
        auto all_off = []() -> task<> {
            const chan<int> off = nil;
            co_await select(recv(off), send(off, 1));
        };
        auto sending = []() -> task<> {
            const chan<int> off = nil;
            co_await off.send(1);
        };
        auto receiving = []() -> task<> {
            const chan<int> off = nil;
            co_await off.recv();
        };
        EXPECT_FALSE((co_await with_timeout(1s, none())).has_value());
        EXPECT_FALSE((co_await with_timeout(1s, all_off())).has_value());
        EXPECT_FALSE((co_await with_timeout(1s, sending())).has_value());
        EXPECT_FALSE((co_await with_timeout(1s, receiving())).has_value());
    });
}

TEST(Select, AClosedChannelIsReadyForBothDirections) {
    simulated([]() -> task<> {
        chan<int> c;
        go([c]() -> task<> {
            co_await sleep_for(1s);
            c.close();
        });
        std::optional<int> v = 1;
        EXPECT_EQ(co_await select(recv(c, v), after(5s)), 0U);
        EXPECT_EQ(v, std::nullopt);
        bool thrown = false;
        try {
            co_await select(send(c, 1), after(1s));
        } catch (const closed_channel&) {
            thrown = true;
        }
        EXPECT_TRUE(thrown);
    });
}

TEST(Select, AWaitingSendThrowsWhenItsChannelIsClosed) {
    simulated([]() -> task<> {
        chan<int> c;
        go([c]() -> task<> {
            co_await sleep_for(1s);
            c.close();
        });
        bool thrown = false;
        try {
            co_await select(send(c, 1), after(5s));
        } catch (const closed_channel&) {
            thrown = true;
        }
        EXPECT_TRUE(thrown);
    });
}

TEST(Select, AwaitsTheTaskOfTheChosenClause) {
    simulated([]() -> task<> {
        chan<int> c(1);
        c.try_send(4);
        const auto start = now();
        auto slow = [](std::optional<int> v) -> task<int> {
            co_await sleep_for(1s);
            co_return *v * 2;
        };
        auto late = []() -> task<int> { co_return 0; };
        EXPECT_EQ(co_await select(recv(c, slow), after(1s, late)), 8);
        EXPECT_EQ(now() - start, 1s);
        EXPECT_EQ(co_await select(recv(c, slow), after(1s, late)), 0);
    });
}

TEST(Select, OwnsAndDestroysWhatItsClausesCarryOnce) {
    simulated([](simulation& sim) -> task<> {
        const bool first = sim.random(2) == 0;
        auto counted = std::make_shared<int>(1);
        chan<std::shared_ptr<int>> a(first ? 1 : 0);
        chan<std::shared_ptr<int>> b(first ? 0 : 1);
        const auto text = std::string(100, 'x');
        chan<std::string> c;
        auto owning = [counted] {};
        co_await select(send(a, counted, owning), send(b, counted, owning), send(c, text, owning),
                        after(1s, owning));
        auto got = first ? a.try_recv() : b.try_recv();
        EXPECT_TRUE(got);
        got.reset();
        EXPECT_EQ(counted.use_count(), 2); // here and in `owning`
    });
}

TEST(Select, OverAVectorOfCases) {
    simulated([](simulation& sim) -> task<> {
        constexpr std::size_t n = 20;
        std::vector<chan<int>> chans;
        std::vector<std::optional<int>> values(n);
        std::vector<any_case> cases;
        for (std::size_t i = 0; i < n; ++i) chans.emplace_back(i % 3);
        for (std::size_t i = 0; i < n; ++i) cases.push_back(recv(chans[i], values[i]));
        cases.push_back(after(1s));
        for (int round = 0; round < 5; ++round) {
            const auto which = sim.random(n);
            go([c = chans[which]]() -> task<> { co_await c.send(3); });
            EXPECT_EQ(co_await select(cases), which);
            EXPECT_EQ(std::exchange(values[which], {}), 3);
        }
        EXPECT_EQ(co_await select(cases), n);
        cases.back() = otherwise();
        EXPECT_EQ(co_await select(cases), n);
        std::vector<any_case> two;
        two.push_back(otherwise());
        two.push_back(otherwise());
        EXPECT_THROW((void)select(two), std::logic_error);
    });
}

// ---- Go's guarantees

TEST(Select, IsFairAmongReadyCasesOverTenThousandTrials) {
    simulated([]() -> task<> {
        constexpr int trials = 10'000;
        chan<int> a(trials);
        chan<int> b(trials);
        for (int i = 0; i < trials; ++i) {
            a.try_send(i);
            b.try_send(i);
        }
        std::array<int, 2> taken{};
        for (int i = 0; i < trials; ++i) ++taken[co_await select(recv(a), recv(b))];
        // Binomial, standard deviation 50: six of them.
        EXPECT_NEAR(taken[0], trials / 2, 300);
        EXPECT_EQ(taken[0] + taken[1], trials);
    });
}

TEST(Select, IsUniformAmongAThousand) {
    simulated(
        []() -> task<> {
            constexpr std::size_t n = 1000;
            std::vector<chan<int>> chans;
            std::vector<any_case> cases;
            for (std::size_t i = 0; i < n; ++i) {
                chans.emplace_back();
                chans.back().close();
                cases.push_back(recv(chans.back()));
            }
            constexpr int trials = 8'000;
            std::array<int, 4> quarters{};
            int first = 0;
            for (int i = 0; i < trials; ++i) {
                const std::size_t which = co_await select(cases);
                ++quarters[which * 4 / n];
                if (which < 10) ++first;
            }
            for (const int taken : quarters) EXPECT_NEAR(taken, trials / 4, 240); // deviation 39: six of them
            EXPECT_NEAR(first, trials / 100, 54);                                 // deviation 8.9
        },
        5); // each takes a fifth of a second, ten times as long under a sanitizer
}

TEST(Select, IsUniformAmongThreeAndAmongTheReadyOnesOfMany) {
    simulated([]() -> task<> {
        chan<int> ready_one;
        chan<int> ready_two;
        chan<int> ready_three;
        chan<int> never;
        ready_one.close();
        ready_two.close();
        ready_three.close();
        constexpr int trials = 9'000;
        std::array<int, 7> taken{};
        for (int i = 0; i < trials; ++i)
            ++taken[co_await select(recv(never), recv(ready_one), recv(never), recv(ready_two),
                                    send(never, 1), recv(ready_three), recv(never))];
        for (std::size_t i : {1U, 3U, 5U}) EXPECT_NEAR(taken[i], trials / 3, 270);
        EXPECT_EQ(taken[1] + taken[3] + taken[5], trials);
    });
}

TEST(Select, IsFairOnRealThreads) {
    test::threaded([]() -> task<> {
        chan<int> a;
        chan<int> b;
        a.close();
        b.close();
        constexpr int trials = 10'000;
        std::array<int, 2> taken{};
        for (int i = 0; i < trials; ++i) ++taken[co_await select(recv(a), recv(b))];
        EXPECT_NEAR(taken[0], trials / 2, 400);
    });
}

TEST(Select, OnBothEndsOfOneChannelNeverMeetsItself) {
    simulated([]() -> task<> {
        chan<int> c;
        EXPECT_EQ(co_await select(send(c, 1), recv(c), after(1s)), 2U);
        EXPECT_EQ(co_await select(recv(c), send(c, 1), after(1s)), 2U);
    });
    // Two selects, each on both ends: they only meet each other.
    everywhere([]() -> task<> {
        chan<int> c;
        auto sent = std::make_shared<std::array<std::atomic<int>, 2>>();
        auto received = std::make_shared<std::array<std::atomic<int>, 2>>();
        wait_group wg;
        for (int p = 0; p < 2; ++p) {
            wg.go([c, p, sent, received]() -> task<> {
                for (int i = 0; i < 200; ++i) {
                    std::optional<int> v;
                    bool has_sent = false;
                    if (p == 0)
                        has_sent = co_await select(send(c, p), recv(c, v)) == 0;
                    else
                        has_sent = co_await select(recv(c, v), send(c, p)) == 1;
                    EXPECT_NE(has_sent, v.has_value());
                    if (has_sent) ++(*sent)[static_cast<std::size_t>(p)];
                    if (!v) continue;
                    EXPECT_EQ(*v, 1 - p);
                    ++(*received)[static_cast<std::size_t>(*v)];
                }
            });
        }
        // The last one may be left alone with a select that nobody else meets.
        chan<int> quit;
        wait_group rest;
        rest.go([c, quit, received]() -> task<> {
            for (;;) {
                std::optional<int> v;
                const auto which = co_await select(recv(c, v), recv(quit));
                if (which == 1) co_return;
                ++(*received)[static_cast<std::size_t>(*v)];
            }
        });
        co_await wg.wait();
        quit.close();
        co_await rest.wait();
        for (std::size_t p : {0U, 1U}) EXPECT_EQ((*sent)[p], (*received)[p]);
    });
}

TEST(Select, OnBothEndsOfABufferedChannelDoesOneOfTheTwo) {
    constexpr std::size_t capacity = 10;
    // Alone: it sends to an empty one, receives from a full one, and otherwise does either, in the buffer's order.
    simulated([]() -> task<> {
        chan<int> c(capacity);
        int sent = 0;
        int received = 0;
        bool was_full = false;
        for (int i = 0; i < 1000; ++i) {
            const std::size_t before = c.size();
            std::optional<int> v;
            const auto which = co_await select(send(c, sent), recv(c, v));
            EXPECT_EQ(which == 1, v.has_value());
            EXPECT_EQ(c.size(), which == 0 ? before + 1 : before - 1);
            if (before == 0) {
                EXPECT_EQ(which, 0U);
            }
            if (before == capacity) {
                EXPECT_EQ(which, 1U);
                was_full = true;
            }
            if (which == 0) ++sent;
            if (v) {
                EXPECT_EQ(*v, received++);
            }
        }
        EXPECT_EQ(sent, received + static_cast<int>(c.size()));
        EXPECT_TRUE(was_full) << "in a thousand steps at random";
    });
    // With others: each value comes out once, in its sender's order for each receiver.
    everywhere([]() -> task<> {
        constexpr std::size_t processes = 3;
        chan<std::pair<std::size_t, int>> c(capacity); // by whom, which
        struct counts {
            std::array<std::atomic<long>, processes> sent{};
            std::array<std::atomic<long>, processes> received{};
        };
        const auto all = std::make_shared<counts>();
        wait_group wg;
        for (std::size_t p = 0; p < processes; ++p)
            wg.go([c, p, all]() -> task<> {
                std::array<int, processes> newest{};
                for (int i = 0; i < 200; ++i) {
                    std::optional<std::pair<std::size_t, int>> v;
                    const std::pair<std::size_t, int> next{p, static_cast<int>(all->sent[p]) + 1};
                    const auto which = co_await select(send(c, next), recv(c, v));
                    EXPECT_EQ(which == 1, v.has_value());
                    if (which == 0) ++all->sent[p];
                    if (!v) continue;
                    EXPECT_GT(v->second, std::exchange(newest[v->first], v->second));
                    ++all->received[v->first];
                }
            });
        co_await wg.wait();
        while (const auto v = c.try_recv()) ++all->received[v->first];
        for (std::size_t p = 0; p < processes; ++p) EXPECT_EQ(all->received[p], all->sent[p]);
    });
}

TEST(Select, TheSameChannelInSeveralCases) {
    everywhere([]() -> task<> {
        chan<int> c;
        go([c]() -> task<> {
            for (int i = 0; i < 30; ++i) co_await c.send(i);
            c.close();
        });
        int expected = 0;
        for (;;) {
            std::optional<int> v;
            std::optional<int> w;
            co_await select(recv(c, v), recv(c, w), recv(c, v));
            if (!v && !w) break;
            EXPECT_EQ(v ? *v : *w, expected++);
        }
        EXPECT_EQ(expected, 30);
    });
}

// One of the two channels has a value at any time.
TEST(Select, NeverTakesOtherwiseWhenACaseIsReadyAllTheTime) {
    everywhere([]() -> task<> {
        for (int i = 0; i < 30; ++i) {
            chan<int> a(1);
            chan<int> b(1);
            chan<bool> verdict;
            a.try_send(1);
            go([a, b, verdict]() -> task<> {
                const auto which = co_await select(recv(a), recv(b), otherwise());
                co_await verdict.send(which != 2);
            });
            b.try_send(1);
            co_await select(recv(a), otherwise());
            auto fine = co_await verdict.recv();
            EXPECT_EQ(fine, true);
        }
    });
}

// A value is there, or else the channel is closed.
TEST(Select, NeverTakesOtherwiseWhileAValueGivesWayToAClose) {
    everywhere([]() -> task<> {
        for (int i = 0; i < 30; ++i) {
            chan<int> c(1);
            chan<bool> verdict;
            c.try_send(1);
            go([c, verdict]() -> task<> {
                const auto which = co_await select(recv(c), otherwise());
                co_await verdict.send(which == 0);
            });
            c.close();
            c.try_recv();
            auto fine = co_await verdict.recv();
            EXPECT_EQ(fine, true);
        }
    });
}

TEST(Select, ManyOverManyChannelsLoseAndDoubleNothing) {
    everywhere([]() -> task<> {
        constexpr int n = 400;
        std::vector<chan<int>> c;
        for (std::size_t capacity : {0, 1, 2, 5}) c.emplace_back(capacity);
        wait_group senders;
        wait_group receivers;
        auto sum = std::make_shared<std::atomic<long>>(0);
        auto count = std::make_shared<std::atomic<long>>(0);
        for (std::size_t i = 0; i < 4; ++i)
            senders.go([ch = c[i]]() -> task<> {
                for (int v = 1; v <= n; ++v) co_await ch.send(v);
            });
        senders.go([c]() -> task<> {
            std::array<int, 4> next{1, 1, 1, 1};
            for (int k = 0; k < 4 * n; ++k) {
                auto on = [&](std::size_t i) { return next[i] <= n ? c[i] : chan<int>{nil}; };
                const chan<int> a = on(0);
                const chan<int> b = on(1);
                const chan<int> d = on(2);
                const chan<int> e = on(3);
                const auto i =
                    co_await select(send(a, next[0]), send(b, next[1]), send(d, next[2]), send(e, next[3]));
                ++next[i];
            }
        });
        for (int r = 0; r < 3; ++r)
            receivers.go([c, sum, count]() mutable -> task<> {
                std::optional<int> v;
                std::vector<chan<int>> open = c;
                int closed = 0;
                while (closed < 4) {
                    const auto i = co_await select(recv(open[0], v), recv(open[1], v), recv(open[2], v),
                                                   recv(open[3], v));
                    if (v) {
                        *sum += *v;
                        ++*count;
                    } else {
                        open[i] = nil;
                        ++closed;
                    }
                }
            });
        co_await senders.wait();
        for (auto& ch : c) ch.close();
        co_await receivers.wait();
        EXPECT_EQ(count->load(), 8L * n);
        EXPECT_EQ(sum->load(), 8L * n * (n + 1) / 2);
    });
}
