#include "supervisor_test_support.hpp"

#include <genever/otp/dynamic_supervisor.hpp>
#include <genever/runtime/runtime.hpp>

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

namespace {

using what = child_error::what;

task<pid> up_dynamic(dynamic_supervisor s) {
    trap_exit(true);
    auto started = co_await start_link(s, "dyn");
    if (!started) throw std::runtime_error("did not start: " + to_string(started.error()));
    co_return *started;
}

const dynamic_supervisor_ref dyn{"dyn"};

task<pid> add(child_spec c) {
    auto started = co_await dyn.start_child(std::move(c));
    if (!started) throw std::runtime_error(to_string(started.error()));
    co_return *started;
}

struct small : gen_server<small> {
    struct ping {
        using reply = int;
    };
    int handle(ping) { return 1; }
};

/// Crashes as soon as it runs, as long as there is a storm.
struct storm {
    bool rages = false;
    int crashes_left = 3000;
};
struct restless : gen_server<restless> {
    struct crash {};
    explicit restless(std::shared_ptr<storm> s) : storm_(std::move(s)) {}
    void init() {
        if (storm_->rages && storm_->crashes_left-- > 0) server_ref<restless>{self()}.cast(crash{});
    }
    void handle(crash) { exit(self(), exit_kind::killed); }

private:
    std::shared_ptr<storm> storm_;
};

child_spec small_child(restart r = restart::permanent) { return child<small>("").restart(r); }

} // namespace

TEST(DynamicSupervisor, StartsTerminatesAndCountsItsChildren) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            const pid sup = co_await up_dynamic({});
            const pid a = co_await add(a_probe(s, "a"));
            const pid b = co_await add(a_probe(s, "b", restart::temporary));
            EXPECT_EQ(whereis("a"), a);
            EXPECT_EQ(whereis("b"), b);
            auto n = co_await dyn.count_children();
            EXPECT_EQ(n.specs, 2U);
            EXPECT_EQ(n.active, 2U);
            EXPECT_EQ(n.workers, 2U);
            auto all = co_await dyn.which_children();
            EXPECT_EQ(all.size(), 2U);
            EXPECT_TRUE(std::ranges::any_of(all, [&](auto& c) { return c.pid == a && c.name == "a"; }));
            auto gone = co_await dyn.terminate_child(a);
            EXPECT_TRUE(gone.has_value());
            EXPECT_FALSE(is_alive(a));
            EXPECT_EQ(whereis("a"), pid{});
            auto again = co_await dyn.terminate_child(a);
            EXPECT_EQ(again.error().kind, what::not_found);
            n = co_await dyn.count_children();
            EXPECT_EQ(n.specs, 1U);
            auto why = co_await stop(sup);
            EXPECT_EQ(why.kind(), exit_kind::shutdown);
            EXPECT_FALSE(is_alive(b));
            EXPECT_EQ(s->events, (names{"+a", "+b", "-a", "-b"}));
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(DynamicSupervisor, RestartsByTypeAndExit) {
    under_seeds(
        [](simulation& sim) {
            for (auto type : {restart::permanent, restart::transient, restart::temporary})
                for (auto how :
                     {exit_kind::normal, exit_kind::shutdown, exit_kind::error, exit_kind::killed}) {
                    SCOPED_TRACE(std::string{to_string(type)} + ", " + std::string{to_string(how)});
                    sim.run([=]() -> task<> {
                        auto s = std::make_shared<script>();
                        const pid sup = co_await up_dynamic({});
                        const pid a = co_await add(a_probe(s, "a", type));
                        end_child("a", how);
                        co_await sleep_for(1s);
                        const bool abnormal = how == exit_kind::error || how == exit_kind::killed;
                        const bool restarted =
                            type == restart::permanent || (type == restart::transient && abnormal);
                        auto all = co_await dyn.which_children();
                        EXPECT_EQ(all.size(), restarted ? 1U : 0U);
                        if (restarted) {
                            EXPECT_NE(all[0].pid, a);
                            EXPECT_EQ(all[0].pid, whereis("a"));
                            EXPECT_EQ(all[0].restarts, 1U);
                        }
                        co_await stop(sup);
                    });
                }
        },
        30);
}

TEST(DynamicSupervisor, RefusesMoreThanMaxChildren) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const pid sup = co_await up_dynamic(dynamic_supervisor{}.max_children(2));
            const pid a = co_await add(small_child());
            co_await add(small_child());
            auto third = co_await dyn.start_child(small_child());
            EXPECT_EQ(third.error().kind, what::max_children);
            // A restart keeps its place; a child that is gone gives it back.
            exit(a, exit_kind::killed);
            co_await sleep_for(1s);
            third = co_await dyn.start_child(small_child());
            EXPECT_EQ(third.error().kind, what::max_children);
            auto all = co_await dyn.which_children();
            auto gone = co_await dyn.terminate_child(all[0].pid);
            EXPECT_TRUE(gone.has_value());
            third = co_await dyn.start_child(small_child());
            EXPECT_TRUE(third.has_value());
            co_await stop(sup);
        });
    });
}

TEST(DynamicSupervisor, SaysWhyAChildDidNotStartAndKeepsNone) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            const pid sup = co_await up_dynamic(dynamic_supervisor{}.max_children(1));
            s->refuses = "a";
            auto r = co_await dyn.start_child(a_probe(s, "a"));
            EXPECT_EQ(r.error().kind, what::start_failed);
            EXPECT_EQ(r.error().reason.text(), "a refuses");
            child_spec throws{"t", []() -> task<start_result> { throw std::runtime_error("no"); }};
            r = co_await dyn.start_child(throws);
            EXPECT_EQ(r.error().reason.text(), "no");
            child_spec ignored{"i", []() -> task<start_result> { co_return pid{}; }};
            r = co_await dyn.start_child(ignored);
            EXPECT_TRUE(r.has_value());
            EXPECT_EQ(*r, pid{});
            child_spec nothing{"n", {}};
            r = co_await dyn.start_child(nothing);
            EXPECT_EQ(r.error().kind, what::bad_spec);
            r = co_await dyn.start_child(small_child(restart::temporary).significant());
            EXPECT_EQ(r.error().kind, what::bad_spec);
            auto n = co_await dyn.count_children();
            EXPECT_EQ(n.specs, 0U);
            co_await stop(sup);
        });
    });
}

TEST(DynamicSupervisor, TriesAFailedRestartAgainUntilItIsTooOften) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            pid sup = co_await up_dynamic({});
            co_await add(a_probe(s, "a"));
            const pid b = co_await add(a_probe(s, "b"));
            s->refuses = "a";
            s->refusals = 2;
            end_child("a", exit_kind::error);
            co_await sleep_for(1s);
            EXPECT_TRUE(whereis("a"));
            EXPECT_TRUE(is_alive(b));
            s->refusals = 100;
            co_await sleep_for(10s);
            end_child("a", exit_kind::error);
            auto why = co_await ended(sup);
            EXPECT_EQ(why.kind(), exit_kind::shutdown);
            EXPECT_EQ(why.text(), "reached maximum restart intensity");
            EXPECT_FALSE(is_alive(b));
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(DynamicSupervisor, AChildThatWaitsForItsRestartCanBeTerminated) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            const pid sup = co_await up_dynamic(dynamic_supervisor{}.max_restarts(1'000'000));
            const pid a = co_await add(a_probe(s, "a"));
            s->refuses = "a";
            end_child("a", exit_kind::error);
            for (;;) { // requests are served between two tries
                auto all = co_await dyn.which_children();
                if (all[0].restarting) break;
            }
            auto n = co_await dyn.count_children();
            EXPECT_EQ(n.specs, 1U);
            EXPECT_EQ(n.active, 0U);
            auto gone = co_await dyn.terminate_child(a);
            EXPECT_TRUE(gone.has_value());
            n = co_await dyn.count_children();
            EXPECT_EQ(n.specs, 0U);
            co_await stop(sup);
        });
    });
}

TEST(DynamicSupervisor, StopsItsChildrenAtTheSameTimeAndKillsWhoIsLate) {
    under_seeds([](simulation& sim) {
        auto quick = std::make_shared<script>();
        auto slow = std::make_shared<script>();
        quick->terminate_takes = 3s;
        slow->terminate_takes = 24h;
        sim.run([=]() -> task<> {
            const pid sup = co_await up_dynamic({});
            for (int i = 0; i < 10; ++i) co_await add(a_probe(quick, "q" + std::to_string(i)));
            for (int i = 0; i < 10; ++i) co_await add(a_probe(slow, "s" + std::to_string(i)).shutdown(4s));
            co_await add(a_probe(slow, "brutal").shutdown(brutal_kill));
            const time_point before = now();
            co_await stop(sup);
            EXPECT_GE(now() - before, 4s);
            EXPECT_LT(now() - before, 5s);
            EXPECT_EQ(std::ranges::count_if(quick->events, [](auto& e) { return e[0] == '-'; }), 10);
            EXPECT_EQ(std::ranges::count_if(slow->events, [](auto& e) { return e[0] == '-'; }), 0);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(DynamicSupervisor, IsStoppedByItsParentInTheMiddleOfAStorm) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const pid sup = co_await up_dynamic(dynamic_supervisor{}.max_restarts(1'000'000));
            for (int i = 0; i < 20; ++i) co_await add(small_child());
            auto all = co_await dyn.which_children();
            for (auto& c : all) exit(c.pid, exit_kind::killed);
            auto why = co_await stop(sup);
            EXPECT_EQ(why.kind(), exit_kind::shutdown);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(DynamicSupervisor, AnswersInTheMiddleOfAStorm) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            auto s = std::make_shared<storm>();
            const pid sup = co_await up_dynamic(dynamic_supervisor{}.max_restarts(1'000'000));
            std::vector<pid> all;
            for (int i = 0; i < 10; ++i) {
                const pid p = co_await add(child<restless>("", s));
                all.push_back(p);
            }
            s->rages = true;
            for (pid p : all) exit(p, exit_kind::killed);
            for (int i = 0; i < 10; ++i) {
                auto n = co_await dyn.count_children();
                EXPECT_EQ(n.specs, 10U);
                auto children = co_await dyn.which_children();
                auto gone = co_await dyn.terminate_child(children[0].pid);
                EXPECT_TRUE(gone.has_value() || gone.error().kind == what::not_found);
                co_await add(child<restless>("", s));
                if (!gone) { // it had another pid already
                    children = co_await dyn.which_children();
                    EXPECT_EQ(children.size(), 11U);
                    break;
                }
            }
            EXPECT_GT(s->crashes_left, 0) << "nobody was answered before the storm was over";
            co_await sleep_for(1s);
            EXPECT_LE(s->crashes_left, 0);
            auto n = co_await dyn.count_children();
            EXPECT_EQ(n.active, n.specs);
            co_await stop(sup);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(DynamicSupervisor, GivesThePlaceOfAChildThatHasEndedAwayThoughItIsBehindWithItsExits) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            const pid sup = co_await up_dynamic(dynamic_supervisor{}.max_children(2));
            co_await add(a_probe(s, "a"));
            const pid b = co_await add(small_child(restart::temporary));
            s->init_takes = 2s;
            end_child("a", exit_kind::error); // its restart takes the supervisor's time
            co_await sleep_for(1s);
            exit(b, exit_kind::killed);
            auto third = co_await dyn.start_child(small_child());
            EXPECT_TRUE(third.has_value());
            auto fourth = co_await dyn.start_child(small_child());
            EXPECT_EQ(fourth.error().kind, what::max_children);
            auto n = co_await dyn.count_children();
            EXPECT_EQ(n.active, 2U);
            co_await stop(sup);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(DynamicSupervisor, IsStoppedByItsParentBeforeItServesThoseThatWait) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            const pid sup = co_await up_dynamic({});
            co_await add(a_probe(s, "a"));
            s->init_takes = 2s;
            end_child("a", exit_kind::error);
            co_await sleep_for(1s);
            const time_point before = now();
            for (int i = 0; i < 10; ++i)
                spawn([s, i]() -> task<> {
                    bool refused = false;
                    try {
                        co_await dyn.start_child(a_probe(s, std::to_string(i)));
                    } catch (const call_error&) {
                        refused = true;
                    }
                    EXPECT_TRUE(refused);
                });
            co_await sleep_for(500ms);
            co_await stop(sup);
            EXPECT_LT(now() - before, 2s);
            co_await sleep_for(1s); // all have been refused
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(DynamicSupervisor, KilledAtAnyMomentItLeavesNoChild) {
    under_seeds([](simulation& sim) {
        sim.run([&sim]() -> task<> {
            const pid sup = co_await up_dynamic(dynamic_supervisor{}.max_restarts(1'000'000));
            auto busy = [&sim]() -> task<> {
                std::vector<pid> mine;
                for (int i = 0; i < 20; ++i) {
                    auto r = co_await dyn.start_child(small_child());
                    if (r) mine.push_back(*r);
                    if (!mine.empty() && sim.random(2) == 0)
                        exit(mine[sim.random(mine.size())], exit_kind::killed);
                    if (!mine.empty() && sim.random(3) == 0)
                        co_await dyn.terminate_child(mine[sim.random(mine.size())]);
                }
            };
            spawn(busy);
            spawn(busy);
            for (auto n = sim.random(200); n > 0; --n) co_await yield();
            exit(sup, exit_kind::killed);
            co_await ended(sup);
            co_await sleep_for(100s);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(DynamicSupervisor, WorksInATree) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            supervisor spec{strategy::one_for_one, {child<dynamic_supervisor>("dyn")}};
            const pid sup = co_await up(spec);
            const pid a = co_await add(small_child());
            auto tree = co_await supervision_tree(supervisor_ref{sup});
            EXPECT_EQ(tree.children.size(), 1U);
            EXPECT_FALSE(tree.children[0].busy);
            EXPECT_EQ(tree.children[0].type, child_type::supervisor);
            EXPECT_EQ(tree.children[0].children.size(), 1U);
            EXPECT_EQ(tree.children[0].children[0].pid, a);
            co_await stop(sup);
            EXPECT_FALSE(is_alive(a));
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(DynamicSupervisor, HasAHundredThousandChildrenStartedAndStopped) {
    simulation sim{1};
    constexpr int many = 100'000;
    sim.run([]() -> task<> {
        const pid sup = co_await up_dynamic(dynamic_supervisor{}.max_restarts(1'000'000));
        std::vector<pid> all;
        for (int i = 0; i < many; ++i) {
            const pid p = co_await add(small_child());
            all.push_back(p);
        }
        for (int i = 0; i < many / 2; ++i) { // one by one
            auto gone = co_await dyn.terminate_child(all[static_cast<std::size_t>(i)]);
            EXPECT_TRUE(gone.has_value());
        }
        auto n = co_await dyn.count_children();
        EXPECT_EQ(n.active, many / 2U);
        // All that are left crash at once, and each is restarted.
        for (int i = many / 2; i < many; ++i) exit(all[static_cast<std::size_t>(i)], exit_kind::killed);
        co_await sleep_for(1s);
        n = co_await dyn.count_children();
        EXPECT_EQ(n.active, many / 2U);
        co_await stop(sup); // at once
    });
    EXPECT_EQ(sim.live(), 0U);
}

TEST(DynamicSupervisor, ServesManyStartersOnRealThreads) {
    runtime_options options;
    options.workers = 4;
    options.on_crash = [](const crash_report&) {};
    runtime rt{options};
    rt.run([]() -> task<> {
        const pid sup = co_await up_dynamic(dynamic_supervisor{}.max_restarts(1'000'000));
        auto done = std::make_shared<std::atomic<int>>(0);
        const pid me = self();
        for (int k = 0; k < 8; ++k) {
            auto starter = [me, done]() -> task<> {
                for (int i = 0; i < 500; ++i) {
                    auto p = co_await dyn.start_child(small_child());
                    if (i % 3 == 0) exit(*p, exit_kind::killed);
                    if (i % 3 == 1) co_await dyn.terminate_child(*p);
                }
                if (++*done == 8) send(me, 1);
            };
            spawn(starter);
        }
        co_await receive([](int) {});
        for (;;) { // the last crashes may still be under way
            auto n = co_await dyn.count_children();
            if (n.active == n.specs) break;
        }
        co_await stop(sup);
    });
}
