// What has waited for the server, and for how long: who is refused for that.
#include "server_test_support.hpp"

#include <genever/base/defer.hpp>
#include <genever/http/admission.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <unistd.h>

#include <atomic>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using namespace genever::http::test;

namespace {

std::int64_t cpu_nanoseconds() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

/// Admits `/critical` as what it is, the others as usual.
struct two_classes {
    static constexpr bool admits = true;
    std::shared_ptr<http::traffic_class> usual = a_class({});
    std::shared_ptr<http::traffic_class> critical = a_class({.priority = http::priority::critical});
    bool admit(http::exchange& x) const {
        if (!x.admit(is_critical(x) ? *critical : *usual)) return false;
        x.response.body = "served";
        return true;
    }
    static bool is_critical(const http::exchange& x) { return x.request.path == "/critical"; }
};

/// Keeps its worker busy for half a millisecond, but for `/critical`.
struct burn : two_classes {
    task<> operator()(http::exchange& x) const {
        if (!admit(x) || is_critical(x)) return {};
        for (const std::int64_t end = cpu_nanoseconds() + 500'000; cpu_nanoseconds() < end;) {
        }
        return {};
    }
};

/// Says when it has begun with `/slow`, and keeps its worker until the test has sent more, and then for a while; for `/critical`
/// for two milliseconds.
struct hold : two_classes {
    std::atomic<bool>* begun;
    const std::atomic<bool>* more_sent;
    hold(std::atomic<bool>& b, const std::atomic<bool>& s) : begun(&b), more_sent(&s) {}
    task<> operator()(http::exchange& x) const {
        if (!admit(x)) return {};
        if (is_critical(x)) ::usleep(2000);
        if (x.request.path != "/slow") return {};
        *begun = true;
        while (!*more_sent) ::usleep(1000);
        ::usleep(100'000);
        return {};
    }
};

} // namespace

// Many clients who ask again as soon as they have been answered, one worker that each request keeps busy: whoever waits
// for too long is refused, health checks are not, and everything is counted.
TEST(Waiting, RequestsThatHaveWaitedForTooLongAreRefusedAndCriticalOnesServed) {
    static constexpr int clients = 48;
    auto stats = std::make_shared<http::server_stats>();
    const http::admission_options admission{
        .queue_target = 1ms, .queue_interval = 20ms, .refusal_rate = 1000};
    std::atomic<int> running{0};
    std::atomic<std::uint64_t> served{0};
    std::atomic<std::uint64_t> refused{0};
    std::atomic<std::uint64_t> critical{0};
    with_server({.handler = burn{}, .admission = admission, .stats = stats},
                [&](std::uint16_t port) -> task<> {
                    running = clients;
                    for (int i = 0; i < clients; ++i) {
                        spawn([&, port]() -> task<> {
                            defer at_the_end{[&] { --running; }};
                            client c;
                            co_await c.connect(port);
                            const time_point end = now() + 20s;
                            for (;;) {
                                if (stats->refused(http::refusal::queue_delay) >= 200 || now() > end) break;
                                c.got.clear();
                                co_await c.say(get("/"));
                                const bool heard = co_await c.hear("\r\n\r\n");
                                EXPECT_TRUE(heard);
                                if (!heard) break;
                                ++(c.got.starts_with("HTTP/1.1 200 ") ? served : refused);
                            }
                        });
                    }
                    client health;
                    co_await health.connect(port);
                    for (;;) {
                        if (running == 0) break;
                        health.got.clear();
                        co_await health.say(get("/critical"));
                        EXPECT_TRUE(co_await health.hear("served"));
                        ++critical;
                        co_await sleep_for(1ms);
                    }
                    client after;
                    co_await after.connect(port);
                    co_await after.say(get("/"));
                    EXPECT_TRUE(co_await after.hear("served"));
                },
                {.workers = 1, .on_crash = [](const crash_report&) {}});
    EXPECT_GT(served, 0U);
    EXPECT_GE(stats->refused(http::refusal::queue_delay), 200U);
    EXPECT_EQ(refused, stats->refused());
    EXPECT_EQ(served + critical + 1, stats->admitted());
}

// The first request is there before its connection is looked at, so that the descriptor is found readable for the first time
// while it is handled; that says nothing of the second, which comes later still.
TEST(Waiting, WhatCameWhileItsPredecessorWasHandledHasNotWaitedForTheServer) {
    std::atomic<bool> begun{false};
    std::atomic<bool> more_sent{false};
    auto stats = std::make_shared<http::server_stats>();
    // The second is held for 100 ms and more; a slow machine may hold the first for nearly as long.
    with_server({.handler = hold{begun, more_sent},
                 .admission = {.queue_target = 90ms, .queue_interval = 10s, .queue_limit = 95ms},
                 .stats = stats},
                [&](std::uint16_t port) -> task<> {
                    const int fd = connect_blocking(port);
                    send_blocking(fd, get("/slow"));
                    std::atomic<int> answered{0};
                    const std::jthread rest{[&] {
                        for (const time_point end = now() + 10s; !begun && now() < end;) ::usleep(1000);
                        send_blocking(fd, get("/"));
                        more_sent = true;
                        answered = hear_blocking(fd, "served", 2);
                    }};
                    co_await until(answered, 2);
                },
                {.workers = 1, .on_crash = [](const crash_report&) {}});
    EXPECT_EQ(stats->refused(), 0U);
    EXPECT_EQ(stats->admitted(), 2U);
}

// The last of them is not accepted before the others have been handled, for the acceptor takes 64 at a time.
TEST(Waiting, WhoWaitedInTheBacklogHasWaitedForTheServer) {
    static constexpr int others = 80;
    std::atomic<bool> begun{false};
    std::atomic<bool> more_sent{false};
    auto stats = std::make_shared<http::server_stats>();
    with_server({.handler = hold{begun, more_sent},
                 .admission = {.queue_target = 20ms, .queue_interval = 10s, .queue_limit = 40ms},
                 .stats = stats},
                [&](std::uint16_t port) -> task<> {
                    const int first = connect_blocking(port);
                    send_blocking(first, get("/slow"));
                    std::atomic<int> answered{0};
                    const std::jthread rest{[&] {
                        for (const time_point end = now() + 10s; !begun && now() < end;) ::usleep(1000);
                        std::vector<int> all;
                        for (int i = 0; i <= others; ++i) {
                            all.push_back(connect_blocking(port));
                            send_blocking(all.back(), get(i < others ? "/critical" : "/"));
                        }
                        more_sent = true;
                        EXPECT_EQ(hear_blocking(all.back(), "try again later", 1), 1);
                        all.pop_back();
                        for (const int fd : all) EXPECT_EQ(hear_blocking(fd, "served", 1), 1);
                        EXPECT_EQ(hear_blocking(first, "served", 1), 1);
                        answered = 1;
                    }};
                    co_await until(answered, 1);
                },
                // Nobody takes the worker from those who sleep.
                {.workers = 1, .on_crash = [](const crash_report&) {}, .most_stuck_threads = 0});
    EXPECT_EQ(stats->refused(http::refusal::queue_delay), 1U);
    EXPECT_EQ(stats->admitted(), 1U + others);
}
