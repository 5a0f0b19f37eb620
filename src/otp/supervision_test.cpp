#include "supervisor_test_support.hpp"

#include <genever/otp/supervisor.hpp>

#include <memory>
#include <string>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

TEST(Supervisor, ChildrenComeAndGoAtRunTime) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            supervisor spec{strategy::one_for_one, {a_probe(s, "a")}};
            const pid sup = co_await up(spec);
            const supervisor_ref top{"top"};
            EXPECT_EQ(top.pid(), sup);
            auto started = co_await top.start_child(a_probe(s, "b"));
            EXPECT_TRUE(started);
            EXPECT_EQ(*started, whereis("b"));
            auto again = co_await top.start_child(a_probe(s, "b"));
            EXPECT_EQ(again.error().kind, child_error::what::already_started);
            EXPECT_EQ(again.error().pid, *started);
            auto running = co_await top.restart_child("b");
            EXPECT_EQ(running.error().kind, child_error::what::running);
            auto del = co_await top.delete_child("b");
            EXPECT_EQ(del.error().kind, child_error::what::running);
            auto term = co_await top.terminate_child("b");
            EXPECT_TRUE(term);
            EXPECT_EQ(whereis("b"), pid{});
            co_await sleep_for(1s); // it is not restarted
            EXPECT_EQ(whereis("b"), pid{});
            again = co_await top.start_child(a_probe(s, "b"));
            EXPECT_EQ(again.error().kind, child_error::what::already_present);
            auto back = co_await top.restart_child("b");
            EXPECT_EQ(*back, whereis("b"));
            term = co_await top.terminate_child("b");
            del = co_await top.delete_child("b");
            EXPECT_TRUE(del);
            back = co_await top.restart_child("b");
            EXPECT_EQ(back.error().kind, child_error::what::not_found);
            s->refuses = "c";
            s->refusals = 1;
            auto failed = co_await top.start_child(a_probe(s, "c"));
            EXPECT_EQ(failed.error().kind, child_error::what::start_failed);
            EXPECT_EQ(failed.error().reason.text(), "c refuses");
            auto n = co_await top.count_children();
            EXPECT_EQ(n.specs, 1U);
            auto temporary = co_await top.start_child(a_probe(s, "t", restart::temporary));
            EXPECT_TRUE(temporary);
            term = co_await top.terminate_child("t");
            n = co_await top.count_children();
            EXPECT_EQ(n.specs, 1U);
            EXPECT_EQ(n.active, 1U);
            EXPECT_EQ(n.workers, 1U);
            s->events.clear();
            co_await top.start_child(a_probe(s, "z"));
            co_await stop(sup);
            EXPECT_EQ(s->events, (names{"+z", "-z", "-a"}));
        });
    });
}

TEST(Supervisor, AStartFunctionMayStartAnythingOrNothing) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const child_spec plain("plain", []() -> task<start_result> {
                co_return spawn_link([]() -> task<> { co_await sleep_for(1s); });
            });
            const child_spec nothing("nothing", []() -> task<start_result> { co_return pid{}; });
            supervisor spec{strategy::one_for_one, {plain, nothing}};
            const pid sup = co_await up(spec);
            const auto before = co_await pids(sup);
            co_await sleep_for(1500ms);
            const auto after = co_await pids(sup);
            EXPECT_NE(after[0], before[0]);
            EXPECT_EQ(after[1], pid{});
            co_await stop(sup);
            const child_spec broken("broken", []() -> task<start_result> {
                throw std::runtime_error("no");
                co_return pid{};
            });
            supervisor bad{strategy::one_for_one, {broken}};
            auto r = co_await start_link(bad);
            EXPECT_FALSE(r);
        });
        EXPECT_EQ(sim.live(), 0U);
    });
}

namespace {

struct endpoint : gen_server<endpoint> {
    struct options {
        int port = 4000;
        std::string address = "everywhere";
    };
    struct where {
        using reply = std::string;
    };
    explicit endpoint(options o) : options_(std::move(o)) {}
    std::string handle(where) { return options_.address + ':' + std::to_string(options_.port); }
    options options_;
};

/// As a room above would make it: a tree behind one name.
struct service {
    struct options {
        int port = 1;
    };
    static genever::child_spec child_spec(std::string name, options o) {
        const std::string inner = name + ".endpoint";
        return child<supervisor>(
            std::move(name), supervisor{strategy::rest_for_one, {child<endpoint>(inner, {.port = o.port})}});
    }
};

} // namespace

TEST(Supervisor, SetsAChildUpByItsOptions) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            supervisor spec{strategy::one_for_one,
                            {child<endpoint>("one", {.port = 80}), child<endpoint>("two"),
                             child<service>("three", {.port = 443})}};
            const pid sup = co_await up(spec);
            const server_ref<endpoint> one{"one"};
            const server_ref<endpoint> two{"two"};
            const server_ref<endpoint> three{"three.endpoint"};
            EXPECT_EQ(co_await one.call<endpoint::where>(), "everywhere:80");
            EXPECT_EQ(co_await two.call<endpoint::where>(), "everywhere:4000");
            EXPECT_EQ(co_await three.call<endpoint::where>(), "everywhere:443");
            co_await stop(sup);
        });
    });
}

TEST(SupervisionTree, ShowsEveryProcessWithItsRestartsAndMailbox) {
    under_seeds([](simulation& sim) {
        auto s = std::make_shared<script>();
        sim.run([s]() -> task<> {
            supervisor inner{strategy::one_for_one, {a_probe(s, "x"), a_probe(s, "y")}};
            supervisor spec{strategy::one_for_one, {a_probe(s, "a"), child<supervisor>("inner", inner)}};
            const pid sup = co_await up(spec);
            co_await sleep_for(10s);
            end_child("x", exit_kind::error);
            co_await sleep_for(1s);
            const supervision_node t = co_await supervision_tree(supervisor_ref{"top"});
            EXPECT_EQ(t.name, "top");
            EXPECT_EQ(t.pid, sup);
            EXPECT_EQ(t.children.size(), 2U);
            EXPECT_EQ(t.children[0].name, "a");
            EXPECT_EQ(t.children[0].mailbox_length, 0U);
            EXPECT_EQ(t.children[0].restarts, 0U);
            EXPECT_EQ(t.children[1].type, child_type::supervisor);
            EXPECT_EQ(t.children[1].children.size(), 2U);
            EXPECT_EQ(t.children[1].children[0].restarts, 1U);
            EXPECT_EQ(t.children[1].children[0].pid, whereis("x"));
            EXPECT_EQ(now() - t.children[1].children[0].started_at, 1s);
            EXPECT_EQ(now() - t.children[1].children[1].started_at, 11s);
            bool threw = false;
            try {
                co_await supervision_tree(supervisor_ref{"a"});
            } catch (const call_error& e) {
                threw = e.kind() == call_failure::wrong_server;
            }
            EXPECT_TRUE(threw);
            co_await stop(sup);
        });
    });
}

TEST(SupervisionTree, DoesNotWaitForABusySupervisor) {
    under_seeds(
        [](simulation& sim) {
            auto s = std::make_shared<script>();
            auto slow = std::make_shared<script>();
            sim.run([=]() -> task<> {
                supervisor inner{strategy::one_for_one, {a_probe(slow, "x")}};
                supervisor spec{strategy::one_for_one, {child<supervisor>("inner", inner), a_probe(s, "a")}};
                const pid sup = co_await up(spec);
                slow->init_takes = 1h;
                end_child("x", exit_kind::error);
                const auto start = now();
                co_await sleep_for(1ms);
                const supervision_node t = co_await supervision_tree(supervisor_ref{sup});
                EXPECT_EQ(now() - start, 1s + 1ms);
                EXPECT_EQ(t.children.size(), 2U);
                EXPECT_TRUE(t.children[0].busy);
                EXPECT_FALSE(t.children[1].busy);
                const supervisor_ref busy{"inner"};
                bool timed_out = false;
                try {
                    co_await busy.which_children();
                } catch (const call_error& e) {
                    timed_out = e.kind() == call_failure::timeout;
                }
                EXPECT_TRUE(timed_out);
                exit(sup, exit_kind::killed);
                co_await ended(sup);
            });
        },
        20);
}

TEST(Supervisor, AChildThatAsksItsOwnSupervisorInItsInitTimesOut) {
    struct nosy : gen_server<nosy> {
        task<> init() {
            try {
                const supervisor_ref mine{"top"};
                co_await mine.which_children(2s);
                throw std::logic_error("it answered");
            } catch (const call_error& e) {
                if (e.kind() != call_failure::timeout) throw;
            }
        }
    };
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            supervisor spec{strategy::one_for_one, {child<nosy>("nosy")}};
            const pid sup = co_await up(spec);
            EXPECT_EQ(now().time_since_epoch(), 2s);
            co_await stop(sup);
        });
    });
}

TEST(Supervisor, RestartsAThousandCrashesOnRealThreadsWithoutLosingItsSiblings) {
    for (const unsigned workers : test::thread_counts) {
        runtime_options options;
        options.workers = workers;
        options.on_crash = [](const crash_report&) {};
        runtime rt{std::move(options)};
        auto s = std::make_shared<script>();
        auto quiet = std::make_shared<script>();
        rt.run([s, quiet]() -> task<> {
            supervisor spec{strategy::one_for_one, {a_probe(quiet, "sibling"), a_probe(s, "victim")}};
            spec.max_restarts(1'000'000).period(1h);
            const pid sup = co_await up(spec);
            const server_ref<probe> sibling{"sibling"};
            const server_ref<probe> victim{"victim"};
            const pid me = self();
            for (int i = 0; i < 4; ++i)
                spawn([=]() -> task<> {
                    for (int n = 0; n < 2000; ++n) {
                        auto r = co_await victim.within(1min).try_call<probe::count>();
                        EXPECT_TRUE(r || r.error().kind() != call_failure::timeout);
                    }
                    send(me, i);
                });
            for (int n = 0; n < 1000; ++n) {
                const pid p = victim.pid();
                if (n % 2)
                    exit(p, exit_kind::killed);
                else
                    end_child("victim", exit_kind::error);
                EXPECT_EQ(co_await sibling.call<probe::count>(), n + 1);
                while (victim.pid() == p || !victim.pid()) co_await yield();
            }
            for (int i = 0; i < 4; ++i) co_await receive([](int) {});
            const supervisor_ref top{sup};
            const auto children = co_await top.which_children();
            EXPECT_EQ(children[0].restarts, 0U);
            EXPECT_EQ(children[1].restarts, 1000U);
            co_await stop(sup);
        });
    }
}
