#include <genever/base/log.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

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
    const bool in_part = all.back() != '\n'; // the last one: its rest comes later
    const long lost = 5000 - written - (in_part ? 1 : 0);
    const auto says = [&](long k) {
        return std::string_view{last, static_cast<std::size_t>(n)}.find(
                   ' ' + std::to_string(k) + " entries were lost") != std::string_view::npos;
    };
    std::_Exit(n > 0 && says(lost) ? 0 : 1);
}

/// What is in a pipe.
std::string drain(int pipe) {
    std::string all;
    char piece[65536];
    for (ssize_t n; (n = read(pipe, piece, sizeof piece)) > 0;)
        all.append(piece, static_cast<std::size_t>(n));
    return all;
}

/// A pipe that is standard error from now on; its other end, which does not wait.
int read_standard_error() {
    alarm(60); // ends who waits
    setenv("GENEVER_LOG", "info", 1);
    setenv("GENEVER_LOG_FORMAT", "text", 1);
    int ends[2];
    if (pipe(ends) != 0) std::_Exit(1);
    dup2(ends[1], STDERR_FILENO);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    return ends[0];
}

/// Entries of which a pipe takes some in part only; exits with 1 where a line is not whole.
void write_long_entries() {
    const int out = read_standard_error();
    const std::string text(10'000, 'x');
    std::string all;
    long written = 0;
    for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < 10; ++i) log::write_unqueued(log::level::info, text);
        all += drain(out);
    }
    log::write_unqueued(log::level::info, "the last one");
    all += drain(out);
    long lost = 0;
    std::size_t from = 0;
    for (std::size_t to; (to = all.find('\n', from)) != std::string::npos; from = to + 1) {
        const std::string line = all.substr(from, to - from);
        const std::size_t body = line.find(' ', line.find(' ') + 1) + 1;
        if (line.find("entries were lost") != std::string::npos)
            lost += std::stol(line.substr(body));
        else if (line.substr(body) == text || line.substr(body) == "the last one")
            ++written;
        else
            std::_Exit(1);
    }
    std::_Exit(from == all.size() && lost > 0 && written + lost == 201 ? 0 : 1);
}

/// Whether the system has a flag for a single write to a pipe that does not wait.
bool a_write_need_not_wait() {
    int ends[2];
    if (pipe(ends) != 0) return false;
    iovec one{const_cast<char*>("x"), 1};
    const bool taken = pwritev2(ends[1], &one, 1, -1, RWF_NOWAIT) == 1;
    close(ends[0]);
    close(ends[1]);
    return taken;
}

/// Two who are after the last room in a pipe, and cannot open it once more. Who waited there would wait for ever.
void race_for_the_last_room() {
    const int out = read_standard_error();
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &files);
    const std::string text(3000, 'x');
    for (int round = 0; round < 500; ++round) {
        std::vector<pid_t> writers;
        for (int w = 0; w < 2; ++w) {
            writers.push_back(fork());
            if (writers.back() == 0) {
                alarm(60);
                for (int i = 0; i < 30; ++i) log::write_unqueued(log::level::info, text);
                _exit(0);
            }
        }
        for (const pid_t w : writers) waitpid(w, nullptr, 0);
        if (drain(out).empty()) std::_Exit(1);
    }
    std::_Exit(0);
}

} // namespace

TEST(LogDeathTest, UnqueuedEntriesAreWholeLines) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(write_long_entries(), testing::ExitedWithCode(0), "");
}

TEST(LogDeathTest, UnqueuedEntriesDoNotWaitForAReaderWhereSomebodyElseIsQuicker) {
    if (!a_write_need_not_wait()) GTEST_SKIP() << "not before Linux 6.5";
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(race_for_the_last_room(), testing::ExitedWithCode(0), "");
}

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
