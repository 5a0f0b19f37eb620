// Chaos on real threads, the smaller brother of chaos_test.cpp: a tree of every kind of supervisor, whose processes are killed,
// throw, and are terminated and started by several processes at once, while others call them. What must hold is looked at when
// all is quiet again, since nothing can be seen at one moment before. Here it is the threads that are tested, under
// ThreadSanitizer above all.
#include "supervisor_test_support.hpp"

#include <genever/otp/dynamic_supervisor.hpp>
#include <genever/otp/registry.hpp>
#include <genever/otp/supervisor.hpp>
#include <genever/runtime/runtime.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int steps = 400;
#else
constexpr int steps = 3000;
#endif
constexpr int hands = 4;   // processes that make chaos
constexpr int callers = 3; // processes that only call
constexpr int in_a_group = 5;
constexpr duration patience = 1min; // with a machine that is busy elsewhere

struct world {
    std::atomic<int> alive = 0;
    std::atomic<std::uint64_t> starts = 0;
    std::atomic<std::uint64_t> answered = 0;
    std::atomic<std::uint64_t> failed = 0; // by the server's end, or for want of a server
    registry<std::string> keys{"keys", {.partitions = 2}};
};
using world_ptr = std::shared_ptr<world>;

struct worker : gen_server<worker> {
    struct crash {};
    struct order { // of its start among all
        using reply = std::uint64_t;
    };

    worker(world_ptr w, std::string key) : world_(std::move(w)), key_(std::move(key)) { ++world_->alive; }
    ~worker() { --world_->alive; }
    void init() {
        order_ = ++world_->starts;
        if (!world_->keys.register_key(key_)) throw std::logic_error(key_ + " is somebody else's");
    }
    void handle(crash) { throw std::runtime_error("as told"); }
    std::uint64_t handle(order) { return order_; }

private:
    world_ptr world_;
    std::string key_;
    std::uint64_t order_ = 0;
};

constexpr std::array groups{"one", "all", "rest", "by hand"};
std::string worker_name(const std::string& group, int n) { return group + ' ' + std::to_string(n); }

child_spec group(const world_ptr& w, const std::string& name, strategy s) {
    std::vector<child_spec> children;
    for (int i = 0; i < in_a_group; ++i) {
        const std::string own = worker_name(name, i);
        children.push_back(child<worker>(own, w, own));
    }
    supervisor spec{s, std::move(children)};
    spec.max_restarts(1'000'000).period(24h);
    return child<supervisor>(name, std::move(spec));
}

supervisor tree(const world_ptr& w) {
    supervisor top{
        strategy::one_for_one,
        {child(w->keys), group(w, "one", strategy::one_for_one), group(w, "all", strategy::one_for_all),
         group(w, "rest", strategy::rest_for_one), group(w, "by hand", strategy::one_for_one),
         child<dynamic_supervisor>("dynamic", dynamic_supervisor{}.max_restarts(1'000'000).period(24h))}};
    top.max_restarts(1'000'000).period(24h);
    return top;
}

task<> count_the_answer(world_ptr w, std::string name) {
    const server_ref<worker> to{std::move(name)};
    const auto r = co_await to.within(patience).try_call<worker::order>();
    if (r) {
        ++w->answered;
    } else {
        EXPECT_TRUE(r.error().kind() == call_failure::noproc || r.error().kind() == call_failure::exited)
            << to_string(r.error().kind());
        ++w->failed;
    }
}

/// By hand, in a group of which the order does not matter.
task<> terminate_and_restart(std::string name) {
    const supervisor_ref sup{"by hand"};
    try {
        const auto gone = co_await sup.terminate_child(name);
        if (gone) co_await yield();
        const auto r = co_await sup.restart_child(name);
        // A start may fail while the registry is down, or as long as one of the name is still on its way out.
        const bool right = r || r.error().kind == child_error::what::running ||
                           r.error().kind == child_error::what::restarting ||
                           r.error().kind == child_error::what::start_failed;
        EXPECT_TRUE(right) << to_string(r.error());
    } catch (const call_error&) {
        // The supervisor itself was killed meanwhile; the next one starts all.
    }
}

/// Whoever was terminated last, and could not be started again: a start by hand that fails is not tried again.
task<> bring_up(std::string name) {
    const supervisor_ref sup{"by hand"};
    const time_point deadline = now() + patience;
    for (;;) {
        if (now() > deadline) co_return;
        try {
            const auto r = co_await sup.restart_child(name);
            if (r || r.error().kind == child_error::what::running) co_return;
        } catch (const call_error&) {
            // it is on its way out, or not up yet
        }
        co_await sleep_for(5ms);
    }
}

task<> add_and_end(world_ptr w, std::string key, bool by_kill) {
    const dynamic_supervisor_ref sup{"dynamic"};
    try {
        const auto p = co_await sup.start_child(child<worker>("", w, key).restart(restart::temporary));
        if (!p) co_return; // its supervisor's end, or the registry's, came first
        if (by_kill)
            exit(*p, exit_kind::killed);
        else
            co_await sup.terminate_child(*p);
    } catch (const call_error&) {
        // as above: its children went with it
    }
}

task<> make_chaos(world_ptr w, std::uint64_t seed) {
    std::mt19937_64 random{seed};
    for (int step = 0; step < steps; ++step) {
        const std::string in = groups[random() % groups.size()];
        const std::string name = worker_name(in, static_cast<int>(random() % in_a_group));
        const std::string by_hand = worker_name("by hand", static_cast<int>(random() % in_a_group));
        switch (random() % 12) {
        case 0:
        case 1:
        case 2: exit(whereis(name), exit_kind::killed); break;
        case 3:
        case 4:
        case 5: server_ref<worker>{name}.cast(worker::crash{}); break;
        case 6:
        case 7: co_await count_the_answer(w, name); break;
        case 8: co_await terminate_and_restart(by_hand); break;
        case 9:
        case 10:
            co_await add_and_end(w, std::to_string(seed) + '/' + std::to_string(step), random() % 2 == 0);
            break;
        default:
            if (random() % 20 == 0) exit(whereis(random() % 2 ? in : "dynamic"), exit_kind::killed);
            if (random() % 100 == 0) exit(whereis("keys#0"), exit_kind::killed); // ends all that have keys
            break;
        }
        if (random() % 4 == 0) co_await yield();
    }
}

task<> call_on(world_ptr w, std::uint64_t seed, std::shared_ptr<std::atomic<bool>> over) {
    std::mt19937_64 random{seed};
    for (;;) {
        if (over->load()) co_return;
        const std::string in = groups[random() % groups.size()];
        co_await count_the_answer(w, worker_name(in, static_cast<int>(random() % in_a_group)));
        co_await yield();
    }
}

/// The orders of a group's workers, in the order of the specification; empty: not all run.
task<std::vector<std::uint64_t>> orders_of(std::string name) {
    std::vector<std::uint64_t> orders;
    std::vector<child_info> all;
    try {
        const supervisor_ref sup{name};
        auto asking = sup.which_children();
        all = co_await std::move(asking);
    } catch (const call_error&) {
        co_return orders;
    }
    for (const child_info& c : all) {
        const server_ref<worker> one{c.pid};
        const auto r = co_await one.within(patience).try_call<worker::order>();
        if (!r || whereis(c.name) != c.pid) {
            orders.clear();
            co_return orders;
        }
        orders.push_back(*r);
    }
    co_return orders;
}

/// What is to be seen when nothing happens any more.
task<std::vector<std::uint64_t>> look_at_all() {
    std::vector<std::uint64_t> all;
    for (const char* name : groups) {
        auto looking = orders_of(name);
        const auto orders = co_await std::move(looking);
        if (orders.size() != in_a_group) {
            all.clear();
            co_return all;
        }
        all.insert(all.end(), orders.begin(), orders.end());
    }
    co_return all;
}

/// Waits until two looks see the same.
task<std::vector<std::uint64_t>> quiet() {
    std::vector<std::uint64_t> before;
    const time_point deadline = now() + patience;
    for (;;) {
        auto looking = look_at_all();
        auto seen = co_await std::move(looking);
        const bool same = !seen.empty() && seen == before;
        if (same || now() > deadline) co_return same ? seen : std::vector<std::uint64_t>{};
        before = std::move(seen);
        co_await sleep_for(20ms);
    }
}

/// Waits until nothing is left of those that have ended: their supervisor and the registry hear of it in their own time.
task<> nothing_is_left_of_the_dead(world_ptr w) {
    const dynamic_supervisor_ref dynamic{"dynamic"};
    constexpr std::size_t all = groups.size() * in_a_group;
    const time_point deadline = now() + patience;
    for (;;) {
        const auto n = co_await dynamic.count_children();
        if ((n.specs == 0 && w->alive == static_cast<int>(all) && w->keys.count() == all) || now() > deadline)
            co_return;
        co_await sleep_for(5ms);
    }
}

/// For the one who has to find out why.
void draw(std::string& to, const supervision_node& n, const std::string& indent) {
    to += '\n' + indent + n.name + ' ' + to_string(n.pid) + (n.restarting ? " restarting" : "") +
          (n.busy ? " busy" : "") + (n.pid && !is_alive(n.pid) ? " dead" : "");
    for (const supervision_node& c : n.children) draw(to, c, indent + "  ");
}
task<std::string> picture(pid top) {
    const supervisor_ref sup{top};
    auto looking = supervision_tree(sup);
    const auto tree = co_await std::move(looking);
    std::string text;
    draw(text, tree, "");
    co_return text;
}

task<> live_through_it(world_ptr w, std::uint64_t seed) {
    trap_exit(true);
    const pid top = co_await up(tree(w));
    auto over = std::make_shared<std::atomic<bool>>(false);
    for (int i = 0; i < callers; ++i)
        spawn_monitor(call_on, w, seed + 1000 + static_cast<std::uint64_t>(i), over);
    for (int i = 0; i < hands; ++i) spawn_monitor(make_chaos, w, seed + static_cast<std::uint64_t>(i));
    for (int i = 0; i < hands + callers; ++i) {
        if (i == hands) over->store(true); // of the callers none has ended before
        const auto d = co_await receive([](down d) { return d; });
        EXPECT_EQ(d.reason, exit_kind::normal) << to_string(d.reason);
    }

    for (int i = 0; i < in_a_group; ++i) co_await bring_up(worker_name("by hand", i));
    auto waiting = quiet();
    const auto orders = co_await std::move(waiting);
    if (orders.empty()) {
        auto drawing = picture(top);
        const std::string tree = co_await std::move(drawing);
        ADD_FAILURE() << "the tree did not recover:" << tree;
    }
    EXPECT_TRUE(is_alive(top));
    if (!orders.empty()) {
        // Whoever is restarted takes along those behind it, or all: in these groups the start is always in order.
        const auto in_order = [&](std::size_t g) {
            const auto from = orders.begin() + static_cast<std::ptrdiff_t>(g * in_a_group);
            return std::is_sorted(from, from + in_a_group);
        };
        EXPECT_TRUE(in_order(1)) << "one_for_all";
        EXPECT_TRUE(in_order(2)) << "rest_for_one";
    }
    auto settling = nothing_is_left_of_the_dead(w);
    co_await std::move(settling);
    const dynamic_supervisor_ref dynamic{"dynamic"};
    const auto n = co_await dynamic.count_children();
    EXPECT_EQ(n.specs, 0U);
    EXPECT_EQ(w->alive, static_cast<int>(groups.size()) * in_a_group);
    EXPECT_EQ(w->keys.count(), groups.size() * in_a_group);
    for (const char* g : groups)
        for (int i = 0; i < in_a_group; ++i)
            EXPECT_EQ(w->keys.whereis(worker_name(g, i)), whereis(worker_name(g, i)));
    EXPECT_GT(w->answered, 0U);

    co_await genever::test::stop(top);
    EXPECT_EQ(w->alive, 0);
}

} // namespace

TEST(ThreadsChaos, TheTreeRecoversAndNothingIsLostOrLeft) {
    for (const std::uint64_t seed : {1U, 2U, 3U}) {
        for (const unsigned workers : {1U, 2U, 4U}) {
            SCOPED_TRACE("seed " + std::to_string(seed) + ", " + std::to_string(workers) + " workers");
            auto w = std::make_shared<world>();
            runtime_options options;
            options.workers = workers;
            options.on_crash = [](const crash_report&) {};
            options.on_stall = [](const stall_report&) {};
            runtime rt{options};
            rt.run([w, seed] { return live_through_it(w, seed * 10'000); });
        }
    }
}
