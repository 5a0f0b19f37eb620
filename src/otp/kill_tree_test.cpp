// Kills and deadlines at the waits of starts and ends, of servers and of whole trees, and of servers in their own callbacks:
// see kill_test.cpp.
#include "kill_tables.hpp"

#include <genever/otp/application.hpp>
#include <genever/otp/dynamic_supervisor.hpp>
#include <genever/otp/gen_statem.hpp>
#include <genever/otp/partition_supervisor.hpp>
#include <genever/otp/server_ref.hpp>
#include <genever/otp/stage.hpp>
#include <genever/otp/sys.hpp>

#include <gtest/gtest.h>

using namespace genever;
using namespace std::chrono_literals;
using namespace genever::test;

namespace {

using at_place = at_server_place;
using witness = server_witness;

// ---- starts

task<> starting(at_place p) {
    const witness w{p};
    auto up = start<brief>("", p);
    [[maybe_unused]] const auto r = co_await std::move(up);
}
task<> starting_linked(at_place p) {
    const witness w{p};
    auto up = start_link<brief>("", p);
    [[maybe_unused]] const auto r = co_await std::move(up);
}
task<> starting_by_a_via_name(at_place p) {
    const witness w{p};
    auto up = start<brief>(via(p->rooms, "brief"), p);
    [[maybe_unused]] const auto r = co_await std::move(up);
}
task<> starting_what_fails(at_place p) {
    const witness w{p};
    auto up = start<brief>("", p, true);
    [[maybe_unused]] const auto r = co_await std::move(up);
}
task<> starting_what_is_there(at_place p) {
    const witness w{p};
    auto up = start<brief>("keeper", p);
    [[maybe_unused]] const auto r = co_await std::move(up);
}

supervisor two_briefs(const at_place& p) {
    std::vector<child_spec> two;
    two.push_back(child<brief>("brief one", p).restart(restart::temporary));
    two.push_back(child<brief>("brief two", p).restart(restart::temporary));
    return supervisor{strategy::rest_for_one, std::move(two)};
}
task<> starting_a_supervisor(at_place p) {
    const witness w{p};
    auto up = start_link(two_briefs(p));
    [[maybe_unused]] const auto r = co_await std::move(up);
}
task<> living_with_a_supervisor(at_place p) {
    const witness w{p};
    auto up = start_link(two_briefs(p), "victim's own");
    [[maybe_unused]] const auto r = co_await std::move(up);
    co_await sleep_for(a_while());
}
task<> starting_a_dynamic_supervisor(at_place p) {
    const witness w{p};
    auto up = start_link(dynamic_supervisor{}, "victim's own");
    const auto r = co_await std::move(up);
    if (!r) co_return;
    auto spec = child<brief>("", p).restart(restart::temporary);
    auto adding = dynamic_supervisor_ref{*r}.start_child(std::move(spec));
    [[maybe_unused]] const auto added = co_await std::move(adding);
}
task<> starting_partitions(at_place p) {
    const witness w{p};
    partition_supervisor spec{[p](std::string name, std::size_t) {
        return child<brief>(std::move(name), p).restart(restart::temporary);
    }};
    spec.partitions(2);
    auto up = start_link(std::move(spec), "victim's own");
    [[maybe_unused]] const auto r = co_await std::move(up);
}
task<> starting_a_registry(at_place p) {
    const witness w{p};
    const registry<int> own{"victim's own"};
    auto up = own.start_link();
    [[maybe_unused]] const auto r = co_await std::move(up);
}
task<> starting_applications(at_place p) {
    const witness w{p};
    std::vector<application> two;
    two.push_back(application{"first"}.supervise(two_briefs(p)).type(application_type::temporary));
    two.push_back(application{"second"}.depends_on({"first"}));
    applications all{std::move(two)};
    auto up = start_link(std::move(all), "victim's own");
    const auto r = co_await std::move(up);
    if (!r) co_return;
    auto asking = started_applications("victim's own");
    [[maybe_unused]] const auto names = co_await std::move(asking);
}

// ---- stages

struct slow_source {
    using event = int;
    task<std::vector<int>> handle_demand(std::size_t n) {
        co_await sleep_for(a_while());
        co_return std::vector<int>(n, 1);
    }
};
struct sink {
    using event = int;
    explicit sink(at_place p) : w_(std::move(p)) {}
    task<> handle_events(std::vector<int>) {
        const witness inner{w_};
        co_await sleep_for(a_while());
    }

private:
    witness w_;
};
task<> consuming(at_place p) {
    const witness w{p};
    const stage_options two{.max_demand = 2};
    auto up = start_link<consumer<sink>>("", subscribe_to<producer<slow_source>>("source"), two, p);
    const auto r = co_await std::move(up);
    if (!r) co_return;
    const ended_with_us consumer{*r};
    co_await sleep_for(3 * a_while());
}

// ---- the children of supervisors that are there

const supervisor_ref family{"family"};
const dynamic_supervisor_ref sessions{"sessions"};

task<> listing_children(at_place p) {
    const witness w{p};
    [[maybe_unused]] const auto all = co_await family.which_children();
    [[maybe_unused]] const auto counts = co_await family.count_children();
    [[maybe_unused]] const auto more = co_await sessions.which_children();
    [[maybe_unused]] const auto more_counts = co_await sessions.count_children();
    const supervisor_ref top{"top"};
    auto looking = supervision_tree(top);
    [[maybe_unused]] const auto tree = co_await std::move(looking);
}
task<> adding_a_child(at_place p) {
    const witness w{p};
    auto spec = child<brief>("added", p).restart(restart::temporary);
    auto adding = family.start_child(std::move(spec));
    [[maybe_unused]] const auto r = co_await std::move(adding);
}
task<> terminating_and_restarting_a_child(at_place p) {
    const witness w{p};
    auto ending = family.terminate_child("kid");
    [[maybe_unused]] const auto ended = co_await std::move(ending);
    auto again = family.restart_child("kid");
    [[maybe_unused]] const auto r = co_await std::move(again);
}
task<> deleting_a_child(at_place p) {
    const witness w{p};
    auto spec = child<brief>("deleted", p).restart(restart::temporary);
    auto adding = family.start_child(std::move(spec));
    [[maybe_unused]] const auto added = co_await std::move(adding);
    auto ending = family.terminate_child("deleted");
    [[maybe_unused]] const auto ended = co_await std::move(ending);
    auto deleting = family.delete_child("deleted");
    [[maybe_unused]] const auto r = co_await std::move(deleting);
}
task<> adding_a_dynamic_child(at_place p) {
    const witness w{p};
    auto spec = child<brief>("", p).restart(restart::temporary);
    auto adding = sessions.start_child(std::move(spec));
    const auto added = co_await std::move(adding);
    if (!added) co_return;
    auto ending = sessions.terminate_child(*added);
    [[maybe_unused]] const auto r = co_await std::move(ending);
}

// ---- triggers

constexpr char victims_own[] = "victim's own";
constexpr char family_name[] = "family";
constexpr char sessions_name[] = "sessions";
constexpr char source_name[] = "source";
void kill_added(server_place& p, pid who) {
    static constexpr char added[] = "added";
    static constexpr char deleted[] = "deleted";
    kill_named<added>(p, who);
    kill_named<deleted>(p, who);
}

task<> begin_trees(at_place p) {
    std::vector<child_spec> kids;
    kids.push_back(child<keeper>("kid"));
    std::vector<child_spec> all;
    all.push_back(child(p->rooms));
    all.push_back(child<keeper>("keeper"));
    all.push_back(child<supervisor>("family", supervisor{strategy::one_for_one, std::move(kids)}));
    all.push_back(child<dynamic_supervisor>("sessions"));
    all.push_back(child<producer<slow_source>>("source"));
    auto up = start_tree(p, std::move(all));
    co_await std::move(up);
}
task<> settle_trees(at_place p) {
    // A victim may have gone between the end of the child and its restart.
    co_await sleep_for(4 * a_while());
    // A family that was killed comes back when its kid, which ends by its link, has given its name back.
    for (patience left{p, "the family does not restart its kid"};;) {
        bool asked = false;
        try {
            auto again = family.restart_child("kid");
            [[maybe_unused]] const auto r = co_await std::move(again);
            asked = true;
        } catch (const call_error&) {
        }
        if (asked || left.is_over()) break;
        co_await yield();
    }
}
task<> check_trees(at_place p) {
    for (patience left{p, "what was killed does not come back"};;) { // on threads
        if (whereis("family") && whereis("sessions") && whereis("keeper")) break;
        if (left.is_over()) co_return;
        co_await yield();
    }
    // One that is being killed does not answer.
    for (patience left{p, "the supervisors do not answer, or have children left over"};;) {
        bool answered = false;
        try {
            const auto counts = co_await family.count_children();
            const auto others = co_await sessions.count_children();
            // On threads the supervisors may hear of the last end a moment later.
            answered = counts.active == 1 && others.active == 0;
        } catch (const call_error&) {
        }
        if (answered) break;
        if (left.is_over()) co_return;
        co_await yield();
    }
    auto stopping = stop_tree(p);
    co_await std::move(stopping);
}

const kill_table<server_place> trees{
    .cases =
        {
            {"start", starting, no_trigger, "await_start("},
            {"start_link", starting_linked, no_trigger, "await_start("},
            {"start, by a via name", starting_by_a_via_name, no_trigger, "await_start("},
            {"start, of what fails", starting_what_fails, no_trigger, "await_start("},
            {"start, of what is there", starting_what_is_there, no_trigger, "await_start("},
            {"start_link of a supervisor", starting_a_supervisor, no_trigger, "await_start("},
            {"start_link of a supervisor that ends", living_with_a_supervisor, kill_named<victims_own>,
             "await_start(|living_with_a_supervisor("},
            {"start_link of a dynamic_supervisor", starting_a_dynamic_supervisor, kill_named<victims_own>,
             "await_start(|ask<"},
            {"start_link of a partition_supervisor", starting_partitions, kill_named<victims_own>,
             "await_start("},
            {"registry::start_link", starting_a_registry, kill_named<victims_own>, "await_start("},
            {"start_link of applications", starting_applications, kill_named<victims_own>,
             "await_start(|started_applications("},
            {"a consumer's start", consuming, kill_named<source_name>, "await_start(|consuming("},
            {"supervisor_ref's questions", listing_children, kill_named<sessions_name>,
             "supervisor_ref::which_children(|ask<genever::detail::supervisor_process::count|dynamic_"
             "supervisor_process::which|dynamic_supervisor_process::count|explore(|children_of_dynamic("},
            {"supervisor_ref::start_child", adding_a_child, kill_added, "supervisor_process::start_child>"},
            {"supervisor_ref::start_child, the supervisor ends", adding_a_child, kill_named<family_name>,
             "supervisor_process::start_child>"},
            {"supervisor_ref::terminate_child, restart_child", terminating_and_restarting_a_child,
             kill_named<family_name>,
             "supervisor_process::terminate_child>|supervisor_process::restart_child>"},
            {"supervisor_ref::delete_child", deleting_a_child, kill_added,
             "supervisor_process::start_child>|supervisor_process::terminate_child>|supervisor_process::"
             "delete_child>"},
            {"dynamic_supervisor_ref", adding_a_dynamic_child, kill_named<sessions_name>,
             "dynamic_supervisor_process::start_child>|dynamic_supervisor_process::terminate_child>"},
        },
    .brief_on_threads = true,
    .begin = begin_trees,
    .settle = settle_trees,
    .check = check_trees,
};

// ---- servers in their callbacks: the victim is the server

struct subject : gen_server<subject> {
    enum class when : std::uint8_t { idle, idle_with_a_limit, init, handle, crash, finish };
    struct work {};
    struct crash {};
    struct finish {};
    struct ask {
        witness w;
        using reply = witness;
    };

    subject(at_place p, when w) : w_(std::move(p)), when_(w) {}
    task<> init() {
        const witness inner{w_};
        if (when_ == when::init) co_await sleep_for(a_while());
        if (when_ == when::idle_with_a_limit) timeout_when_idle(a_while());
        if (when_ == when::handle) continue_with(work{});
        if (when_ == when::crash) continue_with(crash{});
        if (when_ == when::finish) continue_with(finish{});
    }
    task<> handle(idle_timeout) {
        const witness inner{w_};
        co_await sleep_for(a_while());
        timeout_when_idle(a_while());
    }
    task<> handle(work) {
        const witness inner{w_};
        co_await sleep_for(a_while());
    }
    task<> handle(crash) {
        const witness inner{w_};
        co_await yield();
        throw std::runtime_error("crash");
    }
    void handle(finish) { stop(exit_kind::shutdown); }
    void handle(ask m, from<witness> f) {
        asked_.emplace_back(std::move(m.w), std::move(f));
        if (when_ == when::idle_with_a_limit) timeout_when_idle(a_while()); // a message ends it
    }
    task<> terminate(const exit_reason&) {
        const witness inner{w_};
        co_await sleep_for(a_while());
    }

private:
    witness w_;
    when when_;
    std::vector<std::pair<witness, from<witness>>> asked_;
};

/// Two who wait for the server's answer: they hear of its end, whatever it was.
void spawn_callers(const at_place& p) {
    for (int i = 0; i < 2; ++i)
        spawn([p, server = self()]() -> task<> {
            const witness w{p};
            const server_ref<subject> to{server};
            const auto r = co_await to.within(infinity).try_call<subject::ask>(w);
            EXPECT_FALSE(r);
        });
}

template <subject::when When>
task<> serving(at_place p) {
    const witness w{p};
    spawn_callers(p);
    genever::detail::launch l;
    auto life = genever::detail::server_main<subject>(std::move(l), p, When);
    co_await std::move(life);
}

struct slow_machine : gen_statem<slow_machine> {
    struct one {};
    struct two {};
    using states = state_list<one, two>;
    struct turn {};
    explicit slow_machine(at_place p) : w_(std::move(p)) {}
    transition init() { return next_state(one{}).next_event(turn{}); }
    task<transition> handle(one&, turn) {
        const witness inner{w_};
        co_await sleep_for(a_while());
        co_return next_state(two{}).state_timeout(a_while(), turn{}).next_event(turn{});
    }
    task<statem_entry> enter(two&) {
        const witness inner{w_};
        co_await sleep_for(a_while());
        co_return actions();
    }
    transition handle(two&, turn) { return keep_state().postpone(); }

private:
    witness w_;
};
task<> serving_as_a_machine(at_place p) {
    const witness w{p};
    genever::detail::launch l;
    auto life = genever::detail::server_main<slow_machine>(std::move(l), p);
    co_await std::move(life);
}
task<> serving_while_suspended(at_place p) {
    const witness w{p};
    spawn([p, server = self()]() -> task<> {
        const witness caller{p};
        try {
            co_await sys::suspend(server);
        } catch (const call_error&) {
        }
    });
    auto life = serving<subject::when::idle>(p);
    co_await std::move(life);
}

void cast_work(server_place&, pid who) { server_ref<subject>{who}.cast<subject::work>(); }
void cast_finish(server_place&, pid who) { server_ref<subject>{who}.cast<subject::finish>(); }

using when = subject::when;
const kill_table<server_place> servers{
    .cases =
        {
            {"a server that waits for messages", serving<when::idle>, cast_work, "genever::detail::serve("},
            {"a server that waits for messages, told to end", serving<when::idle>, cast_finish,
             "genever::detail::serve("},
            {"a server that waits with a limit", serving<when::idle_with_a_limit>, cast_work,
             "genever::detail::serve(|subject::handle(genever::idle_timeout"},
            {"a server in init", serving<when::init>, cast_work, "subject::init("},
            {"a server in a handler", serving<when::handle>, cast_finish, "subject::handle("},
            {"a server that crashes", serving<when::crash>, no_trigger, "subject::terminate("},
            {"a server that ends", serving<when::finish>, cast_work, "subject::terminate("},
            {"a server that is suspended", serving_while_suspended, cast_work, "genever::detail::serve("},
            {"a state machine", serving_as_a_machine, no_trigger,
             "slow_machine::handle(|slow_machine::enter(|genever::detail::serve("},
        },
    .brief_on_threads = true,
};

} // namespace

TEST(Kill, AtEveryStartAndEndDestroysOnceAndLeavesNothingBehind) { kill_everywhere_simulated(trees); }

TEST(Kill, AtEveryStartAndEndOnRealThreads) { run_on_threads(trees, 10); }

TEST(Kill, InEveryCallbackOfAServerDestroysOnceAndLeavesNothingBehind) { kill_everywhere_simulated(servers); }

TEST(Kill, InEveryCallbackOfAServerOnRealThreads) { run_on_threads(servers, 15); }
