// How late a process ticks that wakes every 10 ms, while others keep the workers' threads and give them back to nobody.
//
//   lateness [--seconds S] [--workers W]
//
// Prints one JSON object: for each situation the lateness of a tick beyond the moment at which it was due, in
// milliseconds, and how many hogs lived at once. A hog burns the core, or sleeps in the system call, for its length. In each
// situation it runs for S seconds (10), with W workers (2).

#include "harness.hpp"

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
#include <string>
#include <thread>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;

namespace {

struct situation {
    const char* name;
    bool burns;
    int at_the_start; // hogs that live from the start, each replaced by a new one when it ends
    int a_second;     // new ones beside them
    std::chrono::milliseconds length;
};

constexpr situation situations[] = {
    {"nobody else", true, 0, 0, 0ms},
    {"8 burn for 5 s each", true, 8, 0, 5s},
    {"20 a second burn for 0.4 s each", true, 0, 20, 400ms},
    {"20 a second burn for 5 s each", true, 0, 20, 5s},
    {"8 sleep for 5 s each", false, 8, 0, 5s},
    {"20 a second sleep for 0.4 s each", false, 0, 20, 400ms},
    {"20 a second sleep for 5 s each", false, 0, 20, 5s},
};

struct shared_state {
    std::atomic<bool> over{false};
    std::atomic<int> living{0};
    std::atomic<int> most{0};
};
using state = std::shared_ptr<shared_state>;

void hog(const state& s, const situation& how) {
    const int n = ++s->living;
    int most = s->most.load();
    while (n > most && !s->most.compare_exchange_weak(most, n)) {
    }
    const auto until = std::chrono::steady_clock::now() + how.length;
    if (how.burns) {
        while (std::chrono::steady_clock::now() < until && !s->over.load(std::memory_order_relaxed)) {
        }
    } else {
        std::this_thread::sleep_for(how.length);
    }
    --s->living;
}

void start_hog(state s, const situation* how, bool replaced) {
    spawn([s, how, replaced] {
        hog(s, *how);
        if (replaced && !s->over.load()) start_hog(s, how, true);
    });
}

task<std::vector<double>> tick(state s, duration span) {
    std::vector<double> late;
    const time_point end = now() + span;
    for (time_point due = now() + 10ms; due < end; due += 10ms) {
        co_await sleep_until(due);
        const time_point at = now();
        late.push_back(std::chrono::duration<double, std::milli>(at - due).count());
        while (due + 10ms < at) due += 10ms; // what was missed as a whole is one lateness, not many
    }
    s->over.store(true);
    co_return late;
}

task<std::vector<double>> measure(const situation* how, duration span, state s) {
    for (int i = 0; i < how->at_the_start; ++i) start_hog(s, how, true);
    if (how->a_second > 0)
        spawn(
            [](const situation* h, state st) -> task<> {
                while (!st->over.load()) {
                    start_hog(st, h, false);
                    co_await sleep_for(duration{1s} / h->a_second);
                }
            },
            how, s);
    return tick(s, span);
}

double quantile(const std::vector<double>& sorted, double q) {
    return sorted[std::min(sorted.size() - 1,
                           static_cast<std::size_t>(q * static_cast<double>(sorted.size())))];
}

} // namespace

int main(int argc, char** argv) {
    double seconds = 10;
    unsigned workers = 2;
    bool right = argc % 2 == 1;
    for (int i = 1; right && i + 1 < argc; i += 2) {
        if (std::strcmp(argv[i], "--seconds") == 0)
            seconds = std::strtod(argv[i + 1], nullptr);
        else if (std::strcmp(argv[i], "--workers") == 0)
            workers = static_cast<unsigned>(std::strtoul(argv[i + 1], nullptr, 10));
        else
            right = false;
    }
    if (!right || seconds < 0.1 || workers < 1) {
        std::fprintf(stderr, "usage: %s [--seconds S] [--workers W]\n", argv[0]);
        return 2;
    }
    try {
        std::printf("{\"workers\": %u, \"seconds\": %.1f, \"situations\": [", workers, seconds);
        const char* separator = "\n";
        for (const situation& how : situations) {
            auto s = std::make_shared<shared_state>();
            std::atomic<int> reports{0};
            std::vector<double> late;
            {
                runtime rt{{.workers = workers, .on_stall = [&](const stall_report&) { ++reports; }}};
                late = rt.run(
                    [&] { return measure(&how, duration{static_cast<std::int64_t>(seconds * 1e9)}, s); });
            }
            std::ranges::sort(late);
            std::printf("%s {\"name\": \"%s\", \"ticks\": %zu, \"hogs_at_once\": %d, \"reports\": %d, "
                        "\"p50_ms\": %.2f, "
                        "\"p99_ms\": %.2f, \"max_ms\": %.2f}",
                        separator, how.name, late.size(), s->most.load(), reports.load(), quantile(late, 0.5),
                        quantile(late, 0.99), late.back());
            std::fflush(stdout);
            separator = ",\n";
        }
        std::printf("]}\n");
    } catch (const std::exception& e) {
        std::fprintf(stderr, "lateness: %s\n", e.what());
        return 1;
    }
}
