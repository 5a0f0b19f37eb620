// Processes that keep their threads to themselves: they compute without an await, or block in a system call.
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <string>
#include <unistd.h>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;

namespace {

/// Burns the core until it is told to stop.
[[gnu::noinline]] void burn_until(const std::atomic<bool>& stop) {
    while (!stop.load(std::memory_order_relaxed)) {
    }
}

/// Blocks in a system call until a byte comes.
[[gnu::noinline]] void block_in_read(int fd) {
    char c = 0;
    while (::read(fd, &c, 1) < 0) {
    }
}

struct pipe_ends {
    pipe_ends() {
        if (::pipe(fd) != 0) std::abort();
    }
    ~pipe_ends() {
        ::close(fd[0]);
        ::close(fd[1]);
    }
    void release(std::size_t readers) {
        const std::string bytes(readers, 'x');
        if (::write(fd[1], bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) std::abort();
    }
    int fd[2];
};

struct stalls {
    std::mutex lock;
    std::vector<stall_report> all;

    stall_handler handler() {
        return [this](const stall_report& r) {
            std::lock_guard g{lock};
            all.push_back(r);
        };
    }
    std::vector<stall_report> taken() {
        std::lock_guard g{lock};
        return all;
    }
};

} // namespace

// The hogs end only when the other process has ticked: without another thread for their worker nobody would.
TEST(Stall, HogsOnEveryWorkerDoNotStopATickingProcess) {
    for (const unsigned workers : {1U, 2U}) {
        SCOPED_TRACE(std::to_string(workers) + " workers");
        constexpr int hogs = 8;
        stalls seen;
        std::atomic<bool> stop = false;
        std::atomic<int> running = 0;
        std::set<pid> unreported;
        {
            runtime rt{{.workers = workers, .on_stall = seen.handler()}};
            for (int i = 0; i < hogs; ++i)
                unreported.insert(rt.spawn([&] {
                    set_label("hog");
                    ++running;
                    burn_until(stop);
                }));
            rt.run([&]() -> task<> {
                while (running < hogs)
                    co_await sleep_for(1ms); // each hog got a thread, although none has ended
                for (int i = 0; i < 20; ++i) co_await sleep_for(1ms);
                const time_point patience = now() + 20s; // many threads share few processors
                while (seen.taken().size() < hogs && now() < patience) co_await sleep_for(1ms);
                co_await sleep_for(50ms); // no second report of one comes
            });
            EXPECT_EQ(running, hogs);
            stop = true;
        }
        int told_where = 0;
        for (const stall_report& r : seen.taken()) {
            EXPECT_EQ(unreported.erase(r.pid), 1U)
                << "a second time, or of another process: " << to_string(r);
            EXPECT_EQ(r.label, "hog");
            EXPECT_FALSE(r.in_system_call);
            EXPECT_GE(r.lasted, 20ms);
            if (r.stack.empty()) continue; // it had no processor all the time that the question waited
            ++told_where;
#if defined(__SANITIZE_THREAD__)
            continue; // ThreadSanitizer delivers signals inside its own functions, which hide their callers
#endif
            const std::string text = to_string(r);
            EXPECT_NE(text.find("burn_until"), std::string::npos) << text;
        }
        EXPECT_EQ(unreported.size(), 0U);
        EXPECT_GT(told_where, 0);
    }
}

TEST(Stall, BlockedSystemCallsDoNotStopATickingProcess) {
    pipe_ends pipe;
    std::atomic<int> running = 0;
    runtime rt{{.workers = 2, .on_stall = [](const stall_report&) {}}};
    for (int i = 0; i < 8; ++i)
        rt.spawn([&] {
            ++running;
            block_in_read(pipe.fd[0]);
        });
    rt.run([&]() -> task<> {
        while (running < 8) co_await sleep_for(1ms);
        for (int i = 0; i < 20; ++i) co_await sleep_for(1ms);
    });
    pipe.release(8);
}

TEST(Stall, IsReportedOnceWithTheProcessAndItsStack) {
    stalls seen;
    std::atomic<bool> stop = false;
    pipe_ends pipe;
    pid computing;
    pid blocked;
    {
        runtime rt{{.workers = 2, .on_stall = seen.handler()}};
        computing = rt.spawn([&] {
            set_label("the one that computes");
            burn_until(stop);
        });
        blocked = rt.spawn([&] {
            set_label("the one that is blocked");
            block_in_read(pipe.fd[0]);
        });
        rt.run([&]() -> task<> {
            while (seen.taken().size() < 2) co_await sleep_for(1ms);
            co_await sleep_for(100ms); // no second report comes
        });
        stop = true;
        pipe.release(1);
    }
    const auto all = seen.taken();
    ASSERT_EQ(all.size(), 2U);
    for (const stall_report& r : all) {
        const bool is_blocked = r.pid == blocked;
        EXPECT_TRUE(is_blocked || r.pid == computing) << to_string(r);
        EXPECT_EQ(r.label, is_blocked ? "the one that is blocked" : "the one that computes");
        EXPECT_EQ(r.in_system_call, is_blocked);
        EXPECT_GE(r.lasted, 20ms);
        const std::string text = to_string(r);
#if defined(__SANITIZE_THREAD__)
        if (!is_blocked)
            continue; // ThreadSanitizer delivers signals inside its own functions, which hide their callers
#endif
#if defined(__SANITIZE_ADDRESS__)
        if (is_blocked) continue; // AddressSanitizer's read() has a large frame, in which old ones lie about
#endif
        EXPECT_NE(text.find(is_blocked ? "block_in_read" : "burn_until"), std::string::npos) << text;
    }
}

TEST(Stall, ASecondOneOfTheSameProcessIsReportedAgain) {
    stalls seen;
    std::atomic<bool> stop = false;
    pid hog;
    {
        runtime rt{{.workers = 1, .on_stall = seen.handler()}};
        hog = rt.spawn([&]() -> task<> {
            for (int i = 0; i < 2; ++i) {
                burn_until(stop);
                stop = false;
                co_await sleep_for(5ms);
            }
        });
        rt.run([&]() -> task<> {
            for (std::size_t reports = 1; reports <= 2; ++reports) {
                while (seen.taken().size() < reports) co_await sleep_for(1ms);
                stop = true;
                while (stop) co_await sleep_for(1ms);
            }
        });
    }
    ASSERT_EQ(seen.taken().size(), 2U);
    for (const stall_report& r : seen.taken()) EXPECT_EQ(r.pid, hog);
}

TEST(Stall, ASystemCallIsNotInterruptedByTheReport) {
    stalls seen;
    std::atomic<unsigned> unslept = 77;
    {
        runtime rt{{.workers = 1, .on_stall = seen.handler()}};
        rt.run([&]() -> task<> {
            spawn_monitor([&] { unslept = ::sleep(1); });
            for (;;) {
                const bool ended =
                    co_await receive([](const down&) { return true; }, after(5ms, [] { return false; }));
                if (ended) break;
            }
        });
    }
    EXPECT_EQ(unslept, 0U); // a signal would have made it return early
    ASSERT_EQ(seen.taken().size(), 1U);
    EXPECT_TRUE(seen.taken().front().in_system_call);
}

TEST(Stall, TheStuckProcessGoesOnWhereItWasAndIsServedAgain) {
    std::atomic<bool> stop = false;
    runtime rt{{.workers = 1, .on_stall = [](const stall_report&) {}}};
    const int sum = rt.run([&]() -> task<int> {
        const pid me = self();
        const pid hog = spawn([&stop, me]() -> task<> {
            int total = 0;
            for (int round = 0; round < 3; ++round) {
                burn_until(stop);
                send(me, std::string{"released"});
                total += co_await receive([](int i) { return i; });
                stop = false;
            }
            send(me, total);
        });
        for (int round = 1; round <= 3; ++round) {
            co_await sleep_for(5ms); // runs although the hog burns
            stop = true;
            co_await receive([](std::string) {});
            send(hog, round);
            while (stop && round < 3) co_await sleep_for(1ms);
        }
        co_return co_await receive([](int i) { return i; });
    });
    EXPECT_EQ(sum, 6);
}

TEST(Stall, WhatAStuckProcessWakesAndStartsRunsElsewhere) {
    std::atomic<bool> stop = false;
    std::atomic<int> ran = 0;
    runtime rt{{.workers = 1, .on_stall = [](const stall_report&) {}}};
    rt.run([&]() -> task<> {
        const pid me = self();
        spawn([&] {
            send(me, 1);              // into the slot of the worker that it blocks
            spawn([&ran] { ++ran; }); // into its queue
            burn_until(stop);
        });
        co_await receive([](int) {});
        while (ran == 0) co_await yield();
        stop = true;
    });
    EXPECT_EQ(ran, 1);
}

TEST(Stall, AKilledHogIsDestroyedAtItsNextAwait) {
    std::atomic<bool> stop = false;
    std::atomic<bool> came_back = false;
    runtime rt{{.workers = 2, .on_stall = [](const stall_report&) {}}};
    const exit_reason why = rt.run([&]() -> task<exit_reason> {
        auto [p, ref] = spawn_monitor([&]() -> task<> {
            burn_until(stop);
            co_await yield();
            came_back = true;
        });
        co_await sleep_for(10ms);
        exit(p, exit_kind::killed);
        stop = true;
        co_return co_await receive([](const down& d) { return d.reason; });
    });
    EXPECT_EQ(why.kind(), exit_kind::killed);
    EXPECT_FALSE(came_back);
}

TEST(Stall, WithoutMoreThreadsTheOthersWaitAndNothingIsLost) {
    std::atomic<bool> stop = false;
    std::atomic<int> running = 0;
    runtime rt{
        {.workers = 1, .on_stall = [&](const stall_report&) { stop = true; }, .most_stuck_threads = 1}};
    for (int i = 0; i < 3; ++i)
        rt.spawn([&] {
            ++running;
            burn_until(stop);
        });
    rt.run([&]() -> task<> {
        while (running < 3) co_await sleep_for(1ms);
    });
    EXPECT_EQ(running, 3);
}
