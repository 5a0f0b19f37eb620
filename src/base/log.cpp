#include <genever/base/log.hpp>

#include <genever/base/json_text.hpp>

#include <spdlog/async.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <memory>
#include <mutex>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <thread>
#include <unistd.h>

namespace genever::log {

namespace {

constexpr std::size_t queue_length = 8192;

level level_from_environment() noexcept {
    const char* text = std::getenv("GENEVER_LOG");
    const std::string_view s = text ? text : "";
    if (s == "debug") return level::debug;
    if (s == "warning") return level::warning;
    if (s == "error") return level::error;
    if (s == "off") return level::off;
    return level::info;
}

std::atomic<level>& threshold() noexcept {
    static std::atomic<level> l{level_from_environment()};
    return l;
}

spdlog::level::level_enum translate(level l) noexcept {
    switch (l) {
    case level::debug: return spdlog::level::debug;
    case level::info: return spdlog::level::info;
    case level::warning: return spdlog::level::warn;
    case level::error: return spdlog::level::err;
    case level::off: break;
    }
    return spdlog::level::off;
}

bool json_wanted() noexcept {
    const char* text = std::getenv("GENEVER_LOG_FORMAT");
    const std::string_view s = text ? text : "";
    if (s == "json") return true;
    if (s == "text") return false;
    return isatty(STDERR_FILENO) == 0;
}

struct standard_error {
    const bool json = json_wanted();
    std::shared_ptr<spdlog::details::thread_pool> pool =
        std::make_shared<spdlog::details::thread_pool>(queue_length, 1);
    std::shared_ptr<spdlog::async_logger> logger =
        std::make_shared<spdlog::async_logger>("genever", std::make_shared<spdlog::sinks::stderr_sink_mt>(),
                                               pool, spdlog::async_overflow_policy::overrun_oldest);
    standard_error() {
        logger->set_level(spdlog::level::trace);
        logger->set_pattern(json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%fZ","level":"%l",%v})"
                                 : "%Y-%m-%dT%H:%M:%S.%fZ %l %v",
                            spdlog::pattern_time_type::utc);
        logger->flush_on(spdlog::level::warn);
    }
    // Its thread first, which writes what is queued: it uses the logger.
    ~standard_error() { pool.reset(); }
};

standard_error& standard() {
    static standard_error s;
    return s;
}

std::string json_entry(std::string_view text, std::string_view members) {
    std::string s = "\"message\":";
    append_json_string(s, text);
    if (!members.empty()) (s += ',') += members;
    return s;
}

std::atomic<std::size_t> reported_lost{0};

std::shared_ptr<const std::function<void(level, std::string_view)>> sink;

} // namespace

void write(level l, std::string_view text, std::string_view json_members) noexcept {
    if (!enabled(l)) return;
    try {
        if (auto to = std::atomic_load(&sink))
            (*to)(l, text);
        else if (auto& s = standard(); s.json)
            s.logger->log(translate(l), "{}", json_entry(text, json_members));
        else
            s.logger->log(translate(l), "{}", text);
    } catch (...) {
        // No memory for an entry, or a sink that throws: the entry is lost, the caller goes on.
    }
}

namespace {

std::string unqueued_line(level l, std::string_view text) {
    timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    tm parts;
    gmtime_r(&t.tv_sec, &parts);
    char when[64];
    std::size_t n = std::strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &parts);
    n += static_cast<std::size_t>(std::snprintf(when + n, sizeof when - n, ".%06ldZ", t.tv_nsec / 1000));
    const std::string_view time{when, n};
    const std::string_view name = l == level::debug     ? "debug"
                                  : l == level::info    ? "info"
                                  : l == level::warning ? "warning"
                                                        : "error";
    std::string line;
    if (json_wanted())
        ((((line += "{\"time\":\"") += time) += "\",\"level\":\"") += name) +=
            "\"," + json_entry(text, {}) + "}\n";
    else
        ((((line += time) += ' ') += name) += ' ') += std::string{text} + '\n';
    return line;
}

/// How much of `text` standard error takes without making anybody wait. O_NONBLOCK would be everybody's who has it from the
/// same parent. So it is opened once more, where it is something that can be; a socket has a flag for each message; and a
/// file does not make anybody wait.
std::size_t write_what_is_taken(std::string_view text) noexcept {
    struct stat is;
    if (::fstat(STDERR_FILENO, &is) != 0) return 0;
    const auto taken = [](ssize_t n) { return n > 0 ? static_cast<std::size_t>(n) : 0; };
    if (S_ISSOCK(is.st_mode))
        return taken(::send(STDERR_FILENO, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
    if (!S_ISFIFO(is.st_mode) && !S_ISCHR(is.st_mode))
        return taken(::write(STDERR_FILENO, text.data(), text.size()));
    const int again = ::open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (again >= 0) {
        const std::size_t n = taken(::write(again, text.data(), text.size()));
        ::close(again);
        return n;
    }
    // No /proc, no descriptor to be had, or the terminal is another user's. For a pipe there is a flag for each write since
    // Linux 6.5.
    if (S_ISFIFO(is.st_mode)) {
        iovec all{const_cast<char*>(text.data()), text.size()};
        const ssize_t n = ::pwritev2(STDERR_FILENO, &all, 1, -1, RWF_NOWAIT);
        if (n >= 0 || errno == EAGAIN) return taken(n); // else it is not to be had here
    }
    // A pipe that can be written to has room for PIPE_BUF, unless somebody else is quicker: then this waits for the reader.
    pollfd room{STDERR_FILENO, POLLOUT, 0};
    if (::poll(&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0) return 0;
    return taken(::write(STDERR_FILENO, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF)));
}

/// Entries are taken whole or not at all, unless they are longer than PIPE_BUF or go to a socket. The rest of one that was taken
/// in part goes before everything else.
class unqueued_entries {
public:
    void write(level l, std::string_view text) {
        std::lock_guard g{lock_};
        try {
            bool out = rest_is_out() && is_taken(lost_entries());
            if (out) lost_ = 0;
            out = out && rest_is_out() && is_taken(unqueued_line(l, text));
            if (!out) ++lost_;
        } catch (...) {
            ++lost_; // no memory
        }
    }

private:
    std::string lost_entries() const {
        if (lost_ == 0) return {};
        return unqueued_line(level::warning,
                             std::to_string(lost_) + " entries were lost: standard error did not take them");
    }
    bool is_taken(std::string line) {
        const std::size_t n = line.empty() ? 0 : write_what_is_taken(line);
        if (n == 0) return line.empty();
        rest_ = std::move(line);
        rest_.erase(0, n);
        return true;
    }
    bool rest_is_out() noexcept {
        if (!rest_.empty()) rest_.erase(0, write_what_is_taken(rest_));
        return rest_.empty();
    }

    std::mutex lock_;
    std::string rest_;
    unsigned lost_ = 0;
};

} // namespace

void write_unqueued(level l, std::string_view text) noexcept {
    if (!enabled(l)) return;
    static unqueued_entries entries;
    entries.write(l, text);
}

void set_level(level l) noexcept { threshold().store(l, std::memory_order_relaxed); }

bool enabled(level l) noexcept { return l != level::off && l >= threshold().load(std::memory_order_relaxed); }

void set_sink(std::function<void(level, std::string_view)> to) {
    std::atomic_store(&sink,
                      to ? std::make_shared<const std::function<void(level, std::string_view)>>(std::move(to))
                         : nullptr);
}

void flush() noexcept {
    try {
        auto& s = standard();
        if (const std::size_t lost = s.pool->overrun_counter(); lost > reported_lost) {
            const std::string text = std::to_string(lost - reported_lost) +
                                     " log entries were dropped: they came faster than they could be written";
            s.logger->log(spdlog::level::warn, "{}", s.json ? json_entry(text, {}) : text);
            reported_lost = lost;
        }
        s.logger->flush();
        // One entry may still be on its way from the queue to the sink, whose lock the flush below waits for.
        while (s.pool->queue_size() != 0) std::this_thread::sleep_for(std::chrono::milliseconds{1});
        s.logger->sinks().front()->flush();
    } catch (...) {
        // Nothing can be done about a log that cannot be written.
    }
}

} // namespace genever::log
