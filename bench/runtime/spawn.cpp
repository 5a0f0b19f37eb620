// Starting processes: to finish at once, to answer, to park.

#include "harness.hpp"

#include <genever/runtime/receive.hpp>

#include <atomic>
#include <vector>

using namespace genever;

namespace {

struct done {};
struct stop {};

/// Starts `n` processes at once; each does nothing but count itself out, the last one tells.
task<> wave(std::int64_t n) {
    std::atomic<std::int64_t> left{n};
    const pid me = self();
    for (std::int64_t i = 0; i < n; ++i)
        spawn([&left, me] {
            if (left.fetch_sub(1, std::memory_order_acq_rel) == 1) send(me, done{});
        });
    co_await receive([](done) {});
    bench::check(left.load() == 0, "not every process has run");
}

task<> spawn_finish(std::int64_t n) {
    constexpr std::int64_t at_once = 1'000;
    for (std::int64_t i = 0; i < n; i += at_once) co_await wave(at_once);
}

task<> spawn_reply(std::int64_t n) {
    const pid me = self();
    std::int64_t sum = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        spawn([me, i] { send(me, i); });
        const std::int64_t v = co_await receive([](std::int64_t v) { return v; });
        sum += v;
    }
    bench::check(sum == bench::sum_below(n), "spawn_reply's sum");
}

std::atomic<bool> memory_is_fresh{true};

/// What n processes cost that `start` starts: they tell `left`, and end when they are sent `stop`.
template <class Start>
task<> park(std::int64_t n, std::atomic<std::int64_t>& left, pid& parent, Start start) {
    std::vector<pid> parked(static_cast<std::size_t>(n)); // touched here: not part of what is measured
    left.store(n);
    parent = self();
    const bool fresh = memory_is_fresh.exchange(false);
    const std::int64_t before = bench::resident_bytes();
    for (pid& p : parked) p = start();
    co_await receive([](done) {});
    const std::int64_t after = bench::resident_bytes();
    if (fresh) bench::note("bytes", static_cast<double>(after - before) / static_cast<double>(n));
    left.store(n);
    for (const pid p : parked) bench::check(send(p, stop{}), "a parked process has ended");
    co_await receive([](done) {});
    bench::check(left.load() == 0, "not every process was woken");
}

void count_out(std::atomic<std::int64_t>& left, pid parent) {
    if (left.fetch_sub(1, std::memory_order_acq_rel) == 1) send(parent, done{});
}

// Globals, so that the bare process needs nothing of its own.
std::atomic<std::int64_t> left_global;
pid parent_global;

task<> spawn_park(std::int64_t n) {
    co_await park(n, left_global, parent_global, [] {
        return spawn([]() -> task<> {
            count_out(left_global, parent_global);
            co_await receive([](stop) {});
            count_out(left_global, parent_global);
        });
    });
}

task<> spawn_park_captures(std::int64_t n) {
    co_await park(n, left_global, parent_global, [] {
        return spawn([left = &left_global, parent = parent_global]() -> task<> {
            count_out(*left, parent);
            co_await receive([](stop) {});
            count_out(*left, parent);
        });
    });
}

} // namespace

void bench::add_spawn() {
    add_once("spawn_park", spawn_park, 1'000'000);
    add_once("spawn_park_captures", spawn_park_captures, 1'000'000);
    add("spawn_finish", spawn_finish, 200'000);
    add("spawn_finish_bulk", wave, 100'000);
    add("spawn_reply", spawn_reply, 200'000);
}
