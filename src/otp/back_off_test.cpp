#include "supervisor_test_support.hpp"

#include <genever/otp/back_off.hpp>
#include <genever/otp/supervisor.hpp>
#include <genever/runtime/time.hpp>

#include <cmath>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

namespace {

/// Of one probe for each letter.
supervisor patient(strategy whom, const script_ptr& of, std::string_view letters, double jitter = 0) {
    std::vector<child_spec> children;
    for (const char c : letters) children.push_back(a_probe(of, std::string{c}));
    supervisor s{whom, std::move(children)};
    s.max_restarts(1000).back_off({.first = 1s, .factor = 2, .most = 8s, .jitter = jitter});
    return s;
}

/// How long a name has nobody, from now.
task<duration> absence_of(std::string name) {
    const time_point start = now();
    while (!whereis(name)) co_await sleep_for(1ms);
    co_return now() - start;
}

task<bool> is_restarting(std::string name) {
    const supervisor_ref top{"top"};
    const auto children = co_await top.which_children();
    for (const auto& c : children)
        if (c.name == name) co_return c.restarting && !c.pid;
    co_return false;
}

} // namespace

TEST(BackOff, GrowsToItsMostAndNoFurther) {
    const back_off b{.first = 100ms, .factor = 3, .most = 1s, .jitter = 0.5};
    EXPECT_EQ(b.delay(1, 0), 100ms);
    EXPECT_EQ(b.delay(2, 0), 300ms);
    EXPECT_EQ(b.delay(3, 0), 900ms);
    EXPECT_EQ(b.delay(4, 0), 1s);
    EXPECT_EQ(b.delay(4'000'000'000, 0), 1s);
    EXPECT_EQ(b.delay(1, 1), 50ms);
    EXPECT_EQ(b.delay(4, 0.5), 750ms);
    const back_off endless{.first = 1ns, .factor = 1e300, .most = infinity, .jitter = 0};
    EXPECT_EQ(endless.delay(1000, 0), infinity);
}

TEST(BackOff, WaitsLongerBeforeEachRestartInARow) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            const pid sup = co_await up(patient(strategy::one_for_one, s, "ab"));
            const server_ref<probe> a{"a"};
            const std::vector<duration> delays{1s, 2s, 4s, 8s, 8s};
            for (const duration d : delays) {
                const pid before = whereis("b");
                end_child("b", exit_kind::error);
                while (whereis("b") == before) co_await yield();
                const auto absent = co_await absence_of("b");
                EXPECT_GE(absent, d);
                EXPECT_LE(absent, d + 2ms);
            }
            co_await sleep_for(8s); // it has run for the longest delay: from the start
            exit(whereis("b"), exit_kind::killed);
            while (whereis("b")) co_await yield();
            const auto absent = co_await absence_of("b");
            EXPECT_LE(absent, 1s + 2ms);
            EXPECT_EQ(co_await a.call<probe::count>(), 1); // its sibling has seen nothing of it
            co_await stop(sup);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(BackOff, AFailedStartWaitsAndCountsToo) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            supervisor spec = patient(strategy::one_for_one, s, "b");
            spec.max_restarts(4).period(1h);
            pid sup = co_await up(spec);
            s->refuses = "b";
            s->refusals = 3;
            const time_point start = now();
            end_child("b", exit_kind::error);
            while (whereis("b")) co_await yield();
            const auto absent = co_await absence_of("b");
            EXPECT_GE(absent, 1s + 2s + 4s + 8s);
            EXPECT_LE(absent, 1s + 2s + 4s + 8s + 2ms);
            end_child("b", exit_kind::error); // the fifth within the hour
            const auto why = co_await ended(sup);
            EXPECT_EQ(why.text(), "reached maximum restart intensity");
            EXPECT_LE(now() - start, 16s);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(BackOff, TheSupervisorAnswersMeanwhileAndShowsTheChildAsRestarting) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            using what = child_error::what;
            const pid sup = co_await up(patient(strategy::one_for_one, s, "ab"));
            const supervisor_ref top{"top"};
            end_child("b", exit_kind::error);
            co_await sleep_for(500ms);
            const time_point asked = now();
            EXPECT_TRUE(co_await is_restarting("b"));
            const auto restarted = co_await top.restart_child("b");
            EXPECT_EQ(restarted.error().kind, what::restarting);
            const auto deleted = co_await top.delete_child("b");
            EXPECT_EQ(deleted.error().kind, what::restarting);
            const auto count = co_await top.count_children();
            EXPECT_EQ(count.active, 1U);
            const auto added = co_await top.start_child(a_probe(s, "c"));
            EXPECT_TRUE(added);
            EXPECT_EQ(now(), asked);
            co_await sleep_for(501ms);
            EXPECT_TRUE(whereis("b"));
            co_await stop(sup);
        });
    });
}

TEST(BackOff, TerminateChildCallsTheRestartOff) {
    under_seeds([](simulation& sim) {
        for (const auto whom : {strategy::one_for_one, strategy::one_for_all, strategy::rest_for_one}) {
            SCOPED_TRACE(to_string(whom));
            auto s = std::make_shared<script>();
            sim.run([s, whom]() -> task<> {
                const pid sup = co_await up(patient(whom, s, "abc"));
                const supervisor_ref top{"top"};
                end_child("b", exit_kind::error);
                co_await sleep_for(500ms);
                EXPECT_EQ(bool(whereis("a")), whom != strategy::one_for_all);
                EXPECT_EQ(bool(whereis("c")), whom == strategy::one_for_one);
                EXPECT_EQ(co_await is_restarting("c"), whom != strategy::one_for_one);
                const auto done = co_await top.terminate_child("b");
                EXPECT_TRUE(done);
                co_await sleep_for(1h);
                EXPECT_TRUE(whereis("a")); // those that waited with it have gone on without
                EXPECT_FALSE(whereis("b"));
                EXPECT_TRUE(whereis("c"));
                EXPECT_FALSE(co_await is_restarting("b"));
                const auto back = co_await top.restart_child("b");
                EXPECT_TRUE(back);
                co_await stop(sup);
            });
            EXPECT_EQ(sim.live(), 0U);
        }
    });
}

TEST(BackOff, SiblingsAreDownUntilAllStartInOrder) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            const pid sup = co_await up(patient(strategy::rest_for_one, s, "abc"));
            s->events.clear();
            end_child("b", exit_kind::error);
            co_await sleep_for(500ms);
            EXPECT_EQ(s->events, (names{"-b", "-c"}));
            end_child("a", exit_kind::error); // takes the restart over
            co_await sleep_for(999ms);
            EXPECT_EQ(s->events, (names{"-b", "-c", "-a"}));
            co_await sleep_for(2ms);
            EXPECT_EQ(s->events, (names{"-b", "-c", "-a", "+a", "+b", "+c"}));
            co_await sleep_for(1h); // b's own restart is off
            EXPECT_EQ(s->events.size(), 6U);
            co_await stop(sup);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

TEST(BackOff, EndsWithTheSupervisor) {
    under_seeds([](simulation& sim) {
        for (const auto how : {exit_kind::shutdown, exit_kind::killed}) {
            auto s = std::make_shared<script>();
            sim.run([s, how]() -> task<> {
                const pid sup = co_await up(patient(strategy::one_for_all, s, "ab"));
                end_child("b", exit_kind::error);
                co_await sleep_for(500ms);
                const time_point t = now();
                exit(sup, how);
                co_await ended(sup);
                EXPECT_EQ(now(), t);
            });
            EXPECT_EQ(sim.live(), 0U);
        }
    });
}

TEST(BackOff, JitterShortensEachDelayByItsPartAtMostAndDiffers) {
    std::set<duration> seen;
    under_seeds([&](simulation& sim) {
        auto s = std::make_shared<script>();
        seen.insert(sim.run([s]() -> task<duration> {
            const pid sup = co_await up(patient(strategy::one_for_one, s, "b", 0.25));
            end_child("b", exit_kind::error);
            while (whereis("b")) co_await yield();
            const auto absent = co_await absence_of("b");
            EXPECT_GE(absent, 750ms);
            EXPECT_LE(absent, 1s + 2ms);
            co_await stop(sup);
            co_return absent;
        }));
    });
    if (!seed_to_replay()) {
        EXPECT_GT(seen.size(), 1U);
    }
}

TEST(BackOff, RefusesWhatIsImpossible) {
    const std::vector<back_off> bad{{.first = 0s},
                                    {.first = -1s},
                                    {.first = 2s, .most = 1s},
                                    {.factor = 0.5},
                                    {.factor = std::numeric_limits<double>::quiet_NaN()},
                                    {.jitter = -0.1},
                                    {.jitter = 1.5}};
    simulation sim{1};
    sim.run([&]() -> task<> {
        trap_exit(true);
        for (const auto& b : bad) {
            supervisor spec{strategy::one_for_one, {}};
            spec.back_off(b);
            const auto r = co_await start_link(spec, "top");
            EXPECT_FALSE(r);
        }
        supervisor spec{strategy::one_for_one, {}};
        spec.period(0s);
        const auto r = co_await start_link(spec, "top");
        EXPECT_FALSE(r);
        EXPECT_EQ(info(self())->mailbox_length, 0U); // no exit signal is left either
    });
}
