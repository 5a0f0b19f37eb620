#include <genever/otp/run.hpp>

#include "heart.hpp"
#include "heart_message.hpp"
#include "heart_settings.hpp"
#include "overseer.hpp"
#include "supervisor_process.hpp"

#include <genever/base/defer.hpp>
#include <genever/base/log.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/socket_source.hpp>
#include <genever/runtime/time.hpp>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <poll.h>
#include <string_view>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <system_error>
#include <unistd.h>
#include <variant>

namespace genever {

namespace {

std::atomic<bool> stopping{false};
std::atomic<bool> replaced{false};

constexpr unsigned most_workers = 64; // the runtime's limit

/// What a program ends with.
struct outcome {
    bool started = false;
    exit_reason why;
};

class descriptor {
public:
    descriptor(int fd, const char* what) : fd_(fd) {
        if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
    }
    ~descriptor() { close(fd_); }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    int get() const noexcept { return fd_; }

private:
    int fd_;
};

/// Where the keeper process leaves the outcome for the main thread.
class outcome_slot {
public:
    void set(outcome o) {
        {
            std::lock_guard g{lock_};
            outcome_ = std::move(o);
        }
        const std::uint64_t one = 1;
        [[maybe_unused]] auto n =
            write(told_.get(), &one, sizeof one); // cannot fail: the counter starts at 0
    }
    std::optional<outcome> get() {
        std::lock_guard g{lock_};
        return outcome_;
    }
    int fd() const noexcept { return told_.get(); }

private:
    std::mutex lock_;
    std::optional<outcome> outcome_;
    descriptor told_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"};
};

/// SIGTERM and SIGINT as readable events instead of interruptions; back to what was before at the end.
class stop_signals {
public:
    stop_signals() {
        pthread_sigmask(SIG_BLOCK, &set_, &before_);
        std::signal(SIGPIPE, SIG_IGN);
    }
    ~stop_signals() {
        while (take().number != 0) {
        }
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
    stop_signals(const stop_signals&) = delete;
    stop_signals& operator=(const stop_signals&) = delete;

    int fd() const noexcept { return fd_.get(); }
    /// The next one that has come; its number is 0 when there is none.
    struct signal {
        int number = 0;
        bool replaced = false; // it comes from the heart, because of another instance
    };
    signal take() noexcept {
        signalfd_siginfo i;
        if (read(fd_.get(), &i, sizeof i) != sizeof i) return {};
        return {static_cast<int>(i.ssi_signo), i.ssi_signo == SIGTERM && i.ssi_code == SI_QUEUE &&
                                                   i.ssi_int == detail::replaced_mark &&
                                                   i.ssi_pid == static_cast<std::uint32_t>(getppid())};
    }
    /// From now on the next one ends the program by its default action.
    void give_back() noexcept {
        while (take().number != 0) { // those that are pending already must not end it
        }
        pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
    }

private:
    static sigset_t make_set() noexcept {
        sigset_t s;
        sigemptyset(&s);
        sigaddset(&s, SIGTERM);
        sigaddset(&s, SIGINT);
        return s;
    }

    sigset_t set_ = make_set();
    sigset_t before_;
    descriptor fd_{signalfd(-1, &set_, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd"};
};

struct stop_request {};
using event = std::variant<stop_request, exit_signal>;

// ---- what is watched from outside

struct alive {};
struct open_gate {};

/// Tells the overseer that the runtime makes progress: each time a process is started, scheduled, and heard.
task<> beat(std::shared_ptr<detail::overseer> overseer) {
    const duration every = overseer->beat_every();
    for (;;) {
        try {
            spawn([to = self()] { send(to, alive{}); });
            co_await receive([](alive) {});
            overseer->beat();
        } catch (const std::bad_alloc&) {
            // One beat is missed: there may be memory for the next.
        }
        co_await sleep_for(every);
    }
}

/// As long as it lives no connection is accepted.
task<> hold_connections() {
    co_await receive([](open_gate) {});
}

/// For the time of one runtime.
class oversight {
public:
    oversight(runtime& rt, std::shared_ptr<detail::overseer> o) : overseer_(std::move(o)) {
        if (overseer_->holds_connections()) {
            gate_ = rt.spawn(hold_connections);
            set_accept_gate(gate_);
        }
        if (overseer_->beat_every() != infinity) rt.spawn(beat, overseer_);
    }
    ~oversight() { set_accept_gate({}); }
    oversight(const oversight&) = delete;
    oversight& operator=(const oversight&) = delete;

    void ready() noexcept {
        if (gate_) {
            set_accept_gate({});
            send(gate_, open_gate{});
        }
        overseer_->ready();
    }

private:
    std::shared_ptr<detail::overseer> overseer_;
    pid gate_;
};

/// Parent of the top supervisor: only a parent's exit signal stops it in order.
task<> keep(std::shared_ptr<outcome_slot> slot, std::shared_ptr<oversight> watched, supervisor top,
            run_options options) {
    outcome result;
    try {
        trap_exit(true);
        start_result started = co_await start_link(std::move(top), options.name);
        if (!started) {
            result.why = started.error();
            slot->set(std::move(result));
            co_return;
        }
        result.started = true;
        std::optional<exit_reason> failed;
        if (options.on_started) {
            try {
                co_await options.on_started(*started);
            } catch (...) {
                failed = exit_reason::from_exception(std::current_exception());
                exit(*started, exit_kind::shutdown);
            }
        }
        if (!failed) watched->ready();
        for (;;) {
            event e = co_await receive([](stop_request r) { return event{r}; },
                                       [](exit_signal s) { return event{std::move(s)}; });
            auto* s = std::get_if<exit_signal>(&e);
            if (!s) {
                exit(*started, exit_kind::shutdown);
            } else if (s->from == *started) {
                result.why = failed ? *failed : s->reason;
                break;
            }
        }
    } catch (...) {
        result.why = exit_reason::from_exception(std::current_exception());
    }
    slot->set(std::move(result));
}

/// The number in GENEVER_WORKERS; 0: not set. False: nonsense, and the log says so.
bool workers_from_environment(unsigned& n) {
    const char* text = std::getenv("GENEVER_WORKERS");
    if (!text || *text == '\0') return true;
    const char* end = text + std::strlen(text);
    const auto parsed = std::from_chars(text, end, n);
    if (parsed.ec == std::errc{} && parsed.ptr == end && n >= 1 && n <= most_workers) return true;
    log::write(log::level::error, std::string{"GENEVER_WORKERS="} + text +
                                      ": must be a whole number from 1 to " + std::to_string(most_workers));
    return false;
}

/// Whether GENEVER_IO_URING is 1 or 0, where it is set. False: nonsense, and the log says so.
bool io_uring_from_environment(bool& wanted) {
    const char* text = std::getenv("GENEVER_IO_URING");
    if (!text || *text == '\0') return true;
    const std::string_view value{text};
    wanted = value == "1";
    if (wanted || value == "0") return true;
    log::write(log::level::error, "GENEVER_IO_URING=" + std::string{value} + ": must be 0 or 1");
    return false;
}

int judge(const outcome& o, bool asked_to_stop) {
    if (!o.started) {
        log::write(log::level::error, "the supervision tree did not start: " + to_string(o.why));
        return 1;
    }
    const bool gave_up = o.why.text() == detail::reached_max_restart_intensity;
    if (!o.why.abnormal() && (asked_to_stop || !gave_up)) return 0;
    log::write(log::level::error, "the top supervisor has ended: " + to_string(o.why));
    return 1;
}

int run_until_end(supervisor top, run_options options, const std::shared_ptr<detail::overseer>& overseer) {
    stop_signals signals;
    stopping.store(false, std::memory_order_relaxed);
    replaced.store(false, std::memory_order_relaxed);
    if (!workers_from_environment(options.workers) || !io_uring_from_environment(options.io_uring)) return 1;
    auto slot = std::make_shared<outcome_slot>();
    runtime_options how;
    how.workers = options.workers;
    how.io_uring = options.io_uring;
    how.on_crash = options.on_crash;
    runtime rt{std::move(how)};
    auto watched = std::make_shared<oversight>(rt, overseer);
    const pid keeper = rt.spawn(&keep, slot, std::move(watched), std::move(top), std::move(options));
    const defer tell{[&] { overseer->ended(); }}; // before the runtime, with what is left in it, goes
    for (int stops = 0;;) {
        pollfd what[] = {{signals.fd(), POLLIN, 0}, {slot->fd(), POLLIN, 0}};
        if (poll(what, 2, -1) < 0 && errno != EINTR)
            throw std::system_error(errno, std::generic_category(), "poll");
        if (auto o = slot->get()) return judge(*o, stops > 0);
        for (;;) {
            const auto [signal, by_another] = signals.take();
            if (signal == 0) break;
            if (++stops == 1) {
                replaced.store(by_another, std::memory_order_relaxed);
                stopping.store(true, std::memory_order_release); // `replaced` is seen by who sees this
                log::write(log::level::info, by_another          ? "replaced by another instance: stopping"
                                             : signal == SIGTERM ? "SIGTERM: stopping"
                                                                 : "SIGINT: stopping");
                overseer->stopping();
                send(keeper, stop_request{});
            } else if (signal ==
                       SIGINT) { // somebody is impatient; a second SIGTERM is an orchestrator's habit
                log::write(log::level::error, "SIGINT while stopping: killing everything");
                signals.give_back();
                return 128 + signal;
            }
        }
    }
}

int run_overseen(supervisor top, run_options options, const std::shared_ptr<detail::overseer>& overseer) {
    install_socket_source(overseer->sockets());
    int code = 1;
    try {
        code = run_until_end(std::move(top), std::move(options), overseer);
    } catch (const std::exception& e) {
        log::write(log::level::error, std::string{"the runtime did not start: "} + e.what());
    }
    install_socket_source(nullptr);
    return code;
}

/// The heart that watches this program, or the service manager; null: neither, and the log says why. Where there is to be
/// a heart and is none it does not return: this process becomes it.
std::shared_ptr<detail::overseer> find_overseer(const heart_options& wanted) {
    auto failed = [](const std::string& why) {
        log::write(log::level::error, why);
        return nullptr;
    };
    auto heart = detail::find_heart();
    if (!heart) return failed(heart.error());
    if (*heart) return *heart;
    const auto options = detail::with_environment(wanted, [](const char* name) { return std::getenv(name); });
    if (!options) return failed(options.error());
    if (!options->enabled) return detail::find_service_manager();
    log::flush();
    return failed(detail::become_heart(*options));
}

} // namespace

int run(supervisor top, run_options options) {
    int code = 1;
    if (const auto overseer = find_overseer(options.heart))
        code = run_overseen(std::move(top), std::move(options), overseer);
    log::flush();
    return code;
}

bool stop_requested() noexcept { return stopping.load(std::memory_order_acquire); }

bool being_replaced() noexcept { return stop_requested() && replaced.load(std::memory_order_relaxed); }

} // namespace genever
