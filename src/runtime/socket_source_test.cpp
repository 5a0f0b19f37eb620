#include <genever/runtime/io.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/socket_source.hpp>
#include <genever/runtime/time.hpp>

#include "runtime/simulation_test_support.hpp"

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <unistd.h>

using namespace genever;
using namespace std::chrono_literals;

namespace {

struct passed {};

} // namespace

TEST(AcceptGate, IsOpenAsARule) {
    runtime rt{{.workers = 1}};
    EXPECT_FALSE(accepting_is_held());
    rt.run([]() -> task<> { co_await until_accepting(); });
}

TEST(AcceptGate, LetsEverybodyThroughWhenItsProcessEnds) {
    test::under_seeds([](simulation& sim) {
        sim.run([]() -> task<> {
            const pid gate = spawn([]() -> task<> { co_await receive([](int) {}); });
            set_accept_gate(gate);
            const pid me = self();
            for (int i = 0; i < 3; ++i) {
                spawn([me]() -> task<> {
                    co_await until_accepting();
                    send(me, passed{});
                });
            }
            const bool early = co_await receive([](passed) { return true; }, after(1s, [] { return false; }));
            EXPECT_FALSE(early);
            set_accept_gate({});
            send(gate, 1);
            for (int i = 0; i < 3; ++i) co_await receive([](passed) {});
            set_accept_gate(gate); // whoever has looked before the way was free finds it ended
            co_await until_accepting();
            set_accept_gate({});
        });
    });
}

TEST(SharedFile, IsTakenOutOfThePollerBeforeItIsClosed) {
    runtime rt{{.workers = 1}};
    rt.run([]() -> task<> {
        int ends[2];
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
        const int kept = dup(ends[0]); // the open file lives on
        for (int round = 0; round < 3; ++round) {
            io_handle h{round == 0 ? ends[0] : dup(kept), io_file::shared};
            EXPECT_EQ(write(ends[1], "x", 1), 1);
            const io_result r = co_await h.readable(now() + 5s);
            EXPECT_EQ(r, io_result::ready);
            char c;
            EXPECT_EQ(read(h.fd(), &c, 1), 1);
        }
        close(kept);
        close(ends[1]);
    });
}
