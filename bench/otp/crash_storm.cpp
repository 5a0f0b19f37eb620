// What a supervised crash costs, and what its neighbours notice of it.
//
//   crash_storm [--workers W] [--crashes N]
//
// Prints one JSON object. `kill_ns`, `raise_ns`: one child is killed, or throws in a handler, and is waited for until its
// supervisor has started it again and its init has run; nanoseconds a round, few restarts in the period and all of them
// (`sustained`). `throw_ns`: the same exception thrown in a coroutine and caught, without a process. `storm`: N
// crashes (100,000), half of them by exception, as fast as they go, in one tree, while a neighbour in the same tree answers calls;
// the calls' latency beside the same without the storm, in microseconds. Every call must be answered.

#include "../runtime/harness.hpp"

#include <genever/base/log.hpp>
#include <genever/otp/gen_server.hpp>
#include <genever/otp/supervisor.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/time.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using std::chrono::steady_clock;

namespace {

struct up {
    pid who;
};
struct storm_over {};

struct victim : gen_server<victim> {
    struct crash {};
    explicit victim(pid driver) : driver_(driver) {}
    void init() { genever::send(driver_, up{genever::self()}); }
    void handle(crash) { throw std::runtime_error("as told"); }

private:
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

enum class end { kill, raise, both };

void crash(pid p, bool by_kill) {
    if (by_kill)
        exit(p, exit_kind::killed);
    else
        server_ref<victim>{p}.cast(victim::crash{});
}

double ns_each(steady_clock::time_point begin, std::int64_t n) {
    return std::chrono::duration<double, std::nano>(steady_clock::now() - begin).count() /
           static_cast<double>(n);
}

task<double> rounds(end how, std::int64_t n) {
    pid p = co_await receive([](up u) { return u.who; });
    const auto begin = steady_clock::now();
    for (std::int64_t i = 0; i < n; ++i) {
        crash(p, how == end::kill || (how == end::both && i % 2 == 0));
        p = co_await receive([](up u) { return u.who; });
    }
    const double ns = ns_each(begin, n);
    send(self(), up{p}); // for the next rounds
    co_return ns;
}

task<> stop(pid top) {
    const monitor_ref watch = monitor(top);
    exit(top, exit_kind::shutdown);
    const monitor_ref ended = co_await receive([](const down& d) { return d.ref; });
    bench::check(ended == watch, "another process has ended");
}

task<pid> start_tree(duration period) {
    trap_exit(true);
    std::vector<child_spec> children;
    children.push_back(child<neighbour>("neighbour"));
    children.push_back(child<victim>("victim", self()));
    supervisor s{strategy::one_for_one, std::move(children)};
    s.max_restarts(1'000'000'000).period(period);
    const auto top = co_await start_link(std::move(s));
    bench::check(top.has_value(), "the tree does not start");
    co_return *top;
}

task<double> restarts(end how, duration period, std::int64_t n) {
    const pid top = co_await start_tree(period);
    co_await rounds(how, n / 10); // warm
    const double ns = co_await rounds(how, n);
    co_await stop(top);
    co_await receive([](up) {}, after(0s, [] {}));
    co_return ns;
}

task<> throws() {
    throw std::runtime_error("as told");
    co_return;
}
task<double> exceptions(std::int64_t n) {
    const auto begin = steady_clock::now();
    std::int64_t caught = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        try {
            co_await throws();
        } catch (const std::runtime_error&) {
            ++caught;
        }
    }
    bench::check(caught == n, "an exception was lost");
    co_return ns_each(begin, n);
}

struct latencies {
    std::vector<double> us;
    double quantile(double q) const {
        return us[std::min(us.size() - 1, static_cast<std::size_t>(q * static_cast<double>(us.size())))];
    }
};

/// Calls the neighbour every 100 us until it is told to stop.
task<> call_on(std::shared_ptr<std::atomic<bool>> over, std::shared_ptr<latencies> to, pid tell) {
    const server_ref<neighbour> n{"neighbour"};
    while (!over->load()) {
        const auto begin = steady_clock::now();
        co_await n.call<neighbour::get>(); // throws where no answer comes
        to->us.push_back(std::chrono::duration<double, std::micro>(steady_clock::now() - begin).count());
        co_await sleep_for(100us);
    }
    std::ranges::sort(to->us);
    send(tell, storm_over{});
}

struct storm_result {
    latencies quiet;
    latencies stormy;
    double ns_a_crash = 0;
};

task<storm_result> storm(std::int64_t crashes) {
    const pid top = co_await start_tree(1h);
    const pid me = self();
    storm_result r;
    for (const bool stormy : {false, true}) {
        auto over = std::make_shared<std::atomic<bool>>(false);
        auto seen = std::make_shared<latencies>();
        spawn_monitor(call_on, over, seen, me);
        if (stormy)
            r.ns_a_crash = co_await rounds(end::both, crashes);
        else
            co_await sleep_for(1s);
        over->store(true);
        co_await receive([](storm_over) {});
        const exit_reason why = co_await receive([](const down& d) { return d.reason; });
        bench::check(why == exit_kind::normal, "a call was lost");
        (stormy ? r.stormy : r.quiet) = *seen;
    }
    co_await stop(top);
    co_return r;
}

} // namespace

int main(int argc, char** argv) {
    unsigned workers = 1;
    std::int64_t crashes = 100'000;
    bool right = argc % 2 == 1;
    for (int i = 1; right && i + 1 < argc; i += 2) {
        if (std::strcmp(argv[i], "--workers") == 0)
            workers = static_cast<unsigned>(std::strtoul(argv[i + 1], nullptr, 10));
        else if (std::strcmp(argv[i], "--crashes") == 0)
            crashes = std::strtoll(argv[i + 1], nullptr, 10);
        else
            right = false;
    }
    if (!right || workers < 1 || crashes < 100) {
        std::fprintf(stderr, "usage: %s [--workers W] [--crashes N]\n", argv[0]);
        return 2;
    }
    log::set_level(log::level::off); // nobody's reports are measured: the peer's logger is off, too
    try {
        runtime rt{{.workers = workers, .on_crash = {}}};
        const double kill = rt.run([crashes] { return restarts(end::kill, 1ms, crashes); });
        const double raise = rt.run([crashes] { return restarts(end::raise, 1ms, crashes); });
        const double kill_sustained = rt.run([crashes] { return restarts(end::kill, 1h, crashes); });
        const double raise_sustained = rt.run([crashes] { return restarts(end::raise, 1h, crashes); });
        const double thrown = rt.run([crashes] { return exceptions(crashes); });
        const storm_result s = rt.run([crashes] { return storm(crashes); });
        std::printf(
            "{\"workers\": %u, \"crashes\": %lld,\n"
            " \"kill_ns\": %.0f, \"raise_ns\": %.0f, \"kill_sustained_ns\": %.0f, \"raise_sustained_ns\": "
            "%.0f, \"throw_ns\": %.0f,\n"
            " \"storm_ns_a_crash\": %.0f, \"calls_quiet\": %zu, \"calls_in_storm\": %zu,\n"
            " \"quiet_p50_us\": %.1f, \"quiet_p99_us\": %.1f, \"storm_p50_us\": %.1f, \"storm_p99_us\": "
            "%.1f}\n",
            workers, static_cast<long long>(crashes), kill, raise, kill_sustained, raise_sustained, thrown,
            s.ns_a_crash, s.quiet.us.size(), s.stormy.us.size(), s.quiet.quantile(0.5),
            s.quiet.quantile(0.99), s.stormy.quantile(0.5), s.stormy.quantile(0.99));
    } catch (const std::exception& e) {
        std::fprintf(stderr, "crash_storm: %s\n", e.what());
        return 1;
    }
}
