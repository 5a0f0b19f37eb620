// Kills, deadlines and cancellations at each awaiter of this room, and the runtime's but for those that need a descriptor:
// see runtime/kill_test_support.hpp for the driver, and for which table covers what. Here besides: nothing that was handed over
// is lost, and what the victim waited at still works.
#include <genever/csp/cancellable.hpp>
#include <genever/csp/chan.hpp>
#include <genever/csp/condition.hpp>
#include <genever/csp/error_group.hpp>
#include <genever/csp/mutex.hpp>
#include <genever/csp/once.hpp>
#include <genever/csp/select.hpp>
#include <genever/csp/semaphore.hpp>
#include <genever/csp/shared_mutex.hpp>
#include <genever/csp/ticker.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/csp/when_all.hpp>
#include <genever/csp/when_any.hpp>
#include <genever/runtime/blocking.hpp>
#include <genever/runtime/mailbox.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "runtime/kill_test_support.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;

namespace {

/// What the victim waits at. Everything is taken, full, empty or undone, until the trigger.
struct place {
    chan<int> full{0};  // nobody receives
    chan<int> empty{2}; // nobody sends
    chan<int> off = nil;
    wait_group group;
    mutex m;
    mutex::guard m_held = m.try_lock();
    shared_mutex sm;
    shared_mutex::guard sm_held = sm.try_lock();
    semaphore s{3};
    semaphore::permit s_held = s.try_acquire(2);
    mutex cm;
    condition changed;
    once first;
    mutex first_blocked;
    mutex::guard first_held = first_blocked.try_lock();
    cancellation_source source;
    cancellation_source caller; // calls the victim off

    std::atomic<bool> in_first{false}; // `first` has begun

    std::atomic<pid> other{};             // waits for the condition, too
    std::atomic<bool> other_waits{false}; // in its queue, if the mutex is free
    std::atomic<bool> notified{false};    // one of the two has been

    std::atomic<int> alive{0};    // witnesses
    std::atomic<int> given{0};    // values that the trigger handed over
    std::atomic<int> consumed{0}; // and those that the victim had when it went on
    std::atomic<int> taken{0};    // values that the trigger took from the victim's sends
    std::atomic<int> acted{0};    // notifications that somebody acted upon
};

using at_place = std::shared_ptr<place>;
using witness = test::witness<place>;
using test::ended_with_us;

// ---- the runtime's

task<> sleeping(at_place p) {
    witness w{p};
    co_await sleep_for(1s);
}
task<> yielding(at_place p) {
    witness w{p};
    for (int i = 0; i < 1000; ++i) co_await yield();
}
task<> receiving(at_place p) {
    witness w{p};
    auto clause = [w](int) {};
    co_await receive(clause);
}
task<> receiving_with_an_end(at_place p) {
    witness w{p};
    co_await receive([](int) {}, after(1s, [] {}));
}

task<> receiving_from_a_bounded_mailbox(at_place p) {
    witness w{p};
    set_mailbox_limit({.capacity = 1, .policy = mailbox_policy::wait});
    co_await receive([](int) {});
}
task<> emptying_its_mailbox(at_place p) {
    witness w{p};
    auto go_on = co_await p->empty.recv();
    if (go_on) ++p->consumed;
    co_await receive([](long) {});
    co_await receive([](long) {});
}
task<> sending_to_a_full_mailbox(at_place p) {
    witness w{p};
    const spawn_options with_room_for_one{.mailbox = {.capacity = 1, .policy = mailbox_policy::wait}};
    const ended_with_us to{spawn(with_room_for_one, emptying_its_mailbox, p)};
    send(to.who, 1L);
    co_await send_wait(to.who, 2L);
}
task<> blocking_for_a_while(at_place p) {
    witness w{p};
    // On threads it takes as long as it takes to be killed meanwhile.
    auto f = [w] {
        const auto end = std::chrono::steady_clock::now() + 2ms;
        while (std::chrono::steady_clock::now() < end) std::this_thread::yield();
        return 1;
    };
    auto call = blocking(f);
    [[maybe_unused]] const int one = co_await call;
}

// ---- channels and select

void give(place& p, pid) {
    if (p.empty.try_send(1)) ++p.given;
}

task<> sending(at_place p) {
    witness w{p};
    co_await p->full.send(1);
}
task<> taking(at_place p) {
    witness w{p};
    auto v = co_await p->empty.recv();
    if (v) ++p->consumed;
}
task<> taking_all(at_place p) {
    witness w{p};
    auto each = [w, p](int) { ++p->consumed; };
    co_await p->empty.for_each(each);
}
task<> sending_to_nil(at_place p) {
    witness w{p};
    co_await p->off.send(1);
}
task<> taking_from_nil(at_place p) {
    witness w{p};
    co_await p->off.recv();
}
task<> selecting(at_place p) {
    witness w{p};
    std::optional<int> v;
    co_await select(recv(p->empty, v), send(p->full, 1), recv(p->off), after(1s));
    if (v) ++p->consumed;
}
task<> selecting_one_twice(at_place p) {
    witness w{p};
    auto count = [w, p](std::optional<int> v) {
        if (v) ++p->consumed;
    };
    auto nothing = [w] {};
    co_await select(recv(p->empty, count), recv(p->empty, count), send(p->full, 1, nothing),
                    send(p->full, 1, nothing));
}
task<> going_on(at_place p) {
    witness w{p};
    co_await sleep_for(500ms);
}
task<> selecting_and_awaiting(at_place p) {
    witness w{p};
    auto then = [w, p](std::optional<int> v) -> task<> {
        if (v) ++p->consumed;
        return going_on(p);
    };
    auto late = [w]() -> task<> { co_return; };
    co_await select(recv(p->empty, then), after(1s, late));
}
task<> selecting_and_awaiting_at_once(at_place p) {
    give(*p, {});
    co_await selecting_and_awaiting(p);
}
task<> selecting_over_a_vector(at_place p) {
    witness w{p};
    std::vector<std::optional<int>> v(3);
    std::vector<any_case> cases;
    for (auto& one : v) cases.push_back(recv(p->empty, one));
    cases.push_back(send(p->full, 1));
    co_await select(cases);
    for (auto& one : v)
        if (one) ++p->consumed;
}
task<> selecting_until_cancelled(at_place p) {
    witness w{p};
    const cancellation_token t = p->source.token();
    std::optional<int> v;
    co_await select(done(t), recv(p->empty, v));
    if (v) ++p->consumed;
}
task<> selecting_a_tick(at_place p) {
    witness w{p};
    ticker t(300ms);
    std::optional<int> v;
    auto ticked = [w] {};
    co_await select(tick(t, ticked), recv(p->empty, v));
    if (v) ++p->consumed;
}
task<> selecting_nothing_but_an_end(at_place p) {
    witness w{p};
    auto over = [w] {};
    co_await select(after(1s, over));
}
task<> selecting_for_ever(at_place p) {
    witness w{p};
    co_await select();
}

// ---- locks

task<> waiting_for_a_group(at_place p) {
    witness w{p};
    co_await p->group.wait();
}
task<> locking(at_place p) {
    witness w{p};
    auto g = co_await p->m.lock();
    co_await yield();
}
task<> locking_exclusively(at_place p) {
    witness w{p};
    auto g = co_await p->sm.lock();
    co_await yield();
}
task<> locking_shared(at_place p) {
    witness w{p};
    auto g = co_await p->sm.lock_shared();
    co_await yield();
}
task<> acquiring(at_place p) {
    witness w{p};
    auto permit = co_await p->s.acquire(2);
    co_await yield();
}
task<> waiting_for_a_condition(at_place p) {
    witness w{p};
    auto g = co_await p->cm.lock();
    co_await p->changed.wait(g);
    EXPECT_TRUE(g.owns_lock());
    ++p->acted;
}
/// Another one waits beside it, and for longer: a notification that the victim does not act upon is for that one.
task<> waiting_for_a_condition_beside_another(at_place p) {
    witness w{p};
    p->other = spawn([p]() -> task<> {
        const witness inner{p};
        auto g = co_await p->cm.lock();
        p->other_waits = true;
        co_await p->changed.wait(g);
        ++p->acted;
    });
    auto g = co_await p->cm.lock();
    co_await p->changed.wait(g);
    ++p->acted;
}
task<> waiting_for_its_mutex_again(at_place p) {
    witness w{p};
    auto g = co_await p->cm.lock();
    const ended_with_us other{spawn([p]() -> task<> {
        const witness inner{p};
        auto mine = co_await p->cm.lock();
        p->changed.notify_one();
        co_await sleep_for(1s);
    })};
    co_await p->changed.wait(g);
    EXPECT_TRUE(g.owns_lock());
}
task<> waiting_for_a_condition_with_a_limit(at_place p) {
    witness w{p};
    auto g = co_await p->cm.lock();
    const auto r = co_await p->changed.wait_for(g, 1s);
    EXPECT_TRUE(g.owns_lock());
    if (r == std::cv_status::no_timeout) ++p->acted;
}
/// Its predicate never holds: it waits again after each notification.
task<> waiting_until_something_holds(at_place p) {
    witness w{p};
    auto g = co_await p->cm.lock();
    auto never = [w] { return false; };
    co_await p->changed.wait(g, never);
}
task<> waiting_until_something_holds_with_a_limit(at_place p) {
    witness w{p};
    auto g = co_await p->cm.lock();
    auto never = [w] { return false; };
    const bool held = co_await p->changed.wait_for(g, 1s, never);
    EXPECT_FALSE(held);
    EXPECT_TRUE(g.owns_lock());
}
task<> calling_once(at_place p) {
    witness w{p};
    auto f = [w, p]() -> task<> {
        p->in_first = true;
        auto g = co_await p->first_blocked.lock();
    };
    co_await p->first.call(f);
}
task<> calling_once_after_another(at_place p) {
    witness w{p};
    const ended_with_us other{spawn(calling_once, p)};
    for (;;) {
        if (p->in_first) break;
        co_await yield();
    }
    co_await p->first.call([] {});
}

// ---- trees

task<> waiting_for_a_cancel(at_place p) {
    witness w{p};
    cancellation_source below{p->source.token(), 2s};
    co_await below.token().done();
}
task<> within_a_cancellable(at_place p) {
    witness w{p};
    [[maybe_unused]] auto r = co_await cancellable(p->source.token(), taking(p));
}
task<> within_a_deadline(at_place p) {
    witness w{p};
    [[maybe_unused]] auto r = co_await with_timeout(1s, taking(p));
}
task<> within_tasks(at_place p) {
    witness w{p};
    co_await taking(p);
}
/// A local of the process that waits, which those it waits for may use until they end.
struct lent {
    volatile int value = 42;
    ~lent() { value = 0; }
};
struct borrower {
    const lent& from;
    ~borrower() { EXPECT_EQ(from.value, 42) << "it went first"; }
};
task<> borrowing(at_place p, const lent& from) {
    witness w{p};
    const borrower b{from};
    co_await sleep_for(1h);
}
task<> lending_to_all(at_place p) {
    witness w{p};
    const lent mine;
    co_await when_all(borrowing(p, mine), waiting_for_a_cancel(p));
}
task<> lending_to_any(at_place p) {
    witness w{p};
    const lent mine;
    [[maybe_unused]] auto r = co_await when_any(borrowing(p, mine), waiting_for_a_cancel(p));
}
task<> lending_to_members(at_place p) {
    witness w{p};
    const lent mine;
    error_group g;
    g.go([p, from = &mine]() -> task<> { co_await borrowing(p, *from); });
    co_await g.wait();
}
task<> waiting_for_members(at_place p) {
    witness w{p};
    error_group g{p->source.token()};
    g.set_limit(2);
    for (int i = 0; i < 3; ++i)
        g.go([p, t = g.token()]() -> task<> {
            witness inner{p};
            co_await t.done();
        });
    co_await g.wait();
}
task<> waiting_for_room(at_place p) {
    witness w{p};
    error_group g;
    g.set_limit(1);
    g.go([p]() -> task<> {
        witness inner{p};
        co_await sleep_for(24h);
    });
    co_await g.room();
}
task<> waiting_for_all(at_place p) {
    witness w{p};
    co_await when_all(taking(p), waiting_for_a_cancel(p), taking(p));
}
task<> waiting_for_any(at_place p) {
    witness w{p};
    [[maybe_unused]] auto r = co_await when_any(taking(p), waiting_for_a_cancel(p), locking(p));
}
task<> waiting_for_all_of_a_vector(at_place p) {
    witness w{p};
    std::vector<task<>> work;
    work.push_back(taking(p));
    work.push_back(waiting_for_a_cancel(p));
    co_await when_all(std::move(work));
}
task<> waiting_for_any_of_a_vector(at_place p) {
    witness w{p};
    std::vector<task<>> work;
    work.push_back(taking(p));
    work.push_back(locking(p));
    [[maybe_unused]] auto first = co_await when_any(std::move(work));
}
task<> ticking(at_place p) {
    witness w{p};
    ticker t(300ms);
    for (;;) co_await t.tick();
}

// ---- triggers

void nothing(place&, pid) {}
void tell(place&, pid who) { send(who, 1); }
void close_all(place& p, pid) {
    if (!p.empty.is_closed()) p.empty.close();
}
void take(place& p, pid) {
    if (p.full.try_recv()) ++p.taken;
}
void give_and_take(place& p, pid who) {
    give(p, who);
    take(p, who);
}
void finish_group(place& p, pid) { p.group.done(); }
void unlock(place& p, pid) { p.m_held.unlock(); }
void unlock_shared(place& p, pid) { p.sm_held.unlock(); }
void release(place& p, pid) { p.s_held.release(); }
void notify(place& p, pid) { p.changed.notify_one(); }
/// Only one who certainly waits is notified: whoever has set the flag has released the mutex by waiting.
void notify_one_of_two(place& p, pid) {
    const auto g = p.cm.try_lock();
    if (!g || !p.other_waits) return;
    p.notified = true;
    p.changed.notify_one();
}
void notify_all(place& p, pid) { p.changed.notify_all(); }
void unblock_first(place& p, pid) { p.first_held.unlock(); }
void cancel(place& p, pid) { p.source.cancel(); }
void all_at_once(place& p, pid who) {
    give(p, who);
    cancel(p, who);
    unlock(p, who);
}

/// After the victim has gone: nothing is lost, and everything works.
void expect_intact(place& p) {
    // Values: what was given was consumed, or is still there; what was sent was taken, or is not there.
    int left = 0;
    while (p.empty.try_recv()) ++left;
    EXPECT_EQ(p.given, p.consumed + left);
    EXPECT_EQ(p.full.try_recv(), std::nullopt);
    // Locks: free as soon as the one who held them from the start lets go.
    p.m_held.unlock();
    EXPECT_TRUE(p.m.try_lock());
    p.sm_held.unlock();
    EXPECT_TRUE(p.sm.try_lock());
    EXPECT_TRUE(p.sm.try_lock_shared());
    p.s_held.release();
    EXPECT_EQ(p.s.available(), p.s.size());
    EXPECT_TRUE(p.cm.try_lock());
    p.first_held.unlock();
    EXPECT_TRUE(p.first_blocked.try_lock());
}

task<> expect_usable(at_place p) {
    go([p]() -> task<> { co_await p->full.send(2); });
    auto v = co_await p->full.recv();
    EXPECT_EQ(v, 2);
    auto g = co_await p->cm.lock();
    go([p]() -> task<> {
        auto mine = co_await p->cm.lock();
        p->changed.notify_one();
    });
    co_await p->changed.wait(g);
    co_await p->first.call([] {});
    EXPECT_TRUE(p->first.done());
}

task<> begin(at_place p) {
    p->group.add();
    co_return;
}

task<> settle(at_place p) {
    const pid other = p->other;
    if (!other) co_return;
    const time_point patience = now() + 10s;
    for (;;) {
        if (!p->notified || p->acted > 0) break;
        EXPECT_LT(now(), patience) << "a notification is lost";
        if (now() >= patience) break;
        co_await sleep_for(1ms);
    }
    exit(other, exit_kind::killed);
}

task<> check(at_place p) {
    expect_intact(*p);
    co_await expect_usable(p);
}

task<> within_a_caller(at_place p, task<> waiting) {
    [[maybe_unused]] auto r = co_await cancellable(p->caller.token(), std::move(waiting));
}
void call_off(place& p) { p.caller.cancel(); }

const test::kill_table<place> table{
    .cases =
        {
            {"sleep_for", sleeping, nothing},
            {"yield", yielding, nothing, {}, test::while_it_waits::ready},
            {"receive", receiving, tell},
            {"receive with after", receiving_with_an_end, tell},
            {"receive from a bounded mailbox", receiving_from_a_bounded_mailbox, tell},
            {"send_wait", sending_to_a_full_mailbox, give},
            {"blocking", blocking_for_a_while, nothing, {}, test::while_it_waits::ready_in_a_simulation},
            {"chan::send", sending, take},
            {"chan::recv", taking, give},
            {"chan::recv, closed", taking, close_all},
            {"chan::for_each", taking_all, give, "::each<"},
            {"chan::send to nil", sending_to_nil, nothing},
            {"chan::recv from nil", taking_from_nil, nothing},
            {"select", selecting, give},
            {"select, its send", selecting, take},
            {"select, both", selecting, give_and_take},
            {"select with one channel twice", selecting_one_twice, give_and_take},
            {"select with tasks", selecting_and_awaiting, give, "select_and_await<"},
            {"select with tasks, in one", selecting_and_awaiting_at_once, nothing, "going_on("},
            {"select over a vector", selecting_over_a_vector, give_and_take},
            {"select until cancelled", selecting_until_cancelled, cancel},
            {"select until cancelled, its channel", selecting_until_cancelled, give},
            {"select with a ticker", selecting_a_tick, give},
            {"select with after alone", selecting_nothing_but_an_end, nothing},
            {"select without cases", selecting_for_ever, nothing},
            {"wait_group::wait", waiting_for_a_group, finish_group},
            {"mutex::lock", locking, unlock},
            {"shared_mutex::lock", locking_exclusively, unlock_shared},
            {"shared_mutex::lock_shared", locking_shared, unlock_shared},
            {"semaphore::acquire", acquiring, release},
            {"condition::wait", waiting_for_a_condition, notify},
            {"condition::wait, all", waiting_for_a_condition, notify_all},
            {"condition::wait, beside another", waiting_for_a_condition_beside_another, notify_one_of_two},
            {"condition::wait, for its mutex again", waiting_for_its_mutex_again, notify},
            {"condition::wait_for", waiting_for_a_condition_with_a_limit, notify, "condition::wait_until("},
            // By its predicate: what Clang makes of its constraints libstdc++ does not demangle.
            {"condition::wait, until", waiting_until_something_holds, notify,
             "waiting_until_something_holds"},
            {"condition::wait_for, until", waiting_until_something_holds_with_a_limit, notify,
             "condition::wait_until("},
            {"once::call", calling_once, unblock_first, "calling_once("},
            {"once::call, after another", calling_once_after_another, unblock_first, "once::first<"},
            {"cancellation_token::done", waiting_for_a_cancel, cancel},
            {"cancellable", within_a_cancellable, cancel, "taking("},
            {"cancellable, its work", within_a_cancellable, give, "taking("},
            {"with_timeout", within_a_deadline, give, "taking("},
            {"a task", within_tasks, give, "taking("},
            {"error_group::wait", waiting_for_members, cancel},
            {"error_group::room", waiting_for_room, nothing, "error_group::wait_for_place("},
            {"when_all", waiting_for_all, all_at_once},
            {"when_any", waiting_for_any, all_at_once},
            {"when_all of a vector", waiting_for_all_of_a_vector, all_at_once},
            {"when_any of a vector", waiting_for_any_of_a_vector, all_at_once},
            {"when_all, with what is lent", lending_to_all, cancel},
            {"when_any, with what is lent", lending_to_any, cancel},
            {"error_group::wait, with what is lent", lending_to_members, nothing},
            {"ticker::tick", ticking, nothing},
        },
    .other_ends = {{within_a_caller, call_off}},
    .begin = begin,
    .settle = settle,
    .check = check,
};

} // namespace

TEST(Kill, AtEveryAwaiterDestroysOnceAndLeavesNothingBehind) { test::kill_everywhere_simulated(table); }

TEST(Kill, AtEveryAwaiterOnRealThreads) { test::kill_everywhere_threaded(table); }
