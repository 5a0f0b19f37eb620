#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/simulation.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "simulation_test_support.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
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

} // namespace

TEST(Process, RunsAndReturnsItsResult) {
    runtime rt{{.workers = 2}};
    EXPECT_EQ(rt.run([] { return 42; }), 42);
    EXPECT_EQ(rt.run([]() -> task<std::string> { co_return "forty-two"; }), "forty-two");
}

TEST(Process, RethrowsWhatEndedIt) {
    runtime rt{{.workers = 1}};
    EXPECT_THROW(rt.run([]() -> task<> {
        throw std::invalid_argument("no");
        co_return;
    }),
                 std::invalid_argument);
}

TEST(Process, AnExceptionEndsItAndNobodyElse) {
    under_seeds([](simulation& sim) {
        auto reason = sim.run([]() -> task<exit_reason> {
            spawn_monitor([]() -> task<> {
                co_await yield();
                throw std::runtime_error("boom");
            });
            co_return co_await receive([](const down& d) { return d.reason; });
        });
        EXPECT_EQ(reason.kind(), exit_kind::error);
        EXPECT_EQ(reason.text(), "boom");
        EXPECT_EQ(reason.type(), "std::runtime_error");
    });
}

TEST(Process, SleepsInVirtualTime) {
    simulation sim{1};
    auto slept = sim.run([]() -> task<duration> {
        const auto before = now();
        co_await sleep_for(24h);
        co_return now() - before;
    });
    EXPECT_EQ(slept, 24h);
}

TEST(Process, ReceivesSelectivelyByType) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const pid me = self();
            spawn([me]() -> task<> {
                send(me, std::string{"first"});
                co_await yield();
                send(me, 2);
                send(me, std::string{"third"});
            });
            EXPECT_EQ(co_await receive([](int i) { return i; }), 2);
            EXPECT_EQ(co_await receive([](std::string s) { return s; }), "first");
            EXPECT_EQ(
                co_await receive([](std::string s) { return s; }, after(1s, [] { return std::string{}; })),
                "third");
            EXPECT_EQ(co_await receive([](int i) { return i; }, after(1s, [] { return -1; })), -1);
        });
    });
}

TEST(Process, AMessageThatNobodyWantsDoesNotEndTheWait) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const pid me = self();
            spawn([me]() -> task<> {
                for (int i = 0; i < 5; ++i) {
                    co_await sleep_for(1s);
                    send(me, i);
                }
            });
            const auto start = now();
            const bool late = co_await receive([](const std::string&) { return false; },
                                               after(3500ms, [] { return true; }));
            EXPECT_TRUE(late);
            EXPECT_EQ(now() - start, 3500ms);
            EXPECT_EQ(info(self())->mailbox_length, 3U);
        });
    });
}

TEST(Process, IsKilledWhereItWaitsAndDestroysItsFramesInnermostFirst) {
    under_seeds([](simulation& sim) {
        std::vector<std::string> order;
        struct note {
            std::vector<std::string>& to;
            std::string what;
            ~note() { to.push_back(what); }
        };
        sim.run([&]() -> task<> {
            auto inner = [](std::vector<std::string>& to) -> task<> {
                note n{to, "inner"};
                try {
                    co_await sleep_for(1h);
                } catch (...) {
                    to.push_back("caught");
                }
            };
            auto [p, ref] = spawn_monitor([&order, inner]() -> task<> {
                note n{order, "outer"};
                co_await inner(order);
            });
            co_await sleep_for(1s);
            exit(p, exit_kind::killed);
            auto why = co_await receive([](const down& d) { return d.reason; });
            EXPECT_EQ(why.kind(), exit_kind::killed);
        });
        EXPECT_EQ(order, (std::vector<std::string>{"inner", "outer"}));
    });
}

TEST(Process, AKillBeforeItsFirstStepDestroysItsArguments) {
    under_seeds([](simulation& sim) {
        std::atomic<int> alive = 0;
        sim.run([&]() -> task<> {
            auto [p, ref] = spawn_monitor(
                [](counted c) -> task<> {
                    co_await sleep_for(1h);
                    (void)c;
                },
                counted{alive});
            exit(p, exit_kind::killed);
            co_await receive([](const down&) {});
        });
        EXPECT_EQ(alive, 0);
    });
}

TEST(Link, CarriesAnAbnormalExit) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            spawn_monitor([]() -> task<> {
                spawn_link([]() -> task<> {
                    co_await yield();
                    throw std::runtime_error("child");
                });
                co_await sleep_for(1h);
            });
            auto why = co_await receive([](const down& d) { return d.reason; });
            EXPECT_EQ(why.kind(), exit_kind::error);
            EXPECT_EQ(why.text(), "child");
        });
    });
}

TEST(Link, DoesNotCarryANormalExit) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            spawn_link([] {});
            co_await sleep_for(1s);
        });
    });
}

TEST(Link, BecomesAMessageForWhoTrapsExits) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            trap_exit(true);
            const pid child = spawn_link([]() -> task<> {
                throw std::runtime_error("x");
                co_return;
            });
            auto got = co_await receive([](exit_signal s) { return s; });
            EXPECT_EQ(got.from, child);
            EXPECT_EQ(got.reason.kind(), exit_kind::error);
            link(child); // dead already
            got = co_await receive([](exit_signal s) { return s; });
            EXPECT_EQ(got.reason.kind(), exit_kind::noproc);
        });
    });
}

TEST(Link, DoesNotEndWhoTrapsExitsFromTheStart) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const spawn_options options{.trap_exit = true};
            const pid trapping = spawn(
                options,
                [](pid parent) -> task<> {
                    const auto got = co_await receive([](exit_signal s) { return s; });
                    send(parent, got.reason.kind());
                },
                self());
            exit(trapping, exit_kind::shutdown); // before or after its first step: the seed says
            const auto kind = co_await receive([](exit_kind k) { return k; });
            EXPECT_EQ(kind, exit_kind::shutdown);
        });
    });
}

TEST(Exit, KilledCannotBeTrapped) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            auto [p, ref] = spawn_monitor([]() -> task<> {
                trap_exit(true);
                co_await sleep_for(1h);
            });
            co_await yield();
            exit(p, exit_kind::normal);
            exit(p, exit_kind::killed);
            EXPECT_EQ((co_await receive([](const down& d) { return d.reason.kind(); })), exit_kind::killed);
        });
    });
}

TEST(Exit, NormalIsIgnoredUnlessTrapped) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            auto [p, ref] = spawn_monitor([]() -> task<> { co_await sleep_for(10s); });
            exit(p, exit_kind::normal);
            const auto start = now();
            EXPECT_EQ((co_await receive([](const down& d) { return d.reason.kind(); })), exit_kind::normal);
            EXPECT_GE(now() - start, 9s);
        });
    });
}

TEST(Monitor, OfADeadProcessAnswersNoproc) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            auto [p, ref] = spawn_monitor([] {});
            co_await receive([](const down&) {});
            monitor_ref again = monitor(p);
            auto d = co_await receive([](down m) { return m; });
            EXPECT_EQ(d.ref, again);
            EXPECT_EQ(d.reason.kind(), exit_kind::noproc);
        });
    });
}

TEST(Monitor, EndedByDemonitorSendsNothing) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            auto [p, ref] = spawn_monitor([] {});
            co_await sleep_for(1s); // its end has been told by now
            demonitor(ref);
            EXPECT_TRUE(
                (co_await receive([](const down&) { return false; }, after(1s, [] { return true; }))));
        });
    });
}

TEST(Names, AreFreeAgainBeforeAnybodyHearsOfTheEnd) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            auto [p, ref] = spawn_monitor([]() -> task<> { co_await sleep_for(1s); });
            EXPECT_TRUE(register_name("me", p));
            EXPECT_FALSE(register_name("me", self()));
            EXPECT_EQ(whereis("me"), p);
            co_await receive([](const down&) {});
            EXPECT_EQ(whereis("me"), pid{});
            EXPECT_TRUE(register_name("me", self()));
            EXPECT_FALSE(register_name("late", p));
        });
    });
}

TEST(Timer, SendsOnceOrAgainAndAgainUntilCancelled) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            auto once = send_after(self(), 1s, std::string{"once"});
            auto tick = send_interval(self(), 300ms, 1);
            int ticks = 0;
            const auto end = now() + 1s;
            while (now() < end)
                ticks += co_await receive([](int i) { return i; }, after(100ms, [] { return 0; }));
            EXPECT_EQ(ticks, 3);
            EXPECT_TRUE(tick.cancel());
            EXPECT_FALSE(tick.cancel());
            EXPECT_EQ((co_await receive([](std::string s) { return s; })), "once");
            EXPECT_FALSE(once.cancel());
            EXPECT_EQ((co_await receive([](int i) { return i; }, after(1h, [] { return 0; }))), 0);
        });
    });
}

TEST(Timeout, DestroysWhatHasNotFinished) {
    under_seeds([](simulation& sim) {
        std::atomic<int> alive = 0;
        sim.run([&]() -> task<> {
            auto slow = [](counted c) -> task<int> {
                co_await sleep_for(1h);
                (void)c;
                co_return 1;
            };
            counted arg{alive};
            auto work = slow(arg);
            auto r = co_await with_timeout(1s, std::move(work));
            EXPECT_FALSE(r.has_value());
            auto quick = [](int n) -> task<int> {
                co_await sleep_for(1ms);
                co_return n;
            };
            auto more = quick(7);
            auto s = co_await with_timeout(1s, std::move(more));
            EXPECT_EQ(s, 7);
            co_await sleep_for(10s);
        });
        EXPECT_EQ(alive, 0);
    });
}

TEST(Timeout, OfAnOuterScopeTakesTheInnerOneWithIt) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            auto inner = []() -> task<> { co_await sleep_for(1h); };
            auto outer = [inner]() -> task<> {
                auto work = inner();
                co_await with_timeout(30min, std::move(work));
            };
            auto work = outer();
            const auto start = now();
            auto r = co_await with_timeout(1s, std::move(work));
            EXPECT_FALSE(r.has_value());
            EXPECT_EQ(now() - start, 1s);
            co_await sleep_for(2h);
        });
    });
}

TEST(Runtime, ManyProcessesOnSeveralWorkersAllEnd) {
    for (const unsigned workers : test::thread_counts) {
        runtime rt{{.workers = workers}};
        std::atomic<int> done{0};
        rt.run([&]() -> task<> {
            const pid me = self();
            for (int i = 0; i < 2000; ++i)
                spawn([&done, me, i]() -> task<> {
                    for (int n = 0; n < 5; ++n) co_await yield();
                    if (i % 3 == 0) co_await sleep_for(1ms);
                    ++done;
                    send(me, i);
                });
            for (int i = 0; i < 2000; ++i) co_await receive([](int) {});
        });
        EXPECT_EQ(done, 2000);
    }
}

// A process that starts one other wakes no worker for it (decision 7), and both are always ready from then on: nobody but the
// monitor could find out that there is work for two.
TEST(Runtime, TwoProcessesThatOnlyYieldToEachOtherRunOnTwoWorkers) {
    runtime rt{{.workers = 2}};
    std::array<std::atomic<int>, 2> turns{};
    std::atomic<bool> apart{false};
    const auto take_turns = [&](std::size_t me) -> task<> {
        const auto deadline = std::chrono::steady_clock::now() + 20s;
        for (;;) {
            if (apart || std::chrono::steady_clock::now() > deadline) co_return;
            ++turns[me];
            const int before = turns[1 - me];
            for (int looks = 0; looks < 1000; ++looks)
                if (turns[1 - me] != before) apart = true; // in the middle of a turn of this one
            co_await yield();
        }
    };
    rt.run([&]() -> task<> {
        co_await sleep_for(20ms); // the other worker has gone to sleep
        spawn_monitor(take_turns, 1U);
        co_await take_turns(0);
        co_await receive([](const down&) {});
    });
    EXPECT_TRUE(apart);
}

TEST(Runtime, KillsWhatStillLivesAtItsEnd) {
    for (const unsigned workers : test::thread_counts) {
        std::atomic<int> alive = 0;
        {
            runtime rt{{.workers = workers}};
            rt.run([&]() -> task<> {
                for (int i = 0; i < 100; ++i)
                    spawn(
                        [](counted c) -> task<> {
                            (void)c;
                            co_await sleep_for(24h);
                        },
                        counted{alive});
                co_await yield();
            });
        }
        EXPECT_EQ(alive, 0);
    }
}

TEST(Runtime, LetsGoOfArmedTimersAtItsEnd) {
    for (const unsigned workers : test::thread_counts) {
        std::atomic<int> alive = 0;
        {
            runtime rt{{.workers = workers}};
            rt.run([&] {
                send_after(self(), 24h, counted{alive});
                send_interval(self(), 24h, counted{alive});
            });
            EXPECT_GT(alive, 0);
        }
        EXPECT_EQ(alive, 0);
    }
}

TEST(Runtime, TheWorkersSendToEachOtherWithoutLoss) {
    for (const unsigned workers : test::thread_counts) {
        runtime rt{{.workers = workers}};
        constexpr int n = 20000;
        auto sum = rt.run([]() -> task<long> {
            const pid me = self();
            for (int s = 0; s < 4; ++s)
                spawn([me]() -> task<> {
                    for (int i = 0; i < n; ++i) {
                        send(me, i);
                        if (i % 64 == 0) co_await yield();
                    }
                });
            long total = 0;
            for (int i = 0; i < 4 * n; ++i) total += co_await receive([](int v) { return v; });
            co_return total;
        });
        EXPECT_EQ(sum, 4L * n * (n - 1) / 2);
    }
}

TEST(Process, MayRunATaskThatAPlainFunctionMade) {
    static task<> kept; // made while a process is, and living longer than that process
    under_seeds([](simulation& sim) {
        std::atomic<int> alive = 0;
        sim.run([&]() -> task<> {
            spawn([] { return task<>{}; });
            auto [p, ref] = spawn_monitor([] {
                auto inner = [](int n) -> task<> {
                    for (int i = 0; i < n; ++i) co_await yield();
                };
                auto outer = [](task<> first) -> task<> { co_await std::move(first); };
                kept = inner(1);
                return outer(inner(3));
            });
            co_await receive([](const down& d) { EXPECT_EQ(d.reason.kind(), exit_kind::normal); });
            for (int i = 0; i < 200; ++i)
                spawn(
                    [](counted c) -> task<> {
                        (void)c;
                        co_await yield();
                    },
                    counted{alive});
            kept = task<>{};
            co_await sleep_for(1s);
            (void)p;
        });
        EXPECT_EQ(alive, 0);
    });
}

namespace {

struct notes {
    std::vector<std::string> gone;
};
/// Says its name when it goes, wherever it was moved to last.
struct named {
    named(std::string n, std::shared_ptr<notes> to) : name(std::move(n)), where(std::move(to)) {}
    named(named&& o) noexcept = default;
    ~named() {
        if (where) where->gone.push_back(name);
    }
    std::string name;
    std::shared_ptr<notes> where;
};
struct throws_when_copied {
    throws_when_copied() = default;
    throws_when_copied(const throws_when_copied&) { throw std::runtime_error("no copy"); }
};

// Small enough to lie in the cell of its process, and one that is not.
template <std::size_t Padding>
pid spawn_with_captures(std::shared_ptr<notes> n, bool wait) {
    struct pad {
        char bytes[Padding]{};
    };
    auto held = std::make_unique<named>("capture", n);
    return spawn([held = std::move(held), p = pad{}, wait]() -> task<> {
        const named local{"local", held->where};
        if (wait) co_await sleep_for(24h);
        (void)p;
    });
}

} // namespace

TEST(Process, CapturesGoAfterTheFrameThatRefersToThem) {
    under_seeds([](simulation& sim) {
        sim.run([&sim]() -> task<> {
            for (int i = 0; i < 4; ++i) {
                auto n = std::make_shared<notes>();
                const bool wait = sim.random(2) == 0;
                const pid p =
                    sim.random(2) == 0 ? spawn_with_captures<1>(n, wait) : spawn_with_captures<100>(n, wait);
                const monitor_ref ref = monitor(p);
                for (auto steps = sim.random(3); steps > 0; --steps) co_await yield();
                if (wait || sim.random(2) == 0) exit(p, exit_kind::killed);
                const auto d = co_await receive([](const down& m) { return m.ref; });
                EXPECT_EQ(d, ref);
                std::vector<std::string> expected{"local", "capture"};
                if (n->gone.size() == 1) expected.erase(expected.begin()); // killed before its first step
                EXPECT_EQ(n->gone, expected);
            }
        });
    });
}

TEST(Process, ArgumentsByReferenceLiveAsLongAsTheProcess) {
    simulation sim{1};
    auto told = sim.run([]() -> task<std::string> {
        const pid me = self();
        auto f = [](const std::string& text, pid to) -> task<> {
            co_await yield();
            send(to, text);
        };
        spawn(f, std::string{"a text that is long enough to be elsewhere"}, me);
        co_return co_await receive([](std::string s) { return s; });
    });
    EXPECT_EQ(told, "a text that is long enough to be elsewhere");
}

TEST(Process, ACopyThatThrowsLeavesNoProcessBehind) {
    simulation sim{1};
    sim.run([]() -> task<> {
        const std::size_t before = processes().size();
        const throws_when_copied t;
        auto f = [](const throws_when_copied&) -> task<> { co_return; };
        EXPECT_THROW(spawn(f, t), std::runtime_error);
        EXPECT_EQ(processes().size(), before);
        bool ran = false;
        spawn([&ran]() -> task<> { // the cell is in order
            ran = true;
            co_return;
        });
        co_await yield();
        while (!ran) co_await yield();
    });
}
