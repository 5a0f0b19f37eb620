#include <genever/http/response.hpp>

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace genever::http {
namespace {

using namespace std::string_view_literals;

TEST(Response, SetsAFieldInPlaceOfAllThatHaveItsName) {
    response r;
    r.add("X", "1");
    r.add("Y", "2");
    r.add("x", "3");
    r.set("X", "4");
    EXPECT_EQ(r.field_lines(), "Y: 2\r\nX: 4\r\n");
}

TEST(Response, AddsAFieldBesideThoseOfItsName) {
    response r;
    r.add("Set-Cookie", "a=1");
    r.add("Set-Cookie", "b=2");
    EXPECT_EQ(r.field_lines(), "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n");
    EXPECT_EQ(r.header("set-cookie"), "a=1");
}

TEST(Response, RemovesAllFieldsOfAName) {
    response r;
    r.add("A", "1");
    r.add("B", "2");
    r.add("a", "3");
    r.remove("A");
    EXPECT_EQ(r.field_lines(), "B: 2\r\n");
    r.remove("none");
    r.remove("b");
    EXPECT_EQ(r.field_lines(), "");
}

TEST(Response, KeepsEmptyValuesAndColonsInValues) {
    response r;
    r.set("Empty", "");
    r.set("Location", "http://a:80/");
    EXPECT_EQ(r.header("Empty"), "");
    EXPECT_EQ(r.header("Location"), "http://a:80/");
    EXPECT_EQ(r.field_lines(), "Empty: \r\nLocation: http://a:80/\r\n");
}

TEST(Response, RefusesWhatWouldLetAValueWriteFieldsOfItsOwn) {
    response r;
    EXPECT_THROW(r.set("X", "a\r\nSet-Cookie: b"), std::invalid_argument);
    EXPECT_THROW(r.add("X", "a\nb"), std::invalid_argument);
    EXPECT_THROW(r.add("X", "a\rb"), std::invalid_argument);
    EXPECT_THROW(r.add("X", "a\0b"sv), std::invalid_argument);
    EXPECT_THROW(r.set("", "a"), std::invalid_argument);
    EXPECT_THROW(r.set("X Y", "a"), std::invalid_argument);
    EXPECT_THROW(r.set("X:", "a"), std::invalid_argument);
    EXPECT_THROW(r.set("X\r\n", "a"), std::invalid_argument);
    EXPECT_EQ(r.field_lines(), "");
}

TEST(Response, IgnoresTheFieldsThatTheServerWrites) {
    response r;
    for (std::string_view name : {"Content-Length", "transfer-encoding", "CONNECTION", "Date"}) {
        r.set(name, "1");
        r.add(name, "1");
    }
    EXPECT_EQ(r.field_lines(), "");
    r.set("Content-Type", "text/plain");
    EXPECT_EQ(r.field_lines(), "Content-Type: text/plain\r\n");
}

TEST(Response, TakesAValueThatIsAViewIntoItsOwnFields) {
    response r;
    r.set("A", std::string(100, 'a'));
    for (int i = 0; i < 8; ++i) r.add("B", r.header("A")); // grows, and so moves, what the view shows
    r.set("A", r.header("B"));
    EXPECT_EQ(r.header("A"), std::string(100, 'a'));
    r.set("A", r.header("A").substr(0, 3));
    EXPECT_EQ(r.header("A"), "aaa");
    r.remove("B");
    EXPECT_EQ(r.field_lines(), "A: aaa\r\n");
}

TEST(Response, KeepsItsMemoryWhenCleared) {
    response r;
    r.status = 404;
    r.close = true;
    r.body.assign(1000, 'x');
    r.set("X", std::string(1000, 'x'));
    const char* const body = r.body.data();
    const char* const lines = r.field_lines().data();
    r.clear();
    EXPECT_EQ(r.status, 200);
    EXPECT_FALSE(r.close);
    EXPECT_EQ(r.body, "");
    EXPECT_EQ(r.field_lines(), "");
    r.body.assign(1000, 'y');
    r.set("X", std::string(1000, 'y'));
    EXPECT_EQ(r.body.data(), body);
    EXPECT_EQ(r.field_lines().data(), lines);
}

TEST(Response, KnowsTheReasonPhrases) {
    EXPECT_EQ(reason_phrase(200), "OK");
    EXPECT_EQ(reason_phrase(413), "Content Too Large");
    EXPECT_EQ(reason_phrase(429), "Too Many Requests");
    EXPECT_EQ(reason_phrase(505), "HTTP Version Not Supported");
    EXPECT_EQ(reason_phrase(299), "Unknown");
    EXPECT_EQ(reason_phrase(-1), "Unknown");
}

} // namespace
} // namespace genever::http
