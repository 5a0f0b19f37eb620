#include <genever/runtime/mailbox.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "simulation_test_support.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::under_seeds;

namespace {

struct counted {
    explicit counted(std::atomic<int>& n) : n_(&n) { ++n; }
    counted(const counted& o) : n_(o.n_) { ++*n_; }
    counted& operator=(const counted&) = delete;
    ~counted() { --*n_; }
    std::atomic<int>* n_;
};

struct item {
    int from;
    int number;
    counted c;
};

constexpr mailbox_policy all_policies[] = {mailbox_policy::reject, mailbox_policy::drop_oldest,
                                           mailbox_policy::drop_newest, mailbox_policy::wait};

/// Sleeps with its mailbox unread.
pid spawn_sleeper(mailbox_limit limit) {
    return spawn({.label = "sleeper", .mailbox = limit}, []() -> task<> { co_await sleep_for(1h); });
}

/// Sleeps, then receives for ever.
task<> receive_later(std::vector<int>& got) {
    co_await sleep_for(1s);
    for (;;) co_await receive([&](int i) { got.push_back(i); });
}

std::size_t length_of(pid p) { return info(p)->mailbox_length; }

} // namespace

// ---- policies

TEST(BoundedMailbox, RejectsWhatItHasNoRoomFor) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            set_mailbox_limit({.capacity = 2});
            const pid me = self();
            EXPECT_EQ(send(me, 1), send_result::delivered);
            EXPECT_EQ(send(me, 2), send_result::delivered);
            EXPECT_EQ(send(me, 3), send_result::full);
            EXPECT_FALSE(send(me, 4));
            EXPECT_EQ(length_of(me), 2U);
            EXPECT_EQ(co_await receive([](int i) { return i; }), 1);
            EXPECT_TRUE(send(me, 5));
            EXPECT_EQ(co_await receive([](int i) { return i; }), 2);
            EXPECT_EQ(co_await receive([](int i) { return i; }), 5);
            EXPECT_EQ(length_of(me), 0U);
        });
    });
}

TEST(BoundedMailbox, DropsTheOldest) {
    under_seeds([](simulation& sim) {
        std::atomic<int> alive = 0;
        sim.run([&]() -> task<> {
            set_mailbox_limit({.capacity = 3, .policy = mailbox_policy::drop_oldest});
            for (int i = 0; i < 10; ++i) EXPECT_TRUE(send(self(), item{0, i, counted{alive}}));
            EXPECT_EQ(alive, 3);
            for (int i = 7; i < 10; ++i)
                EXPECT_EQ(co_await receive([](const item& m) { return m.number; }), i);
        });
        EXPECT_EQ(alive, 0);
    });
}

TEST(BoundedMailbox, DropsTheNewest) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            set_mailbox_limit({.capacity = 2, .policy = mailbox_policy::drop_newest});
            for (int i = 0; i < 4; ++i)
                EXPECT_EQ(send(self(), i), i < 2 ? send_result::delivered : send_result::dropped);
            EXPECT_EQ(co_await receive([](int i) { return i; }), 0);
            EXPECT_EQ(co_await receive([](int i) { return i; }), 1);
            EXPECT_EQ(co_await receive([](int i) { return i; }, after(0s, [] { return -1; })), -1);
        });
    });
}

TEST(BoundedMailbox, DropsTheOldestAlsoFromUnderAReceiveThatWantsOthers) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            std::string got;
            auto [p, ref] = spawn_monitor([&got]() -> task<> {
                set_mailbox_limit({.capacity = 3, .policy = mailbox_policy::drop_oldest});
                got = co_await receive([](std::string s) { return s; });
                for (;;) {
                    const int i = co_await receive([](int n) { return n; }, after(0s, [] { return -1; }));
                    if (i < 0) break;
                    got += ' ' + std::to_string(i);
                }
            });
            for (int i = 0; i < 8; ++i) {
                co_await sleep_for(1ms);
                EXPECT_TRUE(send(p, i));
                EXPECT_LE(length_of(p), 3U);
            }
            send(p, std::string{"wanted"});
            co_await receive([](const down&) {});
            EXPECT_EQ(got, "wanted 6 7");
        });
    });
}

TEST(BoundedMailbox, MakesPlainSendsFullWhereTheSenderShallWait) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const pid p = spawn_sleeper({.capacity = 1, .policy = mailbox_policy::wait});
            EXPECT_TRUE(send(p, 1));
            EXPECT_EQ(send(p, 2), send_result::full);
            co_return;
        });
    });
}

TEST(BoundedMailbox, TakesNoCapacityOfNothing) {
    simulation sim{1};
    sim.run([]() -> task<> {
        EXPECT_THROW(set_mailbox_limit({.capacity = 0}), std::invalid_argument);
        EXPECT_THROW(spawn_sleeper({.capacity = 0}), std::invalid_argument);
        EXPECT_EQ(processes().size(), 2U); // this one and the one that watches it
        co_return;
    });
}

TEST(BoundedMailbox, KeepsWhatIsThereWhenItsLimitChanges) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const pid me = self();
            auto take = []() -> task<int> {
                co_return co_await receive([](int i) { return i; }, after(0s, [] { return -1; }));
            };
            for (int i = 0; i < 6; ++i) send(me, i);
            EXPECT_EQ(co_await take(), 0); // some have been looked at, some not
            send(me, 6);
            EXPECT_EQ(set_mailbox_limit({.capacity = 3}), mailbox_limit{});
            EXPECT_FALSE(send(me, 7));
            EXPECT_EQ(co_await take(), 1);
            EXPECT_EQ(set_mailbox_limit({}), (mailbox_limit{.capacity = 3}));
            EXPECT_TRUE(send(me, 8));
            EXPECT_EQ(co_await take(), 2);
            set_mailbox_limit({.capacity = 2, .policy = mailbox_policy::drop_oldest});
            EXPECT_TRUE(send(me, 9)); // of 3 4 5 6 8
            EXPECT_EQ(co_await take(), 8);
            EXPECT_EQ(co_await take(), 9);
            EXPECT_EQ(co_await take(), -1);
        });
    });
}

// ---- the system lane

TEST(BoundedMailbox, NeverLosesASystemMessage) {
    for (const mailbox_policy policy : all_policies) {
        under_seeds([policy](simulation& sim) {
            sim.run([policy]() -> task<> {
                const pid me = self();
                int exits = 0;
                int downs = 0;
                const pid full = spawn({.mailbox = {.capacity = 1, .policy = policy}}, [&]() -> task<> {
                    trap_exit(true);
                    co_await receive([](const std::string&) {}); // is linked and watches by now
                    for (int i = 0; i < 10; ++i) {
                        monitor(spawn_link([] { throw std::runtime_error("x"); }));
                        exit(self(), exit_kind::shutdown);
                    }
                    send(self(), 1);
                    send(self(), 2);
                    co_await sleep_for(1s);
                    for (int i = 0; i < 30; ++i)
                        co_await receive([&](const exit_signal&) { ++exits; }, [&](const down&) { ++downs; });
                    send(me, length_of(self()));
                    co_await sleep_for(1h);
                });
                send(full, std::string{"go"});
                EXPECT_EQ(co_await receive([](std::size_t n) { return n; }), 1U);
                EXPECT_EQ(exits, 20);
                EXPECT_EQ(downs, 10);
                const monitor_ref ref = monitor(full);
                link(full);
                trap_exit(true);
                exit(full, exit_kind::killed);
                co_await receive([&](const down& d) { EXPECT_EQ(d.ref, ref); });
                co_await receive([&](const exit_signal& s) { EXPECT_EQ(s.from, full); });
            });
        });
        if (::testing::Test::HasFailure()) return;
    }
}

// ---- sending that waits

TEST(SendWait, WaitsForRoomWhateverThePolicy) {
    for (const mailbox_policy policy : all_policies) {
        under_seeds([policy](simulation& sim) {
            std::vector<int> got;
            sim.run([&]() -> task<> {
                const pid p =
                    spawn({.mailbox = {.capacity = 2, .policy = policy}}, receive_later, std::ref(got));
                const time_point start = now();
                for (int i = 0; i < 6; ++i) EXPECT_EQ(co_await send_wait(p, i), send_result::delivered);
                EXPECT_EQ(now() - start, 1s);
                co_await sleep_for(1s);
            });
            EXPECT_EQ(got, (std::vector{0, 1, 2, 3, 4, 5}));
        });
        if (::testing::Test::HasFailure()) return;
    }
}

TEST(SendWait, ServesThoseWhoWaitInTheirOrder) {
    under_seeds([](simulation& sim) {
        std::vector<int> got;
        sim.run([&]() -> task<> {
            const pid p = spawn({.mailbox = {.capacity = 1 + sim.random(3)}}, receive_later, std::ref(got));
            for (int i = 0; i < 10; ++i) {
                spawn([p, i]() -> task<> { EXPECT_TRUE(co_await send_wait(p, i)); });
                co_await sleep_for(1ms);
            }
            EXPECT_FALSE(send(p, 10));
            co_await sleep_for(10s);
        });
        EXPECT_EQ(got, (std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
    });
}

TEST(SendWait, PassesTheTurnOnWhenItsSenderIsKilled) {
    under_seeds(
        [](simulation& sim) {
            std::vector<int> got;
            sim.run([&]() -> task<> {
                const pid p =
                    spawn({.mailbox = {.capacity = 1 + sim.random(3)}}, receive_later, std::ref(got));
                const std::size_t room = info(p)->mailbox.capacity;
                std::vector<pid> senders;
                for (int i = 0; i < 8; ++i) {
                    senders.push_back(spawn([p, i]() -> task<> { co_await send_wait(p, i); }));
                    co_await sleep_for(1ms);
                }
                // The receiver begins at the same moment.
                co_await sleep_for(1s - (now().time_since_epoch() % 1s));
                for (std::size_t i = room; i < 8; ++i) {
                    if (sim.random(2) == 0) exit(senders[i], exit_kind::killed);
                    for (auto n = sim.random(3); n > 0; --n) co_await yield();
                }
                co_await sleep_for(10s);
                for (pid s : senders) EXPECT_FALSE(is_alive(s));
                EXPECT_EQ(length_of(p), 0U);
            });
            EXPECT_TRUE(std::ranges::is_sorted(got));
        },
        300);
}

TEST(SendWait, EndsWithItsReceiver) {
    under_seeds([](simulation& sim) {
        std::atomic<int> alive = 0;
        sim.run([&]() -> task<> {
            const pid p = spawn_sleeper({.capacity = 1});
            send(p, 0);
            int told = 0;
            for (int i = 0; i < 5; ++i)
                spawn([&, p]() -> task<> {
                    const auto r = co_await send_wait<item>(p, 0, 0, counted{alive});
                    EXPECT_EQ(r, send_result::noproc);
                    EXPECT_FALSE(is_alive(p));
                    ++told;
                });
            if (sim.random(2) == 0) co_await sleep_for(1s);
            exit(p, exit_kind::killed);
            co_await sleep_for(1s);
            EXPECT_EQ(told, 5);
            EXPECT_EQ(alive, 0);
            EXPECT_EQ(co_await send_wait(p, 1), send_result::noproc);
        });
    });
}

TEST(SendWait, DoesNotWaitForItself) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            set_mailbox_limit({.capacity = 1, .policy = mailbox_policy::wait});
            EXPECT_EQ(co_await send_wait(self(), 1), send_result::delivered);
            EXPECT_EQ(co_await send_wait(self(), 2), send_result::full);
        });
    });
}

TEST(SendWait, GoesOnWhenTheLimitIsLifted) {
    under_seeds([](simulation& sim) {
        int sent = 0;
        sim.run([&]() -> task<> {
            const pid p = spawn({.mailbox = {.capacity = 1}}, []() -> task<> {
                co_await sleep_for(1s);
                set_mailbox_limit({});
                co_await sleep_for(1s);
                EXPECT_EQ(length_of(self()), 5U);
                for (int i = 0; i < 5; ++i) co_await receive([&](int n) { EXPECT_EQ(n, i); });
            });
            for (int i = 0; i < 5; ++i) {
                spawn([&sent, p, i]() -> task<> { sent += co_await send_wait(p, i); });
                co_await sleep_for(1ms);
            }
            co_await sleep_for(5s);
            EXPECT_FALSE(is_alive(p));
        });
        EXPECT_EQ(sent, 5);
    });
}

// Killed, or timed out, at every point of it: what was said to be sent is received once, all else never.
TEST(SendWait, NeitherLosesNorDoublesWhateverHappensToTheSender) {
    under_seeds(
        [](simulation& sim) {
            std::atomic<int> alive = 0;
            std::map<int, int> got;     // by sender: the last one received
            std::map<int, int> sent;    // ... and how many it was told have been sent
            std::map<int, bool> killed; // ... in the middle of one
            sim.run([&]() -> task<> {
                const mailbox_policy policy =
                    sim.random(2) == 0 ? mailbox_policy::reject : mailbox_policy::wait;
                const pid p =
                    spawn({.mailbox = {.capacity = 1 + sim.random(2), .policy = policy}}, [&]() -> task<> {
                        for (;;) {
                            if (sim.random(3) == 0) co_await sleep_for(sim.random(3) * 1ms);
                            co_await receive([&](const item& m) {
                                EXPECT_EQ(m.number, ++got[m.from]) << "from " << m.from;
                            });
                        }
                    });
                std::vector<pid> senders;
                for (int s = 0; s < 6; ++s)
                    senders.push_back(spawn([&, p, s]() -> task<> {
                        for (int i = 0; i < 20; ++i) {
                            auto one = [](pid to, int from, int number,
                                          std::atomic<int>& n) -> task<send_result> {
                                co_return co_await send_wait<item>(to, from, number, counted{n});
                            };
                            auto work = one(p, s, sent[s] + 1, alive);
                            killed[s] = true;
                            const auto r = co_await with_timeout(sim.random(4) * 1ms, std::move(work));
                            killed[s] = false;
                            if (r) {
                                EXPECT_EQ(*r, send_result::delivered);
                                ++sent[s];
                            }
                        }
                    }));
                for (int i = 0; i < 6; ++i) {
                    for (auto n = sim.random(40); n > 0; --n) co_await yield();
                    if (sim.random(2) == 0) co_await sleep_for(1ms);
                    if (sim.random(2) == 0) exit(senders[sim.random(senders.size())], exit_kind::killed);
                }
                co_await sleep_for(1min);
                EXPECT_EQ(length_of(p), 0U);
                exit(p, exit_kind::killed);
                co_await sleep_for(1ms);
            });
            for (auto [s, n] : sent) {
                // Who was killed in the middle of one may have sent that.
                EXPECT_GE(got[s], n) << s;
                EXPECT_LE(got[s], n + (killed[s] ? 1 : 0)) << s;
            }
            EXPECT_EQ(alive, 0);
        },
        300);
}

// ---- timers

TEST(BoundedMailbox, LosesAFiringOfATimerThatItHasNoRoomFor) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            set_mailbox_limit({.capacity = 2});
            timer_ref every = send_interval(self(), 1s, 7);
            co_await sleep_for(5500ms);
            EXPECT_EQ(length_of(self()), 2U);
            co_await receive([](int) {});
            co_await receive([](int) {});
            const time_point start = now();
            co_await receive([](int) {});
            EXPECT_EQ(now() - start, 500ms);
            EXPECT_TRUE(every.cancel());
            // A deadline is no message.
            send(self(), 1);
            send(self(), 2);
            EXPECT_TRUE(
                co_await receive([](const std::string&) { return false; }, after(1s, [] { return true; })));
        });
    });
}

// ---- real threads

TEST(BoundedMailbox, HoldsItsLimitBetweenThreads) {
    for (const unsigned workers : test::thread_counts) {
        for (const mailbox_policy policy : all_policies) {
            runtime rt{{.workers = workers}};
            constexpr int senders = 6;
            constexpr int each = 2000;
            constexpr std::size_t capacity = 8;
            std::atomic<int> taken = 0;
            std::atomic<int> got = 0;
            std::atomic<int> alive = 0;
            rt.run([&]() -> task<> {
                const pid p = spawn({.mailbox = {.capacity = capacity, .policy = policy}}, [&]() -> task<> {
                    std::map<int, int> last;
                    for (;;) {
                        EXPECT_LE(length_of(self()), capacity);
                        const bool end = co_await receive(
                            [&](const item& m) {
                                EXPECT_GT(m.number, std::exchange(last[m.from], m.number));
                                ++got;
                                return false;
                            },
                            [](const std::string&) { return true; });
                        if (end) break;
                    }
                });
                const monitor_ref end = monitor(p);
                std::vector<monitor_ref> all;
                for (int s = 0; s < senders; ++s)
                    all.push_back(spawn_monitor([&, p, s]() -> task<> {
                                      for (int i = 1; i <= each; ++i) {
                                          taken += send(p, item{s, i, counted{alive}});
                                          if (i % 16 == 0) co_await yield();
                                      }
                                  }).second);
                for (int s = 0; s < senders; ++s) co_await receive([](const down&) {});
                EXPECT_TRUE(co_await send_wait<std::string>(p, "end"));
                co_await receive([&](const down& d) { EXPECT_EQ(d.ref, end); });
            });
            EXPECT_GT(got, 0);
            if (policy == mailbox_policy::drop_oldest)
                EXPECT_EQ(taken, senders * each);
            else
                EXPECT_EQ(taken, got);
            EXPECT_EQ(alive, 0);
        }
    }
}

TEST(SendWait, NeitherLosesNorDoublesBetweenThreads) {
    for (const unsigned workers : test::thread_counts) {
        runtime rt{{.workers = workers}};
        constexpr int senders = 8;
        constexpr int each = 500;
        std::atomic<int> alive = 0;
        std::atomic<int> sent = 0;
        std::atomic<int> killed = 0;
        int got = 0;
        rt.run([&]() -> task<> {
            const pid p =
                spawn({.mailbox = {.capacity = 2, .policy = mailbox_policy::wait}}, [&]() -> task<> {
                    std::map<int, int> last;
                    for (bool more = true; more;)
                        co_await receive(
                            [&](const item& m) {
                                EXPECT_EQ(m.number, ++last[m.from]);
                                ++got;
                            },
                            [&](const std::string&) { more = false; });
                });
            const monitor_ref end = monitor(p);
            std::vector<pid> all;
            for (int s = 0; s < senders; ++s)
                all.push_back(
                    spawn_monitor([&, p, s]() -> task<> {
                        auto one = [](pid to, int from, int n, std::atomic<int>& c) -> task<send_result> {
                            co_return co_await send_wait<item>(to, from, n, counted{c});
                        };
                        int number = 1;
                        for (int i = 0; i < each; ++i) {
                            auto work = one(p, s, number, alive);
                            const auto r = co_await with_timeout(s % 2 == 0 ? 1ms : 1h, std::move(work));
                            if (!r) continue;
                            EXPECT_TRUE(*r);
                            ++number;
                            ++sent;
                        }
                    }).first);
            co_await sleep_for(2ms);
            exit(all[1], exit_kind::killed);
            for (int s = 0; s < senders; ++s)
                co_await receive([&](const down& d) { killed += d.reason == exit_kind::killed; });
            EXPECT_TRUE(co_await send_wait<std::string>(p, "end"));
            co_await receive([&](const down& d) { EXPECT_EQ(d.ref, end); });
        });
        EXPECT_GE(got, sent);
        EXPECT_LE(got, sent + killed);
        EXPECT_EQ(alive, 0);
    }
}

TEST(SendWait, EndsWithReceiversThatComeAndGoBetweenThreads) {
    for (const unsigned workers : test::thread_counts) {
        runtime rt{{.workers = workers, .on_crash = [](const crash_report&) {}}};
        std::atomic<int> alive = 0;
        rt.run([&]() -> task<> {
            for (int round = 0; round < 200; ++round) {
                auto [p, ref] = spawn_monitor([round]() -> task<> {
                    set_mailbox_limit({.capacity = 1});
                    for (int i = 0; i < round % 7; ++i) co_await receive([](const item&) {});
                    if (round % 3 == 0) throw std::invalid_argument("enough");
                });
                for (int s = 0; s < 4; ++s)
                    spawn_monitor([&alive, p]() -> task<> {
                        for (int i = 0;; ++i)
                            if (!co_await send_wait<item>(p, 0, i, counted{alive})) break;
                    });
                for (int i = 0; i < 5; ++i) co_await receive([](const down&) {});
            }
        });
        EXPECT_EQ(alive, 0);
    }
}
