// A kill at each awaiter's suspension point, whoever would have ended the suspension.
#include <genever/csp/chan.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include "runtime/simulation_test_support.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::under_seeds;

namespace {

/// Counts the constructions and destructions of its copies.
struct witness {
    explicit witness(int& n) : alive(&n) { ++n; }
    witness(const witness& o) : alive(o.alive) { ++*alive; }
    witness& operator=(const witness&) = delete;
    ~witness() { --*alive; }
    int* alive;
};

struct shared {
    chan<int> full{0};
    chan<int> empty{0};
    wait_group group;
};

struct awaiter_case {
    std::string name;
    /// Suspends once, with a witness on both sides of the await.
    std::function<task<>(shared&, int&)> wait;
    /// What would end the suspension.
    std::function<void(shared&, pid)> trigger;
};

task<> sleeping(shared&, int& n) {
    witness w{n};
    co_await sleep_for(1s);
}
task<> yielding(shared&, int& n) {
    witness w{n};
    for (int i = 0; i < 1000; ++i) co_await yield();
}
task<> receiving(shared&, int& n) {
    witness w{n};
    auto clause = [w](int) {};
    co_await receive(clause);
}
task<> receiving_with_an_end(shared&, int& n) {
    witness w{n};
    co_await receive([](int) {}, after(1s, [] {}));
}
task<> sending(shared& s, int& n) {
    witness w{n};
    co_await s.full.send(1);
}
task<> taking(shared& s, int& n) {
    witness w{n};
    auto v = co_await s.empty.recv();
    (void)v;
}
task<> waiting_for_a_group(shared& s, int& n) {
    witness w{n};
    co_await s.group.wait();
}
task<> calling(shared& s, int& n) {
    witness w{n};
    co_await taking(s, n);
}
task<> within_a_deadline(shared& s, int& n) {
    witness w{n};
    auto work = calling(s, n);
    co_await with_timeout(1s, std::move(work));
}

const std::vector<awaiter_case>& cases() {
    static const std::vector<awaiter_case> all{
        {"sleep_for", sleeping, [](shared&, pid) {}},
        {"yield", yielding, [](shared&, pid) {}},
        {"receive", receiving, [](shared&, pid p) { send(p, 1); }},
        {"receive with after", receiving_with_an_end, [](shared&, pid p) { send(p, 1); }},
        {"chan::send", sending, [](shared& s, pid) { s.full.try_recv(); }},
        {"chan::recv", taking, [](shared& s, pid) { s.empty.try_send(1); }},
        {"wait_group::wait", waiting_for_a_group, [](shared& s, pid) { s.group.done(); }},
        {"a task", calling, [](shared& s, pid) { s.empty.try_send(1); }},
        {"with_timeout", within_a_deadline, [](shared& s, pid) { s.empty.try_send(1); }},
    };
    return all;
}

} // namespace

TEST(Kill, AtEveryAwaiterDestroysOnceAndLeavesNothingBehind) {
    for (const awaiter_case& c : cases()) {
        SCOPED_TRACE(c.name);
        under_seeds(
            [&](simulation& sim) {
                int alive = 0;
                const bool trigger_first = sim.random(2) == 0;
                const bool trigger_after = sim.random(2) == 0;
                const auto steps = sim.random(12);
                const bool late = sim.random(4) == 0; // at the very moment at which timers fire
                sim.run([&]() -> task<> {
                    auto s = std::make_shared<shared>();
                    s->group.add();
                    const std::size_t before = processes().size();
                    auto [victim, ref] = spawn_monitor(
                        [](std::shared_ptr<shared> with, const awaiter_case& at, int& n) -> task<> {
                            witness w{n};
                            co_await at.wait(*with, n);
                        },
                        s, std::cref(c), std::ref(alive));
                    for (std::uint64_t i = 0; i < steps; ++i) co_await yield();
                    if (late) co_await sleep_for(1s);
                    if (trigger_first) c.trigger(*s, victim);
                    exit(victim, exit_kind::killed);
                    if (!trigger_first && trigger_after) c.trigger(*s, victim);
                    co_await receive([](const down&) {});
                    EXPECT_EQ(alive, 0);
                    EXPECT_EQ(processes().size(), before);
                    // Whatever was armed or registered finds nobody; what it waited at still works.
                    co_await sleep_for(10s);
                    go([s]() -> task<> { co_await s->full.send(2); });
                    EXPECT_EQ(co_await s->full.recv(), 2);
                });
                sim.run_for(1s);
                EXPECT_EQ(alive, 0);
                EXPECT_EQ(sim.live(), 0U);
            },
            100);
        if (::testing::Test::HasFailure()) return;
    }
}
