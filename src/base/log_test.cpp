#include <genever/base/log.hpp>

#include <gtest/gtest.h>

#include <cstdlib>

namespace log = genever::log;

namespace {

void write_one(const char* format) {
    if (format)
        setenv("GENEVER_LOG_FORMAT", format, 1);
    else
        unsetenv("GENEVER_LOG_FORMAT");
    setenv("GENEVER_LOG", "info", 1);
    log::write(log::level::error, "two\nlines", R"("event":"test","n":1)");
    log::flush();
    std::_Exit(0);
}

} // namespace

// A death test's standard error is no terminal.
TEST(LogDeathTest, IsLinesOfJsonWhereNobodyWatches) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        write_one(nullptr), testing::ExitedWithCode(0),
        R"re(\{"time":"[0-9T:.-]+Z","level":"error","message":"two\\nlines","event":"test","n":1\})re");
}

TEST(LogDeathTest, IsTextWhereThatIsAskedFor) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(write_one("text"), testing::ExitedWithCode(0), "Z error two\nlines");
}
