// An edge that came in just as the deadline of a wait had fired used to be lost: the next wait slept although there were
// bytes to read.
#include <genever/net/tcp.hpp>
#include <genever/runtime/io.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <unistd.h>

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
            for (bool got = false; !got;) {
                const io_result r = co_await io.readable(at);
                got = take_byte(io.fd());
                if (got) break;
                if (r == io_result::ready) continue; // the edge of being writable, or of a byte to come
                const io_result again = co_await io.readable(now() + 2s);
                got = take_byte(io.fd());
                if (again == io_result::timeout) {
                    ++missed;
                    break;
                }
            }
        }
        co_return missed;
    });
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
