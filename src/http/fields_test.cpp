#include <genever/http/fields.hpp>

#include <gtest/gtest.h>

namespace genever::http {
namespace {

TEST(Fields, AreFoundInAnyCase) {
    const field fields[] = {{"Host", "a"}, {"X-Id", "1"}, {"x-id", "2"}};
    EXPECT_EQ(find_field(fields, "host"), "a");
    EXPECT_EQ(find_field(fields, "X-ID"), "1");
    EXPECT_EQ(find_field(fields, "X-I"), "");
    EXPECT_EQ(find_field({}, "Host"), "");
}

TEST(Fields, CompareOnlyAsciiLettersWithoutTheirCase) {
    EXPECT_TRUE(iequals("", ""));
    EXPECT_TRUE(iequals("aZ-9", "Az-9"));
    EXPECT_FALSE(iequals("a", "ab"));
    // These pairs differ in the bit that tells upper from lower case, and in nothing else.
    EXPECT_FALSE(iequals("@", "`"));
    EXPECT_FALSE(iequals("[", "{"));
    EXPECT_FALSE(iequals("-", "\r"));
    EXPECT_FALSE(iequals("\xc9", "\xe9"));
}

} // namespace
} // namespace genever::http
