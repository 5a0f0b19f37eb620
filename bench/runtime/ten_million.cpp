// Ten million parked processes at once: what each phase of their lives takes, and the memory that is resident.
//
//   ten_million [--processes N] [--workers W]
//
// Prints one JSON object. Phases: spawn (until the last one waits in its receive), wake (one message to each),
// end (until the last one has told so and has gone). Exit code 0 only if every process was there, woken and gone.
//
// All of it twice: the first time in memory that the program has never had, where the time is mostly that of the page
// faults; then ("again") in memory that it has given back in between, which the machine has touched before.

#include "harness.hpp"

#include <genever/base/clock.hpp>
#include <genever/runtime/receive.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <vector>

using namespace genever;

namespace {

struct done {};
struct stop {};

struct phases {
    double spawn_s = 0;
    double wake_s = 0;
    double end_s = 0;
    std::int64_t before = 0;
    std::int64_t parked = 0;
    std::int64_t woken = 0;
    std::int64_t ended = 0;
};

// Globals, so that a process needs nothing of its own.
std::atomic<std::int64_t> left;
pid parent;

void count_out() {
    if (left.fetch_sub(1, std::memory_order_acq_rel) == 1) send(parent, done{});
}

double seconds_since(std::chrono::steady_clock::time_point t) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
}

task<phases> live_and_die(std::vector<pid>& all) {
    const auto n = static_cast<std::int64_t>(all.size());
    phases r;
    parent = self();
    left.store(n);
    r.before = bench::resident_bytes();

    auto begin = std::chrono::steady_clock::now();
    for (pid& p : all)
        p = spawn([]() -> task<> {
            count_out();
            co_await receive([](stop) {});
            count_out();
        });
    co_await receive([](done) {});
    r.spawn_s = seconds_since(begin);
    r.parked = bench::resident_bytes();

    left.store(n);
    begin = std::chrono::steady_clock::now();
    std::int64_t reached = 0;
    for (const pid p : all) reached += send(p, stop{}) ? 1 : 0;
    r.wake_s = seconds_since(begin);
    bench::check(reached == n, "a parked process has ended");
    r.woken = bench::resident_bytes();

    begin = std::chrono::steady_clock::now();
    co_await receive([](done) {});
    // The last one has told so; it may have to take its last step yet.
    const pid* some = all.data();
    while (some != all.data() + all.size()) {
        if (is_alive(*some))
            co_await yield();
        else
            ++some;
    }
    r.end_s = seconds_since(begin);
    r.ended = bench::resident_bytes();
    co_return r;
}

} // namespace

int main(int argc, char** argv) {
    std::int64_t n = 10'000'000;
    unsigned workers = 1;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && std::strcmp(argv[i], "--processes") == 0) {
            n = std::strtoll(argv[i + 1], nullptr, 10);
        } else if (i + 1 < argc && std::strcmp(argv[i], "--workers") == 0) {
            workers = static_cast<unsigned>(std::strtoul(argv[i + 1], nullptr, 10));
        } else {
            n = 0;
        }
    }
    if (n < 1 || workers < 1) {
        std::fprintf(stderr, "usage: %s [--processes N] [--workers W]\n", argv[0]);
        return 2;
    }
    try {
        phases r;
        phases again;
        std::int64_t at_last = 0;
        {
            std::vector<pid> all(static_cast<std::size_t>(n)); // its memory is touched before the first look
            runtime rt{{.workers = workers, .on_crash = {}}};
            r = rt.run([&all] { return live_and_die(all); });
            again = rt.run([&all] { return live_and_die(all); });
        }
        at_last = bench::resident_bytes();
        const auto each = static_cast<double>(n);
        std::printf(
            "{\"processes\": %lld, \"workers\": %u,\n"
            " \"spawn_ns\": %.1f, \"wake_ns\": %.1f, \"end_ns\": %.1f,\n"
            " \"spawn_s\": %.3f, \"wake_s\": %.3f, \"end_s\": %.3f,\n"
            " \"bytes_parked\": %.1f, \"bytes_woken\": %.1f,\n"
            " \"resident_before\": %lld, \"resident_parked\": %lld, \"resident_woken\": %lld,\n"
            " \"resident_ended\": %lld, \"resident_without_runtime\": %lld,\n"
            " \"again_spawn_ns\": %.1f, \"again_wake_ns\": %.1f, \"again_end_ns\": %.1f,\n"
            " \"again_bytes_parked\": %.1f, \"again_resident_ended\": %lld}\n",
            static_cast<long long>(n), workers, r.spawn_s * 1e9 / each, r.wake_s * 1e9 / each,
            r.end_s * 1e9 / each, r.spawn_s, r.wake_s, r.end_s,
            static_cast<double>(r.parked - r.before) / each, static_cast<double>(r.woken - r.before) / each,
            static_cast<long long>(r.before), static_cast<long long>(r.parked),
            static_cast<long long>(r.woken), static_cast<long long>(r.ended), static_cast<long long>(at_last),
            again.spawn_s * 1e9 / each, again.wake_s * 1e9 / each, again.end_s * 1e9 / each,
            static_cast<double>(again.parked - again.before) / each, static_cast<long long>(again.ended));
    } catch (const std::exception& e) {
        std::fprintf(stderr, "ten_million: %s\n", e.what());
        return 1;
    }
    return 0;
}
