#include <genever/base/log.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>

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

namespace {

/// Writes past the end of a pipe that nobody reads; exits with 1 where anything is not as it should be.
void write_to_a_full_pipe(bool by_socket) {
    alarm(60); // ends who waits
    setenv("GENEVER_LOG", "info", 1);
    setenv("GENEVER_LOG_FORMAT", "text", 1);
    int ends[2];
    if ((by_socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : pipe(ends)) != 0) std::_Exit(1);
    const int before = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    const std::string text(1000, 'x');
    for (int i = 0; i < 5000; ++i) log::write_unqueued(log::level::info, text);
    if ((fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) != 0) std::_Exit(1); // it is not ours alone
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    std::string all(10'000'000, '\0');
    std::size_t size = 0;
    for (ssize_t n; (n = read(ends[0], all.data() + size, all.size() - size)) > 0;)
        size += static_cast<std::size_t>(n);
    all.resize(size);
    const auto written = std::count(all.begin(), all.end(), '\n');
    if (written == 0 || written >= 5000) std::_Exit(1);
    log::write_unqueued(log::level::info, "there is room again");
    char last[4096];
    const ssize_t n = read(ends[0], last, sizeof last);
    dup2(before, STDERR_FILENO);
    [[maybe_unused]] const auto told = write(STDERR_FILENO, last, n > 0 ? static_cast<std::size_t>(n) : 0);
    // a socket may have taken the last one in part
    const long lost = 5000 - written;
    const auto says = [&](long k) {
        return std::string_view{last, static_cast<std::size_t>(n)}.find(
                   ' ' + std::to_string(k) + " entries were lost") != std::string_view::npos;
    };
    std::_Exit(n > 0 && says(lost) ? 0 : 1);
}

} // namespace

TEST(LogDeathTest, UnqueuedEntriesNeverWaitForAReaderAndTellHowManyAreLost) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    for (const bool by_socket : {false, true})
        EXPECT_EXIT(write_to_a_full_pipe(by_socket), testing::ExitedWithCode(0),
                    "entries were lost: standard error did not take them\n.*there is room again");
}

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
