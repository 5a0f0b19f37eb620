#include <genever/runtime/blocking.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "blocking_test_support.hpp"
#include "thread_priority.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <latch>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::counted;
using genever::test::gate;

namespace {

/// Once for each number of workers that matters: alone, as many as cores, more than cores.
template <class F>
void with_workers(F body) {
    for (unsigned n : {1U, 2U, 8U}) {
        SCOPED_TRACE(std::to_string(n) + " workers");
        body(runtime_options{.workers = n});
        if (::testing::Test::HasFailure()) return;
    }
}

/// The calling thread's scheduling: struct sched_attr (see thread_priority.cpp).
struct scheduling {
    std::uint32_t size = 0;
    std::uint32_t policy = 0;
    std::uint64_t flags = 0;
    std::int32_t nice = 0;
    std::uint32_t priority = 0;
    std::uint64_t slice = 0; // 0 before Linux 6.12
    std::uint64_t deadline = 0;
    std::uint64_t period = 0;
};
scheduling own_scheduling() {
    scheduling s;
    if (syscall(SYS_sched_getattr, 0, &s, sizeof s, 0U) != 0) ADD_FAILURE() << "sched_getattr";
    return s;
}

constexpr duration patience = 20s;

/// Waits until `holds()`. Where that takes too long the test fails, and goes on without any more waits, so that it ends.
template <class F>
task<> until(std::string_view what, F holds) {
    const time_point end = now() + (::testing::Test::HasFailure() ? duration{} : patience);
    for (unsigned turn = 1; !holds(); ++turn) {
        if (now() >= end) {
            ADD_FAILURE() << "in vain it was waited until " << what;
            co_return;
        }
        if (turn % 32 == 0)
            co_await sleep_for(200us); // where threads share a processor
        else
            co_await yield();
    }
}
task<> until_parked(pid p) {
    return until("a process is parked", [p] {
        const auto i = info(p);
        return i && i->state == process_state::parked;
    });
}

[[gnu::noinline]] void thrower_whose_name_is_seen() { throw std::runtime_error("from afar"); }

} // namespace

TEST(Blocking, GivesTheResult) {
    with_workers([](const runtime_options& o) {
        runtime rt{o};
        rt.run([]() -> task<> {
            EXPECT_EQ(co_await blocking([] { return 42; }), 42);
            const std::string text(100, 'x');
            auto longer = blocking([text] { return text + "y"; });
            EXPECT_EQ(co_await longer, text + "y");
            bool called = false;
            co_await blocking([&called] { called = true; });
            EXPECT_TRUE(called);
            std::unique_ptr<int> p = co_await blocking([] { return std::make_unique<int>(7); });
            EXPECT_EQ(*p, 7);
            auto owner = [p = std::move(p)]() mutable { return std::move(p); };
            auto move_only = blocking(std::move(owner));
            p = co_await move_only;
            EXPECT_EQ(*p, 7);
            const auto named = [text] { return text.size(); };
            EXPECT_EQ(co_await blocking(named), 100U);
        });
    });
}

TEST(Blocking, RethrowsTheExceptionWithTheStackOfItsThrow) {
    with_workers([](const runtime_options& o) {
        runtime rt{o};
        rt.run([]() -> task<> {
            std::string caught;
            try {
                co_await blocking([]() -> int { throw std::invalid_argument("no"); });
            } catch (const std::invalid_argument& e) {
                caught = e.what();
            }
            EXPECT_EQ(caught, "no");
            // A process that such an exception ends tells its stack, too.
            spawn_options quiet;
            quiet.quiet = true;
            quiet.watcher = self();
            quiet.monitor = detail::new_monitor_ref();
            spawn(quiet, []() -> task<> { co_await blocking(thrower_whose_name_is_seen); });
            const auto why = co_await receive([](const down& d) { return d.reason; });
            EXPECT_EQ(why.text(), "from afar");
            const stack_trace* trace = why.trace();
            if (!trace || trace->empty()) {
                ADD_FAILURE() << "no trace";
                co_return;
            }
            EXPECT_NE(to_string(*trace).find("thrower_whose_name_is_seen"), std::string::npos)
                << to_string(*trace);
        });
    });
}

TEST(Blocking, LetsTheOthersRunMeanwhile) {
    runtime rt{{.workers = 1}};
    rt.run([]() -> task<> {
        gate g;
        spawn([&g]() -> task<> {
            co_await yield();
            g.open();
        });
        co_await blocking([&g] { g.wait(); });
    });
}

TEST(Blocking, RunsOnANamedThreadWithoutSignalsOutsideOfAnyProcess) {
    runtime rt{{.workers = 1}};
    rt.run([]() -> task<> {
        const pid me = self();
        const auto here = std::this_thread::get_id();
        co_await blocking([me, here] {
            EXPECT_NE(std::this_thread::get_id(), here);
            char name[32] = {};
            pthread_getname_np(pthread_self(), name, sizeof name);
            EXPECT_STREQ(name, "genever-block");
            sigset_t blocked;
            pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
            EXPECT_TRUE(sigismember(&blocked, SIGTERM));
            EXPECT_TRUE(sigismember(&blocked, SIGINT));
            EXPECT_FALSE(sigismember(&blocked, SIGSEGV));
            EXPECT_EQ(self(), pid{});
            EXPECT_TRUE(is_alive(me));
            EXPECT_THROW(spawn([] {}), std::logic_error);
            EXPECT_THROW(register_name("x", me), std::logic_error);
            EXPECT_TRUE(send(me, 7));
        });
        EXPECT_EQ(co_await receive([](int i) { return i; }), 7);
    });
}

TEST(Blocking, ThatIsAwaitedTwiceThrows) {
    runtime rt{{.workers = 1}};
    rt.run([]() -> task<> {
        auto once = blocking([] { return 1; });
        EXPECT_EQ(co_await once, 1);
        bool thrown = false;
        try {
            co_await once;
        } catch (const std::logic_error&) {
            thrown = true;
        }
        EXPECT_TRUE(thrown);
        EXPECT_EQ(co_await blocking([] { return 2; }), 2);
    });
}

TEST(Blocking, HandsOverAnExceptionOfTheResultsMove) {
    struct fragile {
        fragile() = default;
        fragile(fragile&& o) : moves(o.moves + 1) {
            if (moves == 2) throw std::runtime_error("broken on the way");
        }
        int moves = 0;
    };
    runtime rt{{.workers = 1}};
    EXPECT_THROW(rt.run([]() -> task<> { co_await blocking([] { return fragile{}; }); }), std::runtime_error);
}

TEST(Blocking, DestroysTheCallBeforeTheCallerGoesOn) {
    with_workers([](const runtime_options& o) {
        std::atomic<int> alive{0};
        runtime rt{o};
        rt.run([&]() -> task<> {
            for (int i = 0; i < 100; ++i) {
                auto call = blocking([c = counted{alive}] { return c; });
                const counted result = co_await call;
                EXPECT_EQ(alive, 2); // what the awaiter holds, and `result`
            }
            EXPECT_EQ(alive, 0);
        });
    });
}

TEST(Blocking, AKillEndsTheWaitAndLeavesTheCallRunning) {
    with_workers([](const runtime_options& o) {
        std::atomic<int> alive{0};
        std::atomic<bool> ran_to_its_end{false};
        gate started;
        gate go_on;
        {
            runtime rt{o};
            rt.run([&]() -> task<> {
                auto [victim, ref] = spawn_monitor([&]() -> task<> {
                    const counted frame{alive};
                    auto call = blocking([&started, &go_on, &ran_to_its_end, c = counted{alive}] {
                        started.open();
                        go_on.wait();
                        ran_to_its_end = true;
                        return c;
                    });
                    co_await call;
                    ADD_FAILURE() << "went on";
                });
                co_await blocking([&] { started.wait(); });
                exit(victim, exit_kind::killed);
                const auto why = co_await receive([](const down& d) { return d.reason.kind(); });
                EXPECT_EQ(why, exit_kind::killed);
                EXPECT_FALSE(ran_to_its_end);
                EXPECT_EQ(alive, 1); // the captured one
                go_on.open();
            });
        } // waits for the call
        EXPECT_TRUE(ran_to_its_end);
        EXPECT_EQ(alive, 0);
    });
}

TEST(Blocking, ADeadlineEndsTheWaitAndLeavesTheCallRunning) {
    with_workers([](const runtime_options& o) {
        std::atomic<int> alive{0};
        std::atomic<bool> started{false};
        std::atomic<bool> ran_to_its_end{false};
        gate go_on;
        {
            runtime rt{o};
            rt.run([&]() -> task<> {
                auto wait = [&](counted c) -> task<counted> {
                    auto call = blocking([&, c] {
                        started = true;
                        go_on.wait();
                        ran_to_its_end = true;
                        return c;
                    });
                    co_return co_await call;
                };
                // Again where the deadline comes before there is a thread.
                const time_point end = now() + patience;
                for (;;) {
                    auto work = wait(counted{alive});
                    const auto r = co_await with_timeout(5ms, std::move(work));
                    EXPECT_FALSE(r.has_value());
                    if (started || now() >= end) break;
                }
                EXPECT_TRUE(started) << "in vain it was waited until the call has begun";
                EXPECT_FALSE(ran_to_its_end);
                // A later wait of the same process is not disturbed by the answer to the earlier one.
                EXPECT_EQ(co_await blocking([&go_on] {
                              go_on.open();
                              return 3;
                          }),
                          3);
            });
        }
        EXPECT_TRUE(ran_to_its_end);
        EXPECT_EQ(alive, 0);
    });
}

TEST(Blocking, ACallInTimeIsNotDisturbedByItsDeadline) {
    runtime rt{{.workers = 2}};
    rt.run([]() -> task<> {
        auto quick = []() -> task<int> { co_return co_await blocking([] { return 1; }); };
        auto work = quick();
        EXPECT_EQ((co_await with_timeout(1h, std::move(work))), 1);
    });
}

TEST(Blocking, QueuesInOrderWhatIsBeyondItsThreads) {
    runtime rt{{.workers = 2, .blocking_threads = 1}};
    std::vector<int> order;
    rt.run([&]() -> task<> {
        gate busy;
        gate go_on;
        spawn([&]() -> task<> {
            co_await blocking([&] {
                busy.open();
                go_on.wait();
            });
        });
        busy.wait(); // the one thread has that call
        const pid me = self();
        std::vector<pid> callers;
        for (int i = 0; i < 50; ++i) {
            callers.push_back(spawn([&order, me, i]() -> task<> {
                co_await blocking([&order, i] { order.push_back(i); });
                send(me, i);
            }));
            co_await until_parked(callers.back()); // in the queue
        }
        go_on.open();
        for (int i = 0; i < 50; ++i) co_await receive([](int) {});
    });
    EXPECT_TRUE(std::ranges::is_sorted(order));
    EXPECT_EQ(order.size(), 50U);
}

TEST(Blocking, NeverUsesMoreThreadsThanItMay) {
    with_workers([](runtime_options o) {
        o.blocking_threads = 3;
        runtime rt{o};
        std::atomic<int> at_once{0};
        std::atomic<int> most{0};
        rt.run([&]() -> task<> {
            const pid me = self();
            for (int i = 0; i < 60; ++i)
                spawn([&, me]() -> task<> {
                    co_await blocking([&] {
                        const int n = ++at_once;
                        int seen = most;
                        while (n > seen && !most.compare_exchange_weak(seen, n)) {
                        }
                        std::this_thread::yield();
                        --at_once;
                    });
                    send(me, 1);
                });
            for (int i = 0; i < 60; ++i) co_await receive([](int) {});
        });
        EXPECT_LE(most, 3);
        EXPECT_GE(most, 1);
    });
}

TEST(Blocking, StartsAsManyThreadsAsThereAreCallsThatWaitForEachOther) {
    runtime rt{{.workers = 2}};
    rt.run([]() -> task<> {
        constexpr int n = 40;
        std::latch all{n};
        const pid me = self();
        for (int i = 0; i < n; ++i)
            spawn([&all, me]() -> task<> {
                co_await blocking([&all] { all.arrive_and_wait(); });
                send(me, 1);
            });
        for (int i = 0; i < n; ++i) co_await receive([](int) {});
    });
}

TEST(Blocking, ACallThatIsStillQueuedWhenItsCallerDiesIsNeverStarted) {
    runtime rt{{.workers = 2, .blocking_threads = 1}};
    std::atomic<int> alive{0};
    bool ran = false;
    rt.run([&]() -> task<> {
        gate go_on;
        const pid me = self();
        spawn([&, me]() -> task<> {
            co_await blocking([&, me] {
                send(me, 1);
                go_on.wait();
            });
        });
        co_await receive([](int) {});
        auto [victim, ref] = spawn_monitor([&]() -> task<> {
            auto call = blocking([&ran, c = counted{alive}] { ran = true; });
            co_await call;
        });
        co_await until_parked(victim);
        exit(victim, exit_kind::killed);
        const auto why = co_await receive([](const down& d) { return d.reason.kind(); });
        EXPECT_EQ(why, exit_kind::killed);
        go_on.open();
        co_await blocking([] {}); // comes after it
        EXPECT_EQ(alive, 0);
    });
    EXPECT_FALSE(ran);
}

TEST(Blocking, TenThousandShortCalls) {
    with_workers([](runtime_options o) {
        o.blocking_threads = 8;
        runtime rt{o};
        const long sum = rt.run([]() -> task<long> {
            constexpr int callers = 100;
            constexpr int calls = 100;
            const pid me = self();
            for (int i = 0; i < callers; ++i)
                spawn([me, i]() -> task<> {
                    long mine = 0;
                    for (int n = 0; n < calls; ++n) mine += co_await blocking([i] { return long{i}; });
                    send(me, mine);
                });
            long total = 0;
            for (int i = 0; i < callers; ++i) total += co_await receive([](long n) { return n; });
            co_return total;
        });
        EXPECT_EQ(sum, 100L * (99 * 100 / 2));
    });
}

TEST(Blocking, KillsAndDeadlinesAtAnyMomentLeaveNothingBehind) {
    with_workers([](runtime_options o) {
        o.blocking_threads = 4;
        std::atomic<int> alive{0};
        {
            runtime rt{o};
            rt.run([&]() -> task<> {
                for (int i = 0; i < 400; ++i) {
                    auto [victim, ref] = spawn_monitor([&alive, i]() -> task<> {
                        const counted frame{alive};
                        auto wait = [](int n, counted c) -> task<counted> {
                            for (;;) {
                                auto call = blocking([n, c] {
                                    if (n % 3 == 0) std::this_thread::yield();
                                    if (n % 5 == 0) throw std::runtime_error("x");
                                    return c;
                                });
                                try {
                                    co_await call;
                                } catch (const std::runtime_error&) {
                                }
                            }
                        };
                        for (;;) {
                            auto work = wait(i, frame);
                            const auto r =
                                co_await with_timeout(std::chrono::microseconds{i % 7 * 50}, std::move(work));
                            EXPECT_FALSE(r.has_value());
                        }
                    });
                    for (int n = 0; n < i % 11; ++n) co_await yield();
                    if (i % 4 == 0) co_await blocking([] {});
                    if (i % 3 == 0) co_await sleep_for(std::chrono::microseconds{100});
                    exit(victim, exit_kind::killed);
                    const auto why = co_await receive([](const down& d) { return d.reason.kind(); });
                    EXPECT_EQ(why, exit_kind::killed);
                }
            });
        }
        EXPECT_EQ(alive, 0);
    });
}

TEST(Blocking, TheRuntimesEndWaitsForWhatRunsAndDropsWhatIsQueued) {
    with_workers([](runtime_options o) {
        o.blocking_threads = 1;
        std::atomic<int> alive{0};
        std::atomic<bool> running{false};
        std::atomic<bool> ended{false};
        std::atomic<bool> started_late{false};
        gate go_on;
        {
            runtime rt{o};
            rt.run([&]() -> task<> {
                spawn([&]() -> task<> {
                    auto call = blocking([&, c = counted{alive}] {
                        running = true;
                        go_on.wait();
                        ended = true;
                        return c;
                    });
                    co_await call;
                });
                co_await until("the call has begun", [&running] { return running.load(); });
                std::vector<pid> queued;
                for (int i = 0; i < 10; ++i)
                    queued.push_back(spawn([&]() -> task<> {
                        auto call = blocking([&started_late, c = counted{alive}] { started_late = true; });
                        co_await call;
                    }));
                for (pid q : queued) co_await until_parked(q);
            });
            // What dies with its process, while the runtime ends, lets the call go on.
            std::shared_ptr<void> opener{nullptr, [&](void*) { go_on.open(); }};
            rt.spawn([opener = std::move(opener)]() -> task<> { co_await sleep_for(24h); });
        }
        EXPECT_TRUE(ended);
        EXPECT_FALSE(started_late);
        EXPECT_EQ(alive, 0);
    });
}

// ---- what a thread of the pool is like

TEST(Blocking, RunsWithTheProgramsPriorityAndTheSystemsSlices) {
    const scheduling usual = own_scheduling();
    runtime rt{{.workers = 1}};
    rt.run([&]() -> task<> {
        const scheduling there = co_await blocking([] { return own_scheduling(); });
        EXPECT_EQ(there.nice, usual.nice);
        EXPECT_EQ(there.policy, usual.policy);
        EXPECT_EQ(there.slice, usual.slice) << "a worker's are short, so that it wakes at once";
    });
}

TEST(Blocking, RunsWithTheProgramsPriorityForAHogThatHasBeenLowered) {
    const int usual = detail::own_nice();
    if (usual >= 19) GTEST_SKIP() << "nothing is lower than this program's priority";
    for (int round = 0; round < 5 && !::testing::Test::HasFailure(); ++round) {
        std::atomic<bool> over{false};
        runtime rt{{.workers = 1, .on_stall = [](const stall_report&) {}}};
        rt.run([&]() -> task<> {
            spawn_monitor([&]() -> task<> {
                const auto end = std::chrono::steady_clock::now() + patience;
                while (detail::own_nice() == usual && std::chrono::steady_clock::now() < end) {
                }
                EXPECT_NE(detail::own_nice(), usual) << "in vain it was waited until the hog is lowered";
                const int there = co_await blocking([] { return detail::own_nice(); });
                EXPECT_EQ(there, usual);
                over = true;
            });
            // So somebody waits for the worker.
            co_await until("the hog has gone on", [&over] { return over.load(); });
            co_await receive([](const down&) {});
        });
    }
}

// The dead one's place is taken at once by another process, which waits for something else.
TEST(Blocking, AResultForTheDeadWakesNobody) {
    with_workers([](const runtime_options& o) {
        runtime rt{o};
        std::atomic<int> alive{0};
        rt.run([&]() -> task<> {
            for (int round = 0; round < 20; ++round) {
                gate started;
                gate go_on;
                auto [victim, ref] = spawn_monitor([&]() -> task<> {
                    auto call = blocking([&started, &go_on, c = counted{alive}] {
                        started.open();
                        go_on.wait();
                        return c;
                    });
                    co_await call;
                    ADD_FAILURE() << "went on";
                });
                co_await blocking([&] { started.wait(); });
                exit(victim, exit_kind::killed);
                const auto why = co_await receive([](const down& d) { return d.reason.kind(); });
                EXPECT_EQ(why, exit_kind::killed);
                const pid me = self();
                std::vector<pid> others;
                for (int i = 0; i < 8; ++i)
                    others.push_back(spawn([me]() -> task<> {
                        const int got = co_await receive([](int n) { return n; });
                        send(me, got);
                    }));
                for (const pid q : others) co_await until_parked(q);
                go_on.open();
                co_await until("the result has been dropped", [&alive] { return alive == 0; });
                for (const pid q : others) {
                    EXPECT_EQ(info(q)->state, process_state::parked);
                    send(q, 7);
                    EXPECT_EQ(co_await receive([](int n) { return n; }), 7);
                }
            }
        });
    });
}
