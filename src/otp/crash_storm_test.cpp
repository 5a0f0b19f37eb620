// A storm of crashes on real threads: as many as it can have, as fast as they go, while a neighbour in the same tree serves.
#include "supervisor_test_support.hpp"

#include <genever/otp/supervisor.hpp>
#include <genever/runtime/runtime.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using namespace genever;
using namespace genever::test;
using namespace std::chrono_literals;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int crashes = 10'000;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr int crashes = 10'000;
#else
constexpr int crashes = 100'000;
#endif
#else
constexpr int crashes = 100'000;
#endif
constexpr int victims = 8;

/// The name of a victim.
std::string victim_name(int n) { return "victim " + std::to_string(n); }

struct up_again {
    int who;
    pid p;
};

struct tally {
    std::atomic<int> inits = 0;
    std::atomic<int> alive = 0;
    std::atomic<int> reported = 0; // crash reports
};

struct victim : gen_server<victim> {
    struct crash {};
    struct ping {
        using reply = int;
    };

    victim(std::shared_ptr<tally> t, int n, pid driver) : tally_(std::move(t)), number_(n), driver_(driver) {
        ++tally_->alive;
    }
    ~victim() { --tally_->alive; }
    void init() {
        ++tally_->inits;
        send(driver_, up_again{number_, self()});
    }
    void handle(crash) { throw std::runtime_error("as told"); }
    int handle(ping) { return number_; }

private:
    std::shared_ptr<tally> tally_;
    int number_;
    pid driver_;
};

struct neighbour : gen_server<neighbour> {
    struct get {
        using reply = std::int64_t;
    };
    std::int64_t handle(get) { return ++calls_; }

private:
    std::int64_t calls_ = 0;
};

/// Calls until it is told to stop; how often. An unanswered call is an exception, and so the end of the test.
task<> call_the_neighbour(std::shared_ptr<std::atomic<bool>> over, std::shared_ptr<std::int64_t> calls) {
    const server_ref<neighbour> n{"neighbour"};
    for (;;) {
        if (over->load()) co_return;
        const std::int64_t answer = co_await n.call<neighbour::get>();
        if (answer != ++*calls) throw std::logic_error("an answer is not the next one");
        co_await yield();
    }
}

task<> storm(std::shared_ptr<tally> t) {
    trap_exit(true);
    std::vector<child_spec> children{child<neighbour>("neighbour")};
    for (int i = 0; i < victims; ++i) children.push_back(child<victim>(victim_name(i), t, i, self()));
    supervisor spec{strategy::one_for_one, std::move(children)};
    spec.max_restarts(1'000'000'000).period(24h);
    const pid top = co_await up(std::move(spec));

    auto over = std::make_shared<std::atomic<bool>>(false);
    auto calls = std::make_shared<std::int64_t>(0);
    spawn_monitor(call_the_neighbour, over, calls);
    for (int told = 0; told < crashes; ++told) { // whoever is up again is the next
        const up_again u = co_await receive([](up_again a) { return a; });
        if (told % 2 == 0)
            exit(u.p, exit_kind::killed);
        else
            server_ref<victim>{u.p}.cast(victim::crash{});
    }
    for (int i = 0; i < victims; ++i) co_await receive([](up_again) {}); // the last crashes are over
    over->store(true);
    const auto caller = co_await receive([](down d) { return d; });
    EXPECT_EQ(caller.reason, exit_kind::normal) << "a call was lost: " << to_string(caller.reason);
    EXPECT_GT(*calls, 0);

    const supervisor_ref sup{top};
    const auto all = co_await sup.which_children();
    EXPECT_EQ(all.size(), victims + 1U);
    std::uint64_t restarts = 0;
    for (const auto& c : all) {
        restarts += c.restarts;
        EXPECT_TRUE(is_alive(c.pid)) << c.name;
        EXPECT_EQ(whereis(c.name), c.pid);
    }
    EXPECT_EQ(restarts, static_cast<std::uint64_t>(crashes));
    EXPECT_EQ(all[0].restarts, 0U) << "the neighbour has crashed";
    for (int i = 0; i < victims; ++i) {
        const server_ref<victim> v{victim_name(i)};
        EXPECT_EQ(co_await v.call<victim::ping>(), i);
    }
    EXPECT_EQ(t->inits, crashes + victims);
    EXPECT_EQ(t->alive, victims);
    co_await genever::test::stop(top);
    EXPECT_EQ(t->alive, 0);
}

} // namespace

TEST(CrashStorm, CostsNoCallToTheNeighbourAndNoChildAndEachCrashIsCounted) {
    for (const unsigned workers : {1U, 2U}) {
        SCOPED_TRACE(std::to_string(workers) + " workers");
        auto t = std::make_shared<tally>();
        runtime_options options;
        options.workers = workers;
        options.on_crash = [t](const crash_report& r) {
            if (r.reason.text() == "as told") ++t->reported;
        };
        options.on_stall = [](const stall_report&) {};
        runtime rt{options};
        rt.run([t] { return storm(t); });
        EXPECT_EQ(t->reported, crashes / 2); // a kill is nobody's fault
    }
}
