// After `simulation::run` had thrown for a deadlock its body could still go on, and wrote its result to where the caller's
// frame had been.
#include <genever/runtime/receive.hpp>
#include <genever/runtime/simulation.hpp>

#include <gtest/gtest.h>

#include <string>

using namespace genever;
using namespace std::chrono_literals;

TEST(Regress, ABodyThatOutlivesADeadlockFindsAPlaceForItsResult) {
    simulation sim{1};
    pid body;
    EXPECT_THROW(sim.run([&body]() -> task<std::string> {
        body = self();
        co_return co_await receive(
            [](std::string s) { return s + " and a text that is too long to lie in the string"; });
    }),
                 std::runtime_error);
    sim.spawn([body] { send(body, std::string{"late"}); });
    sim.run_for(1s);
    EXPECT_FALSE(is_alive(body));
}
