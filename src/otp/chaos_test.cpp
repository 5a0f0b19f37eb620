// Chaos: a tree of 1,000 processes, four levels deep, whose processes are killed, throw, hang, end and fail to start at
// random for simulated hours. What OTP's documentation promises is checked from within, when a process starts, is asked to
// end, and is gone; and from without after every step, when everything that could run has run.
//
// GENEVER_CHAOS_STEPS says how many steps to take for each seed.
#include "supervisor_test_support.hpp"

#include <genever/otp/supervisor.hpp>
#include <genever/runtime/process_info.hpp>
#include <genever/runtime/time.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr unsigned default_steps = 300;
#else
constexpr unsigned default_steps = 4000; // more than an hour
#endif

unsigned steps_to_take() {
    const char* given =
        std::getenv("GENEVER_CHAOS_STEPS"); // NOLINT(concurrency-mt-unsafe): nobody sets it meanwhile
    return given ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : default_steps;
}

struct life;

/// A child of the tree: how it is set up, and what is known of it at the moment.
struct node {
    std::string name;
    node* parent = nullptr;
    std::vector<std::unique_ptr<node>> children; // none: a worker
    restart type = restart::permanent;
    duration shutdown = 100ms;
    bool brutal = false;
    bool traps = true;
    // a supervisor's
    strategy whom = strategy::one_for_one;
    unsigned max_restarts = 3;
    bool backs_off = false;

    std::vector<life*> lives;
    int alive = 0;   // 0 or 1
    int orphans = 0; // lives whose supervisor was killed: that takes them along, but does not wait for them
    pid who;
    bool up = false;      // the start has succeeded
    bool by_hand = false; // terminated at run time
    bool crashed = false; // ended last by a crash or a kill, not by itself
    bool killed = false;  // a kill from outside is under way, or was its end
    int failing_inits = 0;
    duration slow_init = 0s;
    std::uint64_t order = 0; // its place among its siblings
    unsigned attempts = 0;   // in this life of its supervisor

    // a supervisor's, in this life
    std::uint64_t next_order = 0;
    bool touched = false;                 // children were started or terminated at run time
    std::deque<time_point> restarts_made; // attempts to start a child that were not its first

    bool is_supervisor() const { return !children.empty(); }
};

struct world;

/// From the beginning to the end of a worker's object, or of the specification that a supervisor keeps.
struct life {
    world& w;
    node& n;
    bool orphan = false;
    life(world& of, node& is);
    life(const life&) = delete;
    ~life();
};

/// While a start is under way, or until whoever waits for it is gone.
struct counted_start {
    world& w;
    explicit counted_start(world& of);
    counted_start(const counted_start&) = delete;
    ~counted_start();
};

constexpr duration period = 5s;

duration of_milliseconds(std::uint64_t n) { return std::chrono::milliseconds{n}; }

struct world {
    std::mt19937_64 random;
    std::unique_ptr<node> top;
    std::vector<node*> all;
    std::vector<node*> workers;
    std::vector<node*> supervisors;
    const node* in_hand = nullptr; // the supervisor of which something is being asked at run time
    std::size_t living = 0;
    std::size_t being_started = 0; // who waits for an orphan's name is a process without a life
    std::uint64_t starts = 0;
    std::uint64_t given_up = 0;
    std::vector<std::string> log;
    std::vector<std::string> broken;

    explicit world(std::uint64_t seed) : random(seed) {
        top = std::make_unique<node>();
        top->name = "0";
        grow(*top, 0);
    }
    std::uint64_t below(std::uint64_t n) { return random() % n; }
    bool one_in(std::uint64_t n) { return below(n) == 0; }

    void note(std::string what) {
        if (!broken.empty()) return; // what led to the first breach is of interest
        log.push_back(std::to_string(now().time_since_epoch().count()) + ' ' + std::move(what));
        if (log.size() > 400) log.erase(log.begin(), log.begin() + 200);
    }
    void check(bool holds, const node& n, const char* rule) {
        if (holds) return;
        note("BROKEN " + n.name + ": " + rule);
        broken.push_back(n.name + ": " + rule);
    }

    // 1 + 9 + 90 + 900
    void grow(node& n, int level) {
        all.push_back(&n);
        if (level == 3) {
            workers.push_back(&n);
            const auto type = below(10);
            n.type = type < 7 ? restart::permanent : type < 9 ? restart::transient : restart::temporary;
            n.traps = !one_in(3);
            n.brutal = one_in(8);
            n.shutdown = one_in(4) ? infinity : of_milliseconds(below(2000));
            return;
        }
        supervisors.push_back(&n);
        const auto whom = below(4);
        n.whom = whom < 2    ? strategy::one_for_one
                 : whom == 2 ? strategy::one_for_all
                             : strategy::rest_for_one;
        n.max_restarts = static_cast<unsigned>(level < 2 ? 3 + below(3) : below(5));
        n.backs_off = level == 2 && one_in(4);
        const std::size_t width = level == 0 ? 9 : 10;
        for (std::size_t i = 0; i < width; ++i) {
            auto c = std::make_unique<node>();
            c->name = n.name + '.' + std::to_string(i);
            c->parent = &n;
            n.children.push_back(std::move(c));
            grow(*n.children.back(), level + 1);
        }
    }

    // ---- what the processes tell

    bool later_sibling_lives(const node& n) const {
        return std::ranges::any_of(n.parent->children,
                                   [&](const auto& s) { return s->order > n.order && s->alive > 0; });
    }
    /// How many lay within the period at the last of them.
    static std::size_t within_period(const std::deque<time_point>& times) {
        return static_cast<std::size_t>(
            std::ranges::count_if(times, [&](time_point t) { return times.back() - t <= period; }));
    }

    /// In the supervisor's process, before each start of a child.
    void starting(node& n) {
        node& p = *n.parent;
        note("starting " + n.name);
        if (p.orphans > 0) return; // it does not know yet
        check(p.alive == 1, n, "is started by a supervisor that lives");
        if (!p.who) p.who = self();
        check(p.who == self(), n, "is started by its own supervisor");
        check(n.alive == 0, n, "is started when it does not run");
        check(n.orphans > 0 || !whereis(n.name), n, "has a free name when it is started");
        const bool in_hand_now = in_hand == &p;
        // Up already, it may restart children before its own supervisor has heard of that.
        const bool first = !p.up && n.attempts == 0;
        if (first || (p.whom != strategy::one_for_one && !in_hand_now))
            check(!later_sibling_lives(n), n, "starts before those that come after it");
        if (!p.up)
            for (const auto& s : p.children)
                check(s->order >= n.order || s->attempts > 0, n, "starts after those that come before it");
        if (n.attempts > 0 && !in_hand_now) {
            p.restarts_made.push_back(now());
            if (p.restarts_made.size() > 100) p.restarts_made.pop_front();
            // Where a restart waits for nobody's end or start it is made at the time at which it is counted.
            if (p.whom == strategy::one_for_one && !p.touched && !p.backs_off)
                check(within_period(p.restarts_made) <= p.max_restarts, n,
                      "is restarted within the intensity");
            // One that ended by itself has used up what it was allowed.
            if (p.whom == strategy::one_for_one && n.is_supervisor() && n.up && !n.killed) {
                ++given_up;
                if (n.whom == strategy::one_for_one && !n.touched && !n.backs_off)
                    check(within_period(n.restarts_made) >= n.max_restarts, n,
                          "gives up no sooner than it may");
            }
        }
        ++n.attempts;
        n.up = n.killed = false;
    }
    void started(node& n, const start_result& r) {
        note((r ? "started " : "did not start ") + n.name + (r ? "" : ": " + to_string(r.error())));
        if (!r) return;
        ++starts;
        n.up = true;
        n.by_hand = false;
        n.who = *r;
    }
    void born(life& l) {
        node& n = l.n;
        ++living;
        n.lives.push_back(&l);
        l.orphan = n.parent && n.parent->orphans > 0;
        ++(l.orphan ? n.orphans : n.alive);
        check(n.alive <= 1, n, "runs once");
        n.who = {};
    }
    /// Its frames are being destroyed.
    void gone(life& l) {
        node& n = l.n;
        note("gone " + n.name);
        --living;
        std::erase(n.lives, &l);
        --(l.orphan ? n.orphans : n.alive);
        if (l.orphan) return;
        for (const auto& c : n.children) {
            if (c->alive == 0) continue;
            check(n.killed, *c, "is no orphan");
            make_orphans(*c);
        }
    }
    void make_orphans(node& n) {
        for (life* l : n.lives) {
            if (l->orphan) continue;
            l->orphan = true;
            --n.alive;
            ++n.orphans;
        }
        for (const auto& c : n.children) make_orphans(*c);
    }
    void asked_to_end(const node& n) {
        if (in_hand == n.parent) return;
        check(!later_sibling_lives(n), n, "ends after those that come after it");
    }

    // ---- how they are made

    child_spec spec_of(node& n, std::shared_ptr<void> keep);
    supervisor describe(node& n);
};

life::life(world& of, node& is) : w(of), n(is) { w.born(*this); }
life::~life() { w.gone(*this); }

counted_start::counted_start(world& of) : w(of) { ++w.being_started; }
counted_start::~counted_start() { --w.being_started; }

struct worker : gen_server<worker> {
    struct crash {};
    struct finish {
        exit_kind how;
    };
    struct hang {
        duration how_long;
    };

    worker(world* w, node* n) : world_(w), node_(n), life_(*w, *n) {}

    task<> init() {
        trap_exit(node_->traps);
        node_->who = self();
        world_->check(whereis(node_->name) == self(), *node_, "owns its name");
        const duration slow = std::exchange(node_->slow_init, 0s);
        if (slow > 0s) co_await sleep_for(slow);
        if (node_->failing_inits > 0) {
            --node_->failing_inits;
            throw std::runtime_error("init");
        }
    }
    void handle(crash) {
        node_->crashed = true;
        throw std::runtime_error("crash");
    }
    void handle(finish m) {
        node_->crashed = false;
        ends_itself_ = true;
        stop(m.how);
    }
    task<> handle(hang m) { co_await sleep_for(m.how_long); }
    task<> terminate(const exit_reason& why) {
        if (why == exit_kind::shutdown && !ends_itself_ && !node_->by_hand && !life_.orphan)
            world_->asked_to_end(*node_);
        if (world_->one_in(20)) co_await sleep_for(of_milliseconds(world_->below(3000)));
    }

private:
    world* world_;
    node* node_;
    bool ends_itself_ = false;
    life life_;
};

child_spec world::spec_of(node& n, std::shared_ptr<void> keep) {
    child_spec c(n.name, [this, to = &n, keep]() -> task<start_result> {
        starting(*to);
        const counted_start counts{*this};
        start_result r;
        if (to->is_supervisor()) {
            auto description = describe(*to);
            auto began = start_link(std::move(description), to->name);
            r = co_await std::move(began);
        } else {
            auto began = start_link<worker>(to->name, this, to);
            r = co_await std::move(began);
        }
        started(*to, r);
        co_return r;
    });
    c.restart(n.type);
    if (n.is_supervisor())
        c.type(child_type::supervisor).shutdown(infinity);
    else if (n.brutal)
        c.shutdown(brutal_kill);
    else
        c.shutdown(n.shutdown);
    return c;
}

supervisor world::describe(node& n) {
    auto its_life = std::make_shared<life>(*this, n);
    n.touched = false;
    n.restarts_made.clear();
    n.next_order = 0;
    for (const auto& c : n.children) {
        c->order = n.next_order++;
        c->attempts = 0;
        c->by_hand = false;
    }
    std::vector<child_spec> specs;
    for (const auto& c : n.children) specs.push_back(spec_of(*c, its_life));
    supervisor s{n.whom, std::move(specs)};
    s.max_restarts(n.max_restarts).period(period);
    if (n.backs_off) s.back_off({.first = 50ms, .factor = 3, .most = 10s, .jitter = 0.5});
    return s;
}

// ---- the one that makes the chaos

class chaos {
public:
    explicit chaos(world& w) : w_(w) {}

    task<> run(unsigned steps) {
        trap_exit(true);
        others_ = processes().size(); // this one, and the simulation's
        co_await begin();
        for (unsigned i = 0; i < steps && w_.broken.empty(); ++i) {
            auto act = step();
            co_await std::move(act);
            // Whoever could run has run when time goes on.
            const duration pause = w_.one_in(3) ? duration{1ms} : of_milliseconds(1 + w_.below(3000));
            co_await sleep_for(pause);
            co_await begin();
            co_await look();
        }
        co_await sleep_for(10min);
        co_await begin();
        co_await look();
        for (const node* n : w_.all) w_.check(n->orphans == 0, *n, "does not stay an orphan");
        w_.note("the end");
        exit(w_.top->who, exit_kind::shutdown);
        const auto last = co_await receive([](exit_signal s) { return s; });
        EXPECT_EQ(last.reason.kind(), exit_kind::shutdown);
        EXPECT_EQ(w_.living, 0U);
        for (const node* n : w_.all) w_.check(!whereis(n->name), *n, "leaves its name");
    }

    std::uint64_t lives() const noexcept { return lives_; }
    std::uint64_t looks() const noexcept { return looks_; }
    std::uint64_t busy() const noexcept { return busy_; }

private:
    /// Starts the tree again when it has given up or was killed.
    task<> begin() {
        for (;;) {
            const auto end = co_await receive([](exit_signal s) { return s.reason; },
                                              after(0s, [] { return exit_reason{exit_kind::normal}; }));
            if (end.kind() == exit_kind::normal) break;
            w_.note("the tree ended: " + to_string(end));
            for (const node* n : w_.all) w_.check(n->alive == 0, *n, "does not outlive the tree");
        }
        node& top = *w_.top;
        while (top.alive == 0) {
            // What a kill has orphaned may take a while.
            while (w_.living > 0) co_await sleep_for(1s);
            for (node* n : w_.all) n->failing_inits = 0;
            top.up = top.killed = false;
            auto description = w_.describe(top);
            auto began = start_link(std::move(description), top.name);
            const auto r = co_await std::move(began);
            if (!r) {
                w_.note("the tree did not start: " + to_string(r.error()));
                co_await sleep_for(1s);
                continue;
            }
            top.up = true;
            top.who = *r;
            ++lives_;
        }
    }

    task<> step() {
        const auto what = w_.below(100);
        node& n = *w_.workers[w_.below(w_.workers.size())];
        const server_ref<worker> server{n.name};
        if (what < 30) {
            kill(n);
        } else if (what < 55) {
            w_.note("crash of " + n.name);
            server.cast(worker::crash{});
        } else if (what < 65) {
            w_.note("finish of " + n.name);
            server.cast(worker::finish{w_.one_in(2) ? exit_kind::normal : exit_kind::shutdown});
        } else if (what < 75) {
            w_.note("hang of " + n.name);
            server.cast(worker::hang{of_milliseconds(1 + w_.below(20'000))});
            if (w_.one_in(2)) kill(*n.parent->children[w_.below(n.parent->children.size())]);
        } else if (what < 82) {
            n.failing_inits = 1 + static_cast<int>(w_.below(6));
            if (w_.one_in(2)) n.slow_init = of_milliseconds(w_.below(4000));
            kill(n);
        } else if (what < 88) { // a storm
            for (auto left = w_.below(30); left > 0; --left) {
                kill(*n.parent->children[w_.below(n.parent->children.size())]);
                if (w_.one_in(2)) co_await sleep_for(1ms);
            }
        } else if (what < 92) {
            kill(*n.parent);
        } else if (what == 92) {
            kill(*n.parent->parent);
        } else if (what == 93 && w_.one_in(10)) {
            kill(*w_.top);
        } else {
            auto hand = by_hand(n);
            co_await std::move(hand);
        }
    }

    void kill(node& n) {
        if (n.alive == 0 || !n.up || !is_alive(n.who)) return;
        w_.note("kill of " + n.name);
        n.killed = n.crashed = true;
        exit(n.who, exit_kind::killed);
    }

    /// Terminates a child, or starts one that does not run, at run time.
    task<> by_hand(node& n) {
        node& p = *n.parent;
        if (p.alive == 0 || !p.up) co_return;
        const supervisor_ref ref{p.who};
        w_.in_hand = &p;
        p.touched = true;
        w_.note("by hand: " + n.name);
        try {
            auto asked = ref.which_children(1ms);
            const auto children = co_await std::move(asked);
            const auto it = std::ranges::find(children, n.name, &child_info::name);
            if (it == children.end()) {
                n.order = p.next_order++;
                n.attempts = 0;
                auto start = ref.start_child(w_.spec_of(n, nullptr));
                const auto r = co_await std::move(start);
                w_.check(r || r.error().kind == child_error::what::start_failed, n,
                         "can be started at run time");
            } else if (!it->pid && !it->restarting) {
                auto start = ref.restart_child(n.name);
                const auto r = co_await std::move(start);
                w_.check(r || r.error().kind == child_error::what::start_failed, n,
                         "can be restarted at run time");
            } else {
                n.by_hand = true;
                auto end = ref.terminate_child(n.name);
                const auto r = co_await std::move(end);
                w_.check(r.has_value(), n, "can be terminated at run time");
                w_.check(n.alive == 0, n, "is gone when it is terminated");
            }
        } catch (const call_error& e) { // busy, or gone meanwhile
            w_.note(std::string{"by hand: "} + e.what());
        }
        w_.in_hand = nullptr;
    }

    // ---- from without, when everything that could run has run

    task<> look() {
        ++looks_;
        const std::size_t known = w_.living + others_;
        if (processes().size() < known || processes().size() > known + w_.being_started) {
            w_.note(std::to_string(processes().size()) + " processes, " + std::to_string(w_.living) +
                    " in the tree, " + std::to_string(w_.being_started) + " being started");
            w_.check(false, *w_.top, "every process belongs to the tree");
        }
        for (node* n : w_.all) {
            const pid owner = whereis(n->name);
            w_.check(!n->lives.empty() || !owner, *n, "has no name when it does not run");
            if (!n->lives.empty()) w_.check(bool(owner), *n, "has its name when it runs");
            if (n->alive == 1 && n->up) w_.check(owner == n->who, *n, "is the one with its name");
            if (n->alive == 1 && n->parent) w_.check(n->parent->alive == 1, *n, "is no orphan");
        }
        for (node* n : w_.supervisors) {
            if (n->alive == 0 || !n->up) continue;
            auto asked = ask(*n);
            co_await std::move(asked);
        }
    }

    task<> ask(node& n) {
        std::vector<child_info> children;
        try {
            const supervisor_ref ref{n.who};
            auto asked = ref.which_children(1ns);
            children = co_await std::move(asked);
        } catch (const call_error&) {
            ++busy_; // it starts or terminates somebody
            co_return;
        }
        std::size_t running = 0;
        std::uint64_t place = 0;
        for (const child_info& c : children) {
            const auto it = std::ranges::find(n.children, c.name, [](const auto& s) { return s->name; });
            if (it == n.children.end()) {
                w_.check(false, n, "has its own children only");
                continue;
            }
            const node& child = **it;
            w_.check(child.order >= place, child, "is known in the order of the start");
            place = child.order;
            if (c.pid) {
                ++running;
                w_.check(child.alive == 1 && whereis(c.name) == c.pid, child,
                         "runs when its supervisor says so");
                continue;
            }
            w_.check(child.alive == 0, child, "does not run when its supervisor says so");
            if (c.restarting) {
                w_.check(n.backs_off, child, "is restarted at once");
                continue;
            }
            w_.check(child.by_hand || child.type != restart::permanent, child, "is always restarted");
            w_.check(child.by_hand || child.type != restart::transient || !child.crashed, child,
                     "is restarted after an abnormal end");
        }
        const auto alive = static_cast<std::size_t>(
            std::ranges::count_if(n.children, [](const auto& c) { return c->alive == 1; }));
        w_.check(running == alive, n, "knows all of its children");
    }

    world& w_;
    std::size_t others_ = 0;
    std::uint64_t lives_ = 0;
    std::uint64_t looks_ = 0;
    std::uint64_t busy_ = 0;
};

} // namespace

TEST(Chaos, ATreeOfAThousandKeepsItsPromisesForHours) {
    const unsigned steps = steps_to_take();
    under_seeds(
        [&](simulation& sim) {
            world w{sim.seed()};
            EXPECT_EQ(w.all.size(), 1000U);
            chaos c{w};
            duration took{};
            sim.run([&]() -> task<> {
                const time_point start = now();
                auto body = c.run(steps);
                co_await std::move(body);
                took = now() - start;
            });
            EXPECT_EQ(sim.live(), 0U);
            if (!w.broken.empty()) {
                std::string last;
                for (const auto& line : w.log) last += line + '\n';
                ADD_FAILURE() << w.broken.front() << "\n" << last;
            }
            if (std::getenv("GENEVER_CHAOS_STEPS")) // NOLINT(concurrency-mt-unsafe): nobody sets it meanwhile
                std::printf(
                    "seed %llu: %llu steps in %.1f simulated hours, %llu starts, %llu gave up, %llu trees, "
                    "%llu busy\n",
                    static_cast<unsigned long long>(sim.seed()), static_cast<unsigned long long>(c.looks()),
                    std::chrono::duration<double>(took).count() / 3600,
                    static_cast<unsigned long long>(w.starts), static_cast<unsigned long long>(w.given_up),
                    static_cast<unsigned long long>(c.lives()), static_cast<unsigned long long>(c.busy()));
        },
        3);
}
