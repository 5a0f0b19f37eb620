#include <genever/web/context.hpp>
#include <genever/web/router.hpp>

#include "web/fake_exchange.hpp"
#include "web/json_write.hpp"

#include <boost/json/object.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace genever::web {

enum class colour { red, green };
BOOST_DESCRIBE_ENUM(colour, red, green)

struct person {
    std::string name;
    std::uint8_t age = 0;
    std::optional<std::string> email;
};
BOOST_DESCRIBE_STRUCT(person, (), (name, age, email))

struct order : person {
    std::vector<person> friends;
    std::map<std::string, double> prices;
    std::optional<colour> paint;
    bool paid = false;
};
BOOST_DESCRIBE_STRUCT(order, (person), (friends, prices, paint, paid))

} // namespace genever::web

// Boost.JSON renders a struct with bases only where it is told to.
template <>
struct boost::json::is_described_class<genever::web::order> : std::true_type {};

namespace genever::web {
namespace {

using http::method;
using test::fake_exchange;
using test::serve;

std::string rendered(std::function<void(context&)> f) {
    router app;
    app.get("/:ip", std::move(f));
    fake_exchange x{method::get, "/10.0.0.1"};
    serve(app, x);
    EXPECT_EQ(x.response.header("Content-Type"), "application/json; charset=utf-8");
    return x.response.body;
}

TEST(Json, RendersListsAsObjectsInTheirOrder) {
    const std::uint64_t n = 18446744073709551615u;
    EXPECT_EQ(rendered([=](context& c) { c.json(200, {{"ip", c.param("ip")}, {"count", n}}); }),
              R"({"ip":"10.0.0.1","count":18446744073709551615})");
    EXPECT_EQ(rendered([](context& c) { c.json(200, {{"message", "Processing initiated"}}); }),
              R"({"message":"Processing initiated"})");
    const std::string owned = "z";
    EXPECT_EQ(rendered([&](context& c) {
                  c.json(200,
                         {{"z", owned}, {"a", {1, 2, 3}}, {"m", {{"x", nullptr}, {"y", 1.5}}}, {"b", true}});
              }),
              R"({"z":"z","a":[1,2,3],"m":{"x":null,"y":1.5E0},"b":true})");
    EXPECT_EQ(rendered([](context& c) { c.json(200, {1, "two", nullptr}); }), R"([1,"two",null])");
}

TEST(Json, RendersValuesStructsAndContainers) {
    EXPECT_EQ(rendered([](context& c) { c.json(200, boost::json::value{1, 2}); }), "[1,2]");
    EXPECT_EQ(rendered([](context& c) { c.json(200, boost::json::object{{"a", 1}}); }), R"({"a":1})");
    EXPECT_EQ(rendered([](context& c) { c.json(200, std::vector<int>{1, 2}); }), "[1,2]");
    EXPECT_EQ(rendered([](context& c) { c.json(200, std::map<std::string, int>{{"b", 1}, {"a", 2}}); }),
              R"({"a":2,"b":1})");
    EXPECT_EQ(rendered([](context& c) { c.json(200, std::string{"text"}); }), R"("text")");
    EXPECT_EQ(rendered([](context& c) { c.json(200, "text"); }), R"("text")");
    EXPECT_EQ(rendered([](context& c) { c.json(200, nullptr); }), "null");
    EXPECT_EQ(rendered([](context& c) { c.json(200, 7u); }), "7");
    EXPECT_EQ(rendered([](context& c) { c.json(200, person{"ada", 36, {}}); }),
              R"({"name":"ada","age":36,"email":null})");
    order o;
    o.name = "ada";
    o.age = 36;
    o.friends = {{"bob", 1, "b@c"}};
    o.paint = colour::green;
    EXPECT_EQ(rendered([&](context& c) { c.json(200, o); }),
              R"({"name":"ada","age":36,"email":null,"friends":[{"name":"bob","age":1,"email":"b@c"}],)"
              R"("prices":{},"paint":"green","paid":false})");
}

TEST(Json, RendersLongAnswersWhole) {
    boost::json::array big;
    std::string expected = "[";
    for (int i = 0; i < 20'000; ++i) {
        big.emplace_back("element " + std::to_string(i));
        expected += (i ? ",\"element " : "\"element ") + std::to_string(i) + "\"";
    }
    expected += "]";
    EXPECT_EQ(rendered([&](context& c) { c.json(200, big); }), expected);
    std::string out = "kept ";
    detail::append_json(out, boost::json::string(100'000, 'x'));
    EXPECT_EQ(out, "kept \"" + std::string(100'000, 'x') + "\"");
}

TEST(Json, ReplacesBytesThatAreNotUtf8) {
    const auto render = [](std::string_view s) {
        std::string out;
        detail::append_json(out, boost::json::string_view{s});
        return out;
    };
    EXPECT_EQ(render("gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x8D\xB8"),
              "\"gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x8D\xB8\"");
    const std::string bad = "\xEF\xBF\xBD";
    EXPECT_EQ(render("a\xFFz"), "\"a" + bad + "z\"");
    EXPECT_EQ(render("\xC3"), "\"" + bad + "\"");
    EXPECT_EQ(render("\xC0\xAF"), "\"" + bad + bad + "\"");
    EXPECT_EQ(render("\xED\xA0\x80"), "\"" + bad + bad + bad + "\"");
    EXPECT_EQ(render("\xF4\x90\x80\x80!\xE2\x82\xAC"), "\"" + bad + bad + bad + bad + "!\xE2\x82\xAC\"");
    EXPECT_EQ(render("\xE2\x82"), "\"" + bad + bad + "\"");
}

// --- binding ---

template <class T>
std::expected<T, bind_error> bound(std::string_view body, std::string_view type = "application/json",
                                   std::optional<http::body_error> failure = {}) {
    std::expected<T, bind_error> out;
    router app;
    app.post("/", [&](context& c) -> task<> { out = co_await c.bind_json<T>(); });
    fake_exchange x{method::post, "/", {{"Content-Type", type}}};
    x.body = body;
    x.failure = failure;
    serve(app, x);
    return out;
}
template <class T>
std::string error_of(std::string_view body) {
    const auto r = bound<T>(body);
    return r ? "none" : std::to_string(r.error().status) + " " + r.error().path + " " + r.error().message;
}

TEST(BindJson, FillsDescribedStructs) {
    const auto p = bound<person>(R"({"age": 36, "other": [1], "name": "ada"})");
    ASSERT_TRUE(p.has_value());
    EXPECT_EQ(p->name, "ada");
    EXPECT_EQ(p->age, 36);
    EXPECT_FALSE(p->email.has_value());

    const auto o =
        bound<order>(R"({"name":"eve","age":2.0e1,"email":null,"friends":[{"name":"b","age":0,"email":"e"}],
                                   "prices":{"tea":2,"gin":7.5},"paint":"green","paid":true} )");
    ASSERT_TRUE(o.has_value()) << o.error().message;
    EXPECT_EQ(o->age, 20);
    EXPECT_EQ(o->friends.at(0).email, "e");
    EXPECT_EQ(o->prices, (std::map<std::string, double>{{"tea", 2}, {"gin", 7.5}}));
    EXPECT_EQ(o->paint, colour::green);
    EXPECT_TRUE(o->paid);
}

TEST(BindJson, FillsScalarsContainersAndValues) {
    EXPECT_EQ(bound<int>(" -5\n").value(), -5);
    EXPECT_EQ(bound<std::int64_t>("-9223372036854775808").value(), INT64_MIN);
    EXPECT_EQ(bound<std::uint64_t>("18446744073709551615").value(), UINT64_MAX);
    EXPECT_EQ(bound<float>("2").value(), 2.0f);
    EXPECT_EQ((bound<std::deque<std::vector<int>>>("[]").value().size()), 0u);
    EXPECT_EQ((bound<std::vector<std::optional<int>>>("[1,null]").value()),
              (std::vector<std::optional<int>>{1, std::nullopt}));
    boost::json::value v;
    v = bound<boost::json::value>(R"({"a":["long enough to be stored on its own, one would think"]})")
            .value();
    EXPECT_EQ(v.at("a").at(0).as_string(), "long enough to be stored on its own, one would think");
}

TEST(BindJson, NamesThePlaceThatDoesNotFit) {
    EXPECT_EQ(error_of<person>("[]"), "422 $ must be an object");
    EXPECT_EQ(error_of<person>(R"({"age":1})"), "422 $.name is required");
    EXPECT_EQ(error_of<person>(R"({"name":null,"age":1})"), "422 $.name must be a string");
    EXPECT_EQ(error_of<person>(R"({"name":"a","age":256})"), "422 $.age must be an integer from 0 to 255");
    EXPECT_EQ(error_of<person>(R"({"name":"a","age":-1})"), "422 $.age must be an integer from 0 to 255");
    EXPECT_EQ(error_of<person>(R"({"name":"a","age":1.5})"), "422 $.age must be an integer from 0 to 255");
    EXPECT_EQ(error_of<person>(R"({"name":"a","age":"1"})"), "422 $.age must be an integer from 0 to 255");
    EXPECT_EQ(error_of<person>(R"({"name":"a","age":1,"email":2})"), "422 $.email must be a string");
    EXPECT_EQ(error_of<std::int64_t>("9223372036854775808"),
              "422 $ must be an integer from -9223372036854775808 to 9223372036854775807");
    EXPECT_EQ(error_of<std::int64_t>("1e300"),
              "422 $ must be an integer from -9223372036854775808 to 9223372036854775807");
    EXPECT_EQ(error_of<float>("1e300"), "422 $ is too large a number");
    EXPECT_EQ(error_of<bool>("1"), "422 $ must be true or false");
    for (const char* other : {R"("blue")", R"("re")", R"("redd")", R"("Red")", R"("")", R"("red\u0000")",
                              R"("red\u0000green")", "1", "null"})
        EXPECT_EQ(error_of<colour>(other), "422 $ must be one of red, green") << other;
    const std::string start = R"({"name":"a","age":1,"friends":)";
    EXPECT_EQ(error_of<order>(start + R"([{"name":"b","age":1},{"name":"c"}]})"),
              "422 $.friends[1].age is required");
    EXPECT_EQ(error_of<order>(start + R"([],"prices":{"dry \"gin\"":"x"}})"),
              R"(422 $.prices["dry \"gin\""] must be a number)");
    EXPECT_EQ(error_of<order>(start + R"([],"prices":{},"paint":"blue"})"),
              "422 $.paint must be one of red, green");
}

TEST(BindJson, RefusesWhatIsNotJson) {
    EXPECT_EQ(error_of<int>(""), "400  the body is empty; JSON is expected");
    for (const char* text :
         {"{", "[1,]", "{'a':1}", "nul", "1 2", "\"\xFF\"", "// no\n1", "{\"a\":1}x", "01", "NaN"}) {
        const auto r = bound<boost::json::value>(text);
        ASSERT_FALSE(r.has_value()) << text;
        EXPECT_EQ(r.error().status, 400) << text;
        EXPECT_NE(r.error().message.find("at byte "), std::string::npos) << r.error().message;
    }
    EXPECT_EQ(bound<boost::json::value>(std::string(5000 / 10, '[')).error().status, 400);
}

TEST(BindJson, WantsAJsonContentType) {
    for (const char* type : {"application/json", "Application/JSON; charset=utf-8",
                             "application/problem+json", "application/vnd.api+json ; v=1"})
        EXPECT_TRUE(bound<int>("1", type).has_value()) << type;
    for (const char* type : {"", "text/plain", "application/x-www-form-urlencoded", "application/jsonx",
                             "+json", "application/json+xml", "text/plain; application/json"})
        EXPECT_EQ(bound<int>("1", type).error().status, 415) << type;
}

TEST(BindJson, TranslatesABodyThatCannotBeRead) {
    EXPECT_EQ(bound<int>(std::string(2000, ' ') + "1").error().status, 413);
    EXPECT_EQ(bound<int>("1", "application/json", http::body_error::timeout).error().status, 408);
    EXPECT_EQ(bound<int>("1", "application/json", http::body_error::malformed).error().status, 400);
    EXPECT_EQ(bound<int>("1", "application/json", http::body_error::disconnected).error().status, 400);
}

} // namespace
} // namespace genever::web
