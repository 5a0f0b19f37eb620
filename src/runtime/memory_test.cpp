// That the memory of processes is given back when they have ended.
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/stats.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <fstream>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif
#else
constexpr bool sanitized = false;
#endif

constexpr std::size_t many = 200'000;
constexpr std::size_t cell = 256;
constexpr std::size_t region = std::size_t{1} << 21; // what is given back at once
// Some regions stay, so that a program whose number of processes swings does not fault its memory in each time; and each
// thread keeps a few free cells, which may lie in any region.
constexpr std::size_t kept = 8 * region;

struct stop {};

std::size_t resident() {
    std::size_t size = 0;
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> size >> pages;
    return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

struct memory {
    std::size_t of_processes = stats().process_memory;
    std::size_t in_all = resident();

    bool is_about(const memory& before) const {
        return of_processes <= before.of_processes + kept && in_all <= before.in_all + kept;
    }
};

/// Starts as many processes as there is room for in `all`; returns what there is when each waits for a message.
task<memory> start_all(std::vector<pid>& all) {
    static std::atomic<std::size_t> started;
    started = 0;
    for (pid& p : all)
        p = spawn([]() -> task<> {
            ++started;
            co_await receive([](stop) {});
        });
    while (started < all.size()) co_await yield();
    co_return memory{};
}

/// Wakes them, in the order of `all`; returns what there is when the last one has gone and the workers have had nothing to
/// do for a while: until it is what there was `before`, or for many times as long as it should take.
task<memory> end_all(const std::vector<pid>& all, const memory& before) {
    const std::size_t others = stats().processes - all.size();
    std::size_t reached = 0;
    for (const pid p : all) {
        reached += send(p, stop{}) ? 1 : 0;
        if (reached % 256 == 0) co_await yield(); // so that the messages do not all live at once
    }
    EXPECT_EQ(reached, all.size());
    while (stats().processes > others) co_await sleep_for(1ms);
    for (int i = 0; i < 2'000 && !memory{}.is_about(before); ++i) co_await sleep_for(1ms);
    co_return memory{};
}

} // namespace

TEST(ProcessMemory, IsGivenBackWhenTheProcessesHaveEndedAndTakenAgain) {
    if (sanitized)
        GTEST_SKIP() << "a sanitizer keeps the frames of processes on its heap, and what has been freed, too";
    for (const unsigned workers : {1U, 2U}) {
        for (const bool shuffled : {false, true}) {
            std::vector<pid> all(many);
            runtime rt{{.workers = workers, .on_stall = [](const stall_report&) {}}};
            rt.run([&]() -> task<> {
                const memory before;
                std::size_t first_peak = 0;
                for (int round = 1; round <= 3; ++round) {
                    const std::string which = std::to_string(workers) + " workers, round " +
                                              std::to_string(round) +
                                              (shuffled ? ", ended in any order" : "");
                    const memory parked = co_await start_all(all);
                    EXPECT_GE(parked.of_processes, many * cell) << which;
                    if (round == 1) first_peak = parked.of_processes;
                    EXPECT_LE(parked.of_processes, first_peak + region) << which;
                    if (shuffled) std::ranges::shuffle(all, std::mt19937_64{static_cast<unsigned>(round)});
                    const memory ended = co_await end_all(all, before);
                    EXPECT_LE(ended.of_processes, before.of_processes + kept) << which;
                    EXPECT_LE(ended.in_all, before.in_all + kept) << which;
                }
            });
        }
    }
}
