// A start that was refused (`stop` in init, a taken name) returned while the process was still there, and left its exit
// signal in the mailbox of a starter that trapped exits.
#include "runtime/simulation_test_support.hpp"

#include <genever/otp/gen_server.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/process_info.hpp>
#include <genever/runtime/receive.hpp>

#include <gtest/gtest.h>

using namespace genever;
using genever::test::under_seeds;

namespace {

struct unwilling : gen_server<unwilling> {
    explicit unwilling(bool yes) : refuses_(yes) {}
    void init() {
        if (refuses_) stop(exit_kind::shutdown);
    }
    bool refuses_;
};

} // namespace

TEST(Regress, ARefusedStartLeavesNoExitSignal) {
    under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            trap_exit(true);
            const std::size_t before = processes().size();
            const auto refused = co_await start_link<unwilling>("u", true);
            EXPECT_FALSE(refused);
            EXPECT_EQ(processes().size(), before);
            EXPECT_EQ(info(self())->links.size(), 0U);
            const auto first = co_await start_link<unwilling>("u", false);
            EXPECT_TRUE(first);
            const auto second = co_await start_link<unwilling>("u", false);
            EXPECT_FALSE(second);
            EXPECT_EQ(processes().size(), before + 1);
            EXPECT_EQ(info(self())->mailbox_length, 0U);
            unlink(*first);
            exit(*first, exit_kind::killed);
            bool stray = false;
            co_await receive([&](exit_signal) { stray = true; }, after(duration{1}, [] {}));
            EXPECT_FALSE(stray);
        });
    });
}
