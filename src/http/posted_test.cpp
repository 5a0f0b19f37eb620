// Answers that are left to the worker: what a client sees of it is nothing.
#include "server_test_support.hpp"

#include <genever/http/admission.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

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
        if (path == "/here") here->push_back(self());
        if (path == "/kill")
            for (const pid p : std::exchange(*here, {})) exit(p, exit_kind::killed);
        if (path == "/last") ++*answered;
        x.response.body = path;
        return {};
    }
};

/// A connection whose client is a thread.
struct caller {
    int fd;
    std::string got = {};
    explicit caller(std::uint16_t port) : fd(connect_blocking(port)) {
        const timeval patience{.tv_sec = 10, .tv_usec = 0};
        ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    }
    caller(const caller&) = delete;
    ~caller() { ::close(fd); }
    void ask(const std::string& path) const { send_blocking(fd, get(path)); }
    /// Reads until it is there so many times, the end, or nothing for ten seconds.
    std::size_t hear(const std::string& what, std::size_t times) {
        char bytes[1024];
        for (ssize_t n; occurrences(got, what) < times && (n = ::recv(fd, bytes, sizeof bytes, 0)) > 0;)
            got.append(bytes, static_cast<std::size_t>(n));
        return occurrences(got, what);
    }
};

std::vector<std::unique_ptr<caller>> callers(std::size_t n, std::uint16_t port) {
    std::vector<std::unique_ptr<caller>> all;
    for (std::size_t i = 0; i < n; ++i) all.push_back(std::make_unique<caller>(port));
    return all;
}

/// Runs `clients(port)` on a thread beside a server with one worker: so that there is something to send together.
template <class F>
void with_one_worker(http::handler handler, bool io_uring, F clients) {
    http::server_options options;
    options.handler = std::move(handler);
    options.admission.enabled = false;
    runtime_options how{.workers = 1, .on_crash = [](const crash_report&) {}};
    how.io_uring = io_uring;
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
        },
        std::move(how));
}

class Posted : public testing::TestWithParam<bool> {};

} // namespace

TEST_P(Posted, EachClientGetsItsOwnAnswers) {
    static constexpr int requests = 100;
    with_one_worker(echo{}, GetParam(), [](std::uint16_t port) {
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
}

// An answer that is done goes out, though its connection is killed before the worker has sent it.
TEST_P(Posted, AnswersOfKilledConnectionsGoOut) {
    std::vector<pid> here;
    std::atomic<int> answered{0};
    with_one_worker(echo{&here, &answered}, GetParam(), [&](std::uint16_t port) {
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

INSTANTIATE_TEST_SUITE_P(Sending, Posted, testing::Values(true, false),
                         [](const auto& i) { return i.param ? "Together" : "Alone"; });
