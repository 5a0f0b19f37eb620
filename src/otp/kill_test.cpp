// Kills and deadlines at each awaiter of this room. All waits are made of five awaiters, `call_wait` and `system_wait` among
// them; each function that can be awaited has its row all the same, since what it holds while it waits differs. Here: calls
// and tasks. In kill_tree_test.cpp: starts and ends of trees, and servers in their callbacks. For the driver and the other
// rooms' tables see runtime/kill_test_support.hpp.
#include "kill_tables.hpp"

#include <genever/otp/agent.hpp>
#include <genever/otp/gen_statem.hpp>
#include <genever/otp/multi_call.hpp>
#include <genever/otp/server_ref.hpp>
#include <genever/otp/sys.hpp>
#include <genever/otp/task_supervisor.hpp>

#include <gtest/gtest.h>

#include <expected>
#include <map>

using namespace genever;
using namespace std::chrono_literals;
using namespace genever::test;

namespace {

using at_place = at_server_place;
using witness = server_witness;

const server_ref<keeper> to_keeper{"keeper"};
const server_ref<keeper> to_doomed{doomed};
const server_ref<keeper> to_bounded{"bounded"};

// ---- calls

task<> calling(at_place p) {
    const witness w{p};
    [[maybe_unused]] const auto r = co_await to_keeper.try_call<keeper::ask>(w);
}
task<> calling_a_coroutine(at_place p) {
    const witness w{p};
    [[maybe_unused]] const auto r = co_await to_keeper.try_call<keeper::ask_slowly>(w);
}
task<> calling_for_a_late_answer(at_place p) {
    const witness w{p};
    [[maybe_unused]] const auto r = co_await to_keeper.within(infinity).try_call<keeper::ask_later>(w);
}
task<> calling_with_a_limit(at_place p) {
    const witness w{p};
    [[maybe_unused]] const auto r = co_await to_keeper.within(a_while()).try_call<keeper::ask_later>(w);
}
task<> calling_and_throwing(at_place p) {
    const witness w{p};
    try {
        [[maybe_unused]] const auto r = co_await to_keeper.within(a_while()).call<keeper::ask_later>(w);
    } catch (const call_error&) {
    }
}
task<> calling_one_that_ends(at_place p) {
    const witness w{p};
    [[maybe_unused]] const auto r = co_await to_doomed.within(infinity).try_call<keeper::ask_later>(w);
}
task<> calling_outside_of_a_full_mailbox(at_place p) {
    const witness w{p};
    [[maybe_unused]] const auto r = co_await to_bounded.try_call<keeper::ask>(w);
}
task<> calling_by_a_via_name(at_place p) {
    const witness w{p};
    const server_ref<keeper> to{via(p->rooms, "keeper")};
    [[maybe_unused]] const auto r = co_await to.try_call<keeper::ask_slowly>(w);
}
task<> calling_many(at_place p) {
    const witness w{p};
    std::vector<server_ref<keeper>> all{to_keeper, to_doomed, to_keeper};
    const keeper::ask_slowly question{w};
    auto asking = multi_call(std::move(all), question, long_enough());
    [[maybe_unused]] const auto r = co_await std::move(asking);
}

// ---- state machines

struct gate : gen_statem<gate> {
    struct shut {};
    struct open {};
    using states = state_list<shut, open>;
    struct unlock {};
    struct enter {
        witness w;
        using reply = witness;
    };
    struct look {
        witness w;
        using reply = witness;
    };

    shut init() { return {}; }
    transition handle(unlock) { return next_state(open{}).state_timeout(3 * a_while(), lock{}); }
    struct lock {};
    transition handle(lock) { return next_state(shut{}); }
    transition handle(shut&, const enter&, from<witness>&) { return keep_state().postpone(); }
    transition handle(open&, enter m, from<witness>& f) {
        f.reply(m.w);
        return keep_state();
    }
    task<witness> handle(look m) {
        co_await sleep_for(a_while());
        co_return m.w;
    }
};
const server_ref<gate> to_gate{"gate"};

task<> calling_a_machine_that_postpones(at_place p) {
    const witness w{p};
    [[maybe_unused]] const auto r = co_await to_gate.within(long_enough()).try_call<gate::enter>(w);
}
task<> calling_a_machine_that_waits(at_place p) {
    const witness w{p};
    [[maybe_unused]] const auto r = co_await to_gate.try_call<gate::look>(w);
}

// ---- agents

using numbers = std::map<int, int>;
const agent_ref<numbers> to_agent{"agent"};

task<> getting(at_place p) {
    const witness w{p};
    auto asking = to_agent.get([w](const numbers&) { return w; });
    [[maybe_unused]] const auto r = co_await asking;
}
task<> updating_with_a_coroutine(at_place p) {
    const witness w{p};
    auto asking = to_agent.update([w](numbers& n) -> task<> {
        const witness inner{w};
        co_await sleep_for(a_while());
        ++n[1];
    });
    co_await asking;
}
task<> getting_and_updating(at_place p) {
    const witness w{p};
    auto asking = to_agent.get_and_update([w](numbers& n) -> task<witness> {
        const witness inner{w};
        ++n[2];
        co_await sleep_for(a_while());
        co_return inner;
    });
    [[maybe_unused]] const auto r = co_await asking;
}
task<> stopping_an_agent(at_place p) {
    const witness w{p};
    try {
        auto stopping = agent_ref<numbers>{doomed_agent}.stop();
        co_await std::move(stopping);
    } catch (const call_error&) {
    }
}

// ---- sys

task<> looking_into_a_server(at_place p) {
    const witness w{p};
    auto looking = sys::get_state(to_bounded, [w](const keeper&) { return w; });
    try {
        [[maybe_unused]] const auto r = co_await std::move(looking);
    } catch (const call_error&) {
    }
}
task<> changing_a_server(at_place p) {
    const witness w{p};
    auto changing = sys::replace_state(to_bounded, [w](keeper&) { return w; });
    try {
        [[maybe_unused]] const auto r = co_await std::move(changing);
    } catch (const call_error&) {
    }
}
task<> suspending_a_server(at_place p) {
    const witness w{p};
    const pid who = whereis("bounded");
    co_await sys::suspend(who);
    co_await sys::resume(who);
}
task<> asking_for_a_status(at_place p) {
    const witness w{p};
    [[maybe_unused]] const auto s = co_await sys::get_status(whereis("bounded"));
}

// ---- triggers

void answer(server_place&, pid) { to_keeper.cast<keeper::answer>(); }
void unlock(server_place&, pid) { to_gate.cast<gate::unlock>(); }

// ---- the tree

task<> begin_calls(at_place p) {
    constexpr mailbox_limit one{.capacity = 1, .policy = mailbox_policy::wait};
    std::vector<child_spec> all;
    all.push_back(child(p->rooms));
    all.push_back(child<keeper>("keeper"));
    all.push_back(child<keeper>(doomed));
    all.push_back(child<keeper>("bounded", one));
    all.push_back(child<keeper>(via(p->rooms, "keeper")));
    all.push_back(child<gate>("gate"));
    all.push_back(child<agent<numbers>>("agent", [] { return numbers{}; }));
    all.push_back(child<agent<numbers>>(doomed_agent, [] { return numbers{}; }));
    auto starting = start_tree(p, std::move(all));
    co_await std::move(starting);
    // One server is busy for a while, and its mailbox is full.
    to_bounded.cast<keeper::be_busy>(p);
    for (patience left{p, "the bounded server does not begin"};;) {
        if (p->busy || left.is_over()) break;
        co_await yield();
    }
    const witness w{p};
    to_bounded.cast<keeper::fill>(w);
}

task<> settle_calls(at_place) {
    // Answers that were still asked for reach nobody; a machine's postponed events go with its next change.
    to_keeper.cast<keeper::answer>();
    to_doomed.cast<keeper::answer>();
    to_gate.cast<gate::unlock>();
    auto resuming = sys::resume(whereis("bounded"), infinity);
    co_await std::move(resuming);
}

task<> check_calls(at_place p) {
    if (const auto i = info(to_bounded.pid())) {
        EXPECT_EQ(i->senders_waiting, 0U);
    }
    {
        const witness w{p};
        const auto one = co_await to_keeper.try_call<keeper::ask>(w);
        EXPECT_TRUE(one);
        const auto two = co_await to_bounded.try_call<keeper::ask>(w);
        EXPECT_TRUE(two);
        const auto three = co_await to_gate.try_call<gate::look>(w);
        EXPECT_TRUE(three);
        const auto count = co_await to_agent.get([](const numbers& n) { return n.size(); });
        EXPECT_LE(count, 2U);
    }
    auto stopping = stop_tree(p);
    co_await std::move(stopping);
}

const kill_table<server_place> calls{
    .cases =
        {
            {"call", calling, no_trigger},
            {"call, a coroutine's", calling_a_coroutine, no_trigger},
            {"call, answered later", calling_for_a_late_answer, answer},
            {"call, with a limit", calling_with_a_limit, answer},
            {"call, that throws", calling_and_throwing, answer},
            {"call, the server ends", calling_one_that_ends, kill_named<doomed>},
            {"call, outside of a full mailbox", calling_outside_of_a_full_mailbox, no_trigger},
            {"call, by a via name", calling_by_a_via_name, no_trigger},
            {"multi_call", calling_many, kill_named<doomed>, "multi_call<"},
            {"gen_statem, postponed", calling_a_machine_that_postpones, unlock},
            {"gen_statem, a coroutine's", calling_a_machine_that_waits, unlock},
            {"agent_ref::get", getting, no_trigger, "ask_by<"},
            {"agent_ref::update", updating_with_a_coroutine, no_trigger, "ask_by<"},
            {"agent_ref::get_and_update", getting_and_updating, no_trigger, "ask_by<"},
            {"agent_ref::stop", stopping_an_agent, kill_named<doomed_agent>, "ask_by<"},
            // Without a bracket: what Clang makes of its constraints libstdc++ does not demangle.
            {"sys::get_state", looking_into_a_server, no_trigger, "ask_server"},
            {"sys::replace_state", changing_a_server, no_trigger, "ask_server"},
            {"sys::suspend, resume", suspending_a_server, no_trigger, "sys::suspend(|sys::resume("},
            {"sys::get_status", asking_for_a_status, no_trigger, "sys::get_status("},
        },
    .brief_on_threads = true,
    .begin = begin_calls,
    .settle = settle_calls,
    .check = check_calls,
};

// ---- tasks

const task_supervisor_ref tasks{"tasks"};

task<witness> work(witness w) {
    const witness inner{w};
    co_await sleep_for(a_while());
    co_return inner;
}
task<witness> stubborn_work(witness w) {
    const witness inner{w};
    trap_exit(true);
    co_await sleep_for(2 * a_while());
    co_return inner;
}

task<> starting_a_task(at_place p) {
    const witness w{p};
    auto starting = tasks.async(work, w);
    auto t = co_await starting;
}
task<> starting_a_task_without_a_link(at_place p) {
    const witness w{p};
    auto starting = tasks.async_nolink(work, w);
    auto t = co_await starting;
}
task<> awaiting_a_task(at_place p) {
    const witness w{p};
    auto starting = tasks.async(work, w);
    auto t = co_await starting;
    [[maybe_unused]] const auto r = co_await t.await();
}
task<> awaiting_a_task_without_a_link(at_place p) {
    const witness w{p};
    auto starting = tasks.async_nolink(work, w);
    auto t = co_await starting;
    [[maybe_unused]] const auto r = co_await t.await();
}
task<> looking_at_a_task(at_place p) {
    const witness w{p};
    auto starting = tasks.async_nolink(work, w);
    auto t = co_await starting;
    [[maybe_unused]] const auto r = co_await t.yield(a_while());
}
task<> ending_a_task(at_place p) {
    const witness w{p};
    auto starting = tasks.async(stubborn_work, w);
    auto t = co_await starting;
    [[maybe_unused]] const auto r = co_await t.shutdown(a_while());
}
task<> awaiting_many_tasks(at_place p) {
    const witness w{p};
    std::vector<task_ref<witness>> all;
    for (int i = 0; i < 3; ++i) {
        auto starting = tasks.async(work, w);
        all.push_back(co_await starting);
    }
    auto waiting = await_many(std::move(all));
    [[maybe_unused]] const auto r = co_await std::move(waiting);
}
task<> reading_a_stream(at_place p) {
    const witness w{p};
    const std::vector<witness> items(5, w);
    auto results = tasks.async_stream_nolink(items, work, {.max_concurrency = 2});
    for (;;) {
        const auto r = co_await results.next();
        if (!r) break;
    }
}
task<> starting_a_task_for_its_effect(at_place p) {
    const witness w{p};
    auto starting = tasks.start_child(work, w);
    [[maybe_unused]] const auto r = co_await starting;
}
task<> terminating_a_task(at_place p) {
    const witness w{p};
    auto starting = tasks.start_child(stubborn_work, w);
    const auto child = co_await starting;
    if (!child) co_return;
    auto ending = tasks.terminate_child(*child);
    [[maybe_unused]] const auto r = co_await std::move(ending);
}
task<> listing_tasks(at_place p) {
    const witness w{p};
    [[maybe_unused]] const auto all = co_await tasks.children();
}

task<> begin_tasks(at_place p) {
    std::vector<child_spec> all;
    all.push_back(child<task_supervisor>("tasks"));
    auto starting = start_tree(p, std::move(all));
    co_await std::move(starting);
}
task<> check_tasks(at_place p) {
    // On threads the supervisor may hear of the last end a moment later.
    for (patience left{p, "tasks are left over"};;) {
        const auto those = co_await tasks.children();
        if (those.empty() || left.is_over()) break;
        co_await yield();
    }
    {
        const witness w{p};
        auto starting = tasks.async(work, w);
        auto t = co_await starting;
        [[maybe_unused]] const auto r = co_await t.await();
    }
    auto stopping = stop_tree(p);
    co_await std::move(stopping);
}
/// Ends all the tasks there are.
void kill_tasks(server_place&, pid) {
    for (const process_info& i : process_list())
        if (i.label == "task") exit(i.pid, exit_kind::killed);
}

const kill_table<server_place> all_of_tasks{
    .cases =
        {
            {"async", starting_a_task, kill_tasks, "ask<"},
            {"async_nolink", starting_a_task_without_a_link, no_trigger, "ask<"},
            {"task_ref::await", awaiting_a_task, kill_tasks, "await_end("},
            {"task_ref::await, without a link", awaiting_a_task_without_a_link, kill_tasks, "await_end("},
            {"task_ref::yield", looking_at_a_task, no_trigger, "await_end("},
            {"task_ref::shutdown", ending_a_task, kill_tasks, "await_end("},
            {"await_many", awaiting_many_tasks, kill_tasks, "await_any_end("},
            {"task_stream::next", reading_a_stream, kill_tasks, "ask<|await_any_end("},
            {"start_child", starting_a_task_for_its_effect, no_trigger, "ask<"},
            {"terminate_child", terminating_a_task, kill_tasks, "ask<"},
            {"children", listing_tasks, no_trigger, "ask<"},
        },
    .brief_on_threads = true,
    .begin = begin_tasks,
    .check = check_tasks,
};

} // namespace

TEST(Kill, AtEveryCallDestroysOnceAndLeavesNothingBehind) { kill_everywhere_simulated(calls); }

TEST(Kill, AtEveryCallOnRealThreads) { run_on_threads(calls, 15); }

TEST(Kill, AtEveryWaitForATaskDestroysOnceAndLeavesNothingBehind) { kill_everywhere_simulated(all_of_tasks); }

TEST(Kill, AtEveryWaitForATaskOnRealThreads) { run_on_threads(all_of_tasks, 15); }
