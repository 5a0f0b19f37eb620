// What Go's own tests of channels check (test/chan, runtime/chan_test.go), written anew: on the simulated runtime under
// many seeds, and on 2 to 8 threads.
#include <genever/csp/chan.hpp>
#include <genever/csp/select.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/runtime/time.hpp>

#include "csp/test_support.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::everywhere;
using genever::test::simulated;

// ---- every capacity from 0 to 199

TEST(GoChan, AReceiveFromAnEmptyChannelOfAnyCapacityBlocks) {
    simulated([]() -> task<> {
        for (std::size_t capacity = 0; capacity < 200; ++capacity) {
            chan<int> c(capacity);
            bool plain = false;
            bool selected = false;
            wait_group wg;
            wg.go([c, &plain]() -> task<> {
                co_await c.recv();
                plain = true;
            });
            wg.go([c, &selected]() -> task<> {
                co_await select(recv(c));
                selected = true;
            });
            co_await sleep_for(1ms);
            EXPECT_FALSE(plain || selected);
            co_await c.send(0);
            co_await c.send(0);
            co_await wg.wait();
            EXPECT_TRUE(plain && selected);
        }
    });
}

TEST(GoChan, ASendToAFullChannelOfAnyCapacityBlocks) {
    simulated([]() -> task<> {
        for (std::size_t capacity = 0; capacity < 200; ++capacity) {
            chan<std::size_t> c(capacity);
            for (std::size_t i = 0; i < capacity; ++i) co_await c.send(i);
            EXPECT_EQ(c.size(), capacity);
            EXPECT_EQ(c.capacity(), capacity);
            std::size_t sent = 0;
            wait_group wg;
            wg.go([c, &sent]() -> task<> {
                co_await c.send(std::size_t{0});
                ++sent;
            });
            co_await sleep_for(1ms);
            EXPECT_EQ(sent, 0U);
            EXPECT_EQ(co_await select(send(c, std::size_t{0}), otherwise()), 1U);
            co_await c.recv();
            co_await wg.wait();
            EXPECT_EQ(sent, 1U);
        }
    });
}

TEST(GoChan, ACloseOfAnyCapacityLeavesWhatIsBufferedAndThenNothing) {
    simulated([]() -> task<> {
        for (std::size_t capacity = 0; capacity < 200; ++capacity) {
            chan<std::size_t> c(capacity);
            for (std::size_t i = 0; i < capacity; ++i) co_await c.send(i);
            c.close();
            EXPECT_TRUE(c.is_closed());
            for (std::size_t i = 0; i < capacity; ++i) {
                auto v = co_await c.recv();
                EXPECT_EQ(v, i);
            }
            auto nothing = co_await c.recv();
            EXPECT_EQ(nothing, std::nullopt);
            std::optional<std::size_t> v = 1;
            EXPECT_EQ(co_await select(recv(c, v), otherwise()), 0U);
            EXPECT_EQ(v, std::nullopt);
        }
    });
}

TEST(GoChan, ACloseEndsAWaitingReceiveOfAnyCapacity) {
    everywhere([]() -> task<> {
        for (std::size_t capacity = 0; capacity < 200; ++capacity) {
            chan<int> c(capacity);
            wait_group wg;
            wg.go([c]() -> task<> {
                auto v = co_await c.recv();
                EXPECT_EQ(v, std::nullopt);
            });
            co_await yield();
            c.close();
            co_await wg.wait();
        }
    });
}

TEST(GoChan, KeepsTheOrderOfASenderForAnyCapacity) {
    everywhere([]() -> task<> {
        for (std::size_t capacity = 0; capacity < 200; ++capacity) {
            chan<int> c(capacity);
            go([c]() -> task<> {
                for (int i = 0; i < 100; ++i) co_await c.send(i);
            });
            for (int i = 0; i < 100; ++i) {
                auto v = co_await c.recv();
                EXPECT_EQ(v, i);
            }
        }
    });
}

TEST(GoChan, ManySendersAndReceiversOfAnyCapacityDeliverEachValueOnce) {
    everywhere([]() -> task<> {
        constexpr int processes = 4;
        constexpr int each = 25;
        for (std::size_t capacity = 0; capacity < 200; ++capacity) {
            chan<int> c(capacity);
            auto seen = std::make_shared<std::array<std::atomic<int>, each>>();
            wait_group wg;
            for (int p = 0; p < processes; ++p) {
                wg.go([c]() -> task<> {
                    for (int i = 0; i < each; ++i) co_await c.send(i);
                });
                wg.go([c, seen]() -> task<> {
                    for (int i = 0; i < each; ++i) {
                        auto v = co_await c.recv();
                        ++(*seen)[static_cast<std::size_t>(*v)];
                    }
                });
            }
            co_await wg.wait();
            for (const auto& n : *seen) EXPECT_EQ(n.load(), processes);
        }
    });
}

// ---- orders

TEST(GoChan, ReceiversAreServedInTheOrderInWhichTheyCame) {
    simulated([]() -> task<> {
        chan<int> c;
        std::vector<int> order;
        wait_group wg;
        for (int i = 0; i < 8; ++i) {
            wg.go([c, &order, i]() -> task<> {
                auto v = co_await c.recv();
                EXPECT_EQ(v, i);
                order.push_back(i);
            });
            co_await sleep_for(1ms);
        }
        for (int i = 0; i < 8; ++i) co_await c.send(i);
        co_await wg.wait();
        EXPECT_EQ(order.size(), 8U);
    });
}

TEST(GoChan, SendersAreServedInTheOrderInWhichTheyCame) {
    simulated([]() -> task<> {
        for (std::size_t capacity : {0, 1, 3}) {
            chan<int> c(capacity);
            wait_group wg;
            for (int i = 0; i < 8; ++i) {
                wg.go([c, i]() -> task<> { co_await c.send(i); });
                co_await sleep_for(1ms);
            }
            for (int i = 0; i < 8; ++i) {
                auto v = co_await c.recv();
                EXPECT_EQ(v, i);
            }
            co_await wg.wait();
        }
    });
}

// A chain of processes, each of which passes on only what its left neighbour gave it.
TEST(GoChan, AChainOfProcessesPassesValuesInOrder) {
    everywhere([]() -> task<> {
        constexpr int n = 10;
        auto order = std::make_shared<std::vector<int>>();
        auto link = [](chan<int> values, chan<int> left, chan<int> right,
                       std::shared_ptr<std::vector<int>> out) -> task<> {
            co_await left.recv();
            auto v = co_await values.recv();
            out->push_back(*v);
            co_await right.send(1);
        };
        chan<int> values;
        const chan<int> first;
        chan<int> left = first;
        for (int i = 0; i < n; ++i) {
            chan<int> right;
            go(link, values, left, right, order);
            left = right;
        }
        go([first]() -> task<> { co_await first.send(0); });
        for (int i = 0; i < n; ++i) co_await values.send(i);
        co_await left.recv();
        for (int i = 0; i < n; ++i) EXPECT_EQ((*order)[static_cast<std::size_t>(i)], i);
    });
}

// ---- races of non-blocking operations

TEST(GoChan, ANonBlockingReceiveFindsWhatIsThereOrTheClose) {
    everywhere([]() -> task<> {
        for (int i = 0; i < 50; ++i) {
            chan<int> c(1);
            c.try_send(i);
            std::optional<int> theirs;
            wait_group wg;
            wg.go([c, &theirs]() -> task<> { EXPECT_EQ(co_await select(recv(c, theirs), otherwise()), 0U); });
            c.close();
            const auto ours = co_await c.recv();
            co_await wg.wait();
            EXPECT_NE(ours.has_value(), theirs.has_value()) << "one gets the value, the other one the close";
            EXPECT_EQ(ours ? ours : theirs, i);
        }
    });
}

// With capacity 1 one operation at a time succeeds. The first send does, in any case, and the receivers stay until all is
// theirs.
TEST(GoChan, NonBlockingPairsNeitherLoseNorDouble) {
    everywhere([]() -> task<> {
        constexpr int each = 200;
        struct marks {
            std::array<std::atomic<int>, 2 * each> sent{};
            std::array<std::atomic<int>, 2 * each> received{};
            std::atomic<bool> all_sent = false;
        };
        const chan<int> c(1);
        const auto seen = std::make_shared<marks>();
        wait_group senders;
        wait_group receivers;
        for (int p = 0; p < 2; ++p) {
            senders.go([c, seen, p]() -> task<> {
                for (int v = p * each; v < (p + 1) * each; ++v) {
                    if (c.try_send(v)) ++seen->sent[static_cast<std::size_t>(v)];
                    co_await yield();
                }
            });
            receivers.go([c, seen]() -> task<> {
                for (;;) {
                    const bool last = seen->all_sent;
                    std::optional<int> v;
                    const auto which = co_await select(recv(c, v), otherwise());
                    EXPECT_EQ(which == 0, v.has_value());
                    if (v) ++seen->received[static_cast<std::size_t>(*v)];
                    if (!v && last) co_return;
                    co_await yield();
                }
            });
        }
        co_await senders.wait();
        seen->all_sent = true;
        co_await receivers.wait();
        int received = 0;
        for (std::size_t v = 0; v < seen->sent.size(); ++v) {
            EXPECT_EQ(seen->received[v], seen->sent[v]) << "value " << v;
            received += seen->received[v];
        }
        EXPECT_GT(received, 0);
        EXPECT_EQ(c.size(), 0U);
    });
}

// Two processes that each send to the other and receive from it, in one select.
TEST(GoChan, TwoThatSelectToSendAndToReceiveMeet) {
    everywhere([]() -> task<> {
        constexpr int n = 100;
        chan<int> a;
        chan<int> b;
        wait_group wg;
        auto partner = [](chan<int> out, chan<int> in) -> task<> {
            int sent = 0;
            int got = 0;
            while (sent < n || got < n) {
                const chan<int> to = sent < n ? out : chan<int>{nil};
                const chan<int> from = got < n ? in : chan<int>{nil};
                std::optional<int> v;
                const auto i = co_await select(send(to, sent), recv(from, v));
                if (i == 0) ++sent;
                if (i == 1) {
                    EXPECT_EQ(v, got);
                    ++got;
                }
            }
        };
        wg.go(partner, a, b);
        wg.go(partner, b, a);
        co_await wg.wait();
    });
}

// ---- many consumers

// Consumers that take different paths with what they get: nothing may get lost or come twice.
TEST(GoChan, MultipleConsumersGetEveryValueOnce) {
    everywhere([]() -> task<> {
        constexpr int consumers = 23;
        constexpr int values = 230;
        constexpr std::array primes{2, 3, 7, 11, 13, 19, 23, 31};
        chan<int> work(consumers);
        chan<int> results(consumers);
        wait_group wg;
        for (int p = 0; p < consumers; ++p)
            wg.go([work, results, primes]() -> task<> {
                for (;;) {
                    auto v = co_await work.recv();
                    if (!v) co_return;
                    if (primes[static_cast<std::size_t>(*v) % primes.size()] == *v) co_await yield();
                    co_await results.send(*v);
                }
            });
        auto expected = std::make_shared<std::atomic<long>>(0);
        go([work, results, expected, wg, primes]() -> task<> {
            for (int i = 0; i < values; ++i) {
                const int v = primes[static_cast<std::size_t>(i) % primes.size()];
                *expected += v;
                co_await work.send(v);
            }
            work.close();
            co_await wg.wait();
            results.close();
        });
        int n = 0;
        long sum = 0;
        co_await results.for_each([&](int v) {
            ++n;
            sum += v;
        });
        EXPECT_EQ(n, values);
        EXPECT_EQ(sum, expected->load());
    });
}

// ---- select under stress: four channels, two synchronous, senders and receivers plain and selecting

TEST(GoChan, SelectStress) {
    everywhere([]() -> task<> {
        constexpr int n = 300;
        std::array<chan<int>, 4> c{chan<int>(0), chan<int>(0), chan<int>(2), chan<int>(3)};
        wait_group wg;
        for (const auto& ch : c) {
            wg.go([ch]() -> task<> {
                for (int i = 0; i < n; ++i) co_await ch.send(0);
            });
            wg.go([ch]() -> task<> {
                for (int i = 0; i < n; ++i) co_await ch.recv();
            });
        }
        auto four = [](std::array<chan<int>, 4> ch, bool sends) -> task<> {
            std::array<int, 4> done{};
            for (int i = 0; i < 4 * n; ++i) {
                std::size_t which = 0;
                if (sends)
                    which = co_await select(send(ch[3], 0), send(ch[2], 0), send(ch[0], 0), send(ch[1], 0));
                else
                    which = co_await select(recv(ch[0]), recv(ch[1]), recv(ch[2]), recv(ch[3]));
                constexpr std::array<std::size_t, 4> sent_to{3, 2, 0, 1};
                const std::size_t at = sends ? sent_to[which] : which;
                if (++done[at] == n) ch[at] = nil;
            }
        };
        wg.go(four, c, true);
        wg.go(four, c, false);
        co_await wg.wait();
        for (const auto& ch : c) EXPECT_EQ(ch.size(), 0U);
    });
}

// ---- others

TEST(GoChan, ChannelsOfChannels) {
    everywhere([]() -> task<> {
        struct request {
            int n;
            chan<int> reply;
        };
        chan<request> server;
        go([server]() -> task<> {
            for (;;) {
                auto r = co_await server.recv();
                if (!r) co_return;
                co_await r->reply.send(r->n * 2);
            }
        });
        wait_group wg;
        for (int i = 0; i < 20; ++i)
            wg.go([server, i]() -> task<> {
                chan<int> reply;
                co_await server.emplace(i, reply);
                auto v = co_await reply.recv();
                EXPECT_EQ(v, 2 * i);
            });
        co_await wg.wait();
        server.close();
    });
}

TEST(GoChan, RefusesACapacityThatNoMemoryCouldHold) {
    EXPECT_THROW(chan<long>{static_cast<std::size_t>(-1)}, std::bad_array_new_length);
    EXPECT_THROW(chan<long>{static_cast<std::size_t>(-1) / 16}, std::bad_alloc);
}

TEST(GoChan, DestroysTheValuesThatNobodyTook) {
    auto value = std::make_shared<int>(1);
    {
        chan<std::shared_ptr<int>> c(5);
        for (int i = 0; i < 4; ++i) c.try_send(value);
        c.try_recv();
        c.try_recv();
        for (int i = 0; i < 3; ++i) c.try_send(value);
        EXPECT_EQ(value.use_count(), 6);
    }
    EXPECT_EQ(value.use_count(), 1);
}

TEST(GoChan, HoldsValuesOfAnyAlignment) {
    struct alignas(128) wide {
        int n;
    };
    chan<wide> c(3);
    for (int i = 0; i < 3; ++i) c.try_send(wide{i});
    for (int i = 0; i < 3; ++i) {
        auto v = c.try_recv();
        EXPECT_EQ(v->n, i);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&*v) % 128, 0U);
    }
}
