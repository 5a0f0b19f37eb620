#include "supervisor_test_support.hpp"

#include <genever/otp/registry.hpp>
#include <genever/otp/supervisor.hpp>
#include <genever/otp/via.hpp>

#include <string>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

TEST(Supervisor, StartsInOrderAndStopsInReverseOrder) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            supervisor spec{strategy::one_for_one, {a_probe(s, "a"), a_probe(s, "b"), a_probe(s, "c")}};
            const pid sup = co_await up(spec);
            EXPECT_EQ(s->events, (names{"+a", "+b", "+c"}));
            EXPECT_EQ(whereis("top"), sup);
            EXPECT_TRUE(whereis("b"));
            auto why = co_await stop(sup);
            EXPECT_EQ(why.kind(), exit_kind::shutdown);
            EXPECT_EQ(s->events, (names{"+a", "+b", "+c", "-c", "-b", "-a"}));
            EXPECT_EQ(whereis("a"), pid{});
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(Supervisor, SiblingsKeepTheirStateAndTheReferenceFollowsTheName) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            supervisor spec{strategy::one_for_one, {a_probe(s, "a"), a_probe(s, "b")}};
            const pid sup = co_await up(spec);
            const server_ref<probe> a{"a"};
            const server_ref<probe> b{"b"};
            for (int i = 1; i <= 3; ++i) {
                EXPECT_EQ(co_await a.call<probe::count>(), i);
                EXPECT_EQ(co_await b.call<probe::count>(), 1);
                b.cast(probe::end{exit_kind::error});
                co_await sleep_for(5s);
            }
            co_await stop(sup);
        });
    });
}

TEST(Supervisor, GivesUpAfterThreeRestartsInFiveSeconds) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            supervisor spec{strategy::one_for_one, {a_probe(s, "a"), a_probe(s, "b")}};
            pid sup = co_await up(spec);
            for (int i = 0; i < 10; ++i) { // slowly, it may go on for ever
                co_await sleep_for(2s);
                end_child("b", exit_kind::error);
            }
            co_await sleep_for(6s);
            for (int i = 0; i < 3; ++i) {
                end_child("b", exit_kind::error);
                co_await sleep_for(1s);
                EXPECT_TRUE(is_alive(sup));
            }
            s->events.clear();
            end_child("b", exit_kind::error);
            auto why = co_await ended(sup);
            EXPECT_EQ(why.kind(), exit_kind::shutdown);
            EXPECT_EQ(why.text(), "reached maximum restart intensity");
            EXPECT_EQ(s->events, (names{"-b", "-a"}));
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(Supervisor, GivesUpAtOnceWithoutRestarts) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            supervisor spec{strategy::one_for_one, {a_probe(s, "a")}};
            spec.max_restarts(0).period(1h);
            const pid sup = co_await up(spec);
            end_child("a", exit_kind::normal);
            auto why = co_await ended(sup);
            EXPECT_EQ(why.kind(), exit_kind::shutdown);
        });
    });
}

TEST(Supervisor, EscalatesThroughTwoLevels) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            supervisor inner{strategy::one_for_one, {a_probe(s, "x"), a_probe(s, "y")}};
            inner.max_restarts(1);
            supervisor spec{strategy::one_for_one, {a_probe(s, "a"), child<supervisor>("inner", inner)}};
            spec.max_restarts(2);
            const pid sup = co_await up(spec);
            const pid a = whereis("a");
            for (int round = 1; round <= 2; ++round) { // the inner one gives up and is restarted, twice
                const pid before = whereis("inner");
                for (int i = 0; i < 2; ++i) {
                    end_child("y", exit_kind::error);
                    co_await sleep_for(100ms);
                }
                EXPECT_NE(whereis("inner"), before);
                EXPECT_TRUE(whereis("y"));
                EXPECT_EQ(whereis("a"), a);
                const supervisor_ref top{"top"};
                const auto children = co_await top.which_children();
                EXPECT_EQ(children[1].restarts, static_cast<unsigned>(round));
            }
            s->events.clear();
            for (int i = 0; i < 2; ++i) {
                end_child("y", exit_kind::error);
                co_await sleep_for(100ms);
            }
            auto why = co_await ended(sup);
            EXPECT_EQ(why.text(), "reached maximum restart intensity");
            EXPECT_EQ(s->events, (names{"-y", "+y", "-y", "-x", "-a"}));
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(Supervisor, ATransientSupervisorThatGaveUpStaysDown) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            supervisor inner{strategy::one_for_one, {a_probe(s, "x")}};
            inner.max_restarts(0);
            supervisor spec{strategy::one_for_one,
                            {child<supervisor>("inner", inner).restart(restart::transient)}};
            const pid sup = co_await up(spec);
            end_child("x", exit_kind::error);
            co_await sleep_for(1s);
            EXPECT_EQ(whereis("inner"), pid{});
            const supervisor_ref top{sup};
            const auto n = co_await top.count_children();
            EXPECT_EQ(n.specs, 1U);
            EXPECT_EQ(n.active, 0U);
            EXPECT_EQ(n.supervisors, 1U);
            co_await stop(sup);
        });
    });
}

TEST(Supervisor, AFailedInitAtTheStartStopsTheOthersInReverse) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        s->refuses = "c";
        sim.run([s]() -> task<> {
            trap_exit(true);
            supervisor spec{strategy::one_for_one,
                            {a_probe(s, "a"), a_probe(s, "b"), a_probe(s, "c"), a_probe(s, "d")}};
            auto r = co_await start_link(spec, "top");
            EXPECT_FALSE(r);
            EXPECT_EQ(r.error().kind(), exit_kind::shutdown);
            EXPECT_EQ(r.error().text(), "child c could not be started: error std::runtime_error: c refuses");
            EXPECT_EQ(s->events, (names{"+a", "+b", "-b", "-a"}));
            EXPECT_EQ(whereis("top"), pid{});
            s->refuses = "";
            co_await up(spec);
        });
    });
}

TEST(Supervisor, TriesAFailedRestartAgainAndCountsIt) {
    for (auto whom : {strategy::one_for_one, strategy::one_for_all, strategy::rest_for_one})
        for (int refusals : {1, 2, 3}) {
            SCOPED_TRACE(std::string{to_string(whom)} + ' ' + std::to_string(refusals));
            under_seeds(
                [=](simulation& sim) {
                    auto s = std::make_shared<script>();
                    sim.run([=]() -> task<> {
                        supervisor spec{whom, {a_probe(s, "a"), a_probe(s, "b"), a_probe(s, "c")}};
                        const pid sup = co_await up(spec);
                        s->refuses = "b";
                        s->refusals = refusals;
                        end_child("b", exit_kind::error);
                        if (refusals < 3) {
                            co_await sleep_for(1s);
                            EXPECT_TRUE(whereis("a"));
                            EXPECT_TRUE(whereis("b"));
                            EXPECT_TRUE(whereis("c"));
                            auto why = co_await stop(sup);
                            EXPECT_EQ(why.text(), "");
                        } else {
                            auto why = co_await ended(sup);
                            EXPECT_EQ(why.text(), "reached maximum restart intensity");
                        }
                    });
                    EXPECT_EQ(sim.live(), 0U);
                },
                15);
        }
}

TEST(Supervisor, KillsAChildThatDoesNotEndInTime) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        s->terminate_takes = 4s;
        sim.run([s]() -> task<> {
            supervisor spec{strategy::one_for_one,
                            {
                                child<probe>("patient", s, "patient"),
                                child<probe>("short", s, "short").shutdown(3s),
                                child<probe>("brutal", s, "brutal").shutdown(brutal_kill),
                                child<probe>("endless", s, "endless").shutdown(infinity),
                            }};
            const pid sup = co_await up(spec);
            s->events.clear();
            const auto start = now();
            co_await stop(sup);
            EXPECT_EQ(now() - start, 4s + 0s + 3s + 4s);
            EXPECT_EQ(s->events, (names{"-endless", "-patient"}));
            EXPECT_EQ(whereis("short"), pid{});
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(Supervisor, AChildThatDiesDuringTheShutdownIsNotRestarted) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        s->terminate_takes = 2s;
        sim.run([s]() -> task<> {
            supervisor spec{strategy::one_for_one, {a_probe(s, "a"), a_probe(s, "b")}};
            const pid sup = co_await up(spec);
            s->events.clear();
            exit(sup, exit_kind::shutdown);
            co_await sleep_for(1s);
            exit(whereis("a"), exit_kind::killed);
            auto why = co_await ended(sup);
            EXPECT_EQ(why.kind(), exit_kind::shutdown);
            EXPECT_EQ(s->events, (names{"-b"}));
        });
    });
}

TEST(Supervisor, IsStoppedByItsParentBeforeItRestartsAllThatHaveEnded) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            std::vector<child_spec> children;
            for (int i = 0; i < 10; ++i) children.push_back(a_probe(s, std::to_string(i)));
            supervisor spec{strategy::one_for_one, std::move(children)};
            spec.max_restarts(100);
            const pid sup = co_await up(spec);
            s->init_takes = 2s;
            for (int i = 0; i < 10; ++i) exit(whereis(std::to_string(i)), exit_kind::killed);
            co_await sleep_for(1s);
            const time_point before = now();
            auto why = co_await stop(sup);
            EXPECT_EQ(why.kind(), exit_kind::shutdown);
            EXPECT_LT(now() - before, 2s);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(Supervisor, IgnoresExitSignalsOfStrangersAndTakesItsChildrenAlongWhenKilled) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            supervisor spec{strategy::one_for_one, {a_probe(s, "a"), a_probe(s, "b")}};
            const pid sup = co_await up(spec);
            spawn([sup] { exit(sup, exit_kind::shutdown); });
            spawn([sup] { exit(sup, exit_reason::error("stranger")); });
            co_await sleep_for(1s);
            EXPECT_TRUE(is_alive(sup));
            exit(sup, exit_kind::killed);
            auto why = co_await ended(sup);
            EXPECT_EQ(why.kind(), exit_kind::killed);
            co_await sleep_for(1s);
            EXPECT_EQ(whereis("a"), pid{});
            EXPECT_EQ(whereis("b"), pid{});
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(Supervisor, AKilledOneIsRestartedThoughItsChildrenHaveTheirNamesStill) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            registry<std::string> keys{"keys"};
            s->terminate_takes = 2s;
            supervisor inner{strategy::one_for_one,
                             {a_probe(s, "x"), a_probe(s, "y"), child<probe>(via(keys, "z"), s, "z")}};
            supervisor spec{strategy::one_for_one, {child(keys), child<supervisor>("inner", inner)}};
            const pid sup = co_await up(spec);
            for (int round = 1; round <= 5; ++round) {
                const std::vector<pid> before{whereis("x"), whereis("y"), keys.whereis("z")};
                exit(whereis("inner"), exit_kind::killed);
                co_await sleep_for(20s);
                EXPECT_TRUE(is_alive(sup));
                const std::vector<pid> after{whereis("x"), whereis("y"), keys.whereis("z")};
                for (std::size_t i = 0; i < after.size(); ++i) {
                    EXPECT_TRUE(is_alive(after[i]));
                    EXPECT_NE(after[i], before[i]);
                }
                const supervisor_ref top{"top"};
                const auto children = co_await top.which_children();
                EXPECT_EQ(children[1].restarts, static_cast<unsigned>(round));
            }
            co_await stop(sup);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

struct untrapping : gen_server<untrapping> {
    void handle(int) {}
};

TEST(Supervisor, WaitsForTheNameOfAnOrphanOnlyAndNotForEver) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        s->terminate_takes = 24h;
        sim.run([s]() -> task<> {
            trap_exit(true);
            const auto how_long_refused = [s](std::string name) -> task<duration> {
                const time_point before = now();
                auto r = co_await start_link<probe>(name, s, name);
                EXPECT_FALSE(r.has_value());
                if (!r) {
                    EXPECT_NE(to_string(r.error()).find("already started: the name " + name),
                              std::string::npos);
                }
                co_return now() - before;
            };
            auto mine = co_await start_link<probe>("mine", s, "mine");
            EXPECT_TRUE(mine.has_value());
            EXPECT_EQ(co_await how_long_refused("mine"), 0s);
            // Its starter is gone, and it lives on.
            const pid me = self();
            spawn([s, me]() -> task<> {
                auto free = co_await start<probe>("free", s, "free");
                EXPECT_TRUE(free.has_value());
                auto late = co_await start_link<probe>("late", s, "late");
                EXPECT_TRUE(late.has_value());
                send(me, 1);
            });
            co_await receive([](int) {});
            co_await sleep_for(1s);
            EXPECT_EQ(co_await how_long_refused("free"), 0s);
            // Told to end, and does not: it is killed at last, and the name is free.
            const time_point before = now();
            const pid left = whereis("late");
            auto next = co_await start_link<probe>("late", s, "late");
            EXPECT_TRUE(next.has_value());
            EXPECT_EQ(now() - before, 5s);
            EXPECT_FALSE(is_alive(left));
            // Its starter has ended as it should, which a server that does not trap exits takes no notice of; or is no longer its.
            spawn([me]() -> task<> {
                auto plain = co_await start_link<untrapping>("plain");
                EXPECT_TRUE(plain.has_value());
                auto unlinked = co_await start_link<untrapping>("unlinked");
                EXPECT_TRUE(unlinked.has_value());
                unlink(*unlinked);
                send(me, 1);
                co_await sleep_for(1s);
            });
            co_await receive([](int) {});
            co_await sleep_for(2s);
            for (const char* name : {"plain", "unlinked"}) {
                const time_point then = now();
                auto r = co_await start_link<untrapping>(name);
                EXPECT_FALSE(r.has_value());
                EXPECT_EQ(now(), then);
            }
            for (const char* name : {"mine", "free", "late", "plain", "unlinked"})
                exit(whereis(name), exit_kind::killed);
            co_await sleep_for(1s);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(Supervisor, ForgetsTemporarySiblingsThatItTerminatesForARestart) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            supervisor spec{
                strategy::one_for_all,
                {a_probe(s, "a", restart::temporary), a_probe(s, "b"), a_probe(s, "c", restart::transient)}};
            const pid sup = co_await up(spec);
            end_child("c", exit_kind::normal); // stays down...
            co_await sleep_for(1s);
            EXPECT_EQ(whereis("c"), pid{});
            end_child("b", exit_kind::error); // ...until all are started again
            co_await sleep_for(1s);
            const supervisor_ref top{sup};
            const auto children = co_await top.which_children();
            EXPECT_EQ(children.size(), 2U);
            EXPECT_EQ(children[0].name, "b");
            EXPECT_TRUE(whereis("c"));
            EXPECT_EQ(whereis("a"), pid{});
            co_await stop(sup);
        });
    });
}

TEST(Supervisor, ShutsItselfDownWithItsSignificantChildren) {
    struct row {
        auto_shutdown rule;
        restart type;
        names end; // the children that end, in this order
        exit_kind how;
        bool shuts_down;
    };
    const std::vector<row> table{
        {auto_shutdown::any_significant, restart::transient, {"b"}, exit_kind::normal, true},
        {auto_shutdown::any_significant, restart::transient, {"b"}, exit_kind::error, false}, // restarted
        {auto_shutdown::any_significant, restart::temporary, {"b"}, exit_kind::error, true},
        {auto_shutdown::any_significant,
         restart::temporary,
         {"a"},
         exit_kind::normal,
         false}, // insignificant
        {auto_shutdown::all_significant, restart::transient, {"b"}, exit_kind::normal, false},
        {auto_shutdown::all_significant, restart::transient, {"c", "b"}, exit_kind::shutdown, true},
        {auto_shutdown::all_significant, restart::temporary, {"b", "c"}, exit_kind::killed, true},
    };
    under_seeds(
        [&](simulation& sim) {
            for (std::size_t i = 0; i < table.size(); ++i) {
                SCOPED_TRACE("row " + std::to_string(i));
                const row r = table[i];
                auto s = std::make_shared<script>();
                sim.run([s, r]() -> task<> {
                    supervisor spec{strategy::one_for_one,
                                    {a_probe(s, "a", restart::temporary),
                                     a_probe(s, "b", r.type).significant(),
                                     a_probe(s, "c", r.type).significant()}};
                    spec.auto_shutdown(r.rule);
                    const pid sup = co_await up(spec);
                    for (const auto& name : r.end) {
                        end_child(name, r.how);
                        co_await sleep_for(100ms);
                    }
                    EXPECT_EQ(is_alive(sup), !r.shuts_down);
                    if (!r.shuts_down) exit(sup, exit_kind::shutdown);
                    auto why = co_await ended(sup);
                    EXPECT_EQ(why.kind(), exit_kind::shutdown);
                });
            }
        },
        20);
}

TEST(Supervisor, RefusesBadSpecifications) {
    under_seeds(
        [](simulation& sim) {
            auto s = std::make_shared<script>();
            sim.run([s]() -> task<> {
                trap_exit(true);
                std::vector<supervisor> bad{
                    {strategy::one_for_one, {a_probe(s, "a"), a_probe(s, "a")}},
                    {strategy::one_for_one, {a_probe(s, "a", restart::transient).significant()}},
                    {strategy::one_for_one, {child_spec{"a", nullptr}}},
                };
                for (const auto& spec : bad) {
                    auto r = co_await start_link(spec, "top");
                    EXPECT_FALSE(r);
                    EXPECT_EQ(r.error().kind(), exit_kind::error);
                    EXPECT_TRUE(s->events.empty());
                }
            });
        },
        5);
}
