// `run` as a whole program: signals, exit codes, what it says.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

extern char** environ;

namespace {

/// The test program, running.
class program {
public:
    explicit program(const std::string& how, const char* workers = "2") {
        int out[2];
        int err[2];
        if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) std::abort();
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, out[1], 1);
        posix_spawn_file_actions_adddup2(&actions, err[1], 2);
        std::string path = GENEVER_OTP_RUN_PROGRAM;
        std::string argument = how;
        char* argv[] = {path.data(), argument.data(), nullptr};
        setenv("GENEVER_WORKERS", workers, 1);
        unsetenv("GENEVER_LOG");
        EXPECT_EQ(posix_spawn(&id_, path.c_str(), &actions, nullptr, argv, environ), 0);
        posix_spawn_file_actions_destroy(&actions);
        close(out[1]);
        close(err[1]);
        out_ = fdopen(out[0], "r");
        err_ = err[0];
    }
    ~program() {
        std::fclose(out_);
        close(err_);
    }
    program(const program&) = delete;
    program& operator=(const program&) = delete;

    /// The next line of its output; empty at the end.
    std::string line() {
        char text[256];
        if (!std::fgets(text, sizeof text, out_)) return {};
        std::string s = text;
        if (!s.empty() && s.back() == '\n') s.pop_back();
        return s;
    }
    void signal(int number) { kill(id_, number); }
    /// Waits for its end. Its exit code; 1000 and more: ended by that signal.
    int wait() {
        char text[4096];
        for (ssize_t n; (n = read(err_, text, sizeof text)) > 0;)
            errors_.append(text, static_cast<std::size_t>(n));
        int status = 0;
        waitpid(id_, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    }
    const std::string& errors() const { return errors_; }

private:
    pid_t id_ = 0;
    std::FILE* out_ = nullptr;
    int err_ = -1;
    std::string errors_;
};

bool contains(const std::string& s, const char* part) { return s.find(part) != std::string::npos; }

} // namespace

TEST(Run, ShutsTheTreeDownInOrderOnASignalAndReturnsZero) {
    for (int number : {SIGTERM, SIGINT}) {
        program p{"orderly"};
        EXPECT_EQ(p.line(), "up root w");
        p.signal(number);
        EXPECT_EQ(p.line(), "terminate shutdown");
        EXPECT_EQ(p.wait(), 0) << p.errors();
        EXPECT_TRUE(contains(p.errors(), number == SIGTERM ? "SIGTERM: stopping" : "SIGINT: stopping"))
            << p.errors();
    }
}

TEST(Run, KillsEverythingOnASigintWhileItStopsAndOnNothingLess) {
    program p{"endless"};
    EXPECT_EQ(p.line(), "up root w");
    p.signal(SIGTERM);
    EXPECT_EQ(p.line(), "terminate shutdown");
    p.signal(SIGTERM);
    p.signal(SIGINT);
    EXPECT_EQ(p.wait(), 128 + SIGINT) << p.errors();
}

TEST(Run, ReturnsOneWhenTheTopSupervisorGivesUp) {
    program p{"give-up"};
    EXPECT_EQ(p.line(), "up root w");
    EXPECT_EQ(p.line(), "terminate error std::runtime_error: crash");
    EXPECT_EQ(p.wait(), 1);
    EXPECT_TRUE(
        contains(p.errors(), "the top supervisor has ended: shutdown: reached maximum restart intensity"))
        << p.errors();
    EXPECT_TRUE(contains(p.errors(), "supervisor root: child w")) << p.errors();
}

TEST(Run, ReturnsZeroWhenTheTopSupervisorGivesUpAfterASignal) {
    program p{"give-up-late"};
    EXPECT_EQ(p.line(), "up root w");
    p.signal(SIGTERM);
    EXPECT_EQ(p.line(), "terminate error std::runtime_error: crash");
    EXPECT_EQ(p.wait(), 0) << p.errors();
    EXPECT_TRUE(contains(p.errors(), "giving up")) << p.errors();
}

TEST(Run, ReturnsOneWhenTheTreeDoesNotStart) {
    program p{"refuse"};
    EXPECT_EQ(p.line(), "");
    EXPECT_EQ(p.wait(), 1);
    EXPECT_TRUE(
        contains(p.errors(), "the supervision tree did not start: shutdown: child w could not be started"))
        << p.errors();
}

TEST(Run, ReturnsOneAndStopsTheTreeWhenTheHookThrows) {
    program p{"bad-hook"};
    EXPECT_EQ(p.line(), "terminate shutdown");
    EXPECT_EQ(p.wait(), 1);
    EXPECT_TRUE(contains(p.errors(), "hook")) << p.errors();
}

TEST(Run, RefusesANonsensicalNumberOfWorkers) {
    for (const char* nonsense : {"0", "-1", "many", "65", "2x"}) {
        program p{"orderly", nonsense};
        EXPECT_EQ(p.wait(), 1);
        EXPECT_TRUE(contains(p.errors(), "must be a whole number from 1 to 64")) << p.errors();
    }
}

TEST(Run, RefusesAHeartOfAnotherVersion) {
    setenv("GENEVER_HEART_SERVICE", "999 1 3 0 0", 1);
    program p{"orderly"};
    unsetenv("GENEVER_HEART_SERVICE");
    EXPECT_EQ(p.wait(), 1);
    EXPECT_TRUE(contains(p.errors(), "of another version")) << p.errors();
}

TEST(Run, RefusesNonsensicalSettingsOfTheHeart) {
    setenv("GENEVER_HEART_HANG_MS", "soon", 1);
    program p{"orderly"};
    unsetenv("GENEVER_HEART_HANG_MS");
    EXPECT_EQ(p.wait(), 1);
    EXPECT_TRUE(contains(p.errors(), "GENEVER_HEART_HANG_MS=soon: must be a whole number")) << p.errors();
}

TEST(Run, WithAHeartPassesOnHowTheTreeEnds) {
    setenv("GENEVER_HEART", "1", 1);
    program orderly{"orderly"};
    program refused{"refuse"};
    unsetenv("GENEVER_HEART");
    EXPECT_EQ(orderly.line(), "up root w");
    orderly.signal(SIGTERM);
    EXPECT_EQ(orderly.line(), "terminate shutdown");
    EXPECT_EQ(orderly.wait(), 0) << orderly.errors();
    EXPECT_EQ(refused.wait(), 1);
    EXPECT_TRUE(contains(refused.errors(), "exited with code 1 before it was up")) << refused.errors();
}

TEST(Run, WithAHeartStartsATreeThatGaveUpAgain) {
    setenv("GENEVER_HEART", "1", 1);
    setenv("GENEVER_HEART_GIVE_UP", "2", 1);
    setenv("GENEVER_HEART_QUICK_MS", "60000", 1);
    setenv("GENEVER_HEART_BACKOFF_MS", "1", 1);
    program p{"give-up"};
    for (const char* name :
         {"GENEVER_HEART", "GENEVER_HEART_GIVE_UP", "GENEVER_HEART_QUICK_MS", "GENEVER_HEART_BACKOFF_MS"})
        unsetenv(name);
    for (int start = 0; start < 3; ++start) {
        EXPECT_EQ(p.line(), "up root w");
        EXPECT_EQ(p.line(), "terminate error std::runtime_error: crash");
    }
    EXPECT_EQ(p.wait(), 1) << p.errors();
    EXPECT_TRUE(contains(p.errors(), "giving up after 2 restarts")) << p.errors();
}
