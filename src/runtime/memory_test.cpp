// Where processes live, and that their memory is given back when they have ended.
#include "arena.hpp"

#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/stats.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <thread>
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
    std::size_t of_processes = detail::the_cells.backed();
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

/// Wakes them, in the order of `all`, and returns when the last one has gone.
task<> end_all(const std::vector<pid>& all) {
    const std::size_t others = stats().processes - all.size();
    std::size_t reached = 0;
    for (const pid p : all) {
        reached += send(p, stop{}) ? 1 : 0;
        if (reached % 256 == 0) co_await yield(); // so that the messages do not all live at once
    }
    EXPECT_EQ(reached, all.size());
    while (stats().processes > others) co_await sleep_for(1ms);
}

/// Makes processes start and end now and then, so that each worker keeps some cells when it falls asleep.
task<> start_some_more() {
    for (int i = 0; i < 8; ++i) {
        for (int j = 0; j < 4; ++j) spawn([]() -> task<> { co_await yield(); });
        co_await sleep_for(1ms);
    }
}

/// What there is when no worker has had anything to do: as soon as that is what there was `before`, or when it is over with
/// the test's patience. The calling thread is none of the workers, and wakes none.
memory at_rest(const memory& before, std::chrono::steady_clock::time_point patience) {
    while (!memory{}.is_about(before) && std::chrono::steady_clock::now() < patience)
        std::this_thread::sleep_for(10ms);
    return memory{};
}

} // namespace

TEST(ProcessMemory, IsGivenBackWhenTheProcessesHaveEndedAndTakenAgain) {
    if (sanitized)
        GTEST_SKIP() << "a sanitizer keeps the frames of processes on its heap, and what has been freed, too";
    const memory before;
    const auto patience = std::chrono::steady_clock::now() + 40s; // it takes a second or two
    std::size_t first_peak = 0;
    for (const unsigned workers : {1U, 2U}) {
        for (const bool shuffled : {false, true}) {
            std::vector<pid> all(many);
            runtime rt{{.workers = workers, .on_stall = [](const stall_report&) {}}};
            for (int round = 1; round <= 3; ++round) {
                const std::string which = std::to_string(workers) + " workers, round " +
                                          std::to_string(round) + (shuffled ? ", ended in any order" : "");
                rt.run([&]() -> task<> {
                    const memory parked = co_await start_all(all);
                    EXPECT_GE(parked.of_processes, many * cell) << which;
                    if (first_peak == 0) first_peak = parked.of_processes;
                    EXPECT_LE(parked.of_processes, first_peak + region) << which;
                    if (shuffled) std::ranges::shuffle(all, std::mt19937_64{static_cast<unsigned>(round)});
                    co_await end_all(all);
                    if (round != 2) co_await start_some_more();
                });
                const memory ended = at_rest(before, patience);
                EXPECT_LE(ended.of_processes, before.of_processes + kept) << which;
                EXPECT_LE(ended.in_all, before.in_all + kept) << which;
            }
        }
    }
}

// Beside the process, which is what makes one that waits cost 256 bytes.
TEST(ProcessMemory, TheFrameOfASmallProcessLiesInItsCell) {
#ifndef __OPTIMIZE__
    GTEST_SKIP() << "without optimisation frames are larger";
#endif
    if (sanitized && !std::getenv("GENEVER_FRAMES_IN_CELLS"))
        GTEST_SKIP() << "a sanitizer keeps the frames of processes on its heap";
    runtime rt{{.workers = 1}};
    static std::atomic<const void*> local;
    local = nullptr;
    rt.run([]() -> task<> {
        const pid child = spawn([]() -> task<> {
            const char here = 1;
            local = &here;
            co_await receive([](stop) {});
        });
        while (!local) co_await yield();
        EXPECT_TRUE(detail::the_cells.contains(local));
        const auto* cell_of_child = reinterpret_cast<const char*>(detail::the_cells.at(child.slot()));
        const auto offset = static_cast<const char*>(local.load()) - cell_of_child;
        EXPECT_TRUE(offset > 0 && offset < static_cast<std::ptrdiff_t>(cell)) << offset;
        send(child, stop{});
    });
}
