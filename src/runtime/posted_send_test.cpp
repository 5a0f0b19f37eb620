// Sends that are left to the worker: each arrives whole and once, or is its process's again.
#include "send_ring.hpp"

#include <genever/runtime/posted_send.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/stats.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;

namespace {

/// A socket whose one end belongs to a process; the other is the test's.
struct line {
    io_handle io;
    int peer = -1;

    line() {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) std::abort();
        io = io_handle{ends[0]};
        peer = ends[1];
    }
    line(const line&) = delete;
    ~line() { hang_up(); }
    void hang_up() {
        if (peer >= 0) ::close(std::exchange(peer, -1));
    }
    /// What is there now.
    std::string heard() const {
        std::string all;
        char some[4096];
        for (ssize_t n; (n = ::recv(peer, some, sizeof some, 0)) > 0;)
            all.append(some, static_cast<std::size_t>(n));
        return all;
    }
    bool hears(std::chrono::milliseconds patience) const {
        pollfd what{peer, POLLIN, 0};
        return ::poll(&what, 1, static_cast<int>(patience.count())) > 0;
    }
};

/// What became of a process's send.
struct outcome {
    line wire;
    std::string bytes = "an answer";
    std::atomic<bool> posted{false};
    std::size_t sent = 0;
    io_result wait = io_result::timeout;
    std::atomic<bool> over{false};
};

task<> answer(std::shared_ptr<outcome> o) {
    posted_send s;
    o->posted = s.post(o->wire.io, o->bytes, now());
    EXPECT_EQ(o->posted, static_cast<bool>(s));
    o->wait = co_await o->wire.io.readable(now() + 10s);
    o->sent = s.settle();
    EXPECT_FALSE(s);
    o->over = true;
}

void send_now(const line& wire, std::string& out) {
    EXPECT_EQ(::send(wire.io.fd(), out.data(), out.size(), MSG_NOSIGNAL), static_cast<ssize_t>(out.size()));
    out.clear();
}

task<> until_over(std::shared_ptr<outcome> o) {
    while (!o->over) co_await sleep_for(1ms);
}

/// Has another process nudge the one that answers, as a rule before the worker sends.
task<> answer_and_nudge(std::shared_ptr<outcome> o) {
    spawn(answer, o);
    spawn([o]() -> task<> {
        o->wire.io.nudge();
        co_return;
    });
    co_await until_over(o);
}

/// Opens the workers' rings, for which a first send is not posted.
task<> warm_up() {
    for (int i = 0; i < 20; ++i) {
        auto o = std::make_shared<outcome>();
        co_await answer_and_nudge(o);
        if (o->posted) break;
    }
}

class PostedSend : public testing::Test {
protected:
    void SetUp() override {
        if (detail::send_ring{}.open() != detail::send_ring::opened::yes)
            GTEST_SKIP() << "this system has no io_uring, or forbids it: nothing is ever posted";
    }
};

} // namespace

TEST_F(PostedSend, OfManyProcessesAllArriveWhole) {
    runtime rt{{.workers = 1}};
    rt.run([]() -> task<> {
        co_await warm_up();
        std::vector<std::shared_ptr<outcome>> all;
        for (int i = 0; i < 40; ++i) {
            auto& o = all.emplace_back(std::make_shared<outcome>());
            o->bytes += std::to_string(i);
            spawn(answer, o);
        }
        co_await sleep_for(20ms); // they wait, and have nothing to say
        std::size_t posted = 0;
        for (const auto& o : all) {
            posted += o->posted;
            EXPECT_EQ(o->wire.heard(), o->posted ? o->bytes : "");
            EXPECT_FALSE(o->over);
            EXPECT_EQ(::send(o->wire.peer, "?", 1, MSG_NOSIGNAL), 1);
        }
        EXPECT_GT(
            posted,
            1U); // the last one has nobody behind it; and one may have waited for too long, on a slow machine
        EXPECT_GE(stats().sends_together, posted > 16 ? 16U : 2U);
        for (const auto& o : all) {
            co_await until_over(o);
            EXPECT_EQ(o->wait, io_result::ready);
            EXPECT_EQ(o->sent, o->posted ? o->bytes.size() : 0);
        }
    });
}

TEST_F(PostedSend, ThatDoesNotFitEndsTheWait) {
    runtime rt{{.workers = 1}};
    rt.run([]() -> task<> {
        co_await warm_up();
        auto o = std::make_shared<outcome>();
        o->bytes.assign(std::size_t{8} << 20, 'x');
        spawn(answer, o);
        spawn([]() -> task<> { co_return; });
        co_await until_over(o);
        EXPECT_TRUE(o->posted);
        EXPECT_EQ(o->wait, io_result::closed);
        EXPECT_GT(o->sent, 0U);
        EXPECT_LT(o->sent, o->bytes.size());
        EXPECT_EQ(o->wire.heard().size(), o->sent);
    });
}

TEST_F(PostedSend, ToAPeerThatIsGoneEndsTheWait) {
    runtime rt{{.workers = 1}};
    rt.run([]() -> task<> {
        co_await warm_up();
        auto o = std::make_shared<outcome>();
        spawn(answer, o);
        spawn([o]() -> task<> {
            o->wire.hang_up();
            co_return;
        }); // before the worker sends
        co_await until_over(o);
        EXPECT_TRUE(o->posted);
        EXPECT_NE(o->wait, io_result::timeout);
        EXPECT_TRUE(o->sent == 0 ||
                    o->sent == o->bytes.size()); // it may have looked at its descriptors before
    });
}

TEST_F(PostedSend, ThatIsSettledBeforeIsTheProcesssAgain) {
    runtime rt{{.workers = 1}};
    rt.run([]() -> task<> {
        int taken_back = 0;
        for (int i = 0; i < 200; ++i) {
            auto o = std::make_shared<outcome>();
            co_await answer_and_nudge(o);
            EXPECT_EQ(o->wait, io_result::closed);
            // At times the worker has looked at its descriptors in between.
            EXPECT_TRUE(o->sent == 0 || o->sent == o->bytes.size());
            EXPECT_EQ(o->wire.heard().size(), o->sent);
            taken_back += o->posted && o->sent == 0;
        }
        EXPECT_GT(taken_back, 0);
    });
}

TEST_F(PostedSend, OfAKilledProcessIsTakenBackWithItsFrame) {
    runtime rt{{.workers = 2}};
    rt.run([]() -> task<> {
        for (int i = 0; i < 500; ++i) {
            auto o = std::make_shared<outcome>();
            auto other = std::make_shared<outcome>();
            const pid victim = spawn(answer, o);
            spawn(answer, other);
            spawn([victim]() -> task<> {
                exit(victim, exit_kind::killed);
                co_return;
            });
            while (is_alive(victim)) co_await yield();
            const std::string heard = o->wire.heard();
            EXPECT_TRUE(heard.empty() || heard == o->bytes) << heard;
            EXPECT_EQ(::send(other->wire.peer, "?", 1, MSG_NOSIGNAL), 1);
            co_await until_over(other);
            EXPECT_EQ(other->wire.heard().size(),
                      other->sent); // asked before the worker looked, it takes it back
        }
    });
}

// Two workers, the peers on a thread of their own: whoever steals a process, or finds its descriptor ready, each question
// gets its one answer.
TEST_F(PostedSend, QuestionsAndAnswersOnTwoWorkers) {
    static constexpr int lines = 24;
    static constexpr int questions = 400;
    runtime rt{{.workers = 2}};
    std::vector<std::unique_ptr<line>> all(lines);
    std::atomic<int> ready{0};
    std::atomic<int> posted{0};
    std::thread peers;
    rt.run([&]() -> task<> {
        for (auto& l : all) {
            l = std::make_unique<line>();
            spawn([&wire = *l, &posted, &ready]() -> task<> {
                posted_send s;
                std::string out;
                ++ready;
                for (int asked = 0; asked < questions;) {
                    char c[16];
                    const ssize_t n = ::recv(wire.io.fd(), c, sizeof c, 0);
                    if (n > 0) {
                        asked += static_cast<int>(n);
                        out.append(c, static_cast<std::size_t>(n));
                        continue;
                    }
                    if (!out.empty() && s.post(wire.io, out, now()))
                        ++posted;
                    else if (!out.empty())
                        out.erase(0,
                                  static_cast<std::size_t>(::send(wire.io.fd(), out.data(), out.size(), 0)));
                    co_await wire.io.readable(now() + 10s);
                    out.erase(0, s.settle());
                }
                send_now(wire, out);
                --ready;
            });
        }
        while (ready != lines) co_await sleep_for(1ms);
        peers = std::thread{[&] {
            for (int i = 0; i < questions; ++i) {
                const char c = static_cast<char>('a' + i % 26);
                for (auto& l : all) EXPECT_EQ(::send(l->peer, &c, 1, MSG_NOSIGNAL), 1);
                if (i % 3 != 0) continue; // at times several are on their way
                for (auto& l : all) {
                    char got[8];
                    for (int n = i == 0 ? 1 : 3; n > 0;) {
                        EXPECT_TRUE(l->hears(10s));
                        const ssize_t some = ::recv(l->peer, got, static_cast<std::size_t>(n), 0);
                        if (some <= 0) return;
                        for (ssize_t k = 0; k < some; ++k)
                            EXPECT_EQ(got[k], static_cast<char>('a' + (i - n + 1 + k) % 26));
                        n -= static_cast<int>(some);
                    }
                }
            }
        }};
        while (ready != 0) co_await sleep_for(1ms);
    });
    peers.join();
    EXPECT_GT(posted.load(), 0);
}

// Whoever computes for long holds up nobody's answer, also where there is nothing else for which the worker would be given
// another thread, and where another worker takes what there is.
TEST_F(PostedSend, IsSentWhileItsWorkersThreadIsStuck) {
    for (const unsigned workers : {1U, 2U}) {
        runtime rt{{.workers = workers}};
        rt.run([]() -> task<> {
            co_await warm_up();
            int posted = 0;
            for (int i = 0; i < 20; ++i) {
                auto o = std::make_shared<outcome>();
                auto heard = std::make_shared<bool>(false);
                const pid me = self();
                spawn(answer, o);
                spawn([o, heard, me]() -> task<> {
                    for (const time_point end = now() + 10s; now() < end && !*heard && !o->over;)
                        *heard = o->wire.hears(0ms) || !o->posted;
                    send(me, true);
                    co_return;
                });
                co_await receive([](bool) {}); // without a timer
                EXPECT_TRUE(*heard);
                posted += o->posted;
                o->wire.hang_up();
                co_await until_over(o);
            }
            EXPECT_GT(posted, 0);
        });
    }
}

TEST(PostedSendOff, NothingIsPostedWhereItIsTurnedOffNorWithoutWorkers) {
    auto post = []() -> task<> {
        auto o = std::make_shared<outcome>();
        spawn([]() -> task<> { co_return; });
        posted_send s;
        EXPECT_FALSE(s.post(o->wire.io, o->bytes, now()));
        EXPECT_FALSE(s);
        EXPECT_EQ(s.settle(), 0U);
        co_return;
    };
    runtime rt{{.workers = 1, .io_uring = false}};
    rt.run(post);
}
