// An edge that came in just as the deadline of a wait had fired used to be lost: the next wait slept although there were
// bytes to read.
#include <genever/csp/wait_group.hpp>
#include <genever/runtime/io.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;

namespace {

bool take_byte(int fd) {
    char c = 0;
    return ::recv(fd, &c, 1, 0) == 1;
}

/// A socket pair whose first end waits, and whose second end the test writes to.
struct pair_of_sockets {
    pair_of_sockets() {
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
    }
    ~pair_of_sockets() { ::close(ends[1]); }
    int ends[2] = {-1, -1};
};

} // namespace

TEST(Regress, AnEdgeThatMeetsAnExpiredWaitIsThereForTheNextOne) {
    runtime rt{{.workers = 2}};
    // Many waits that end at one moment, and others that are ready all the time: so a process whose deadline has come
    // waits for its turn while its edge comes in.
    std::atomic<bool> done = false;
    for (int i = 0; i < 100; ++i)
        rt.spawn([&done]() -> task<> {
            while (!done) co_await yield();
        });
    const int lost = rt.run([]() -> task<int> {
        std::atomic<int> missed = 0;
        for (int round = 0; round < 40; ++round) {
            constexpr int count = 50;
            std::vector<pair_of_sockets> sockets(count);
            const time_point at = now() + 2ms;
            wait_group all;
            for (auto& s : sockets)
                all.go([at, fd = s.ends[0], &missed]() -> task<> {
                    io_handle io{fd};
                    for (;;) {
                        const io_result r = co_await io.readable(at);
                        if (r != io_result::ready)
                            break; // and wait again without a look, as an idle connection does
                        if (take_byte(io.fd())) co_return; // else it was the edge of being writable
                    }
                    for (;;) {
                        const io_result r = co_await io.readable(at + 2s);
                        if (take_byte(io.fd())) {
                            if (r == io_result::timeout) ++missed;
                            co_return;
                        }
                    }
                });
            co_await sleep_until(at);
            for (auto& s : sockets) {
                [[maybe_unused]] const auto n = ::send(s.ends[1], "x", 1, MSG_NOSIGNAL);
                if (&s - sockets.data() == count / 2) co_await yield();
            }
            co_await all.wait();
        }
        co_return missed.load();
    });
    done = true;
    EXPECT_EQ(lost, 0);
}

TEST(Regress, AWaitThatWasDestroyedLeavesItsEdgeToTheNextOne) {
    runtime rt{{.workers = 2}};
    int lost = rt.run([]() -> task<int> {
        int missed = 0;
        for (int i = 0; i < 1500; ++i) {
            pair_of_sockets s;
            io_handle io{s.ends[0]};
            const time_point at = now() + 200us;
            const int peer = s.ends[1];
            spawn([at, peer]() -> task<> {
                while (now() < at) co_await yield();
                [[maybe_unused]] const auto n = ::send(peer, "x", 1, MSG_NOSIGNAL);
            });
            auto wait = [](io_handle& h) -> task<> {
                for (;;) {
                    const io_result r = co_await h.readable();
                    if (r == io_result::ready && take_byte(h.fd())) co_return;
                }
            };
            auto work = wait(io);
            auto first = co_await with_timeout(200us, std::move(work));
            if (first) continue;
            auto second_wait = wait(io);
            auto second = co_await with_timeout(2s, std::move(second_wait));
            if (!second) ++missed;
        }
        co_return missed;
    });
    EXPECT_EQ(lost, 0);
}
