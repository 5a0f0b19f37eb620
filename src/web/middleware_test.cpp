#include <genever/web/middleware.hpp>
#include <genever/web/router.hpp>

#include "web/fake_exchange.hpp"

#include <genever/base/log.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace genever::web {
namespace {

using namespace std::chrono_literals;
using http::method;
using test::answer;
using test::fake_exchange;
using test::get;
using test::serve;

TEST(Middleware, RunsAroundTheHandlerFromTheOutsideIn) {
    std::string trace;
    const auto mark = [&](char in, char out) {
        return [&trace, in, out](context& c, next n) -> task<> {
            trace += in;
            co_await n(c);
            trace += out;
        };
    };
    router app;
    app.use(mark('a', 'z'), mark('b', 'y'));
    app.get("/plain", [&](context&) { trace += '.'; });
    app.get("/waits", mark('c', 'x'), [&](context&) -> task<> {
        co_await yield();
        trace += '.';
    });
    EXPECT_EQ(get(app, "/plain"), "200");
    EXPECT_EQ(trace, "ab.yz");
    trace.clear();
    EXPECT_EQ(get(app, "/waits"), "200");
    EXPECT_EQ(trace, "abc.xyz");
}

TEST(Middleware, EndsTheChainByNotCallingNext) {
    bool reached = false;
    router app;
    app.use([](context& c, next n) -> task<> {
        if (c.query("key") != "right") {
            c.abort_with(401, "who are you?");
            co_return;
        }
        co_await n(c);
    });
    app.get("/", [&](context& c) {
        reached = true;
        c.text(200, "in");
    });
    EXPECT_EQ(get(app, "/?key=wrong"), R"(401 {"error":{"status":401,"message":"who are you?"}})");
    EXPECT_FALSE(reached);
    EXPECT_EQ(get(app, "/?key=right"), "200 in");
}

TEST(Middleware, MayBeAPlainFunction) {
    router app;
    app.use([](context& c, next n) {
        c.set("word", std::string{"passed on"});
        return n(c);
    });
    app.get("/", [](context& c) { c.text(200, *c.get<std::string>("word")); });
    const http::handler h = app;
    EXPECT_EQ(get(h, "/"), "200 passed on");
}

TEST(Middleware, ThrowsWhenItCallsNextASecondTime) {
    int handled = 0;
    bool threw = false;
    router app;
    app.use([&](context& c, next n) -> task<> {
        const next again = n;
        co_await n(c);
        try {
            co_await again(c);
        } catch (const std::logic_error&) {
            threw = true;
        }
    });
    app.use([](context& c, next n) -> task<> { co_await n(c); });
    app.get("/", [&](context&) { ++handled; });
    EXPECT_EQ(get(app, "/"), "200");
    EXPECT_EQ(handled, 1);
    EXPECT_TRUE(threw);
}

TEST(Middleware, SeesTheExceptionsOfWhatItCalls) {
    std::vector<std::string> seen;
    router app;
    app.use([&](context& c, next n) -> task<> {
        bool failed = false;
        try {
            co_await n(c);
        } catch (const std::runtime_error& e) {
            seen.emplace_back(e.what());
            failed = true;
        }
        if (failed) c.text(503, "later");
    });
    app.get("/plain", [](context&) { throw std::runtime_error("plain"); });
    app.get("/waits", [](context&) -> task<> {
        co_await yield();
        throw std::runtime_error("waits");
    });
    EXPECT_EQ(get(app, "/plain"), "503 later");
    EXPECT_EQ(get(app, "/waits"), "503 later");
    EXPECT_EQ(seen, (std::vector<std::string>{"plain", "waits"}));
}

TEST(Middleware, IsDestroyedWithItsRequestAtTheHandlersSuspension) {
    std::string trace;
    struct leaves {
        std::string* trace;
        char mark;
        ~leaves() { *trace += mark; }
    };
    simulation sim{1};
    fake_exchange x{method::get, "/"};
    router app;
    app.use(logger([&](const access_record&) { trace += 'L'; }), recovery([&](auto&&...) { trace += 'R'; }));
    app.use([&](context& c, next n) -> task<> {
        const leaves outer{&trace, 'o'};
        co_await n(c);
        trace += '!';
    });
    app.get("/", [&](context& c) -> task<> {
        c.set("kept", std::shared_ptr<void>{nullptr, [&](void*) { trace += 'v'; }});
        const leaves inner{&trace, 'i'};
        co_await sleep_for(infinity);
        trace += '!';
    });
    const http::handler h = app;
    sim.run([&]() -> task<> {
        const pid request = spawn([&]() -> task<> { co_await h(x); });
        co_await sleep_for(1s);
        exit(request, exit_kind::killed);
        co_await sleep_for(1s);
    });
    EXPECT_EQ(trace, "iov");
}

// --- recovery ---

constexpr const char* internal_error = R"(500 {"error":{"status":500,"message":"Internal Server Error"}})";

struct crashes {
    std::vector<std::string> seen;
    crash_hook hook() {
        return [this](const context& c, std::exception_ptr e) {
            try {
                std::rethrow_exception(e);
            } catch (const std::exception& x) {
                seen.push_back(std::string{c.matched_pattern()} + ": " + x.what());
            } catch (int n) {
                seen.push_back(std::string{c.matched_pattern()} + ": int " + std::to_string(n));
            }
        };
    }
};

void add_crashing_routes(router& app) {
    app.get("/plain", [](context& c) {
        c.set_header("Half", "done");
        c.text(201, "half");
        throw std::runtime_error("plain");
    });
    app.get("/coroutine", [](context&) -> task<> {
        throw std::runtime_error("coroutine");
        co_return;
    });
    app.get("/waits", [](context&) -> task<> {
        co_await yield();
        throw 7;
    });
    app.get("/streams", [](context& c) -> task<> {
        (void)co_await c.send_piece("x");
        throw std::runtime_error("streams");
    });
    app.get("/fine", [](context& c) { c.text(200, "fine"); });
}

TEST(Recovery, AnswersACrashWith500AndReportsIt) {
    crashes reported;
    router app;
    app.use(recovery(reported.hook()));
    add_crashing_routes(app);
    const http::handler h = app;
    EXPECT_EQ(get(h, "/plain"), internal_error);
    EXPECT_EQ(get(h, "/coroutine"), internal_error);
    EXPECT_EQ(get(h, "/waits"), internal_error);
    EXPECT_EQ(get(h, "/fine"), "200 fine");
    EXPECT_EQ(reported.seen,
              (std::vector<std::string>{"/plain: plain", "/coroutine: coroutine", "/waits: int 7"}));
    fake_exchange x{method::get, "/plain"};
    x.response.close = true;
    serve(h, x);
    EXPECT_EQ(x.response.header("Half"), "");
    EXPECT_TRUE(x.response.close);
}

TEST(Recovery, HandsTheExceptionOnWhenTheHeadIsOut) {
    crashes reported;
    router app;
    app.use(recovery(reported.hook()));
    add_crashing_routes(app);
    fake_exchange x{method::get, "/streams"};
    EXPECT_THROW(serve(app, x), std::runtime_error);
    EXPECT_EQ(reported.seen, std::vector<std::string>{"/streams: streams"});
}

TEST(Recovery, OutlivesAHookThatThrows) {
    router app;
    app.use(recovery([](const context&, std::exception_ptr) { throw 1; }));
    add_crashing_routes(app);
    EXPECT_EQ(get(app, "/plain"), internal_error);
    EXPECT_EQ(get(app, "/waits"), internal_error);
}

TEST(Recovery, ReportsToTheLogUnlessToldOtherwise) {
    std::vector<std::string> lines;
    log::set_sink([&](log::level, std::string_view text) { lines.emplace_back(text); });
    router app;
    app.use(recovery());
    add_crashing_routes(app);
    EXPECT_EQ(get(app, "/plain?\x1b[2J"), internal_error);
    log::flush();
    log::set_sink({});
    ASSERT_EQ(lines.size(), 1u);
    for (const char* part :
         {"GET /plain?\\x1b[2J from 192.0.2.7", "(route /plain)", "std::runtime_error", "plain"})
        EXPECT_NE(lines[0].find(part), std::string::npos) << part << " in " << lines[0];
}

// --- logger ---

TEST(Logger, ReportsEachRequestWithItsLatency) {
    std::vector<std::string> lines;
    router app;
    app.use(logger([&](const access_record& r) { lines.push_back(to_string(r)); }),
            recovery([](auto&&...) {}));
    add_crashing_routes(app);
    app.get("/slow", [](context& c) -> task<> {
        co_await sleep_for(1500us);
        c.text(202, "slow");
    });
    app.get("/pieces", [](context& c) -> task<> {
        (void)co_await c.send_piece("four");
        (void)co_await c.send_piece("+five");
    });
    const http::handler h = app;
    get(h, "/fine?a=b");
    answer(h, method::head, "/fine");
    get(h, "/plain");
    get(h, "/slow");
    get(h, "/pieces");
    get(h, "/unknown");
    answer(h, method::delete_, "/fine");
    const std::string error_size = std::to_string(std::string_view{internal_error}.size() - 4);
    ASSERT_EQ(lines.size(), 7u);
    EXPECT_EQ(lines[0], "192.0.2.7 GET /fine?a=b 200 4 0us");
    EXPECT_EQ(lines[1], "192.0.2.7 HEAD /fine 200 0 0us");
    EXPECT_EQ(lines[2], "192.0.2.7 GET /plain 500 " + error_size + " 0us");
    EXPECT_EQ(lines[3], "192.0.2.7 GET /slow 202 4 1500us");
    EXPECT_EQ(lines[4], "192.0.2.7 GET /pieces 200 9 0us");
    EXPECT_EQ(lines[5].substr(0, 30), "192.0.2.7 GET /unknown 404 46 ");
    EXPECT_EQ(lines[6].substr(0, 30), "192.0.2.7 DELETE /fine 405 55 ");
}

TEST(Logger, CountsAnExceptionAs500AndHandsItOn) {
    std::vector<int> statuses;
    router app;
    app.use(logger([&](const access_record& r) { statuses.push_back(r.status); }));
    add_crashing_routes(app);
    for (const char* target : {"/plain", "/coroutine", "/streams"}) {
        fake_exchange x{method::get, target};
        EXPECT_THROW(serve(app, x), std::runtime_error) << target;
    }
    EXPECT_EQ(statuses, (std::vector<int>{500, 500, 500}));
}

TEST(Logger, LetsNoClientForgeALine) {
    access_record r{.client = "::1", .target = "/a b\r\n\x1b\x7f\\\xC3\xA4", .status = 200};
    EXPECT_EQ(to_string(r), R"(::1 GET /a\x20b\x0d\x0a\x1b\x7f\x5c\xc3\xa4 200 0 0us)");
}

TEST(Logger, AndRecoveryCostNoCoroutineForAHandlerThatAnswersAtOnce) {
    // The router's own frame remains: it holds the context.
    simulation sim{1};
    sim.run([]() -> task<> {
        int requests = 0;
        router app;
        app.use(logger([&](const access_record&) { ++requests; }), recovery());
        bool empty = false;
        app.get(
            "/",
            [&](context& c, next n) -> task<> {
                task<> rest = n(c);
                empty = rest.empty();
                return rest;
            },
            [](context& c) { c.text(200, "x"); });
        fake_exchange x{method::get, "/"};
        const http::handler h = app;
        co_await h(x);
        EXPECT_TRUE(empty);
        EXPECT_EQ(requests, 1);
    });
}

} // namespace
} // namespace genever::web
