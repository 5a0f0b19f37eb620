#include <genever/web/router.hpp>

#include "web/fake_exchange.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

namespace genever::web {
namespace {

using http::method;
using test::answer;
using test::fake_exchange;
using test::get;
using test::serve;

auto say(std::string what) {
    return [what = std::move(what)](context& c) { c.text(200, what); };
}

std::string header_after(const http::handler& h, method m, std::string_view target, std::string_view name) {
    fake_exchange x{m, target};
    serve(h, x);
    return std::to_string(x.response.status) + " " + std::string{x.response.header(name)};
}

TEST(Router, AsksForAdmissionByTheRouteBeforeAnyMiddleware) {
    int ran = 0;
    router app;
    app.use([&ran](context& c, next n) -> task<> {
        ++ran;
        co_await n(c);
    });
    app.get("/usual", say("usual"));
    app.get("/health", say("fine")).priority(http::priority::critical);
    app.any("/slow", say("slow")).timeout(std::chrono::seconds{2}).max_concurrency(3);
    auto batch = app.group("/batch");
    batch.priority(http::priority::sheddable);
    batch.group("/deep").get("/:id", say("batch"));
    const http::handler h = app;

    const auto asked = [&](method m, std::string_view target) {
        fake_exchange x{m, target};
        serve(h, x);
        EXPECT_TRUE(x.asked) << target;
        return x.asked ? x.asked->settings : http::traffic{};
    };
    EXPECT_EQ(asked(method::get, "/usual").priority, http::priority::normal);
    EXPECT_EQ(asked(method::get, "/health").priority, http::priority::critical);
    EXPECT_EQ(asked(method::head, "/health").priority, http::priority::critical);
    EXPECT_EQ(asked(method::get, "/batch/deep/%31").priority, http::priority::sheddable);
    EXPECT_EQ(asked(method::delete_, "/slow").handler_timeout, std::chrono::seconds{2});
    EXPECT_EQ(asked(method::get, "/slow").max_concurrency, 3U);
    EXPECT_EQ(asked(method::get, "/usual").max_concurrency, std::nullopt);

    ran = 0;
    for (const char* target : {"/usual", "/nowhere", "/usual/", "/batch/deep/%31"}) {
        fake_exchange x{method::get, target};
        x.admits = false;
        serve(h, x);
        EXPECT_EQ(x.response.body, "") << target;
    }
    EXPECT_EQ(ran, 0);
}

TEST(Router, ACopyAdmitsByItself) {
    router app;
    app.get("/", say("here"));
    const http::handler one = app;
    const http::handler other = app;
    fake_exchange a{method::get, "/"};
    fake_exchange b{method::get, "/"};
    serve(one, a);
    serve(other, b);
    EXPECT_NE(a.asked, b.asked);
}

TEST(Router, RefusesLimitsThatMakeNoSense) {
    router app;
    EXPECT_THROW(app.get("/a", say("a")).timeout(duration{0}), std::invalid_argument);
    EXPECT_THROW(app.get("/b", say("b")).max_concurrency(0), std::invalid_argument);
}

TEST(Router, AnswersWithTheHandlerOfMethodAndPattern) {
    router app;
    app.get("/users/:id/posts/:pid", [](context& c) -> task<> {
        c.text(200, std::string{c.param("id")} + " " + std::string{c.param("pid")} + " " +
                        std::string{c.param("none")} + " " + std::string{c.matched_pattern()});
        co_return;
    });
    app.post("/users", say("made"));
    app.put("/users", say("put"));
    app.patch("/users", say("patched"));
    app.delete_("/users", say("gone"));
    app.head("/users", [](context& c) { c.status(201); });
    app.options("/users", say("options"));
    const http::handler h = app;
    EXPECT_EQ(get(h, "/users/7/posts/8?x=1"), "200 7 8  /users/:id/posts/:pid");
    EXPECT_EQ(answer(h, method::post, "/users"), "200 made");
    EXPECT_EQ(answer(h, method::put, "/users"), "200 put");
    EXPECT_EQ(answer(h, method::patch, "/users"), "200 patched");
    EXPECT_EQ(answer(h, method::delete_, "/users"), "200 gone");
    EXPECT_EQ(answer(h, method::head, "/users"), "201");
    EXPECT_EQ(answer(h, method::options, "/users"), "200 options");
}

TEST(Router, TakesHandlersWithMoveOnlyCapturesAndFunctions) {
    struct functions {
        static void plain(context& c) { c.text(200, "plain"); }
        static task<> waits(context& c) {
            co_await yield();
            c.text(200, "waited");
        }
    };
    router app;
    app.get("/owned", [p = std::make_unique<std::string>("owned")](context& c) { c.text(200, *p); });
    app.get("/plain", functions::plain);
    app.get("/waits", &functions::waits);
    app.get("/generic", [](auto& c) { c.text(200, "generic"); });
    const http::handler h = app;
    EXPECT_EQ(get(h, "/owned"), "200 owned");
    EXPECT_EQ(get(h, "/plain"), "200 plain");
    EXPECT_EQ(get(h, "/waits"), "200 waited");
    EXPECT_EQ(get(h, "/generic"), "200 generic");
}

TEST(Router, AnswersAPlainHandlerWithoutACoroutine) {
    router app;
    app.get("/plain/:x", [](context& c) { c.text(200, c.param("x")); });
    app.get("/coroutine", [](context& c) -> task<> {
        c.text(200, "");
        co_return;
    });
    const http::handler h = app;
    fake_exchange x{method::get, "/plain/now"};
    const task<> done = h(x);
    EXPECT_TRUE(done.empty());
    EXPECT_EQ(x.response.body, "now");
    fake_exchange y{method::get, "/coroutine"};
    EXPECT_FALSE(h(y).empty());
}

TEST(Router, AnswersUnknownPathsWith404AsJson) {
    router app;
    app.get("/ping", say("pong"));
    const http::handler h = app;
    EXPECT_EQ(get(h, "/pong"), R"(404 {"error":{"status":404,"message":"Not Found"}})");
    EXPECT_EQ(header_after(h, method::get, "/pong", "Content-Type"), "404 application/json; charset=utf-8");
    EXPECT_EQ(get(router{}, "/"), R"(404 {"error":{"status":404,"message":"Not Found"}})");
}

TEST(Router, Answers405WithTheMethodsThatThePathHas) {
    router app;
    app.post("/a", say("post"));
    app.get("/a", say("get"));
    app.delete_("/:any", say("delete"));
    app.put("/b/c", say("put"));
    const http::handler h = app;
    EXPECT_EQ(answer(h, method::put, "/a"), R"(405 {"error":{"status":405,"message":"Method Not Allowed"}})");
    EXPECT_EQ(header_after(h, method::put, "/a", "Allow"), "405 DELETE, GET, HEAD, OPTIONS, POST");
    EXPECT_EQ(header_after(h, method::get, "/b/c", "Allow"), "405 OPTIONS, PUT");
    EXPECT_EQ(header_after(h, method::head, "/b/c", "Allow"), "405 OPTIONS, PUT");
    EXPECT_EQ(header_after(h, method::get, "/x", "Allow"), "405 DELETE, OPTIONS");
}

TEST(Router, AnswersOptionsForAKnownPath) {
    router app;
    app.get("/a", say("get"));
    app.post("/b", say("post"));
    const http::handler h = app;
    EXPECT_EQ(header_after(h, method::options, "/a", "Allow"), "204 GET, HEAD, OPTIONS");
    EXPECT_EQ(header_after(h, method::options, "*", "Allow"), "204 GET, HEAD, OPTIONS, POST");
    EXPECT_EQ(answer(h, method::options, "/a"), "204");
    EXPECT_EQ(answer(h, method::options, "/c"), R"(404 {"error":{"status":404,"message":"Not Found"}})");
}

TEST(Router, AnswersHeadWithTheGetHandlerUnlessThereIsOneForHead) {
    router app;
    app.get("/a", say("get"));
    app.get("/b", say("get"));
    app.head("/b", [](context& c) { c.no_content(); });
    const http::handler h = app;
    EXPECT_EQ(answer(h, method::head, "/a"), "200 get");
    EXPECT_EQ(answer(h, method::head, "/b"), "204");
}

TEST(Router, RedirectsToThePathWithTheOtherTrailingSlash) {
    router app;
    app.get("/plain", say("plain"));
    app.get("/folder/", say("folder"));
    app.post("/plain", say("post"));
    app.get("/files/*path", say("files"));
    app.get("/user/:id", say("user"));
    app.get("/", say("root"));
    const http::handler h = app;
    EXPECT_EQ(header_after(h, method::get, "/plain/", "Location"), "301 /plain");
    EXPECT_EQ(header_after(h, method::head, "/plain/", "Location"), "301 /plain");
    EXPECT_EQ(header_after(h, method::post, "/plain/?a=b&c", "Location"), "308 /plain?a=b&c");
    EXPECT_EQ(header_after(h, method::get, "/folder", "Location"), "301 /folder/");
    EXPECT_EQ(header_after(h, method::get, "/files", "Location"), "301 /files/");
    EXPECT_EQ(header_after(h, method::get, "/user/7/?q", "Location"), "301 /user/7?q");
    EXPECT_EQ(header_after(h, method::get, "/user/a%2Fb%20c/", "Location"), "301 /user/a%2Fb%20c");
    EXPECT_EQ(header_after(h, method::get, "/plain//", "Location"), "404 ");
    EXPECT_EQ(header_after(h, method::get, "//", "Location"), "301 /");
    EXPECT_EQ(header_after(h, method::put, "/plain/", "Location"), "404 ");

    app.redirect_trailing_slash(false);
    EXPECT_EQ(header_after(app, method::get, "/plain/", "Location"), "404 ");
}

TEST(Router, NeverRedirectsToAnotherHost) {
    router app;
    app.get("/:page", say("page"));
    app.get("/:page/:sub/", say("sub"));
    const http::handler h = app;
    // Browsers read a backslash as a slash, and `//host` as another host.
    EXPECT_EQ(header_after(h, method::get, "/\\evil.example/", "Location"), "301 /%5Cevil.example");
    EXPECT_EQ(header_after(h, method::get, "//evil.example/", "Location"), "404 ");
    EXPECT_EQ(header_after(h, method::get, "//evil.example", "Location"), "404 ");
    EXPECT_EQ(header_after(h, method::get, "/a\"\x01<\xC3/", "Location"), "301 /a%22%01%3C%C3");
}

TEST(Router, DecodesParametersAfterSplittingAtRealSlashes) {
    router app;
    app.get("/files/:name", [](context& c) { c.text(200, c.param("name")); });
    app.get("/tree/*path", [](context& c) { c.text(200, c.param("path")); });
    const http::handler h = app;
    EXPECT_EQ(get(h, "/files/a%2Fb"), "200 a/b");
    EXPECT_EQ(get(h, "/files/a%20b+c"), "200 a b+c");
    EXPECT_EQ(get(h, "/files/100%25"), "200 100%");
    EXPECT_EQ(get(h, "/files/%252F"), "200 %2F");
    EXPECT_EQ(get(h, "/files/%e4%Bd%A0"), "200 \xE4\xBD\xA0");
    EXPECT_EQ(get(h, "/tree/a%2Fb/c%3Fd"), "200 /a/b/c?d");
    const std::string_view bad =
        R"(400 {"error":{"status":400,"message":"the path holds an invalid percent escape"}})";
    for (const char* target : {"/files/%", "/files/%4", "/files/%4x", "/files/a%zz", "/unknown/%"})
        EXPECT_EQ(get(h, target), bad) << target;
}

TEST(Router, MatchesLiteralTextThatCameEscaped) {
    router app;
    app.get("/ping", say("pong"));
    app.get("/stra\xC3\x9F"
            "e/:n",
            [](context& c) { c.text(200, c.param("n")); });
    const http::handler h = app;
    EXPECT_EQ(get(h, "/%70ing"), "200 pong");
    EXPECT_EQ(get(h, "/stra%C3%9Fe/%37"), "200 7");
    EXPECT_EQ(get(h, "/stra%C3%9Fe%2F7").substr(0, 3), "404");
}

TEST(Router, RunsMiddlewareOnlyForRoutesRegisteredAfterIt) {
    const auto mark = [](std::string name) {
        return [name = std::move(name)](context& c, next n) -> task<> {
            c.add_header("Trace", name);
            co_await n(c);
        };
    };
    const auto show = [](context& c) {
        std::string all;
        const std::string_view lines = c.exchange().response.field_lines();
        for (std::size_t at = lines.find("Trace: "); at != lines.npos; at = lines.find("Trace: ", at + 1))
            all += lines.substr(at + 7, lines.find('\r', at) - at - 7);
        c.text(200, all);
    };
    router app;
    app.get("/before", show);
    app.use(mark("a"), mark("b"));
    app.get("/after", mark("c"), show);
    auto api = app.group("/api", mark("d"));
    api.get("/x", show);
    auto v1 = api.group("/v1/");
    v1.use(mark("e"));
    v1.get("/y", mark("f"), show);
    v1.get("", show);
    app.use(mark("g"));
    api.get("z", show);
    app.get("/last", show);
    app.no_route(show);
    const http::handler h = app;
    EXPECT_EQ(get(h, "/before"), "200");
    EXPECT_EQ(get(h, "/after"), "200 abc");
    EXPECT_EQ(get(h, "/api/x"), "200 abd");
    EXPECT_EQ(get(h, "/api/v1/y"), "200 abdef");
    EXPECT_EQ(get(h, "/api/v1/"), "200 abde");
    EXPECT_EQ(get(h, "/api/z"), "200 abd");
    EXPECT_EQ(get(h, "/last"), "200 abg");
    EXPECT_EQ(get(h, "/unknown"), "200 abg");
}

TEST(Router, RunsItsOwnMiddlewareForAnswersThatBelongToNoRoute) {
    router app;
    app.get("/a", say("a"));
    app.use([](context& c, next n) -> task<> {
        co_await n(c);
        c.set_header("Seen", std::to_string(c.status()));
    });
    const http::handler h = app;
    EXPECT_EQ(header_after(h, method::get, "/a", "Seen"), "200 ");
    EXPECT_EQ(header_after(h, method::get, "/b", "Seen"), "404 404");
    EXPECT_EQ(header_after(h, method::post, "/a", "Seen"), "405 405");
    EXPECT_EQ(header_after(h, method::options, "/a", "Seen"), "204 204");
    EXPECT_EQ(header_after(h, method::get, "/a/", "Seen"), "301 301");
    EXPECT_EQ(header_after(h, method::get, "/%", "Seen"), "400 400");
}

TEST(Router, LetsHandlersAnswerUnknownRoutesAndMethods) {
    router app;
    app.get("/a", say("a"));
    app.no_route([](context& c) -> task<> {
        co_await yield();
        c.text(c.status(), "nowhere");
    });
    app.no_method([](context& c) { c.text(c.status(), "not so"); });
    const http::handler h = app;
    EXPECT_EQ(get(h, "/b"), "404 nowhere");
    EXPECT_EQ(answer(h, method::post, "/a"), "405 not so");
    EXPECT_EQ(header_after(h, method::post, "/a", "Allow"), "405 GET, HEAD, OPTIONS");
}

TEST(Router, RegistersAnyForEveryMethod) {
    router app;
    app.any("/a", say("any")).name("everything");
    const http::handler h = app;
    for (std::size_t m = 0; m < http::method_count; ++m)
        EXPECT_EQ(answer(h, static_cast<method>(m), "/a"), "200 any");
    EXPECT_EQ(app.routes().size(), http::method_count);
    for (const route_info& r : app.routes()) EXPECT_EQ(r.name, "everything");
}

TEST(Router, ListsItsRoutesInTheOrderOfRegistration) {
    router app;
    app.get("/a", say("")).name("a");
    auto g = app.group("/g");
    g.post("/:x", say(""));
    const auto routes = app.routes();
    ASSERT_EQ(routes.size(), 2u);
    EXPECT_EQ(routes[0].method, method::get);
    EXPECT_EQ(routes[0].pattern, "/a");
    EXPECT_EQ(routes[0].name, "a");
    EXPECT_EQ(routes[1].method, method::post);
    EXPECT_EQ(routes[1].pattern, "/g/:x");
    EXPECT_EQ(routes[1].name, "");
}

TEST(Router, ThrowsForAConflictAndStaysAsItWas) {
    router app;
    app.get("/a/:b", say("a"));
    EXPECT_THROW(app.get("/a/:c", say("c")), std::invalid_argument);
    EXPECT_THROW(app.get("a", say("c")), std::invalid_argument);
    EXPECT_THROW(app.group("/a").get("/:c", say("c")), std::invalid_argument);
    EXPECT_THROW(app.group("/a").get("/*c", say("c")), std::invalid_argument);
    EXPECT_EQ(app.routes().size(), 1u);
    EXPECT_EQ(get(app, "/a/x"), "200 a");
}

TEST(Router, IsAValueAndItsHandlerASnapshot) {
    router app;
    app.get("/a", say("a"));
    const http::handler before = app;
    router copy = app;
    copy.get("/b", say("b"));
    app.get("/c", say("c"));
    EXPECT_EQ(get(before, "/c").substr(0, 3), "404");
    EXPECT_EQ(get(app, "/b").substr(0, 3), "404");
    EXPECT_EQ(get(app, "/c"), "200 c");
    EXPECT_EQ(get(copy, "/a"), "200 a");
    EXPECT_EQ(get(copy, "/b"), "200 b");
    router moved = std::move(copy);
    moved.get("/d", say("d"));
    EXPECT_EQ(get(moved, "/d"), "200 d");
    moved = app;
    EXPECT_EQ(get(moved, "/c"), "200 c");
}

} // namespace
} // namespace genever::web
