// For the rooms' kill tables: one driver that ends a process at each of a list of suspension points, whoever would have
// ended the suspension, and whenever: before, at the same moment, or after it was served and before it ran. After each: all
// destructors ran once, no process is left over, nobody wakes the dead (the sanitizers see it), and what the room checks
// itself.
//
// The tables, and what they cover:
//
//   csp/kill_test.cpp       the runtime's sleeps, yields, receives, sends and blocking calls; everything of csp
//   otp/kill_test.cpp       calls of every kind and what is built on them; starts and ends; servers in their callbacks
//   net/kill_test.cpp       the runtime's io_handle (readable, writable); streams, listeners, connect. On threads: real sockets
//   http/kill_test.cpp      connections in each of their states: the waits of an exchange. On threads
//   runtime/blocking_test.cpp   blocking calls while the pool runs them, or has them queued. On threads
#pragma once

#include <genever/runtime/process.hpp>
#include <genever/runtime/process_info.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/task.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "runtime/simulation_test_support.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
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

/// One suspension point. `Place` is what victim and trigger share; it has an atomic `alive`.
template <class Place>
struct awaiter_case {
    std::string name;
    /// Waits, with a witness in its frame.
    task<> (*wait)(std::shared_ptr<Place>);
    /// What would end the wait.
    void (*trigger)(Place&, pid);
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

} // namespace kill_driver

/// Every case under many seeds, in a simulation.
template <class Place>
void kill_everywhere_simulated(const kill_table<Place>& table, unsigned seeds = 200) {
    for (const awaiter_case<Place>& c : table.cases) {
        SCOPED_TRACE(c.name);
        under_seeds(
            [&](simulation& sim) {
                const auto how = sim.random(2 + table.other_ends.size());
                const bool killed = how == 0;
                const bool with_deadline = how == 1;
                const other_end<Place>* end = how < 2 ? nullptr : &table.other_ends[how - 2];
                const bool trigger_first = sim.random(2) == 0;
                const bool trigger_after = sim.random(2) == 0;
                const auto steps = sim.random(12);
                const auto between = sim.random(3);
                // At the moment at which timers fire.
                const bool late = with_deadline || sim.random(4) == 0;
                std::shared_ptr<Place> p;
                sim.run([&]() -> task<> {
                    p = std::make_shared<Place>();
                    co_await kill_driver::run_hook(table.begin, p);
                    const std::size_t before = processes().size();
                    auto [who, ref] =
                        spawn_monitor(kill_driver::victim<Place>, p, c.wait, with_deadline, end);
                    for (std::uint64_t i = 0; i < steps; ++i) co_await yield();
                    if (late) co_await sleep_for(std::chrono::seconds{1});
                    if (trigger_first) {
                        c.trigger(*p, who);
                        for (std::uint64_t i = 0; i < between; ++i) co_await yield();
                    }
                    if (killed) exit(who, exit_kind::killed);
                    if (end) end->now(*p);
                    if (!trigger_first && trigger_after) c.trigger(*p, who);
                    for (;;) {
                        const auto d = co_await receive([](const down& m) { return m; });
                        if (d.ref == ref) break;
                    }
                    co_await kill_driver::run_hook(table.settle, p);
                    // Whatever was armed or registered finds nobody; children are on their way out.
                    co_await sleep_for(std::chrono::seconds{10});
                    EXPECT_EQ(p->alive, 0);
                    EXPECT_EQ(processes().size(), before);
                    co_await kill_driver::run_hook(table.check, p);
                    co_await sleep_for(std::chrono::seconds{1});
                });
                EXPECT_EQ(p.use_count(), 1);
                EXPECT_EQ(sim.live(), 0U);
            },
            seeds);
        if (::testing::Test::HasFailure()) return;
    }
}

/// The same on threads: kill and trigger come from two processes, and race with the victim and with each other. In half
/// of the rounds the victim certainly waits.
template <class Place>
void kill_everywhere_threaded(const kill_table<Place>& table, unsigned rounds = 40) {
    for (const unsigned workers : thread_counts) {
        runtime rt{{.workers = workers, .on_crash = [](const crash_report&) {}}};
        for (const awaiter_case<Place>& c : table.cases) {
            SCOPED_TRACE(c.name + " with " + std::to_string(workers) + " workers");
            rt.run([&]() -> task<> {
                for (unsigned round = 0; round < rounds; ++round) {
                    auto p = std::make_shared<Place>();
                    co_await kill_driver::run_hook(table.begin, p);
                    const other_end<Place>* const no_other = nullptr;
                    auto [who, ref] = spawn_monitor(kill_driver::victim<Place>, p, c.wait, false, no_other);
                    if (round % 2 == 0)
                        for (;;) {
                            const auto i = info(who);
                            if (!i || i->state == process_state::parked) break;
                            co_await yield();
                        }
                    auto [other, other_ref] =
                        spawn_monitor([p, target = who, trigger = c.trigger, n = round % 5]() -> task<> {
                            for (unsigned i = 0; i < n; ++i) co_await yield();
                            trigger(*p, target);
                        });
                    for (unsigned i = 0; i < round % 7; ++i) co_await yield();
                    exit(who, exit_kind::killed);
                    int ends = 0;
                    for (;;) {
                        const auto d = co_await receive([](const down& m) { return m; });
                        if (d.ref == ref || d.ref == other_ref) ++ends;
                        if (ends == 2) break;
                    }
                    co_await kill_driver::run_hook(table.settle, p);
                    const time_point patience = now() + std::chrono::seconds{30};
                    for (;;) { // children
                        if (p->alive == 0) break;
                        EXPECT_LT(now(), patience) << p->alive << " witnesses live on";
                        if (now() >= patience) co_return;
                        co_await yield();
                    }
                    co_await kill_driver::run_hook(table.check, p);
                }
            });
            if (::testing::Test::HasFailure()) return;
        }
    }
}

} // namespace genever::test
