// An await that finds what it waits for, but has used up its budget, takes it and lets others run first. Called off or
// killed in between, it takes it along: the message, the channel's value, the descriptor's edge are lost.
// Now it takes nothing before it is its turn, or gives back what it took.
#include <genever/csp/chan.hpp>
#include <genever/runtime/io.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <memory>
#include <unistd.h>

using namespace genever;
using namespace std::chrono_literals;

namespace {

void use_up_budget() { detail::current_process()->operations = 127; }

/// Kills what `body` starts when it has found what it waits for and stands behind the others.
template <class Body>
task<> kill_over_budget(Body body) {
    auto [victim, ref] = spawn_monitor(std::move(body));
    co_await yield(); // the victim comes, and goes behind us
    exit(victim, exit_kind::killed);
    co_await receive([](const down&) {});
}

} // namespace

TEST(Regress, AReceiveOverItsBudgetThatIsCalledOffLeavesTheMessage) {
    runtime rt{{.workers = 1}};
    const bool got = rt.run([]() -> task<bool> {
        // Keeps the process ready, but not running, until its deadline has fired.
        for (int i = 0; i < 30; ++i)
            spawn([] {
                for (const auto end = now() + 100us; now() < end;) {
                }
            });
        send(self(), 1);
        auto one = []() -> task<> {
            use_up_budget();
            co_await receive([](int) {});
        };
        auto work = one();
        if (co_await with_timeout(200us, std::move(work))) co_return true;
        co_return co_await receive([](int) { return true; }, after(1ms, [] { return false; }));
    });
    EXPECT_TRUE(got);
}

TEST(Regress, AWaitForADescriptorOverItsBudgetThatIsKilledLeavesTheEdge) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    runtime rt{{.workers = 1}};
    const auto r = rt.run([&]() -> task<io_result> {
        auto reader = std::make_shared<io_handle>(ends[0]);
        EXPECT_EQ(write(ends[1], "x", 1), 1);
        co_await sleep_for(1ms); // the poller has seen it
        auto body = [reader]() -> task<> {
            use_up_budget();
            co_await reader->readable();
        };
        co_await kill_over_budget(body);
        co_return co_await reader->readable(deadline_in(10ms));
    });
    close(ends[1]);
    EXPECT_EQ(r, io_result::ready);
}

TEST(Regress, AReceiveFromAChannelOverItsBudgetThatIsKilledLeavesTheValue) {
    runtime rt{{.workers = 1}};
    const bool there = rt.run([]() -> task<bool> {
        chan<int> c{1};
        c.try_send(1);
        auto body = [c]() mutable -> task<> {
            use_up_budget();
            co_await c.recv();
        };
        co_await kill_over_budget(body);
        co_return c.try_recv().has_value();
    });
    EXPECT_TRUE(there);
}
