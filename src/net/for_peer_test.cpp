// Work for a peer, over a pair of connected sockets.
#include <genever/net/tcp.hpp>
#include <genever/runtime/for_peer.hpp>
#include <genever/runtime/io.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/process_info.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <sys/socket.h>
#include <thread>
#include <utility>

namespace genever {
namespace {

using namespace std::chrono_literals;

struct pair {
    io_handle ours;
    net::unique_fd theirs;
};

pair make_pair() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    return {io_handle{fds[0]}, net::unique_fd{fds[1]}};
}

// Each in a frame of its own, which is gone when it returns.
task<std::optional<work_ended>> nap(io_handle& io, gone_when gone, duration length, duration limit = 1h) {
    const auto r = co_await for_peer(io, gone, now() + limit,
                                     [](duration d) -> task<> { co_await sleep_for(d); }(length));
    co_return r ? std::nullopt : std::optional{r.error()};
}

task<> swapped(pair& p) {
    pair other = make_pair();
    const auto swap_them = [&]() -> task<> {
        std::swap(p.ours, other.ours);
        co_await yield();
    };
    const auto r = co_await for_peer(p.ours, gone_when::half_closed, time_point::max(), swap_them());
    EXPECT_TRUE(r);
    std::swap(p.ours, other.ours);
}

void in_a_process(auto f) {
    runtime rt{{.workers = 2}};
    rt.run(f);
}

TEST(ForPeer, WhoLeavesEndsTheWork) {
    in_a_process([]() -> task<> {
        for (const gone_when when : {gone_when::half_closed, gone_when::broken}) {
            pair p = make_pair();
            spawn([fd = std::move(p.theirs)]() -> task<> { co_await sleep_for(5ms); });
            const auto r = co_await nap(p.ours, when, 1h);
            EXPECT_EQ(r, work_ended::peer_gone);
            const auto again = co_await nap(p.ours, when, 1h);
            EXPECT_EQ(again, work_ended::peer_gone) << "he is gone for good";
        }
    });
}

TEST(ForPeer, WhoOnlyEndsHisSideEndsTheWorkIfThatIsWanted) {
    in_a_process([]() -> task<> {
        pair p = make_pair();
        ::shutdown(p.theirs.get(), SHUT_WR);
        const auto r = co_await nap(p.ours, gone_when::broken, 5ms);
        EXPECT_EQ(r, std::nullopt);
        const auto ended = co_await nap(p.ours, gone_when::half_closed, 1h);
        EXPECT_EQ(ended, work_ended::peer_gone);
    });
}

TEST(ForPeer, WorkThatIsDoneInAnyCaseIsDone) {
    in_a_process([]() -> task<> {
        pair p = make_pair();
        p.theirs = {};
        const auto r = co_await nap(p.ours, gone_when::never, 5ms);
        EXPECT_EQ(r, std::nullopt);
        const auto late = co_await nap(p.ours, gone_when::never, 1h, 5ms);
        EXPECT_EQ(late, work_ended::timeout) << "that he is gone is not why";
    });
}

// What the poller sees afterwards concerns nobody: the frames are gone. (An address sanitizer looks.)
TEST(ForPeer, WhoLeavesAfterTheWorkIsNoLongerWatched) {
    in_a_process([]() -> task<> {
        for (int how = 0; how < 4; ++how) {
            auto p = std::make_shared<pair>(make_pair());
            if (how == 0) {
                const auto r = co_await nap(p->ours, gone_when::half_closed, 1ms);
                EXPECT_EQ(r, std::nullopt);
            } else if (how == 1) {
                const auto r = co_await nap(p->ours, gone_when::half_closed, 1h, 1ms);
                EXPECT_EQ(r, work_ended::timeout);
            } else if (how == 2) {
                const auto [worker, ref] =
                    spawn_monitor([p]() -> task<> { co_await nap(p->ours, gone_when::half_closed, 1h); });
                while (info(worker)->state != process_state::parked) co_await yield();
                exit(worker, exit_kind::killed);
                co_await receive([](const down&) {});
            } else { // its handle has become another one meanwhile
                co_await swapped(*p);
            }
            p->theirs = {};
            const io_result r = co_await p->ours.readable();
            EXPECT_EQ(r, io_result::ready);
            EXPECT_TRUE(p->ours.hung_up());
        }
    });
}

// Whoever no longer wants that is not called off for it, also where he was gone before.
TEST(ForPeer, ACallOffThatIsTakenBackInTimeDoesNotComeToPass) {
    in_a_process([]() -> task<> {
        for (const bool gone_before : {true, false}) {
            pair p = make_pair();
            if (gone_before) {
                p.theirs = {};
                while (!p.ours.hung_up()) co_await sleep_for(1ms);
            }
            bool done = false;
            const auto work = [&]() -> task<> {
                if (!gone_before) {
                    p.theirs = {};
                    // Another worker looks meanwhile, or nobody does.
                    std::this_thread::sleep_for(10ms);
                }
                p.ours.keep_on_hangup();
                co_await sleep_for(5ms);
                done = true;
            };
            const auto r = co_await for_peer(p.ours, gone_when::half_closed, time_point::max(), work());
            EXPECT_TRUE(r);
            EXPECT_TRUE(done);
            const auto late = [&]() -> task<> {
                p.ours.keep_on_hangup();
                co_await sleep_for(1h);
            };
            const auto ended = co_await for_peer(p.ours, gone_when::half_closed, now() + 5ms, late());
            EXPECT_EQ(ended, std::unexpected(work_ended::timeout)) << "its deadline is another matter";
        }
    });
}

} // namespace
} // namespace genever
