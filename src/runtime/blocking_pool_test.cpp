#include "blocking_pool.hpp"

#include "blocking_test_support.hpp"
#include "thread_state.hpp"

#include <genever/runtime/runtime.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <latch>
#include <memory>
#include <set>
#include <thread>
#include <utility>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::counted;
using genever::test::gate;

namespace {

template <class F>
class plain_job final : public detail::blocking_job {
public:
    explicit plain_job(F f) : f_(std::move(f)) {}
    void run() noexcept override { f_(); }

private:
    F f_;
};
template <class F>
std::unique_ptr<detail::blocking_job> job(F f) {
    return std::make_unique<plain_job<F>>(std::move(f));
}

/// Tells that the thread on which it was made has ended.
struct told_at_thread_end {
    std::shared_ptr<std::latch> ended;
    ~told_at_thread_end() { ended->count_down(); }
};
void tell_when_this_thread_ends(std::shared_ptr<std::latch> ended) {
    thread_local told_at_thread_end teller{std::move(ended)};
}

} // namespace

TEST(BlockingPool, EndsThreadsThatHaveNothingToDo) {
    constexpr int n = 8;
    detail::blocking_pool pool{n, 1ms};
    EXPECT_EQ(pool.threads(), 0U);
    for (int round = 0; round < 3; ++round) {
        auto ended = std::make_shared<std::latch>(n);
        auto all = std::make_shared<std::latch>(n);
        for (int i = 0; i < n; ++i)
            pool.submit(job([ended, all] {
                tell_when_this_thread_ends(ended);
                all->arrive_and_wait();
            }));
        ended->wait();
        EXPECT_EQ(pool.threads(), 0U);
    }
}

TEST(BlockingPool, KeepsAThreadThatHasSomethingToDo) {
    detail::blocking_pool pool{8, infinity};
    std::vector<std::thread::id> on;
    for (int i = 0; i < 20; ++i) {
        std::promise<void> done;
        pool.submit(job([&] {
            on.push_back(std::this_thread::get_id());
            done.set_value();
        }));
        done.get_future().wait();
    }
    EXPECT_EQ(pool.threads(), std::set(on.begin(), on.end()).size()); // none has ended
}

TEST(BlockingPool, LosesNoJobToAThreadThatEnds) {
    std::atomic<int> done{0};
    {
        detail::blocking_pool pool{4, duration::zero()}; // every thread ends as soon as it is idle
        std::vector<std::thread> submitters;
        for (int s = 0; s < 3; ++s)
            submitters.emplace_back([&] {
                for (int i = 0; i < 300; ++i) {
                    std::promise<void> told;
                    pool.submit(job([&] {
                        ++done;
                        told.set_value();
                    }));
                    if (i % 2 == 0) std::this_thread::yield();
                    told.get_future().wait();
                }
            });
        for (auto& t : submitters) t.join();
    }
    EXPECT_EQ(done, 900);
}

TEST(BlockingPool, RunsNothingAfterItIsClosed) {
    detail::blocking_pool pool{1};
    std::atomic<int> alive{0};
    gate running;
    gate go_on;
    std::atomic<int> ran{0};
    pool.submit(job([&] {
        running.open();
        go_on.wait();
        ++ran;
    }));
    running.wait();
    for (int i = 0; i < 5; ++i) pool.submit(job([&ran, c = counted{alive}] { ++ran; }));
    EXPECT_EQ(alive, 5);
    pool.close();
    EXPECT_EQ(alive, 0);
    pool.submit(job([&ran, c = counted{alive}] { ++ran; }));
    EXPECT_EQ(alive, 0);
    go_on.open();
    pool.stop();
    EXPECT_EQ(ran, 1);
    EXPECT_EQ(pool.threads(), 0U);
}

// As if the monitor had just lowered the worker that submits: it cannot be made to do so between two instructions.
TEST(BlockingPool, StartsNoThreadFromOneThatHasBeenLowered) {
    std::atomic<int> alive{0};
    std::atomic<int> ran{0};
    detail::blocking_pool pool{2};
    runtime rt{{.workers = 1}};
    rt.run([&] {
        auto& lowered = detail::this_thread()->lowered;
        auto refused = job([&, c = counted{alive}] { ++ran; });
        lowered = true;
        EXPECT_FALSE(pool.submit(std::move(refused)));
        EXPECT_TRUE(refused) << "it is the caller's still";
        EXPECT_EQ(pool.threads(), 0U);
        // A thread that is there has its own priority: once it is idle, it takes what a lowered one submits.
        lowered = false;
        std::promise<std::thread::id> first;
        EXPECT_TRUE(pool.submit(job([&] { first.set_value(std::this_thread::get_id()); })));
        const auto there = first.get_future().get();
        lowered = true;
        std::promise<std::thread::id> second;
        auto taken = job([&] { second.set_value(std::this_thread::get_id()); });
        const auto deadline = std::chrono::steady_clock::now() + 20s;
        bool is_taken = false;
        while (!is_taken && std::chrono::steady_clock::now() < deadline)
            is_taken = pool.submit(std::move(taken));
        EXPECT_TRUE(is_taken);
        if (is_taken) {
            EXPECT_EQ(second.get_future().get(), there);
        }
        EXPECT_EQ(pool.threads(), 1U);
        lowered = false;
    });
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(ran, 0);
}

// A thread that was let go counts until it has ended, and a job that comes meanwhile is queued for it.
TEST(BlockingPool, ForgetsNoJobForAThreadThatItLetsGo) {
    runtime rt{{.workers = 1}};
    rt.run([] {
        auto& lowered = detail::this_thread()->lowered;
        std::atomic<bool> over{false};
        std::thread marks{[&] {
            while (!over) lowered = !lowered;
        }};
        for (int i = 0; i < 2000; ++i) {
            detail::blocking_pool pool{1, duration::zero()};
            std::promise<void> done;
            auto one = job([&] { done.set_value(); });
            while (!pool.submit(std::move(one))) {
            }
            const auto status = done.get_future().wait_for(20s);
            EXPECT_EQ(status, std::future_status::ready);
            if (status != std::future_status::ready) break;
        }
        over = true;
        marks.join();
        lowered = false;
    });
}

// The same where the mark comes while the thread is being started: it is started, and ends without a job.
TEST(BlockingPool, LetsAThreadGoThatMayHaveInheritedALowPriority) {
    runtime rt{{.workers = 1}};
    rt.run([] {
        auto& lowered = detail::this_thread()->lowered;
        std::atomic<bool> over{false};
        std::thread marks{[&] {
            while (!over) lowered = !lowered;
        }};
        std::atomic<int> ran{0};
        int refused = 0;
        {
            detail::blocking_pool pool{1000, duration::zero()};
            for (int i = 0; i < 1000; ++i)
                if (!pool.submit(job([&] { ++ran; }))) ++refused;
        } // waits for them
        EXPECT_EQ(ran + refused, 1000);
        over = true;
        marks.join();
        lowered = false;
    });
}
