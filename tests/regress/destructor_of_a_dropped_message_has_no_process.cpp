// The destructor of a message that its receiver never took used to run under the pid of the block's next tenant.
#include <genever/runtime/receive.hpp>
#include <genever/runtime/simulation.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <optional>

using namespace genever;
using namespace std::chrono_literals;

namespace {

struct asks_who_it_is {
    explicit asks_who_it_is(std::optional<pid>& a) : answer(&a) {}
    asks_who_it_is(asks_who_it_is&& o) noexcept : answer(std::exchange(o.answer, nullptr)) {}
    ~asks_who_it_is() {
        if (answer) *answer = self();
    }
    std::optional<pid>* answer;
};

} // namespace

TEST(Regress, TheDestructorOfADroppedMessageRunsInNoProcess) {
    simulation sim{1};
    std::optional<pid> answer;
    sim.run([&answer]() -> task<> {
        auto [p, ref] = spawn_monitor([]() -> task<> { co_await sleep_for(1s); });
        send(p, asks_who_it_is{answer});
        co_await receive([](const down&) {});
    });
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(*answer, pid{});
}

TEST(Regress, ACrashHandlerRunsInNoProcess) {
    std::optional<pid> seen;
    pid crashed;
    simulation sim{1, [&](const crash_report& r) {
                       seen = self();
                       crashed = r.pid;
                   }};
    const pid p = sim.spawn([] { throw std::runtime_error("boom"); });
    sim.run_for(1s);
    ASSERT_TRUE(seen.has_value());
    EXPECT_EQ(*seen, pid{});
    EXPECT_EQ(crashed, p);
}
