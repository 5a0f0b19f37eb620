// For the rooms' kill tables: one driver that ends a process at each of a list of suspension points, whoever would have
// ended the suspension, and whenever: before, at the same moment, or after it was served and before it ran. After each: all
// destructors ran once, no process is left over, nobody wakes the dead (the sanitizers see it), and what the room checks
// itself. Besides, and first: at each of these points (on threads, at one of each case's) one process has certainly been killed
// while it was parked there, and has ended by that. A case whose process never parks where the case says fails.
//
// The tables, and what they cover:
//
//   csp/kill_test.cpp       the runtime's sleeps, yields, receives, sends and blocking calls; everything of csp
//   otp/kill_test.cpp       calls of every kind and what is built on them; starts and ends; servers in their callbacks
//   net/kill_test.cpp       the runtime's io_handle (readable, writable) and for_peer; streams, listeners, connect. On threads:
//                           real sockets
//   http/kill_test.cpp      connections in each of their states: the waits of an exchange, cold, in a drain; the connections'
//                           process and the acceptor. On threads
//   runtime/blocking_test.cpp   blocking calls while the pool runs them, or has them queued. On threads
#pragma once

#include <genever/base/stack_trace.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/process_info.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/task.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "runtime/simulation_test_support.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace genever::test {

/// Counts, in `alive` of its place, how many of its copies live.
template <class Place>
class witness {
public:
    explicit witness(std::shared_ptr<Place> at) : at_(std::move(at)) { ++at_->alive; }
    witness(const witness& o) : at_(o.at_) { ++at_->alive; }
    witness& operator=(const witness&) = delete;
    ~witness() { --at_->alive; }

private:
    std::shared_ptr<Place> at_;
};

/// A process that ends with the one that holds this.
struct ended_with_us {
    pid who;
    ~ended_with_us() { exit(who, exit_kind::killed); }
};

/// What its wait makes of a process: it is parked, or ready and waits for its turn; of one that calls what blocks, the latter
/// in a simulation.
enum class while_it_waits : std::uint8_t { parked, ready, ready_in_a_simulation };

/// One suspension point. `Place` is what victim and trigger share; it has an atomic `alive`.
template <class Place>
struct awaiter_case {
    std::string name;
    /// Waits, with a witness in its frame.
    task<> (*wait)(std::shared_ptr<Place>);
    /// What would end the wait.
    void (*trigger)(Place&, pid);
    /// The coroutines that wait then, the innermost ones: parts of their names, with `|` between them. A process has to be
    /// killed in each of them. Empty: it is `wait` itself.
    std::string_view points = {}; // not a vector: GCC 12 crashes at its default
    while_it_waits process_is = while_it_waits::parked;
};

/// A way to end the wait other than a kill of its process, or a deadline.
template <class Place>
struct other_end {
    task<> (*within)(std::shared_ptr<Place>, task<> waiting);
    void (*now)(Place&);
};

template <class Place>
struct kill_table {
    std::vector<awaiter_case<Place>> cases;
    /// On threads its waits may be over before anybody has looked: that somebody was killed in them is for the simulations to
    /// prove.
    bool brief_on_threads = false;
    std::vector<other_end<Place>> other_ends = {};
    /// In the process that watches, before the victim is there: what outlives the victim.
    task<> (*begin)(std::shared_ptr<Place>) = nullptr;
    /// When the victim has gone: ends what a victim that goes on to its end leaves behind on purpose.
    task<> (*settle)(std::shared_ptr<Place>) = nullptr;
    /// At last: nothing is lost, and everything works. Ends what `begin` has started.
    task<> (*check)(std::shared_ptr<Place>) = nullptr;
};

namespace kill_driver {

template <class Place>
task<> victim(std::shared_ptr<Place> p, task<> (*wait)(std::shared_ptr<Place>), bool with_deadline,
              const other_end<Place>* end) {
    const witness<Place> w{p};
    if (with_deadline) {
        [[maybe_unused]] auto r = co_await with_timeout(std::chrono::seconds{1}, wait(p));
    } else if (end) {
        auto whole = end->within(p, wait(p));
        co_await std::move(whole);
    } else {
        co_await wait(p);
    }
}

template <class Place>
task<> run_hook(task<> (*hook)(std::shared_ptr<Place>), std::shared_ptr<Place> p) {
    if (hook) co_await hook(std::move(p));
}

/// The name of the function to which this code belongs. For the process that watches.
inline const std::string& function_at(const void* code) {
    static std::map<const void*, std::string> known;
    const auto [at, is_new] = known.try_emplace(code);
    if (is_new) {
        // As a return address: the byte before it is looked at.
        void* const inside = const_cast<char*>(static_cast<const char*>(code)) + 1;
        const auto frames = symbolise(std::span<void* const>{&inside, 1});
        if (!frames.empty()) at->second = frames.back().function;
    }
    return at->second;
}

/// Tells whether a victim is where its case wants it.
template <class Place>
class point {
public:
    point(const awaiter_case<Place>& c, std::size_t number, bool simulated)
        : name_(c.points.empty() ? function_at(reinterpret_cast<const void*>(c.wait))
                                 : part(c.points, number)),
          whole_(c.points.empty()),
          ready_(c.process_is == while_it_waits::ready ||
                 (simulated && c.process_is == while_it_waits::ready_in_a_simulation)) {}
    static std::size_t count(const awaiter_case<Place>& c) {
        return 1 + static_cast<std::size_t>(std::ranges::count(c.points, '|'));
    }

    bool is_at(pid who, const Place& p) {
        const auto i = info(who);
        if (!i) return false;
        // It has made its own witness and the wait's, and is not parked.
        if (ready_) return i->state != process_state::parked && p.alive >= 2;
        if (i->state != process_state::parked) return false;
        const std::string& where = function_at(i->suspended_in);
        last_seen_ = where;
        return whole_ ? where == name_ : where.find(name_) != std::string::npos;
    }
    std::string why_not() const {
        return "nobody was killed in " + name_ +
               (last_seen_.empty() ? "; it never waited" : "; it waited in " + last_seen_);
    }

private:
    static std::string part(std::string_view all, std::size_t number) {
        for (; number > 0; --number) all.remove_prefix(all.find('|') + 1);
        return std::string{all.substr(0, all.find('|'))};
    }

    std::string name_;
    bool whole_;
    bool ready_;
    std::string last_seen_;
};

/// The ends of the processes that the caller monitors, in whatever order they come.
class ends {
public:
    /// How the process with this monitor has ended. Nothing, and the test has failed: it lives on for a minute.
    task<std::optional<exit_reason>> of(monitor_ref ref) {
        const time_point patience = now() + std::chrono::minutes{1};
        for (;;) {
            for (const down& d : come_)
                if (d.ref == ref) co_return d.reason;
            auto d = co_await receive([](const down& m) { return std::optional{m}; },
                                      after(patience - now(), []() -> std::optional<down> { return {}; }));
            if (!d) {
                ADD_FAILURE() << "it lives on";
                co_return std::nullopt;
            }
            come_.push_back(*std::move(d));
        }
    }

private:
    std::vector<down> come_;
};

/// What one simulation does to its victim.
template <class Place>
struct plan {
    bool killed = false;
    bool with_deadline = false;
    const other_end<Place>* end = nullptr;
    point<Place>* aim = nullptr; // killed there; null: wherever it is after `steps`
    std::uint64_t steps = 0;
    bool late = false; // at the moment at which timers fire
    bool trigger_first = false;
    std::uint64_t between = 0; // steps from the trigger to the end
    bool trigger_after = false;
    bool killed_again = false; // a little later, if it is on its way out still
};

/// Waits for the victim to come to where it is aimed at. In a simulation.
template <class Place>
task<bool> comes_to(pid who, point<Place>& aim, const Place& p) {
    for (int naps = 0; naps < 80; ++naps) {
        for (int i = 0; i < 24; ++i) {
            if (aim.is_at(who, p)) co_return true;
            if (!is_alive(who)) co_return false;
            co_await yield();
        }
        co_await sleep_for(std::chrono::milliseconds{100});
    }
    co_return false;
}

/// One victim's life. Gives whether it was killed where it was aimed at.
template <class Place>
bool simulate(simulation& sim, const kill_table<Place>& table, const awaiter_case<Place>& c,
              const plan<Place>& how) {
    bool hit = false;
    std::shared_ptr<Place> p;
    sim.run([&]() -> task<> {
        p = std::make_shared<Place>();
        co_await run_hook(table.begin, p);
        const std::size_t before = processes().size();
        auto [who, ref] = spawn_monitor(victim<Place>, p, c.wait, how.with_deadline, how.end);
        bool came = false;
        if (how.aim) came = co_await comes_to(who, *how.aim, *p);
        for (std::uint64_t i = 0; i < how.steps; ++i) co_await yield();
        if (how.late) co_await sleep_for(std::chrono::seconds{1});
        if (how.trigger_first) {
            c.trigger(*p, who);
            for (std::uint64_t i = 0; i < how.between; ++i) co_await yield();
        }
        bool parked = false;
        if (how.killed) {
            const auto i = info(who);
            parked = i && i->state == process_state::parked;
            exit(who, exit_kind::killed);
        }
        if (how.end) how.end->now(*p);
        if (!how.trigger_first && how.trigger_after) c.trigger(*p, who);
        if (how.killed_again) {
            co_await yield();
            exit(who, exit_kind::killed);
        }
        ends all;
        const auto why = co_await all.of(ref);
        if (!why) co_return;
        if (parked) {
            EXPECT_EQ(*why, exit_kind::killed) << to_string(*why);
        }
        hit = came && *why == exit_kind::killed;
        co_await run_hook(table.settle, p);
        // Whatever was armed or registered finds nobody; children are on their way out.
        co_await sleep_for(std::chrono::seconds{10});
        EXPECT_EQ(p->alive, 0);
        EXPECT_EQ(processes().size(), before);
        co_await run_hook(table.check, p);
        co_await sleep_for(std::chrono::seconds{1});
    });
    EXPECT_EQ(p.use_count(), 1);
    EXPECT_EQ(sim.live(), 0U);
    return hit;
}

} // namespace kill_driver

/// Every case in simulations: killed at each of its points once for certain, then under many seeds.
template <class Place>
void kill_everywhere_simulated(const kill_table<Place>& table, unsigned seeds = 200) {
    using namespace kill_driver;
    std::string never; // all of them at once
    for (const awaiter_case<Place>& c : table.cases) {
        SCOPED_TRACE(c.name);
        for (std::size_t n = 0; n < point<Place>::count(c); ++n) {
            point<Place> aim{c, n, true};
            bool hit = false;
            under_seeds(
                [&](simulation& sim) {
                    if (hit) return;
                    plan<Place> how{.killed = true, .aim = &aim};
                    how.trigger_after = sim.random(2) == 0;
                    how.killed_again = sim.random(2) == 0;
                    hit = simulate(sim, table, c, how);
                },
                50);
            if (::testing::Test::HasFailure()) return;
            if (!hit && !seed_to_replay()) never += c.name + ": " + aim.why_not() + '\n';
        }
        under_seeds(
            [&](simulation& sim) {
                const auto kind = sim.random(2 + table.other_ends.size());
                plan<Place> how{.killed = kind == 0, .with_deadline = kind == 1};
                if (kind >= 2) how.end = &table.other_ends[kind - 2];
                how.trigger_first = sim.random(2) == 0;
                how.trigger_after = sim.random(2) == 0;
                how.steps = sim.random(12);
                how.between = sim.random(3);
                how.killed_again = how.killed && sim.random(4) == 0;
                how.late = how.with_deadline || sim.random(4) == 0;
                simulate(sim, table, c, how);
            },
            seeds);
        if (::testing::Test::HasFailure()) return;
    }
    EXPECT_EQ(never, "");
}

/// The turns of a loop that waits for what others do, on threads. A process that only yields keeps its processor, and has idle
/// workers look for work; where there are more threads than processors, those it waits for then come last.
class turns {
public:
    task<> next() {
        if (++n_ % 32 == 0)
            co_await sleep_for(std::chrono::microseconds{200});
        else
            co_await yield();
    }

private:
    unsigned n_ = 0;
};

namespace kill_driver {

template <class Place>
task<> pull(std::shared_ptr<Place> p, pid who, void (*trigger)(Place&, pid), unsigned steps) {
    for (unsigned i = 0; i < steps; ++i) co_await yield();
    trigger(*p, who);
}

/// One victim's life on threads. `aim`: it is killed there, and the trigger comes when it has been told to end. Else kill and
/// trigger come from two processes, as `round` says. Gives whether it was killed where it was aimed at.
template <class Place>
task<bool> live_and_die(const kill_table<Place>& table, const awaiter_case<Place>& c, unsigned round,
                        point<Place>* aim, time_point to_come_until) {
    auto p = std::make_shared<Place>();
    co_await run_hook(table.begin, p);
    const other_end<Place>* const no_other = nullptr;
    auto [who, ref] = spawn_monitor(victim<Place>, p, c.wait, false, no_other);
    bool came = false;
    std::optional<monitor_ref> other;
    if (aim) {
        const time_point no_naps_until =
            now() + std::chrono::milliseconds{2}; // it may be there for a moment only
        for (turns t;;) {
            came = aim->is_at(who, *p);
            if (came || !is_alive(who) || now() > to_come_until) break;
            if (now() < no_naps_until)
                co_await yield();
            else
                co_await t.next();
        }
    } else {
        if (round % 2 == 0)
            for (turns t;;) {
                const auto i = info(who);
                if (!i || i->state == process_state::parked || now() > to_come_until) break;
                co_await t.next();
            }
        other = spawn_monitor(pull<Place>, p, who, c.trigger, round % 5).second;
        for (unsigned i = 0; i < round % 7; ++i) co_await yield();
    }
    exit(who, exit_kind::killed);
    if (aim) other = spawn_monitor(pull<Place>, p, who, c.trigger, 0U).second;
    ends all;
    const auto why = co_await all.of(ref);
    const bool hit = came && why && *why == exit_kind::killed;
    co_await all.of(*other);
    co_await run_hook(table.settle, p);
    const time_point patience = now() + std::chrono::seconds{30};
    for (turns t;;) { // children
        if (p->alive == 0) break;
        if (now() >= patience) {
            ADD_FAILURE() << p->alive << " witnesses live on";
            co_return false;
        }
        co_await t.next();
    }
    co_await run_hook(table.check, p);
    // What a process that has ended was called with goes a moment after its frames, and the place's descriptors with it.
    for (turns t;;) {
        if (p.use_count() == 1) break;
        if (now() >= patience) {
            ADD_FAILURE() << "the place has " << p.use_count() << " owners";
            co_return false;
        }
        co_await t.next();
    }
    co_return hit;
}

} // namespace kill_driver

/// The same on threads: after the kills that hit for certain, kill and trigger come from two processes, and race with the
/// victim and with each other. In half of the rounds the victim certainly waits.
template <class Place>
void kill_everywhere_threaded(const kill_table<Place>& table, unsigned rounds = 40) {
    using namespace kill_driver;
    for (const unsigned workers : thread_counts) {
        runtime rt{{.workers = workers, .on_crash = [](const crash_report&) {}}};
        for (const awaiter_case<Place>& c : table.cases) {
            SCOPED_TRACE(c.name + " with " + std::to_string(workers) + " workers");
            rt.run([&]() -> task<> {
                // At one of its points.
                const std::size_t points = point<Place>::count(c);
                const time_point patience =
                    now() + (table.brief_on_threads ? duration{std::chrono::milliseconds{20}}
                                                    : duration{std::chrono::seconds{20}});
                duration life = std::chrono::milliseconds{50};
                for (std::size_t n = 0;; ++n) {
                    point<Place> aim{c, n % points, false};
                    const bool hit =
                        co_await live_and_die(table, c, 0, &aim, std::min(patience, now() + life));
                    if (hit || ::testing::Test::HasFailure()) break;
                    if (n % points + 1 == points)
                        life = std::min(2 * life, duration{std::chrono::seconds{20}});
                    if (now() < patience) continue;
                    if (table.brief_on_threads) break;
                    ADD_FAILURE() << aim.why_not();
                    co_return;
                }
                point<Place>* const anywhere = nullptr;
                for (unsigned round = 0; round < rounds; ++round) {
                    if (::testing::Test::HasFailure()) co_return;
                    co_await live_and_die(table, c, round, anywhere, now() + std::chrono::seconds{20});
                }
            });
            if (::testing::Test::HasFailure()) {
                ADD_FAILURE() << "this case, on another thread"; // which has no traces
                return;
            }
        }
    }
}

} // namespace genever::test
