// What a server does with requests and connections that it cannot serve, and with handlers that nobody waits for any longer.
#include "server_test_support.hpp"

#include <genever/base/defer.hpp>
#include <genever/http/admission.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;
using namespace genever::http::test;

namespace {

/// Handlers that wait until the test lets them go, and what became of them.
struct workshop {
    std::atomic<int> begun{0};
    std::atomic<int> ended{0};    // destroyed or returned
    std::atomic<int> finished{0}; // returned
    std::atomic<bool> open{false};

    task<> work() {
        ++begun;
        defer at_the_end{[this] { ++ended; }};
        for (;;) {
            if (open) break;
            co_await sleep_for(1ms);
        }
        ++finished;
    }
};

task<> until_there_are(const http::server_stats& stats, std::uint64_t connections) {
    const time_point end = now() + 10s;
    for (;;) {
        if (stats.connections() == connections || now() > end) break;
        co_await sleep_for(1ms);
    }
    EXPECT_EQ(stats.connections(), connections);
}

/// Asks for admission by a class of its own: `/critical`, or what the test says.
struct by_class {
    static constexpr bool admits = true;
    std::shared_ptr<http::traffic_class> usual;
    std::shared_ptr<workshop> shop;
    std::shared_ptr<http::traffic_class> critical =
        std::make_shared<http::traffic_class>(http::traffic{.priority = http::priority::critical});

    task<> operator()(http::exchange& x) const {
        if (!x.admit(x.request.path == "/critical" ? *critical : *usual)) return {};
        x.response.body = "served";
        return x.request.path == "/critical" ? task<>{} : shop->work();
    }
};

/// Says in its response which of its calls has made it, and throws on `/throw` when it is not admitted.
struct impatient {
    static constexpr bool admits = true;
    std::shared_ptr<http::traffic_class> usual = a_class({});
    std::shared_ptr<workshop> shop;
    std::shared_ptr<std::atomic<int>> calls = std::make_shared<std::atomic<int>>(0);
    task<> operator()(http::exchange& x) const {
        if (x.request.path == "/throw" || x.request.path == "/wait") ++*calls;
        x.response.set("X-Call", std::to_string(calls->load()));
        if (!x.admit(*usual)) {
            if (x.request.path == "/throw") throw std::runtime_error("told to wait");
            return {};
        }
        x.response.body = "served";
        return x.request.path == "/stay" ? shop->work() : task<>{};
    }
};

} // namespace

TEST(Overload, AHandlerPastItsDeadlineIsDestroyedAndTheConnectionGoesOn) {
    auto shop = std::make_shared<workshop>();
    auto stats = std::make_shared<http::server_stats>();
    auto handler = [shop](http::exchange& x) -> task<> {
        if (x.request.path == "/wait") co_await shop->work();
        x.response.body = "fine";
    };
    with_server({.handler = handler, .handler_timeout = 20ms, .stats = stats},
                [&](std::uint16_t port) -> task<> {
                    client c;
                    co_await c.connect(port);
                    co_await c.say(get("/wait"));
                    EXPECT_TRUE(co_await c.hear("the request took too long"));
                    EXPECT_EQ(occurrences(c.got, "HTTP/1.1 503 "), 1U);
                    EXPECT_EQ(shop->ended, 1);
                    EXPECT_EQ(shop->finished, 0);
                    co_await c.say(get("/"));
                    EXPECT_TRUE(co_await c.hear("fine"));
                });
    EXPECT_EQ(stats->refused(http::refusal::handler_timeout), 1U);
    EXPECT_EQ(stats->admitted(), 2U);
}

TEST(Overload, ADeadlineAfterTheResponseHasBegunEndsTheConnection) {
    auto shop = std::make_shared<workshop>();
    auto handler = [shop](http::exchange& x) -> task<> {
        co_await x.send_piece("the first half");
        co_await shop->work();
    };
    with_server({.handler = handler, .handler_timeout = 20ms}, [&](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        co_await c.say(get("/"));
        EXPECT_TRUE(co_await c.hear_end());
        EXPECT_EQ(occurrences(c.got, "the first half"), 1U);
        EXPECT_EQ(occurrences(c.got, "\r\n0\r\n"), 0U) << "it must not look complete";
        EXPECT_EQ(shop->ended, 1);
    });
}

TEST(Overload, ADeadlineEndsAHandlerThatWaitsForItsBody) {
    auto handler = [](http::exchange& x) -> task<> { co_await x.read_body(); };
    with_server({.handler = handler, .handler_timeout = 20ms}, [](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        co_await c.say("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nab");
        EXPECT_TRUE(co_await c.hear("the request took too long"));
        co_await c.say("cde" + get("/")); // the rest is passed over
        EXPECT_TRUE(co_await c.hear("HTTP/1.1 200 "));
    });
}

TEST(Overload, AClientThatGoesAwayEndsItsHandler) {
    auto shop = std::make_shared<workshop>();
    auto stats = std::make_shared<http::server_stats>();
    auto handler = [shop](http::exchange&) -> task<> { co_await shop->work(); };
    with_server({.handler = handler, .stats = stats}, [&](std::uint16_t port) -> task<> {
        {
            client c;
            co_await c.connect(port);
            co_await c.say(get("/"));
            co_await until(shop->begun, 1);
        }
        co_await until(shop->ended, 1);
        EXPECT_EQ(shop->finished, 0);
        client half;
        co_await half.connect(port);
        co_await half.say(get("/"));
        co_await until(shop->begun, 2);
        half.stream.shutdown_write();
        co_await until(shop->ended, 2);
        EXPECT_TRUE(co_await half.hear_end());
        EXPECT_EQ(half.got, "");
    });
    EXPECT_EQ(stats->refused(http::refusal::client_gone), 2U);
}

TEST(Overload, ADetachedHandlerIsDoneThoughItsClientHasGone) {
    auto shop = std::make_shared<workshop>();
    auto stats = std::make_shared<http::server_stats>();
    auto handler = [shop](http::exchange& x) -> task<> {
        auto later = [](std::shared_ptr<workshop> s, http::exchange& e) -> task<> {
            e.detach();
            co_await s->work();
        };
        if (x.request.path == "/late") return later(shop, x);
        x.detach(); // before there is anything to wait for
        return shop->work();
    };
    with_server({.handler = handler, .stats = stats}, [&](std::uint16_t port) -> task<> {
        for (const char* path : {"/late", "/at-once"}) {
            const int before = shop->begun;
            shop->open = false;
            {
                client c;
                co_await c.connect(port);
                co_await c.say(get(path));
                co_await until(shop->begun, before + 1);
            }
            co_await sleep_for(20ms); // the server sees it, or else it is the easier for the handler
            EXPECT_EQ(shop->ended, before);
            shop->open = true;
            co_await until(shop->finished, before + 1);
        }
    });
    EXPECT_EQ(stats->refused(http::refusal::client_gone), 0U);
}

TEST(Overload, AHandlerIsDoneThatDetachesBeforeItWaitsThoughItsClientHasEndedItsSideBefore) {
    auto shop = std::make_shared<workshop>();
    shop->open = true;
    auto stats = std::make_shared<http::server_stats>();
    auto handler = [shop](http::exchange& x) -> task<> {
        std::this_thread::sleep_for(10ms); // the poller sees the end
        x.detach();
        co_await sleep_for(1ms);
        co_await shop->work();
        x.response.body = "done";
    };
    with_server({.handler = handler, .stats = stats}, [&](std::uint16_t port) -> task<> {
        for (int i = 0; i < 5; ++i) {
            client c;
            co_await c.connect(port);
            co_await c.say(get("/"));
            c.stream.shutdown_write();
            EXPECT_TRUE(co_await c.hear("done"));
        }
    });
    EXPECT_EQ(shop->finished, 5);
    EXPECT_EQ(stats->refused(http::refusal::client_gone), 0U);
}

TEST(Overload, AClassHasItsOwnDeadline) {
    auto shop = std::make_shared<workshop>();
    auto stats = std::make_shared<http::server_stats>();
    auto quick = a_class({.handler_timeout = 20ms});
    with_server({.handler = by_class{quick, shop}, .stats = stats}, [&](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        co_await c.say(get("/"));
        EXPECT_TRUE(co_await c.hear("the request took too long"));
        EXPECT_EQ(shop->ended, 1);
        EXPECT_EQ(shop->finished, 0);
    });
    EXPECT_EQ(stats->refused(http::refusal::handler_timeout), 1U);
}

TEST(Overload, WhatRunsOutOfTimeIsCountedByWhatItWas) {
    using enum http::refusal;
    auto stats = std::make_shared<http::server_stats>();
    auto handler = [](http::exchange& x) -> task<> {
        [[maybe_unused]] const auto body = co_await x.read_body();
        if (x.request.path == "/much") x.response.body.assign(64 * 1024 * 1024, 'x');
    };
    const auto counted = [&](http::refusal why) -> task<> {
        const time_point end = now() + 10s;
        for (;;) {
            if (stats->refused(why) != 0 || now() > end) break;
            co_await sleep_for(1ms);
        }
        EXPECT_EQ(stats->refused(why), 1U) << http::to_string(why);
    };
    const http::server_options options{.handler = handler,
                                       .header_timeout = 30ms,
                                       .body_timeout = 30ms,
                                       .idle_timeout = 1s,
                                       .write_timeout = 30ms,
                                       .stats = stats};
    with_server(options, [&](std::uint16_t port) -> task<> {
        client slow;
        co_await slow.connect(port);
        co_await slow.say("GET / HTTP/1.1\r\nHo");
        co_await counted(header_timeout);
        EXPECT_TRUE(co_await slow.hear("HTTP/1.1 408 "));
        client late;
        co_await late.connect(port);
        co_await late.say("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nab");
        co_await counted(body_timeout);
        client deaf;
        co_await deaf.connect(port);
        co_await deaf.say(get("/much"));
        co_await counted(write_timeout);
        client silent;
        co_await silent.connect(port);
        co_await counted(idle_timeout);
        EXPECT_TRUE(co_await silent.hear_end());
    });
    for (const http::refusal why : {header_timeout, body_timeout, write_timeout, idle_timeout})
        EXPECT_EQ(stats->refused(why), 1U) << http::to_string(why) << ", in the end";
    EXPECT_EQ(stats->refused(client_gone), 0U);
    EXPECT_EQ(stats->refused(handler_timeout), 0U);
    EXPECT_EQ(stats->refused(), 0U) << "none was not admitted";
}

TEST(Overload, ADetachedHandlerWhoseClientHasGoneHasItsDeadlineAllTheSame) {
    auto shop = std::make_shared<workshop>();
    auto stats = std::make_shared<http::server_stats>();
    auto handler = [shop](http::exchange& x) -> task<> {
        x.detach();
        co_await shop->work();
    };
    with_server({.handler = handler, .handler_timeout = 30ms, .stats = stats},
                [&](std::uint16_t port) -> task<> {
                    client c;
                    co_await c.connect(port);
                    co_await c.say(get("/"));
                    co_await until(shop->begun, 1);
                    c.stream.shutdown_write();
                    EXPECT_TRUE(co_await c.hear("the request took too long")) << "he may still be listening";
                    EXPECT_TRUE(co_await c.hear_end());
                    EXPECT_EQ(shop->ended, 1);
                    EXPECT_EQ(shop->finished, 0);
                });
    EXPECT_EQ(stats->refused(http::refusal::handler_timeout), 1U);
    EXPECT_EQ(stats->refused(http::refusal::client_gone), 0U);
}

TEST(Overload, AClientThatOnlyEndsItsSideCanBeAnswered) {
    auto shop = std::make_shared<workshop>();
    auto handler = [shop](http::exchange& x) -> task<> {
        x.response.body = "answered";
        co_await shop->work();
    };
    with_server({.handler = handler, .half_closed_clients = true}, [&](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        co_await c.say(get("/"));
        c.stream.shutdown_write();
        co_await until(shop->begun, 1);
        shop->open = true;
        EXPECT_TRUE(co_await c.hear("answered"));
    });
    EXPECT_EQ(shop->finished, 1);
}

TEST(Overload, AHandlerThatHasNothingToWaitForAnswersAClientThatEndsItsSide) {
    auto handler = [](http::exchange& x) -> task<> {
        x.response.body = "answered";
        return {};
    };
    with_server({.handler = handler}, [](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        co_await c.say(get("/"));
        c.stream.shutdown_write();
        EXPECT_TRUE(co_await c.hear("answered"));
        EXPECT_TRUE(co_await c.hear_end());
    });
}

TEST(Overload, BeyondTheConcurrencyOfAClassRequestsAreRefusedAtOnceAndCriticalOnesServed) {
    auto shop = std::make_shared<workshop>();
    auto stats = std::make_shared<http::server_stats>();
    auto usual = a_class({.max_concurrency = 2});
    with_server({.handler = by_class{usual, shop}, .stats = stats}, [&](std::uint16_t port) -> task<> {
        client two[2];
        for (client& c : two) {
            co_await c.connect(port);
            co_await c.say(get("/"));
        }
        co_await until(shop->begun, 2);
        EXPECT_EQ(usual->in_hand(), 2U);
        client c;
        co_await c.connect(port);
        co_await c.say(get("/"));
        EXPECT_TRUE(co_await c.hear("try again later"));
        EXPECT_EQ(occurrences(c.got, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"), 1U);
        co_await c.say("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nabcde" + get("/critical"));
        EXPECT_TRUE(co_await c.hear("served")) << "the connection goes on behind a body that nobody has read";
        EXPECT_EQ(occurrences(c.got, "HTTP/1.1 503 "), 2U);
        shop->open = true;
        for (client& other : two) EXPECT_TRUE(co_await other.hear("served"));
        co_await until(shop->ended, 2);
        co_await c.say(get("/"));
        EXPECT_TRUE(co_await c.hear("served", 2));
    });
    EXPECT_EQ(stats->refused(http::refusal::concurrency), 2U);
    EXPECT_EQ(stats->admitted(), 4U);
    EXPECT_EQ(usual->in_hand(), 0U);
}

// More than may be in hand at the beginning come at once, and none of them ends: all the same they find a place in a moment.
TEST(Overload, ASurgeWaitsForItsClassToGrow) {
    static constexpr int clients = 12;
    for (const duration patience : {duration{5s}, duration{0}}) {
        auto shop = std::make_shared<workshop>();
        auto stats = std::make_shared<http::server_stats>();
        std::atomic<int> heard{0};
        with_server({.handler = by_class{a_class({}), shop},
                     .admission = {.initial_concurrency = 4, .surge_patience = patience},
                     .stats = stats},
                    [&](std::uint16_t port) -> task<> {
                        for (int i = 0; i < clients; ++i) {
                            spawn([&, port]() -> task<> {
                                client c;
                                co_await c.connect(port);
                                // The answer to one that went before is not kept while the next waits.
                                co_await c.say(get("/critical") + get("/"));
                                EXPECT_TRUE(co_await c.hear("served"));
                                EXPECT_TRUE(co_await c.hear("HTTP/1.1 ", 2));
                                ++heard;
                            });
                        }
                        const int admitted = patience > duration{0} ? clients : 4;
                        co_await until(shop->begun, admitted);
                        shop->open = true;
                        co_await until(heard, clients);
                    });
        EXPECT_EQ(stats->admitted() + stats->refused(http::refusal::concurrency), 2U * clients);
        if (patience > duration{0})
            EXPECT_EQ(stats->refused(), 0U);
        else
            EXPECT_GT(stats->refused(), 0U);
    }
}

// A handler hears that it has to wait, and that its class has a place: no more than that.
TEST(Overload, AHandlerThatWaitsForItsClassIsCalledTwiceAndOneThatThrowsInsteadHarmsNobody) {
    const impatient handler{.shop = std::make_shared<workshop>()};
    auto stats = std::make_shared<http::server_stats>();
    with_server(
        {.handler = handler, .admission = {.initial_concurrency = 4, .surge_patience = 5s}, .stats = stats},
        [&](std::uint16_t port) -> task<> {
            for (int i = 0; i < 4; ++i) { // all the places
                spawn([&, port]() -> task<> {
                    client c;
                    co_await c.connect(port);
                    co_await c.say(get("/stay"));
                    EXPECT_TRUE(co_await c.hear("served"));
                });
            }
            co_await until(handler.shop->begun, 4);
            client c;
            co_await c.connect(port);
            co_await c.say(get("/throw"));
            EXPECT_TRUE(co_await c.hear("Internal Server Error"));
            EXPECT_EQ(*handler.calls, 1);
            co_await c.say(get("/wait"));
            EXPECT_TRUE(co_await c.hear("served")); // once the class has grown
            EXPECT_EQ(*handler.calls, 3);
            EXPECT_EQ(occurrences(c.got, "X-Call: 2"), 0U) << c.got;
            EXPECT_EQ(occurrences(c.got, "X-Call: 3"), 1U) << c.got;
            handler.shop->open = true;
            co_await until(handler.shop->ended, 4);
        });
    EXPECT_EQ(stats->refused(), 0U);
    EXPECT_EQ(stats->admitted(), 5U);
}

TEST(Overload, AClientThatGoesAwayWhileItWaitsForItsClassIsForgotten) {
    auto shop = std::make_shared<workshop>();
    auto stats = std::make_shared<http::server_stats>();
    with_server({.handler = by_class{a_class({}), shop},
                 .admission = {.initial_concurrency = 4, .surge_patience = 5s},
                 .stats = stats},
                [&](std::uint16_t port) -> task<> {
                    std::vector<client> stay(4);
                    for (client& c : stay) {
                        co_await c.connect(port);
                        co_await c.say(get("/"));
                    }
                    co_await until(shop->begun, 4);
                    {
                        client gone;
                        co_await gone.connect(port);
                        co_await gone.say(get("/"));
                    }
                    const time_point end = now() + 10s;
                    while (stats->refused(http::refusal::client_gone) == 0 && now() < end)
                        co_await sleep_for(1ms);
                    co_await until_there_are(*stats, 4);
                    shop->open = true;
                    for (client& c : stay) EXPECT_TRUE(co_await c.hear("served"));
                });
    EXPECT_EQ(stats->refused(http::refusal::client_gone), 1U);
}

TEST(Overload, ARefusalToHeadHasNoBodyAndOneToHttp10SaysWhetherItGoesOn) {
    auto usual = a_class({.max_concurrency = 0});
    with_server({.handler = by_class{usual, std::make_shared<workshop>()}},
                [&](std::uint16_t port) -> task<> {
                    client c;
                    co_await c.connect(port);
                    co_await c.say("HEAD / HTTP/1.1\r\nHost: t\r\n\r\n"
                                   "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n");
                    EXPECT_TRUE(co_await c.hear_end());
                    EXPECT_EQ(occurrences(c.got, "HTTP/1.1 503 "), 3U);
                    EXPECT_EQ(occurrences(c.got, "try again later"), 2U);
                    EXPECT_EQ(occurrences(c.got, "Connection: keep-alive\r\n"), 1U);
                    EXPECT_EQ(occurrences(c.got, "Connection: close\r\n"), 1U);
                });
}

TEST(Overload, RefusalsBeyondTheirRateAreAnsweredLater) {
    auto usual = a_class({.max_concurrency = 0});
    auto stats = std::make_shared<http::server_stats>();
    const http::admission_options admission{.refusal_rate = 1, .refusal_patience = 30ms};
    with_server(
        {.handler = by_class{usual, std::make_shared<workshop>()}, .admission = admission, .stats = stats},
        [&](std::uint16_t port) -> task<> {
            client c;
            co_await c.connect(port);
            std::string all;
            for (int i = 0; i < 10; ++i) all += get("/");
            const time_point before = now();
            co_await c.say(all);
            EXPECT_TRUE(co_await c.hear("try again later", 10));
            EXPECT_GE(now() - before, 30ms);
        });
    EXPECT_EQ(stats->refused(http::refusal::concurrency), 10U);
}

TEST(Overload, ConnectionsBeyondTheLimitAreToldSoAndTheLastServeOnlyWhatIsCritical) {
    auto shop = std::make_shared<workshop>();
    shop->open = true;
    auto stats = std::make_shared<http::server_stats>();
    const http::admission_options admission{.max_connections = 8, .max_connections_per_client = 8};
    with_server({.handler = by_class{a_class({}), shop}, .admission = admission, .stats = stats},
                [&](std::uint16_t port) -> task<> {
                    client all[8];
                    for (client& c : all) {
                        co_await c.connect(port);
                        co_await c.say(get("/critical"));
                        EXPECT_TRUE(co_await c.hear("served"));
                    }
                    EXPECT_EQ(stats->connections(), 8U);
                    client beyond;
                    co_await beyond.connect(port);
                    EXPECT_TRUE(co_await beyond.hear_end());
                    EXPECT_EQ(occurrences(beyond.got, "HTTP/1.1 503 "), 1U);
                    EXPECT_EQ(occurrences(beyond.got, "Connection: close\r\n"), 1U);
                    co_await all[0].say(get("/"));
                    EXPECT_TRUE(co_await all[0].hear("served", 2));
                    EXPECT_TRUE(co_await all[7].hear_end())
                        << "the last one is for somebody else after its response";
                    EXPECT_EQ(occurrences(all[7].got, "Connection: close\r\n"), 1U);
                    all[7] = {};
                    co_await until_there_are(*stats, 7);
                    client last;
                    co_await last.connect(port);
                    co_await last.say(get("/"));
                    EXPECT_TRUE(co_await last.hear_end());
                    EXPECT_EQ(occurrences(last.got, "HTTP/1.1 503 "), 1U);
                    all[0] = {};
                    last = {};
                    co_await until_there_are(*stats, 6);
                    client again;
                    co_await again.connect(port);
                    co_await again.say(get("/") + get("/"));
                    EXPECT_TRUE(co_await again.hear("served", 2)) << "there is room again";
                });
    EXPECT_EQ(stats->refused(http::refusal::connections), 1U);
    EXPECT_EQ(stats->refused(http::refusal::reserved), 1U);
    EXPECT_EQ(stats->accepted(), 11U);
    EXPECT_EQ(stats->connections(), 0U);
}

TEST(Overload, OneClientDoesNotGetAllConnections) {
    auto stats = std::make_shared<http::server_stats>();
    const http::admission_options admission{.max_connections = 100, .max_connections_per_client = 2};
    with_server(
        {.handler = [](http::exchange&) -> task<> { return {}; }, .admission = admission, .stats = stats},
        [&](std::uint16_t port) -> task<> {
            client c[3];
            for (client& each : c) {
                co_await each.connect(port);
                co_await each.say(get("/"));
            }
            EXPECT_TRUE(co_await c[0].hear("HTTP/1.1 200 "));
            EXPECT_TRUE(co_await c[1].hear("HTTP/1.1 200 "));
            EXPECT_TRUE(co_await c[2].hear_end());
        });
    EXPECT_EQ(stats->refused(http::refusal::client_connections), 1U);
}

TEST(Overload, ABodyThatTricklesIsRefusedAfterItsTime) {
    with_server({.handler = [](http::exchange& x) -> task<> {
                     auto body = co_await x.read_body();
                     x.response.status = !body && body.error() == http::body_error::timeout ? 408 : 200;
                 },
                 .body_rate = 1'000'000,
                 .body_grace = 20ms},
                [](std::uint16_t port) -> task<> {
                    client c;
                    co_await c.connect(port);
                    co_await c.say("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n");
                    bool heard = false;
                    for (int i = 0; i < 100; ++i) {
                        if (heard) break;
                        co_await c.say("x");
                        char buffer[1024];
                        auto n = co_await c.stream.read_some(buffer, now() + 5ms);
                        heard = n && std::string_view{buffer, *n}.starts_with("HTTP/1.1 408 ");
                    }
                    EXPECT_TRUE(heard) << "each of its bytes came soon after the one before";
                });
}
