#include <genever/http/method.hpp>

#include <gtest/gtest.h>

#include <cstddef>
#include <set>

namespace genever::http {
namespace {

TEST(Method, HasTheTokenThatStandsOnTheWire) {
    EXPECT_EQ(to_string(method::get), "GET");
    EXPECT_EQ(to_string(method::head), "HEAD");
    EXPECT_EQ(to_string(method::post), "POST");
    EXPECT_EQ(to_string(method::put), "PUT");
    EXPECT_EQ(to_string(method::delete_), "DELETE");
    EXPECT_EQ(to_string(method::connect), "CONNECT");
    EXPECT_EQ(to_string(method::options), "OPTIONS");
    EXPECT_EQ(to_string(method::trace), "TRACE");
    EXPECT_EQ(to_string(method::patch), "PATCH");
}

TEST(Method, HasADifferentTokenForEach) {
    std::set<std::string_view> tokens;
    for (std::size_t i = 0; i < method_count; ++i) tokens.insert(to_string(static_cast<method>(i)));
    EXPECT_EQ(tokens.size(), method_count);
    EXPECT_FALSE(tokens.contains(""));
}

} // namespace
} // namespace genever::http
