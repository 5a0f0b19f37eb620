#include <genever/base/json_text.hpp>

#include <gtest/gtest.h>

#include <string>

namespace {
std::string json(std::string_view s) {
    std::string out;
    genever::append_json_string(out, s);
    return out;
}
} // namespace

TEST(JsonText, EscapesWhatJsonDemands) {
    EXPECT_EQ(json(""), R"("")");
    EXPECT_EQ(json(R"(a"b\c)"), R"("a\"b\\c")");
    EXPECT_EQ(json("two\nlines\tand\r"), R"("two\nlines\tand\u000d")");
    EXPECT_EQ(json(std::string_view{"\0\x1f\x7f", 3}), R"("\u0000\u001f\u007f")");
}

TEST(JsonText, KeepsUtf8AndReplacesWhatIsNone) {
    EXPECT_EQ(json("grüße €𝄞"), "\"grüße €𝄞\"");
    const std::string bad = "\xEF\xBF\xBD";
    EXPECT_EQ(json("a\xff"
                   "b"),
              "\"a" + bad + "b\"");
    EXPECT_EQ(json("\xc0\xaf"), "\"" + bad + bad + "\"") << "an overlong slash";
    EXPECT_EQ(json("\xed\xa0\x80"), "\"" + bad + bad + bad + "\"") << "a surrogate";
    EXPECT_EQ(json("\xf4\x90\x80\x80"), "\"" + bad + bad + bad + bad + "\"") << "beyond U+10FFFF";
    EXPECT_EQ(json("\xe2\x82"), "\"" + bad + bad + "\"") << "cut off";
}
