#include <genever/http/log_text.hpp>

#include <gtest/gtest.h>

#include <string>

using genever::http::append_log_text;

TEST(LogText, LetsThroughVisibleAsciiAloneAndNoBackslash) {
    std::string all;
    for (int c = 0; c < 256; ++c) {
        std::string out;
        const char byte = static_cast<char>(c);
        append_log_text(out, {&byte, 1});
        if (c > ' ' && c < 0x7f && c != '\\')
            EXPECT_EQ(out, std::string(1, byte));
        else
            EXPECT_EQ(out.size(), 4U) << c;
        all += out;
    }
    EXPECT_EQ(all.find_first_of(std::string{"\r\n\t \0\x1b", 6}), std::string::npos);
}

TEST(LogText, KeepsInputsApart) {
    std::string control = "to ";
    std::string typed = "to ";
    append_log_text(control, "a\nb");
    append_log_text(typed, "a\\x0ab");
    EXPECT_EQ(control, "to a\\x0ab");
    EXPECT_EQ(typed, "to a\\x5cx0ab");
}
