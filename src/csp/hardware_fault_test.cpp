// A fault of the processor in what `go` started ends that alone.
#include <genever/csp/chan.hpp>
#include <genever/csp/go.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/runtime/hardware_fault.hpp>
#include <genever/runtime/time.hpp>

#include "csp/test_support.hpp"

#include <gtest/gtest.h>

using namespace genever;
using namespace std::chrono_literals;
using genever::test::under_seeds;

namespace {
int* volatile nothing = nullptr;
volatile int sink = 0;
} // namespace

TEST(HardwareFaultInATask, EndsTheTaskAndNobodyElse) {
    if (!hardware_faults_are_exceptions()) GTEST_SKIP() << "faults are not exceptions in this build";
    under_seeds([](simulation& sim) {
        int cleaned = 0;
        int done = 0;
        sim.run([&]() -> task<> {
            chan<int> numbers;
            wait_group wg;
            for (int i = 0; i < 5; ++i)
                wg.go([&, i]() -> task<> {
                    struct count {
                        int& n;
                        ~count() { ++n; }
                    };
                    const count mine{cleaned};
                    co_await sleep_for(i * 1s);
                    if (i == 2) sink = *nothing;
                    co_await numbers.send(i);
                    ++done;
                });
            go([]() -> task<> {
                co_await yield();
                *nothing = 1;
            });
            int sum = 0;
            for (int i = 0; i < 4; ++i) {
                const auto n = co_await numbers.recv();
                sum += n.value_or(100);
            }
            co_await wg.wait();
            EXPECT_EQ(sum, 0 + 1 + 3 + 4);
        });
        EXPECT_EQ(done, 4);
        EXPECT_EQ(cleaned, 5);
    });
}
