// Answers that are left to the worker: what a client sees of it is nothing.
#include "server_test_support.hpp"

#include "runtime/send_ring.hpp"

#include <genever/http/admission.hpp>
#include <genever/runtime/stats.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using namespace genever::http::test;

namespace {

/// Answers with the path. `/here` is remembered, and `/kill` kills who has been; what was answered before is counted.
struct echo {
    std::vector<pid>* here;
    std::atomic<int>* answered;
    task<> operator()(http::exchange& x) const {
        const std::string_view path = x.request.path;
        if (path == "/here" && here) here->push_back(self());
        if (path == "/kill")
            for (const pid p : std::exchange(*here, {})) exit(p, exit_kind::killed);
        if (path == "/last") ++*answered;
        x.response.body = path == "/long" ? std::string(24'000, 'x') : std::string{path};
        return {};
    }
};

/// A connection whose client is a thread.
struct caller {
    int fd;
    std::string got = {};
    explicit caller(std::uint16_t port, int room = 0) : fd(connect_blocking(port, room)) {
        const timeval patience{.tv_sec = 10, .tv_usec = 0};
        ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    }
    caller(const caller&) = delete;
    ~caller() { ::close(fd); }
    /// The server's end of the connection, which is one of this program's descriptors; -1: it has closed it.
    int server_end() const {
        sockaddr_in own{};
        socklen_t size = sizeof own;
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size);
        for (int other = 3; other < 1024; ++other) {
            sockaddr_in peer{};
            size = sizeof peer;
            if (::getpeername(other, reinterpret_cast<sockaddr*>(&peer), &size) == 0 &&
                peer.sin_port == own.sin_port)
                return other;
        }
        return -1;
    }
    /// Gives the server next to no room for what it sends.
    void narrow() const {
        const int little = 1;
        ::setsockopt(server_end(), SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    }
    void ask(const std::string& path) const { send_blocking(fd, get(path)); }
    /// Reads until it is there so many times, the end, or nothing for ten seconds.
    std::size_t hear(const std::string& what, std::size_t times) {
        char bytes[1024];
        for (ssize_t n; occurrences(got, what) < times && (n = ::recv(fd, bytes, sizeof bytes, 0)) > 0;)
            got.append(bytes, static_cast<std::size_t>(n));
        return occurrences(got, what);
    }
};

std::vector<std::unique_ptr<caller>> callers(std::size_t n, std::uint16_t port, int room = 0) {
    std::vector<std::unique_ptr<caller>> all;
    for (std::size_t i = 0; i < n; ++i) all.push_back(std::make_unique<caller>(port, room));
    return all;
}

/// Runs `clients(port)` on a thread beside a server with one worker: so that there is something to send together. How many
/// answers were.
template <class F>
std::uint64_t with_one_worker(http::server_options options, http::handler handler, bool io_uring, F clients) {
    options.handler = std::move(handler);
    options.admission.enabled = false;
    runtime_options how{.workers = 1, .on_crash = [](const crash_report&) {}};
    how.io_uring = io_uring;
    std::uint64_t together = 0;
    with_server(
        std::move(options),
        [&](std::uint16_t port) -> task<> {
            std::atomic<bool> done{false};
            std::thread peers{[&] {
                clients(port);
                done = true;
            }};
            while (!done) co_await sleep_for(1ms);
            peers.join();
            together = stats().sends_together;
        },
        std::move(how));
    return together;
}

class Posted : public testing::TestWithParam<bool> {};

} // namespace

TEST_P(Posted, EachClientGetsItsOwnAnswers) {
    static constexpr int requests = 100;
    const auto together = with_one_worker({}, echo{}, GetParam(), [](std::uint16_t port) {
        const auto all = callers(32, port);
        for (int i = 0; i < requests; ++i) {
            const std::string round = "/" + std::to_string(i);
            const std::size_t together = i % 5 == 0 ? 2 : 1;
            for (std::size_t c = 0; c < all.size(); ++c)
                for (std::size_t n = 0; n < together; ++n) all[c]->ask("/" + std::to_string(c) + round);
            for (std::size_t c = 0; c < all.size(); ++c) {
                const std::string body = "\r\n\r\n/" + std::to_string(c) + round;
                EXPECT_EQ(all[c]->hear(body, together), together) << all[c]->got;
                EXPECT_EQ(occurrences(all[c]->got, "HTTP/1.1 200 OK"), together);
                all[c]->got.clear();
            }
        }
    });
    // Where the system has no io_uring both settings are the same.
    const bool can = GetParam() && detail::send_ring{}.open() == detail::send_ring::opened::yes;
    EXPECT_EQ(together > 0, can);
}

// An answer that is done goes out, though its connection is killed before the worker has sent it.
TEST_P(Posted, AnswersOfKilledConnectionsGoOut) {
    std::vector<pid> here;
    std::atomic<int> answered{0};
    with_one_worker({}, echo{&here, &answered}, GetParam(), [&](std::uint16_t port) {
        int heard = 0;
        for (int round = 0; round < 20; ++round) {
            caller killer{port};
            const auto victims = callers(8, port);
            for (const auto& v : victims) {
                v->ask("/here");
                EXPECT_EQ(v->hear("/here", 1), 1U);
                v->got.clear();
            }
            for (const auto& v : victims) v->ask("/last");
            killer.ask("/kill");
            EXPECT_EQ(killer.hear("/kill", 1), 1U);
            for (const auto& v : victims) {
                v->hear("until the end", 1);
                EXPECT_TRUE(v->got.empty() || v->got.ends_with("\r\n\r\n/last")) << v->got;
                heard += !v->got.empty();
            }
        }
        EXPECT_EQ(heard, answered);
        EXPECT_GT(heard, 0);
    });
}

// Whoever does not read is waited for as long as the server says, also where others are in the same position.
TEST_P(Posted, ClientsThatDoNotReadAreDropped) {
    http::server_options options;
    options.write_timeout = 200ms;
    options.write_rate = 0;
    const auto together = with_one_worker(std::move(options), echo{}, GetParam(), [&](std::uint16_t port) {
        const auto all = callers(8, port, 4096);
        for (const auto& c : all) {
            c->ask("/here");
            EXPECT_EQ(c->hear("/here", 1), 1U);
            c->narrow();
        }
        for (const auto& c : all) c->ask("/long");
        for (const auto& c : all) {
            for (int i = 0; i < 3'000 && c->server_end() >= 0; ++i) ::usleep(1000);
            EXPECT_EQ(c->server_end(), -1);
        }
    });
    EXPECT_LT(together, 100U); // each was tried once, and is waited for from then on
}

// A drain in the midst of it: whoever was answered was answered once, and whole.
TEST_P(Posted, ADrainRepeatsNothing) {
    std::vector<std::thread> peers;
    std::atomic<int> answers{0};
    with_one_worker({}, echo{}, GetParam(), [&](std::uint16_t port) {
        for (int c = 0; c < 16; ++c)
            peers.emplace_back([port, c, &answers] {
                caller one{port};
                for (int i = 0; i < 1'000'000; ++i) {
                    const std::string path = "/" + std::to_string(c) + "/" + std::to_string(i);
                    const std::string asked = get(path);
                    if (::send(one.fd, asked.data(), asked.size(), MSG_NOSIGNAL) < 0) break;
                    if (one.hear(path, 1) != 1) break;
                    EXPECT_TRUE(one.got.starts_with("HTTP/1.1 200 OK\r\n")) << one.got;
                    EXPECT_TRUE(one.got.ends_with("\r\n\r\n" + path)) << one.got;
                    one.got.clear();
                    ++answers;
                }
                EXPECT_TRUE(one.got.empty()) << one.got;
            });
        while (answers < 3000) ::usleep(1000);
    });
    for (auto& p : peers) p.join();
}

INSTANTIATE_TEST_SUITE_P(Sending, Posted, testing::Values(true, false),
                         [](const auto& i) { return i.param ? "Together" : "Alone"; });
