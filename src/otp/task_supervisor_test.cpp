#include "task_test_support.hpp"

#include <genever/runtime/timeout.hpp>

#include <algorithm>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

TEST(TaskSupervisor, GivesTheResultOfAPlainFunctionAndOfACoroutine) {
    under_seeds([](simulation& sim) {
        with_tasks(sim);
        sim.run([]() -> task<> {
            auto a = co_await tasks.async(slow_double, 21, 1s);
            auto b = co_await tasks.async([](int x, const std::string& s) { return s + std::to_string(x); },
                                          7, long_text);
            auto c = co_await tasks.async([] {});
            auto d = co_await tasks.async_nolink([]() -> task<std::unique_ptr<std::string>> {
                co_await yield();
                co_return std::make_unique<std::string>(long_text);
            });
            auto own = std::make_unique<std::string>(long_text);
            auto starting = tasks.async([own = std::move(own)] { return *own; });
            auto e = co_await starting;
            EXPECT_EQ(co_await a.await(), 42);
            EXPECT_EQ(co_await b.await(), long_text + "7");
            co_await c.await();
            auto text = co_await d.await();
            EXPECT_EQ(*text, long_text);
            EXPECT_EQ(co_await e.await(), long_text);
            bool twice = false;
            try {
                co_await a.await();
            } catch (const std::logic_error&) {
                twice = true;
            }
            EXPECT_TRUE(twice);
            EXPECT_EQ(co_await running_tasks(), 0U);
        });
    });
}

TEST(TaskSupervisor, ALinkedTasksCrashIsItsOwners) {
    under_seeds([](simulation& sim) {
        with_tasks(sim);
        sim.run([]() -> task<> {
            auto owner = []() -> task<> {
                auto t = co_await tasks.async(fail_after, 1s, long_text);
                co_await sleep_for(1h);
            };
            spawn_monitor(owner);
            const time_point before = now();
            auto d = co_await receive([](down d) { return d; });
            EXPECT_EQ(d.reason.text(), long_text);
            EXPECT_LT(now() - before, 2s);

            // One that traps exits lives on, and hears of it by its await as well.
            trap_exit(true);
            auto t = co_await tasks.async(fail_after, 1s, long_text);
            std::string text;
            try {
                co_await t.await();
            } catch (const exit_error& e) {
                text = e.reason().text();
            }
            EXPECT_EQ(text, long_text);
            auto s = co_await receive([](exit_signal s) { return s; });
            EXPECT_EQ(s.reason.text(), long_text);
        });
    });
}

TEST(TaskSupervisor, AnUnlinkedTasksCrashIsAnErrorForWhoAwaitsIt) {
    under_seeds([](simulation& sim) {
        with_tasks(sim);
        sim.run([]() -> task<> {
            auto t = co_await tasks.async_nolink(fail_after, 1s, long_text);
            auto r = co_await t.yield(5s);
            EXPECT_TRUE(r.has_value());
            EXPECT_EQ(r->error().text(), long_text);

            // Who does not catch what await throws ends with the task's reason.
            auto owner = [](exit_kind how) -> task<> {
                auto t = co_await tasks.async_nolink([how]() -> task<int> {
                    if (how == exit_kind::error) throw std::runtime_error(long_text);
                    exit(self(), how);
                    co_await sleep_for(1h);
                    co_return 1;
                });
                co_await t.await();
            };
            for (auto how : {exit_kind::killed, exit_kind::shutdown, exit_kind::error}) {
                spawn_monitor(owner, how);
                auto d = co_await receive([](down d) { return d; });
                EXPECT_EQ(d.reason.kind(), how);
                EXPECT_EQ(d.reason.text(), how == exit_kind::error ? long_text : "");
            }
        });
    });
}

TEST(TaskSupervisor, ATaskThatIsLateEndsItsOwnerWithTimeout) {
    under_seeds([](simulation& sim) {
        with_tasks(sim);
        sim.run([]() -> task<> {
            auto owner = [](bool linked) -> task<> {
                auto starting =
                    linked ? tasks.async(slow_double, 1, 1h) : tasks.async_nolink(slow_double, 1, 1h);
                auto t = co_await starting;
                co_await t.await();
            };
            const time_point before = now();
            spawn_monitor(owner, true);
            auto d = co_await receive([](down d) { return d; });
            EXPECT_EQ(d.reason.kind(), exit_kind::timeout);
            EXPECT_EQ(now() - before, 5s); // Elixir's default
            co_await sleep_for(1s);
            EXPECT_EQ(co_await running_tasks(), 0U); // the link took it along

            spawn_monitor(owner, false);
            co_await receive([](down) {});
            EXPECT_EQ(co_await running_tasks(), 1U); // nobody's now

            // Caught: the owner goes on, and hears no more of the task.
            auto t = co_await tasks.async_nolink(slow_double, 1, 10s);
            bool late = false;
            try {
                co_await t.await(1s);
            } catch (const exit_error& e) {
                late = e.reason() == exit_kind::timeout;
            }
            EXPECT_TRUE(late);
            const bool more = co_await receive([](down) { return true; }, after(20s, [] { return false; }));
            EXPECT_FALSE(more);
        });
    });
}

TEST(TaskSupervisor, AnEndThatNobodyWaitsForAnyMoreLeavesNoDown) {
    under_seeds([](simulation& sim) {
        with_tasks(sim);
        sim.run([]() -> task<> {
            const auto nothing_came = []() -> task<bool> {
                bool came = false;
                co_await receive([&came](const down&) { came = true; }, after(0s, [] {}));
                co_return !came;
            };
            // The time is over, then it ends.
            for (const bool linked : {false, true}) {
                auto starting =
                    linked ? tasks.async(slow_double, 1, 2s) : tasks.async_nolink(slow_double, 1, 2s);
                auto t = co_await starting;
                const pid p = t.pid();
                bool late = false;
                try {
                    co_await t.await(1s);
                } catch (const exit_error&) {
                    late = true;
                }
                EXPECT_TRUE(late);
                co_await sleep_for(5s);
                EXPECT_FALSE(is_alive(p));
                EXPECT_TRUE(co_await nothing_came());
            }
            // Whoever waits is called off, it ends, and only then the reference goes.
            {
                auto starting = tasks.async_nolink(slow_double, 1, 2s);
                auto t = co_await starting;
                auto waiting = t.await(1h);
                const auto r = co_await with_timeout(1s, std::move(waiting));
                EXPECT_FALSE(r.has_value());
                co_await sleep_for(5s);
            }
            EXPECT_TRUE(co_await nothing_came());
            // The start itself is called off while the supervisor is busy with another one's.
            {
                const pid me = self();
                auto other = [me]() -> task<> {
                    child_spec slow{"slow", []() -> task<start_result> {
                                        co_await sleep_for(2s);
                                        co_return pid{};
                                    }};
                    const dynamic_supervisor_ref sup{"tasks"};
                    auto adding = sup.start_child(slow);
                    co_await std::move(adding);
                    send(me, 1);
                };
                spawn(other);
                co_await sleep_for(1s);
                auto start = []() -> task<> {
                    auto starting = tasks.async_nolink(slow_double, 1, 1s);
                    auto t = co_await starting;
                };
                auto work = start();
                const auto r = co_await with_timeout(500ms, std::move(work));
                EXPECT_FALSE(r.has_value());
                co_await receive([](int) {});
                co_await sleep_for(5s);
                EXPECT_EQ(co_await running_tasks(), 0U);
            }
            EXPECT_TRUE(co_await nothing_came());
            // It was never awaited, and has ended.
            {
                auto starting = tasks.async(slow_double, 1, 1s);
                auto t = co_await starting;
                co_await sleep_for(5s);
            }
            EXPECT_TRUE(co_await nothing_came());
        });
    });
}

TEST(TaskSupervisor, AResultThatComesAfterAYieldCanStillBeAwaited) {
    under_seeds([](simulation& sim) {
        with_tasks(sim);
        sim.run([]() -> task<> {
            auto t = co_await tasks.async(slow_double, 4, 3s);
            auto r = co_await t.yield(1s);
            EXPECT_FALSE(r.has_value());
            r = co_await t.yield(0s);
            EXPECT_FALSE(r.has_value());
            co_await sleep_for(5s); // it comes now
            EXPECT_EQ(co_await t.await(0s), 8);

            auto u = co_await tasks.async(slow_double, 4, 3s);
            r = co_await u.yield(1s);
            EXPECT_FALSE(r.has_value());
            r = co_await u.yield(5s);
            EXPECT_EQ(r->value(), 8);
            // So it can after a wait that was called off.
            auto v = co_await tasks.async(slow_double, 5, 3s);
            auto waiting = v.await();
            auto off = co_await with_timeout(1s, std::move(waiting));
            EXPECT_FALSE(off.has_value());
            EXPECT_EQ(co_await v.await(), 10);
        });
    });
}

TEST(TaskSupervisor, OnlyTheOwnerMayAwait) {
    under_seeds(
        [](simulation& sim) {
            with_tasks(sim);
            sim.run([]() -> task<> {
                auto t = co_await tasks.async(slow_double, 4, 3s);
                auto other = [t = std::move(t)]() mutable -> task<> { co_await t.await(); };
                spawn_monitor(std::move(other));
                auto d = co_await receive([](down d) { return d; });
                EXPECT_NE(d.reason.type().find("logic_error"), std::string_view::npos);
            });
        },
        20);
}

TEST(TaskSupervisor, ShutdownEndsATaskAndSaysWhatItGave) {
    under_seeds([](simulation& sim) {
        with_tasks(sim);
        sim.run([]() -> task<> {
            auto asleep = co_await tasks.async(slow_double, 1, 1h); // linked: the owner lives on
            const pid p = asleep.pid();
            auto r = co_await asleep.shutdown();
            EXPECT_FALSE(r.has_value());
            EXPECT_FALSE(is_alive(p));
            auto done = co_await tasks.async(slow_double, 2, 1s);
            co_await sleep_for(2s);
            r = co_await done.shutdown();
            EXPECT_EQ(r->value(), 4);
            auto crashed = co_await tasks.async_nolink(fail_after, 0s, "no");
            co_await sleep_for(1s);
            r = co_await crashed.shutdown();
            EXPECT_EQ(r->error().text(), "no");
            auto deaf = co_await tasks.async([]() -> task<int> {
                trap_exit(true);
                co_await sleep_for(1h);
                co_return 1;
            });
            co_await sleep_for(1s);
            const time_point before = now();
            r = co_await deaf.shutdown(2s);
            EXPECT_FALSE(r.has_value());
            EXPECT_EQ(now() - before, 2s);
            auto brutal = co_await tasks.async(slow_double, 1, 1h);
            r = co_await brutal.shutdown(brutal_kill);
            EXPECT_FALSE(r.has_value());
            // A kill by somebody else is an answer.
            auto killed = co_await tasks.async_nolink(slow_double, 1, 1h);
            co_await sleep_for(1s);
            exit(killed.pid(), exit_kind::killed);
            co_await sleep_for(1s);
            r = co_await killed.shutdown();
            EXPECT_EQ(r->error().kind(), exit_kind::killed);
            EXPECT_EQ(co_await running_tasks(), 0U);
        });
    });
}

TEST(TaskSupervisor, AwaitManyGivesAllResultsInOrderOrNone) {
    under_seeds([](simulation& sim) {
        with_tasks(sim);
        sim.run([]() -> task<> {
            std::vector<task_ref<int>> all;
            for (int i = 0; i < 10; ++i) {
                auto t = co_await tasks.async(slow_double, i, std::chrono::milliseconds(100 * (10 - i)));
                all.push_back(std::move(t));
            }
            const auto results = co_await await_many(std::move(all));
            EXPECT_EQ(results, (std::vector<int>{0, 2, 4, 6, 8, 10, 12, 14, 16, 18}));
            std::vector<task_ref<void>> quiet;
            for (int i = 0; i < 3; ++i) {
                auto t = co_await tasks.async([]() -> task<> { co_await sleep_for(1s); });
                quiet.push_back(std::move(t));
            }
            co_await await_many(std::move(quiet));

            // The first crash, and not the last task, decides.
            std::vector<task_ref<int>> bad;
            auto s = co_await tasks.async_nolink(slow_double, 1, 4s);
            bad.push_back(std::move(s));
            auto f = co_await tasks.async_nolink(fail_after, 1s, "boom");
            bad.push_back(std::move(f));
            time_point before = now();
            std::string text;
            try {
                co_await await_many(std::move(bad));
            } catch (const exit_error& e) {
                text = e.reason().text();
            }
            EXPECT_EQ(text, "boom");
            EXPECT_EQ(now() - before, 1s);

            // The limit is for all together.
            std::vector<task_ref<int>> late;
            for (int i = 0; i < 3; ++i) {
                auto t = co_await tasks.async_nolink(slow_double, 1, (i + 1) * 1s);
                late.push_back(std::move(t));
            }
            before = now();
            bool timeout = false;
            try {
                co_await await_many(std::move(late), 2500ms);
            } catch (const exit_error& e) {
                timeout = e.reason() == exit_kind::timeout;
            }
            EXPECT_TRUE(timeout);
            EXPECT_EQ(now() - before, 2500ms);
        });
    });
}

TEST(TaskSupervisor, RefusesMoreThanMaxChildren) {
    under_seeds(
        [](simulation& sim) {
            with_tasks(sim, task_supervisor{}.max_children(1));
            sim.run([]() -> task<> {
                auto t = co_await tasks.async(slow_double, 1, 1s);
                bool refused = false;
                try {
                    auto u = co_await tasks.async(slow_double, 1, 1s);
                } catch (const std::runtime_error&) {
                    refused = true;
                }
                EXPECT_TRUE(refused);
                auto c = co_await tasks.start_child(slow_double, 1, 1s);
                EXPECT_FALSE(c.has_value());
                EXPECT_EQ(c.error().kind, child_error::what::max_children);
                EXPECT_EQ(co_await t.await(), 2);
            });
        },
        50);
}

TEST(TaskSupervisor, StartChildRunsForItsEffectAndRestartsIfAsked) {
    under_seeds([](simulation& sim) {
        with_tasks(sim);
        sim.run([]() -> task<> {
            auto runs = std::make_shared<int>(0);
            auto work = [runs](int fail_until) -> task<> {
                co_await yield();
                if (++*runs < fail_until) throw std::runtime_error("again");
            };
            auto c = co_await tasks.start_child(work, 3);
            EXPECT_TRUE(c.has_value());
            co_await sleep_for(1s);
            EXPECT_EQ(*runs, 1);
            *runs = 0;
            c = co_await tasks.start_child(restart::transient, work, 3);
            co_await sleep_for(1s);
            EXPECT_EQ(*runs, 3);
            EXPECT_EQ(co_await running_tasks(), 0U);
        });
    });
}

namespace {

struct joiner : gen_server<joiner> {
    struct begin {
        int n;
    };
    struct sum {
        using reply = int;
    };
    task<> handle(begin m) {
        auto t = co_await tasks.async_nolink(slow_double, m.n, 1s);
        tasks_.push_back(std::move(t));
    }
    void handle(const down& d) {
        for (auto& t : tasks_)
            if (auto r = t.take(d)) sum_ += r->value_or(-1000);
    }
    int handle(sum) { return sum_; }

private:
    std::vector<task_ref<int>> tasks_;
    int sum_ = 0;
};

} // namespace

TEST(TaskSupervisor, AServerTakesResultsFromItsDowns) {
    under_seeds([](simulation& sim) {
        with_tasks(sim);
        sim.run([]() -> task<> {
            const pid p = co_await genever::test::up<joiner>("joiner");
            const server_ref<joiner> ref{p};
            for (int i = 1; i <= 3; ++i) ref.cast<joiner::begin>(i);
            co_await sleep_for(2s);
            EXPECT_EQ(co_await ref.call<joiner::sum>(), 12);
        });
    });
}

// ---- streams

TEST(TaskSupervisor, OwnersKilledAnywhereLeaveNoLinkedTaskAndNoResult) {
    under_seeds([](simulation& sim) {
        with_tasks(sim);
        sim.run([&sim]() -> task<> {
            auto alive = std::make_shared<int>(0);
            struct counted {
                std::shared_ptr<int> n;
                explicit counted(std::shared_ptr<int> k) : n(std::move(k)) { ++*n; }
                counted(counted&& o) noexcept : n(std::move(o.n)) {}
                ~counted() {
                    if (n) --*n;
                }
            };
            for (int round = 0; round < 5; ++round) {
                auto owner = [alive]() -> task<> {
                    auto work = [alive](int k) -> task<counted> {
                        counted c{alive};
                        for (int i = 0; i < k; ++i) co_await yield();
                        co_return c;
                    };
                    std::vector<task_ref<counted>> all;
                    for (int i = 0; i < 4; ++i) {
                        auto t = co_await tasks.async(work, i);
                        all.push_back(std::move(t));
                    }
                    auto first = co_await all[0].await();
                    auto second = co_await all[1].yield(0s);
                    all.pop_back();
                    auto third = co_await all[2].shutdown();
                    co_await sleep_for(1h);
                };
                const auto [p, ref] = spawn_monitor(owner);
                for (auto n = sim.random(120); n > 0; --n) co_await yield();
                exit(p, exit_kind::killed);
                co_await receive([](down) {});
                co_await sleep_for(1s);
                EXPECT_EQ(co_await running_tasks(), 0U);
                EXPECT_EQ(*alive, 0);
            }
        });
    });
}

TEST(TaskSupervisor, CallingTheStartOffAbandonsTheTaskAndHarmsNobody) {
    under_seeds([](simulation& sim) {
        with_tasks(sim);
        sim.run([&sim]() -> task<> {
            for (int round = 0; round < 5; ++round) {
                auto start = [&]() -> task<> {
                    auto t = co_await tasks.async(slow_double, 1, 1000h);
                    co_await t.await(infinity);
                };
                auto work = start();
                auto stops = [&]() -> task<> {
                    const auto r = co_await with_timeout(duration{sim.random(2)}, std::move(work));
                    EXPECT_FALSE(r.has_value());
                };
                auto stopping = stops();
                co_await std::move(stopping);
                for (auto& p : co_await tasks.children())
                    exit(p, exit_kind::normal); // nothing, but it takes time
                co_await sleep_for(1s);
            }
        });
    });
}

// The supervisor has seen that the task is wanted, its owner calls the start off, and then it is started: step by step, as on
// two threads.
TEST(TaskSupervisor, AStartCalledOffWhileItIsBeingMadeLeavesNoMonitor) {
    for (const bool killed : {false, true}) {
        SCOPED_TRACE(killed ? "killed before it begins" : "begins");
        under_seeds([killed](simulation& sim) {
            sim.run([killed]() -> task<> {
                using plain = int (*)(int);
                const plain f = [](int n) { return n; };
                auto job = detail::make_task_job<int>(false, f, 1);
                EXPECT_TRUE(job->is_wanted());
                job->abandon();
                spawn_options options;
                options.watcher = self();
                options.monitor = job->ref;
                const pid p = detail::spawn_on(nullptr, &options, &detail::task_main<int, plain, int>, job);
                job->started_as(p);
                if (killed) exit(p, exit_kind::killed);
                co_await sleep_for(1s);
                EXPECT_FALSE(is_alive(p));
                EXPECT_TRUE(info(self())->monitors.empty());
                bool came = false;
                co_await receive([&came](const down&) { came = true; }, after(0s, [] {}));
                EXPECT_FALSE(came);
            });
        });
    }
}

TEST(TaskSupervisor, AwaitsManyTasksOnRealThreads) {
    runtime_options options;
    options.workers = 4;
    options.on_crash = [](const crash_report&) {};
    runtime rt{options};
    rt.run([]() -> task<> {
        trap_exit(true);
        const pid sup = co_await up_tasks();
        const pid me = self();
        for (int k = 0; k < 8; ++k) {
            auto owner = [me, k]() -> task<> {
                long sum = 0;
                for (int i = 0; i < 200; ++i) {
                    auto t = co_await tasks.async([](int n) { return n; }, i);
                    sum += co_await t.await();
                }
                std::vector<int> items(200, 1);
                auto work = [](int n) -> task<int> {
                    co_await yield();
                    if (n == 0) throw std::runtime_error("never");
                    co_return n;
                };
                auto s =
                    tasks.async_stream(std::move(items), work, {.max_concurrency = 4, .ordered = k % 2 == 0});
                for (;;) {
                    auto r = co_await s.next();
                    if (!r) break;
                    sum += r->value();
                }
                send(me, sum);
            };
            spawn(owner);
        }
        for (int k = 0; k < 8; ++k)
            EXPECT_EQ(co_await receive([](long n) { return n; }), 199 * 200 / 2 + 200);
        exit(sup, exit_kind::shutdown);
        co_await receive([](exit_signal) {});
    });
}
