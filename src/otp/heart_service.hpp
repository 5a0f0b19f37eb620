// One service process of a heart: how it is started, and what is known of it.
#pragma once

#include "heart_policy.hpp"
#include "heart_settings.hpp"

#include <genever/base/clock.hpp>
#include <genever/base/log.hpp>
#include <genever/otp/heart_options.hpp>

#include <csignal>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace genever::detail {

time_point steady_now() noexcept;

/// A line of the heart's in the log. The log's own thread must not be: a heart forks.
void say(log::level l, const std::string& text);

/// A file that is kept open, so that it can be executed when another has taken its name.
class program_file {
public:
    program_file() noexcept = default;
    explicit program_file(const char* path) noexcept : fd_(::open(path, O_PATH | O_CLOEXEC)) {}
    program_file(program_file&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
    program_file& operator=(program_file&& o) noexcept {
        std::swap(fd_, o.fd_);
        return *this;
    }
    ~program_file() {
        if (fd_ >= 0) ::close(fd_);
    }
    int fd() const noexcept { return fd_; }

private:
    int fd_ = -1;
};

enum class role { current, candidate, retiring };

/// One service process.
struct service {
    int number = 0;
    role part{};
    pid_t id = 0;
    int socket = -1;
    hang_watch start_watch;
    std::optional<hang_watch> watch{}; // from the first beat to the end of the tree
    std::optional<hang_watch> end_watch{};
    std::optional<time_point> up_since{};
    bool told_to_kill = false;
    bool silent = false; // it has closed its end

    service(const heart_options& o, time_point now) : start_watch(o.start_timeout, now) {}
    service(const service&) = delete;
    service& operator=(const service&) = delete;
    ~service() { ::close(socket); }
    std::string name() const { return "service " + std::to_string(id); }
};

/// Starts services: the program of a heart's orders, with the heart's own arguments and environment.
class launcher {
public:
    /// `orders` must outlive it.
    explicit launcher(const heart_orders& orders);
    /// The mask of signals that a service begins with.
    void signals_of_services(const sigset_t& mask) noexcept { signals_ = mask; }
    /// Null: the system refuses it, and errno says why.
    std::unique_ptr<service> start(role part, const program_file& program, int number);

private:
    [[noreturn]] void become_service(const program_file& program, bool held, int socket);

    const heart_orders& orders_;
    std::vector<std::string> arguments_;
    std::vector<std::string> environment_;
    sigset_t signals_{};
};

/// How a process has ended, by the status of its wait: "was ended by SIGABRT".
std::string what_ended(int status);
/// As a shell has it: 128 + the signal's number.
int exit_code(int status) noexcept;

} // namespace genever::detail
