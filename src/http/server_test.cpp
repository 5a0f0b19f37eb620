#include "runtime/simulation_test_support.hpp"
#include "server_processes.hpp"
#include "server_test_support.hpp"

#include <genever/base/defer.hpp>
#include <genever/net/tcp.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <expected>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

using namespace genever;
using namespace std::chrono_literals;

using namespace genever::http::test;

namespace {

task<> answer_path(http::exchange& x) {
    x.response.set("Content-Type", "text/plain");
    x.response.body = x.request.path;
    return {};
}

task<> answer_body(http::exchange& x) {
    auto body = co_await x.read_body();
    if (body)
        x.response.body = *body;
    else
        x.response.status = body.error() == http::body_error::too_large ? 413 : 400;
}

} // namespace

TEST(HttpServer, AnswersRequestAfterRequestOnOneConnection) {
    with_server({.handler = answer_path}, [](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        for (int i = 0; i < 3; ++i) {
            co_await c.say(get("/" + std::to_string(i)));
            const bool heard = co_await c.hear("\r\n\r\n/" + std::to_string(i));
            EXPECT_TRUE(heard);
        }
        EXPECT_EQ(occurrences(c.got, "HTTP/1.1 200 OK\r\n"), 3U);
        EXPECT_EQ(occurrences(c.got, "Date: "), 3U);
    });
}

TEST(HttpServer, AnswersPipelinedRequestsInOrder) {
    with_server({.handler = answer_path}, [](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        std::string all;
        for (int i = 0; i < 500; ++i) all += get("/n" + std::to_string(i) + "x");
        co_await c.say(all);
        EXPECT_TRUE(co_await c.hear("/n499x"));
        std::size_t at = 0;
        for (int i = 0; i < 500 && at != std::string::npos; ++i)
            at = c.got.find("/n" + std::to_string(i) + "x", at);
        EXPECT_NE(at, std::string::npos);
    });
}

TEST(HttpServer, TheBarrierTurnsAnExceptionIntoA500AndTheConnectionLivesOn) {
    auto handler = [](http::exchange& x) -> task<> {
        if (x.request.path == "/now") throw std::runtime_error("at once");
        co_await yield();
        if (x.request.path == "/later") throw std::runtime_error("later");
        x.response.body = "fine";
    };
    with_server({.handler = handler}, [](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        co_await c.say(get("/now") + get("/later") + get("/fine"));
        EXPECT_TRUE(co_await c.hear("fine"));
        EXPECT_EQ(occurrences(c.got, "HTTP/1.1 500 "), 2U);
    });
}

TEST(HttpServer, TheBarrierKeepsTheWishToCloseAndEscapesThePathInItsReport) {
    std::mutex lock;
    std::vector<std::string> reported;
    runtime_options how{.workers = 2, .on_crash = [&](const crash_report& r) {
                            std::lock_guard g{lock};
                            reported.push_back(r.part);
                        }};
    auto handler = [](http::exchange& x) -> task<> {
        x.response.close = true;
        throw std::runtime_error("thrown");
    };
    with_server(
        {.handler = handler},
        [](std::uint16_t port) -> task<> {
            client c;
            co_await c.connect(port);
            co_await c.say(get("/a\\x0ab") + get("/never"));
            EXPECT_TRUE(co_await c.hear_end());
            EXPECT_EQ(occurrences(c.got, "HTTP/1.1 500 "), 1U);
            EXPECT_EQ(occurrences(c.got, "Connection: close"), 1U);
        },
        std::move(how));
    EXPECT_EQ(reported, std::vector<std::string>{"request GET /a\\x5cx0ab"});
}

TEST(HttpServer, ReadsABodyThatComesInPieces) {
    with_server({.handler = answer_body}, [](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        co_await c.say("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n01234");
        co_await sleep_for(2ms);
        co_await c.say("56789POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        EXPECT_TRUE(co_await c.hear("0123456789"));
        co_await c.say("4\r\ndefg\r\n0\r\n\r\n");
        EXPECT_TRUE(co_await c.hear("abcdefg"));
    });
}

TEST(HttpServer, ReadsABodyLargerThanItsBufferAndThePipelinedRequestBehindIt) {
    with_server({.handler = answer_body}, [](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        std::string body(200'000, 'b');
        body.back() = '!';
        co_await c.say("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 200000\r\n\r\n" + body +
                       "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nnext");
        EXPECT_TRUE(co_await c.hear("next"));
        EXPECT_NE(c.got.find(body), std::string::npos);
    });
}

TEST(HttpServer, SkipsABodyThatTheHandlerDidNotRead) {
    with_server({.handler = answer_path}, [](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        co_await c.say("POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 50000\r\n\r\n" +
                       std::string(50'000, 'x') + get("/b"));
        EXPECT_TRUE(co_await c.hear("/b"));
    });
}

TEST(HttpServer, TellsAWaitingClientToGoOnOnlyWhenTheBodyIsWanted) {
    auto handler = [](http::exchange& x) -> task<> {
        if (x.request.path == "/no") {
            x.response.status = 403;
            co_return;
        }
        auto body = co_await x.read_body();
        x.response.body = body.value_or("none");
    };
    with_server({.handler = handler}, [](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        co_await c.say("POST /yes HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
        EXPECT_TRUE(co_await c.hear("HTTP/1.1 100 Continue\r\n\r\n"));
        co_await c.say("ok");
        EXPECT_TRUE(co_await c.hear("\r\n\r\nok"));
        c.got.clear();
        co_await c.say("POST /no HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
        EXPECT_TRUE(co_await c.hear_end());
        EXPECT_EQ(c.got.find("HTTP/1.1 403 "), 0U);
        EXPECT_EQ(occurrences(c.got, "100 Continue"), 0U);
        EXPECT_EQ(occurrences(c.got, "Connection: close"), 1U);
    });
}

TEST(HttpServer, NeverTellsAClientToGoOnInTheMiddleOfAResponse) {
    auto handler = [](http::exchange& x) -> task<> {
        const auto sent = co_await x.send_piece("begun,");
        EXPECT_TRUE(sent);
        const auto body = co_await x.read_body();
        const auto also_sent = co_await x.send_piece(body.value_or("none"));
        EXPECT_TRUE(also_sent);
    };
    with_server({.handler = handler}, [](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        co_await c.say("POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
        EXPECT_TRUE(co_await c.hear("6\r\nbegun,\r\n"));
        co_await c.say("body"); // it may, whatever it was told (RFC 9110 section 10.1.1)
        EXPECT_TRUE(co_await c.hear("0\r\n\r\n"));
        EXPECT_NE(c.got.find("\r\n\r\n6\r\nbegun,\r\n4\r\nbody\r\n0\r\n\r\n"), std::string::npos) << c.got;
        EXPECT_EQ(occurrences(c.got, "HTTP/1.1 "), 1U);
        co_await c.say(get("/"));
        EXPECT_TRUE(co_await c.hear("HTTP/1.1 200 ", 2)) << "the connection goes on";
    });
}

TEST(HttpServer, ACancelledReadOfABodyGoesOnWhereItStopped) {
    const auto cancelled = std::make_shared<std::atomic<int>>(0);
    auto handler = [cancelled](http::exchange& x) -> task<> {
        for (;;) {
            task<std::expected<std::string_view, http::body_error>> reading = x.read_body();
            const auto body = co_await with_timeout(1ms, std::move(reading));
            if (!body) {
                ++*cancelled;
                continue;
            }
            x.response.body = body->value_or("none");
            co_return;
        }
    };
    with_server({.handler = handler}, [cancelled](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        co_await c.say("POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n");
        int seen = 0;
        for (std::string_view piece : {"3\r\nab", "c\r", "\n4\r\n", "defg\r\n", "0\r\n\r\n"}) {
            for (;;) { // each piece comes when the read before it has been cancelled
                const int n = cancelled->load();
                if (n > seen) break;
                co_await sleep_for(1ms);
            }
            seen = cancelled->load();
            co_await c.say(std::string{piece});
        }
        EXPECT_TRUE(co_await c.hear("\r\n\r\nabcdefg"));
        EXPECT_EQ(occurrences(c.got, "100 Continue"), 1U);
        EXPECT_EQ(occurrences(c.got, "Connection: close"), 0U);
    });
}

TEST(HttpServer, TellsAHandlerWhyAPieceCouldNotBeSent) {
    struct outcome {
        std::atomic<int> timeouts{0};
        std::atomic<int> ended{0};
    };
    const auto seen = std::make_shared<outcome>();
    auto handler = [seen](http::exchange& x) -> task<> {
        const defer at_the_end{[seen] { ++seen->ended; }};
        const std::string piece(64 * 1024, 'x');
        for (;;) {
            const auto sent = co_await x.send_piece(piece);
            if (sent) continue;
            const auto again = co_await x.send_piece(piece);
            EXPECT_EQ(again, sent) << "and stays so";
            if (sent.error() == http::send_error::timeout) ++seen->timeouts;
            co_return;
        }
    };
    with_server({.handler = handler, .write_timeout = 20ms}, [seen](std::uint16_t port) -> task<> {
        client silent;
        co_await silent.connect(port);
        co_await silent.say(get("/"));
        for (;;) {
            if (seen->timeouts.load() == 1) break;
            co_await sleep_for(1ms);
        }
        {
            client gone;
            co_await gone.connect(port);
            co_await gone.say(get("/"));
            EXPECT_TRUE(co_await gone.hear("x"));
        } // closed with bytes unread: a reset
        for (;;) {
            if (seen->ended.load() == 2) break; // told, or destroyed where it waits
            co_await sleep_for(1ms);
        }
        EXPECT_EQ(seen->timeouts.load(), 1);
    });
}

TEST(HttpServer, AReaderThatTricklesIsDroppedAfterItsTime) {
    static constexpr std::size_t size = 64 * 1024 * 1024;
    auto handler = [](http::exchange& x) -> task<> {
        x.response.body.assign(size, 'x');
        return {};
    };
    // Each pause is far shorter than the time for one write; together they are far longer.
    const http::server_options options{
        .handler = handler, .write_timeout = 150ms, .write_rate = 1024 * 1024 * 1024};
    with_server(options, [](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        co_await c.say(get("/"));
        std::size_t got = 0;
        std::string buffer(128 * 1024, '\0');
        for (;;) {
            const auto n = co_await c.stream.read_some(buffer, now() + 5s);
            if (!n || *n == 0) break;
            got += *n;
            co_await sleep_for(3ms); // the trickle itself
        }
        EXPECT_LT(got, size);
        EXPECT_GT(got, 0U);
    });
}

TEST(HttpServer, StreamsAResponseInChunks) {
    auto handler = [](http::exchange& x) -> task<> {
        for (int i = 0; i < 3; ++i) {
            auto sent = co_await x.send_piece("piece" + std::to_string(i));
            EXPECT_TRUE(sent);
        }
    };
    with_server({.handler = handler}, [](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        co_await c.say(get("/"));
        EXPECT_TRUE(co_await c.hear("0\r\n\r\n"));
        EXPECT_NE(c.got.find("6\r\npiece0\r\n6\r\npiece1\r\n6\r\npiece2\r\n0\r\n\r\n"), std::string::npos);
        c.got.clear();
        co_await c.say("GET / HTTP/1.0\r\n\r\n");
        EXPECT_TRUE(co_await c.hear_end());
        EXPECT_NE(c.got.find("\r\n\r\npiece0piece1piece2"), std::string::npos);
    });
}

TEST(HttpServer, RefusesAMalformedRequestAndCloses) {
    with_server({.handler = answer_path}, [](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        co_await c.say(get("/fine") + "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + get("/never"));
        EXPECT_TRUE(co_await c.hear_end());
        EXPECT_EQ(occurrences(c.got, "HTTP/1.1 200 "), 1U);
        EXPECT_EQ(occurrences(c.got, "HTTP/1.1 400 "), 1U);
        EXPECT_EQ(occurrences(c.got, "/never"), 0U);
    });
}

TEST(HttpServer, AHeadThatDoesNotComeInTimeGives408) {
    with_server({.handler = answer_path, .header_timeout = 20ms}, [](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        co_await c.say("GET / HT");
        EXPECT_TRUE(co_await c.hear_end());
        EXPECT_EQ(c.got.find("HTTP/1.1 408 "), 0U);
    });
}

TEST(HttpServer, AnIdleConnectionIsClosedAfterItsTimeWithoutAWord) {
    with_server({.handler = answer_path, .idle_timeout = 20ms}, [](std::uint16_t port) -> task<> {
        client c;
        co_await c.connect(port);
        co_await c.say(get("/x"));
        EXPECT_TRUE(co_await c.hear_end());
        EXPECT_EQ(occurrences(c.got, "HTTP/1.1 "), 1U);
    });
}

TEST(HttpServer, ADrainAnswersWhatIsInFlightAndClosesWhoIsIdle) {
    for (const unsigned workers : test::thread_counts) {
        auto handler = [](http::exchange& x) -> task<> {
            if (x.request.path == "/slow") co_await sleep_for(50ms);
            x.response.body = x.request.path;
        };
        http::server_options options{
            .address = "127.0.0.1", .port = 0, .handler = handler, .admission = patient({})};
        runtime rt{{.workers = workers}};
        rt.run([&]() -> task<> {
            trap_exit(true);
            auto server = std::make_shared<http::server_state>(options);
            const pid connections = http::start_connections(server);
            auto listener = http::start_listener(server, connections);
            client idle;
            client busy;
            co_await idle.connect(server->port);
            co_await idle.say(get("/first"));
            EXPECT_TRUE(co_await idle.hear("\r\n\r\n/first"));
            co_await busy.connect(server->port);
            co_await busy.say(get("/slow") + get("/behind"));
            co_await sleep_for(10ms);
            exit(*listener, exit_kind::shutdown);
            co_await receive([](exit_signal) {});
            exit(connections, exit_kind::shutdown);
            EXPECT_TRUE(co_await idle.hear_end());
            EXPECT_TRUE(co_await busy.hear_end());
            EXPECT_EQ(occurrences(busy.got, "HTTP/1.1 200 "), 2U);
            EXPECT_EQ(occurrences(busy.got, "Connection: close"), 1U);
            exit_reason why = co_await receive([](exit_signal s) { return s.reason; });
            EXPECT_EQ(why.kind(), exit_kind::shutdown);
            EXPECT_EQ(server->connections(), 0U);
        });
    }
}

TEST(HttpServer, AKilledConnectionsProcessTakesTheConnectionsWithIt) {
    for (const unsigned workers : test::thread_counts) {
        http::server_options options{
            .address = "127.0.0.1", .port = 0, .handler = answer_path, .admission = patient({})};
        runtime rt{{.workers = workers}};
        rt.run([&]() -> task<> {
            trap_exit(true);
            auto server = std::make_shared<http::server_state>(options);
            const pid connections = http::start_connections(server);
            auto listener = http::start_listener(server, connections);
            client c;
            co_await c.connect(server->port);
            co_await c.say(get("/first"));
            EXPECT_TRUE(co_await c.hear("\r\n\r\n/first"));
            exit(connections, exit_kind::killed);
            (void)co_await c.hear_end();
            co_await receive([](exit_signal) {});
            for (;;) {
                if (server->connections() == 0) break;
                co_await yield();
            }
            exit(*listener, exit_kind::killed);
            co_await receive([](exit_signal) {});
        });
    }
}
