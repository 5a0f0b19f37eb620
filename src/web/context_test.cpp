#include <genever/web/context.hpp>
#include <genever/web/router.hpp>

#include "web/fake_exchange.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

namespace genever::web {
namespace {

using http::method;
using test::fake_exchange;
using test::serve;

/// Runs `f` as the handler of `GET /*path`, in a process.
void with(fake_exchange& x, std::function<task<>(context&)> f) {
    router app;
    app.any("/*path", std::move(f));
    serve(app, x);
}
void with(std::string_view target, std::function<void(context&)> f) {
    fake_exchange x{method::get, target};
    router app;
    app.any("/*path", std::move(f));
    serve(app, x);
}
std::string seen(const std::optional<std::string_view>& v) {
    return v ? "<" + std::string{*v} + ">" : "nothing";
}

TEST(Context, TellsWhatTheRequestIs) {
    fake_exchange x{method::put, "/a/b?c=d", {{"Host", "h"}, {"X-Y", "1"}, {"x-y", "2"}}};
    with(x, [](context& c) -> task<> {
        EXPECT_EQ(c.method(), method::put);
        EXPECT_EQ(c.target(), "/a/b?c=d");
        EXPECT_EQ(c.path(), "/a/b");
        EXPECT_EQ(c.header("x-Y"), "1");
        EXPECT_EQ(c.header("none"), "");
        EXPECT_EQ(c.client_address(), "192.0.2.7");
        EXPECT_EQ(c.matched_pattern(), "/*path");
        EXPECT_EQ(c.param("path"), "/a/b");
        EXPECT_EQ(c.param("other"), "");
        EXPECT_EQ(&c.exchange().request.fields[0].name, &c.exchange().request.fields.front().name);
        co_return;
    });
}

TEST(Context, GivesTextThatIsReadyToBeOwned) {
    struct message {
        std::string ip;
        std::string unit;
    };
    with("/x?unit=day", [](context& c) {
        const message m{c.param("path"), c.query_or("unit", "hour")};
        EXPECT_EQ(m.ip, "/x");
        EXPECT_EQ(m.unit, "day");
        std::string s = c.client_address();
        EXPECT_EQ(s, "192.0.2.7");
        s = c.header("none");
        s += c.param("path");
        EXPECT_EQ(s, "/x");
        EXPECT_EQ(std::string{c.param("path")}, s);
        EXPECT_TRUE(c.param("path") == s && c.param("path") == "/x" &&
                    c.param("path") == std::string_view{"/x"});
        EXPECT_EQ(std::hash<std::string_view>{}(c.param("path")), std::hash<std::string>{}(s));
        c.json(
            200,
            {{"path", c.param("path")}, {"unit", c.query_or("unit", "hour")}, {"maybe", *c.query("unit")}});
        EXPECT_EQ(c.exchange().response.body, R"({"path":"/x","unit":"day","maybe":"day"})");
        c.json(200, c.query_all("unit"));
        EXPECT_EQ(c.exchange().response.body, R"(["day"])");
    });
}

TEST(Context, DecodesQueryParameters) {
    with("/?a=1&b=x+y%20z&empty&none=&%61%2b=key&a=2&bad=%zz&&=v&a=%&plus=%2B", [](context& c) {
        EXPECT_EQ(seen(c.query("a")), "<1>");
        EXPECT_EQ(seen(c.query("b")), "<x y z>");
        EXPECT_EQ(seen(c.query("empty")), "<>");
        EXPECT_EQ(seen(c.query("none")), "<>");
        EXPECT_EQ(seen(c.query("a+")), "<key>");
        EXPECT_EQ(seen(c.query("plus")), "<+>");
        EXPECT_EQ(seen(c.query("")), "<v>");
        EXPECT_EQ(seen(c.query("bad")), "nothing");
        EXPECT_EQ(seen(c.query("missing")), "nothing");
        EXPECT_EQ(c.query_or("a", "z"), "1");
        EXPECT_EQ(c.query_or("missing", "z"), "z");
        EXPECT_EQ(c.query_all("a"), (std::vector<text_view>{"1", "2"}));
        EXPECT_TRUE(c.query_all("missing").empty());
    });
    with("/", [](context& c) { EXPECT_EQ(seen(c.query("a")), "nothing"); });
}

template <class T>
std::string as(context& c, std::string_view name) {
    const auto v = c.query_as<T>(name);
    if (!v) return std::to_string(v.error().status) + " " + v.error().path + " " + v.error().message;
    if constexpr (std::is_same_v<T, std::string>)
        return *v;
    else
        return std::to_string(*v);
}

TEST(Context, ReadsQueryParametersAsValuesWholeOrNotAtAll) {
    with("/?i=-128&j=128&u=18446744073709551615&m=-1&f=2.5e3&inf=inf&nan=nan&t=true&o=1&z=false&yes=yes"
         "&s=a+b&sp=+1&plus=%2B1&tail=1x&e=&bad=%z&hex=0x10",
         [](context& c) {
             EXPECT_EQ(as<signed char>(c, "i"), "-128");
             EXPECT_EQ(as<signed char>(c, "j"), "400 j must be an integer from -128 to 127");
             EXPECT_EQ(as<std::uint64_t>(c, "u"), "18446744073709551615");
             EXPECT_EQ(as<unsigned>(c, "m"), "400 m must be an integer from 0 to 4294967295");
             EXPECT_EQ(as<double>(c, "f"), "2500.000000");
             EXPECT_EQ(as<double>(c, "inf"), "400 inf must be a number");
             EXPECT_EQ(as<float>(c, "nan"), "400 nan must be a number");
             EXPECT_EQ(as<bool>(c, "t"), "1");
             EXPECT_EQ(as<bool>(c, "o"), "1");
             EXPECT_EQ(as<bool>(c, "z"), "0");
             EXPECT_EQ(as<bool>(c, "yes"), "400 yes must be true, false, 1 or 0");
             EXPECT_EQ(as<std::string>(c, "s"), "a b");
             for (const char* name : {"sp", "plus", "tail", "e", "hex"})
                 EXPECT_EQ(as<int>(c, name),
                           std::string{"400 "} + name + " must be an integer from -2147483648 to 2147483647");
             EXPECT_EQ(as<int>(c, "bad"), "400 bad has an invalid percent escape");
             EXPECT_EQ(as<int>(c, "none"), "400 none is required");
             EXPECT_EQ(c.query_as<int>("none", 7).value(), 7);
             EXPECT_EQ(c.query_as<int>("o", 7).value(), 1);
             EXPECT_FALSE(c.query_as<int>("tail", 7).has_value());
         });
}

TEST(Context, MakesResponses) {
    struct row {
        std::function<void(context&)> make;
        int status;
        const char* type;
        const char* body;
    };
    const row rows[] = {
        {[](context& c) { c.text(201, "hi"); }, 201, "text/plain; charset=utf-8", "hi"},
        {[](context& c) { c.html(200, "<p>"); }, 200, "text/html; charset=utf-8", "<p>"},
        {[](context& c) { c.bytes(200, "image/png", std::string_view{"\0x", 2}); }, 200, "image/png",
         nullptr},
        {[](context& c) { c.json(200, {{"a", 1}}); }, 200, "application/json; charset=utf-8", R"({"a":1})"},
        {[](context& c) { c.text(200, "x"), c.no_content(); }, 204, "", ""},
        {[](context& c) { c.text(200, "x"), c.json(200, {{"b", true}}); }, 200,
         "application/json; charset=utf-8", R"({"b":true})"},
        {[](context& c) { c.abort_with(418, "no \"coffee\""); }, 418, "application/json; charset=utf-8",
         R"({"error":{"status":418,"message":"no \"coffee\""}})"},
        {[](context& c) { c.abort_with({.status = 422, .message = "is required", .path = "$.a"}); }, 422,
         "application/json; charset=utf-8",
         R"({"error":{"status":422,"message":"is required","path":"$.a"}})"},
    };
    for (const row& r : rows) {
        fake_exchange x{method::get, "/"};
        with(x, [&](context& c) -> task<> {
            r.make(c);
            co_return;
        });
        EXPECT_EQ(x.response.status, r.status);
        EXPECT_EQ(x.response.header("Content-Type"), r.type);
        EXPECT_EQ(x.response.body, r.body ? std::string{r.body} : std::string("\0x", 2));
    }
}

TEST(Context, RefusesStatusesAndHeadersThatCannotBeSent) {
    with("/", [](context& c) {
        EXPECT_THROW(c.status(199), std::invalid_argument);
        EXPECT_THROW(c.text(600, ""), std::invalid_argument);
        EXPECT_THROW(c.set_header("A", "b\r\nC: d"), std::invalid_argument);
        EXPECT_THROW(c.redirect(200, "/"), std::invalid_argument);
        EXPECT_THROW(c.redirect(302, "/\r\nSet-Cookie: x"), std::invalid_argument);
        c.redirect(303, "/x");
        EXPECT_EQ(c.status(), 303);
        EXPECT_EQ(c.exchange().response.header("Location"), "/x");
    });
}

TEST(Context, StreamsPiecesAndThenAllowsNoOtherResponse) {
    fake_exchange x{method::get, "/"};
    with(x, [](context& c) -> task<> {
        c.status(201);
        auto sent = co_await c.send_piece("one");
        EXPECT_TRUE(sent.has_value());
        sent = co_await c.send_piece("three");
        EXPECT_TRUE(sent.has_value());
        EXPECT_EQ(c.bytes_written(), 8u);
        EXPECT_THROW(c.json(200, {{"a", 1}}), std::logic_error);
        EXPECT_THROW(c.set_header("A", "b"), std::logic_error);
    });
    EXPECT_EQ(x.pieces, (std::vector<std::string>{"one", "three"}));
    EXPECT_EQ(x.response.status, 201);
    EXPECT_EQ(x.response.body, "");
}

TEST(Context, ReadsTheBody) {
    fake_exchange x{method::post, "/"};
    x.body = std::string(2000, 'x');
    with(x, [](context& c) -> task<> {
        const auto small = co_await c.body();
        EXPECT_EQ(small.error(), http::body_error::too_large);
        const auto all = co_await c.body(2000);
        EXPECT_EQ(all.value().size(), 2000u);
    });
}

struct counted {
    explicit counted(int* n) : n_(n) { ++*n_; }
    counted(counted&& o) noexcept : n_(o.n_) { ++*n_; }
    counted(const counted&) = delete;
    ~counted() { --*n_; }
    int* n_;
};

TEST(Context, KeepsValuesOfAnyTypeUntilTheRequestEnds) {
    int alive = 0;
    with("/", [&](context& c) {
        EXPECT_EQ(c.get<int>("user"), nullptr);
        c.set("user", std::string{"ada"});
        c.set("id", 7);
        c.set("owned", std::make_unique<int>(8));
        c.set("counted", counted{&alive});
        EXPECT_EQ(*c.get<std::string>("user"), "ada");
        EXPECT_EQ(c.get<int>("user"), nullptr);
        EXPECT_EQ(*c.get<int>("id"), 7);
        EXPECT_EQ(**c.get<std::unique_ptr<int>>("owned"), 8);
        c.set("counted", counted{&alive});
        EXPECT_EQ(alive, 1);
        c.set("counted", 1);
        EXPECT_EQ(alive, 0);
        c.set("more", counted{&alive});
        // More than lies within the context itself.
        for (int i = 0; i < 200; ++i) c.set("key number " + std::to_string(i), i);
        for (int i = 0; i < 200; ++i) EXPECT_EQ(*c.get<int>("key number " + std::to_string(i)), i);
        EXPECT_EQ(alive, 1);
    });
    EXPECT_EQ(alive, 0);
}

} // namespace
} // namespace genever::web
