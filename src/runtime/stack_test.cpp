// Compiled without optimisation, where no call is a tail call: the stack must not grow with the number of awaits.
#include <genever/runtime/process.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/simulation.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <pthread.h>

using namespace genever;

namespace {

/// Runs `body` on a thread with a stack of 256 KiB.
void on_a_small_stack(std::function<void()> body) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    pthread_t thread;
    auto enter = [](void* f) -> void* {
        (*static_cast<std::function<void()>*>(f))();
        return nullptr;
    };
    ASSERT_EQ(pthread_create(&thread, &attributes, enter, &body), 0);
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
}

task<int> one() { co_return 1; }

task<int> depth(int n) {
    if (n == 0) co_return 0;
    co_return 1 + co_await depth(n - 1);
}

} // namespace

TEST(Stack, DoesNotGrowWithALongLoopOfReadyAwaits) {
    on_a_small_stack([] {
        simulation sim{1};
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
        constexpr int rounds = 1'000'000; // an overflow would show long before
#else
        constexpr int rounds = 10'000'000;
#endif
        const long sum = sim.run([]() -> task<long> {
            long n = 0;
            for (int i = 0; i < rounds; ++i) n += co_await one();
            co_return n;
        });
        EXPECT_EQ(sum, rounds);
    });
}

TEST(Stack, DoesNotGrowWithALongLoopOfReceivesThatNeedNotWait) {
    on_a_small_stack([] {
        simulation sim{1};
        constexpr int rounds = 100'000;
        const long sum = sim.run([]() -> task<long> {
            long n = 0;
            for (int i = 0; i < rounds; ++i) {
                send(self(), 1);
                n += co_await receive([](int one_more) { return one_more; });
            }
            co_return n;
        });
        EXPECT_EQ(sum, rounds);
    });
}

TEST(Stack, DoesNotGrowWithTheDepthOfCalls) {
    on_a_small_stack([] {
        simulation sim{1};
        EXPECT_EQ(sim.run([] { return depth(100'000); }), 100'000);
    });
}
