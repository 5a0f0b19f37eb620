// The heart: one thread, no runtime, nothing of the service.
//
//                    exits 0, or a stop was asked for ─▶ end
//      starting ──ready──▶ up ──dies, or hangs and is killed──▶ waiting ──back-off──▶ starting
//         └───────────── dies, or is late ────────────────────────▲  └─ too many in a row ─▶ end
//
// It waits for nobody: not for who reads its standard error, nor for a service manager that does not listen.
//
// That is the current service. An upgrade has a second one, the candidate, from SIGHUP until its tree is up: then it is
// the current one, and the one before retires. A candidate that fails changes nothing.
//
// It runs where the program's `main` would: `become_heart` executes the program anew with orders in the environment, which
// a constructor finds. So it has neither the threads nor the memory nor the files of what ran before, and keeps its
// process id.
#include "heart.hpp"

#include "heart_message.hpp"
#include "heart_policy.hpp"
#include "heart_service.hpp"
#include "heart_settings.hpp"
#include "listener_table.hpp"
#include "program_image.hpp"
#include "service_manager.hpp"
#include "systemd.hpp"

#include <genever/base/log.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace genever::detail {

namespace {

using namespace std::chrono_literals;

constexpr duration end_limit = 60s;   // from the tree's end to the process's
constexpr duration unused_limit = 2s; // for a listener that is closed to be asked for again

std::string milliseconds(duration d) {
    return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(d).count()) + " ms";
}

class heart {
public:
    explicit heart(heart_orders orders);
    /// Until the end; the exit code.
    int beat();

private:
    // ---- services
    bool start(role part, const program_file& program);
    service* find(role part) noexcept;
    void kill_service(service& s, const std::string& why);
    void hear(service& s);
    void came_up(service& s);
    void reap();
    void ended(service& s, int status);
    void failed(service& s, int status);
    void restart();
    void give_up(const std::string& why, int code);

    // ---- what is asked from outside
    void take_signals();
    void stop(const char* why);
    void upgrade();
    void upgrade_failed(const std::string& why);

    void look();
    int patience() const;
    void wait();
    void finish(int code) {
        if (!code_) code_ = code;
    }

    const heart_orders orders_;
    const heart_options& options_ = orders_.options;
    service_manager manager_;
    launcher launcher_;
    program_file program_{"/proc/self/exe"}; // of the current service
    program_file next_program_;              // of the candidate
    listener_table listeners_;
    restart_policy policy_{options_};
    int signals_ = -1;
    std::vector<std::unique_ptr<service>> services_;
    std::optional<time_point> restart_at_;
    struct last_words {
        std::string why;
        int code;
    };
    std::optional<last_words> given_up_; // and the candidate may be the repair
    int last_number_ = 0;
    bool ever_up_ = false;
    bool stopping_ = false;
    bool told_to_stop_ = false; // by a signal to the heart itself
    std::optional<int> code_;
};

heart::heart(heart_orders orders)
    : orders_(std::move(orders)),
      manager_(std::getenv("NOTIFY_SOCKET"), watchdog_limit(&std::getenv, getpid())), launcher_(orders_) {
    const environment get = &std::getenv;
    const int passed = passed_sockets(get, getpid());
    for (int fd = first_passed_socket; fd < first_passed_socket + passed; ++fd)
        if (const auto taken = listeners_.adopt(fd); !taken)
            say(log::level::warning, not_adopted(fd, taken.error()));
    // Whoever started us may ignore it, and that outlives an exec: then nobody's end would ever be heard of.
    std::signal(SIGCHLD, SIG_DFL);
    sigset_t taken;
    sigemptyset(&taken);
    for (int s : {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1, SIGUSR2}) sigaddset(&taken, s);
    sigset_t before;
    sigprocmask(SIG_BLOCK, &taken, &before);
    launcher_.signals_of_services(before);
    signals_ = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    std::signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_NAME, "heart");
}

int heart::beat() {
    if (signals_ < 0 || program_.fd() < 0) {
        say(log::level::error, std::string{"cannot start: "} + std::strerror(errno));
        return 1;
    }
    restart();
    for (;;) {
        wait();
        take_signals();
        for (auto& s : services_) hear(*s);
        reap();
        look();
        if (stopping_ && services_.empty()) finish(0);
        if (code_ && services_.empty()) return *code_;
    }
}

// ---- services

service* heart::find(role part) noexcept {
    for (auto& s : services_)
        if (s->part == part) return s.get();
    return nullptr;
}

bool heart::start(role part, const program_file& program) {
    auto s = launcher_.start(part, program, ++last_number_);
    if (!s) return false;
    say(log::level::info, s->name() + " started");
    services_.push_back(std::move(s));
    return true;
}

void heart::kill_service(service& s, const std::string& why) {
    if (std::exchange(s.told_to_kill, true)) return;
    say(log::level::error, s.name() + ' ' + why + ": killing it");
    kill(s.id, SIGKILL);
}

// What the service has said.
void heart::hear(service& s) {
    for (heart_message m;;) {
        const got g = take_message(s.socket, m);
        if (g == got::end) s.silent = true;
        if (g != got::message) return;
        const time_point now = steady_now();
        switch (m.word) {
        case heart_word::listen: {
            const auto fd = listeners_.take(m.at, m.backlog, s.number, true);
            send_answer(s.socket, {m.serial, fd ? 0 : fd.error()}, fd.value_or(-1));
            break;
        }
        case heart_word::closed: listeners_.give_back(m.at, s.number, now); break;
        case heart_word::alive:
            if (!s.watch && !s.end_watch) s.watch.emplace(options_.hang_timeout, now);
            if (s.watch) s.watch->beat(now);
            break;
        case heart_word::ready: came_up(s); break;
        case heart_word::stopping:
            if (s.part == role::current && !stopping_) stop("the service was told to stop");
            break;
        case heart_word::ended:
            s.watch.reset();
            s.end_watch.emplace(end_limit, now);
            break;
        }
    }
}

void heart::came_up(service& s) {
    if (s.up_since) return;
    s.up_since = steady_now();
    say(log::level::info, s.name() + " is up");
    if (stopping_) return;
    if (s.part == role::candidate) {
        if (service* old = find(role::current)) {
            old->part = role::retiring;
            say(log::level::info, s.name() + " takes over: draining " + old->name());
            sigqueue(old->id, SIGTERM, {.sival_int = replaced_mark});
        }
        s.part = role::current;
        program_ = std::exchange(next_program_, program_file{});
        restart_at_.reset();
        given_up_.reset();
        policy_.forget();
    }
    ever_up_ = true;
    // An upgrade that is under way is a reload: the end of that is said then.
    if (!find(role::candidate)) manager_.tell("READY=1\nSTATUS=" + s.name() + " is up");
}

void heart::reap() {
    for (;;) {
        int status = 0;
        const pid_t id = waitpid(-1, &status, WNOHANG);
        if (id <= 0) return;
        const auto found = std::ranges::find_if(services_, [id](const auto& s) { return s->id == id; });
        if (found == services_.end()) continue; // as a container's first process it inherits orphans
        const auto s = std::move(*found);
        services_.erase(found);
        hear(*s); // its last words
        ended(*s, status);
    }
}

void heart::ended(service& s, int status) {
    listeners_.give_back_all(s.number, steady_now());
    const bool in_order = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    const log::level l = in_order ? log::level::info : log::level::error;
    switch (s.part) {
    case role::retiring: say(l, s.name() + ", which was replaced, " + what_ended(status)); return;
    case role::candidate:
        if (!stopping_) upgrade_failed(s.name() + ' ' + what_ended(status) + " before it was up");
        return;
    case role::current: break;
    }
    if (stopping_ || in_order) {
        say(l, s.name() + ' ' + what_ended(status));
        finish(exit_code(status));
        if (!stopping_) stop("the service has ended");
        return;
    }
    failed(s, status);
}

void heart::failed(service& s, int status) {
    const time_point now = steady_now();
    std::string text = s.name() + ' ' + what_ended(status);
    if (s.up_since) {
        text += " after " + milliseconds(now - *s.up_since);
    } else {
        text += " before it was up";
        if (!ever_up_ && WIFEXITED(status) &&
            !find(role::candidate)) { // it has said why it cannot: trying again would not help
            say(log::level::error, text);
            finish(exit_code(status));
            stop("the service has not started");
            return;
        }
    }
    const auto up_for = s.up_since ? std::optional<duration>{now - *s.up_since} : std::nullopt;
    const auto next = policy_.failed(up_for);
    if (next.give_up) {
        text += ": giving up after " + std::to_string(policy_.quick_failures() - 1) +
                " restarts in quick succession";
        give_up(text, exit_code(status));
        return;
    }
    const std::string when = next.delay == 0ns ? "now" : "in " + milliseconds(next.delay);
    say(log::level::error, text + ": starting it again " + when);
    manager_.tell("STATUS=" + text + ", started again " + when);
    restart_at_ = later(now, next.delay);
    if (next.delay == 0ns) restart();
}

void heart::restart() {
    restart_at_.reset();
    if (start(role::current, program_)) return;
    const auto next = policy_.failed(std::nullopt);
    const std::string why = std::string{"cannot start the service: "} + std::strerror(errno);
    if (next.give_up) {
        give_up(why, 1);
    } else {
        say(log::level::error, why);
        restart_at_ = later(steady_now(), std::max<duration>(next.delay, 10ms));
    }
}

// The program that is to take over may be the repair: whether it is will be known soon.
void heart::give_up(const std::string& why, int code) {
    if (service* next = find(role::candidate)) {
        say(log::level::error, why + ", unless the upgrade succeeds");
        given_up_.emplace(why, code);
        if (options_.start_timeout == infinity) // but not for ever
            next->start_watch = hang_watch{last_chance(options_), steady_now()};
        return;
    }
    say(log::level::error, why);
    manager_.tell("STATUS=gave up: " + why);
    finish(code);
    stop("the service fails again and again");
}

// ---- what is asked from outside

void heart::take_signals() {
    signalfd_siginfo i;
    while (read(signals_, &i, sizeof i) == sizeof i) {
        const bool terminal = i.ssi_code == SI_KERNEL; // the whole group, and so the service, has got it
        switch (i.ssi_signo) {
        case SIGTERM:
            stop("SIGTERM");
            told_to_stop_ = true;
            break;
        case SIGINT:
            stop("SIGINT");
            if (std::exchange(told_to_stop_, true) && !terminal) // somebody is impatient
                for (auto& s : services_) kill(s->id, SIGINT);
            break;
        case SIGHUP:
            if (terminal)
                stop("the terminal has hung up");
            else
                upgrade();
            break;
        case SIGUSR1:
        case SIGUSR2:
            for (auto& s : services_)
                if (s->part == role::current) kill(s->id, static_cast<int>(i.ssi_signo));
            break;
        default: break; // SIGCHLD: reap looks
        }
    }
}

// A first SIGINT becomes a SIGTERM as well: from a terminal the service has got it itself, and a second one would kill it.
void heart::stop(const char* why) {
    if (stopping_) return;
    stopping_ = true;
    restart_at_.reset();
    say(log::level::info, std::string{why} + ": stopping");
    manager_.tell("STOPPING=1");
    // Who connects now is to be refused as soon as the service has closed its own.
    listeners_.close_all();
    for (auto& s : services_) kill(s->id, SIGTERM);
}

void heart::upgrade() {
    if (stopping_) return;
    if (find(role::candidate)) {
        say(log::level::warning, "SIGHUP: an upgrade is under way already");
        return;
    }
    say(log::level::info, "SIGHUP: starting " + orders_.program + " beside the running service");
    manager_.tell(reloading_at(steady_now()));
    next_program_ = program_file{orders_.program.c_str()};
    if (next_program_.fd() < 0)
        upgrade_failed(orders_.program + ": " + std::strerror(errno));
    else if (!start(role::candidate, next_program_))
        upgrade_failed(std::strerror(errno));
}

void heart::upgrade_failed(const std::string& why) {
    next_program_ = program_file{};
    if (const auto last = std::exchange(given_up_, std::nullopt)) {
        say(log::level::error, "no upgrade: " + why);
        give_up(last->why, last->code);
        return;
    }
    say(log::level::error, "no upgrade: " + why + "; the old program goes on");
    manager_.tell("READY=1\nSTATUS=no upgrade: " + why);
}

// ---- time

void heart::look() {
    const time_point now = steady_now();
    for (auto& s : services_) {
        if (!s->up_since && s->start_watch.late(now))
            kill_service(*s, "is not up after " + milliseconds(s->start_watch.limit()));
        if (s->watch && s->watch->late(now))
            kill_service(*s, "hangs: it has shown no progress for " + milliseconds(options_.hang_timeout));
        if (s->end_watch && s->end_watch->late(now)) kill_service(*s, "does not end");
    }
    if (!code_ && restart_at_ && *restart_at_ <= now) restart();
    const service* s = find(role::current);
    if (s && s->up_since && now - *s->up_since > unused_limit) listeners_.close_unused(now - unused_limit);
    manager_.look(now);
}

// Milliseconds until something is to be looked at.
int heart::patience() const {
    const time_point now = steady_now();
    duration d = 1min;
    for (const auto& s : services_) {
        if (!s->up_since) d = std::min(d, s->start_watch.look_every());
        if (s->watch) d = std::min(d, s->watch->look_every());
        if (s->end_watch) d = std::min(d, s->end_watch->look_every());
    }
    if (restart_at_ && !code_) d = std::min(d, *restart_at_ - now);
    d = std::min(d, manager_.look_again_in(now));
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(std::max(d, duration{0})).count());
}

void heart::wait() {
    std::vector<pollfd> what{{signals_, POLLIN, 0}};
    for (const auto& s : services_) what.push_back({s->silent ? -1 : s->socket, POLLIN, 0});
    poll(what.data(), what.size(), patience());
}

/// A program that is executed by a descriptor has, on older kernels, its number for a name.
void name_after_program() noexcept {
    char name[16];
    if (prctl(PR_GET_NAME, name) == 0 && std::strspn(name, "0123456789") == std::strlen(name))
        prctl(PR_SET_NAME, program_invocation_short_name);
}

/// Runs before anything else of the program: in a heart there is nothing else.
[[gnu::constructor(101)]] void be_the_heart_if_told() {
    note_open_descriptors();
    const char* text = std::getenv(heart_orders_variable);
    if (!text) {
        if (std::getenv(service_orders_variable)) name_after_program();
        return;
    }
    auto orders = heart_orders_from(text);
    if (!orders || orders->heart != getpid()) return;
    int code = 0;
    {
        heart h{std::move(*orders)};
        code = h.beat();
    }
    _exit(code);
}

} // namespace

std::string become_heart(const heart_options& options) {
    heart_orders o;
    o.heart = getpid();
    o.options = options;
    o.program = program_path();
    std::vector<std::string> arguments = start_arguments();
    if (o.program.empty() || arguments.empty()) return "the heart needs /proc";
    std::vector<std::string> environment =
        without(start_environment(), [](std::string_view name) { return name == heart_orders_variable; });
    environment.push_back(std::string{heart_orders_variable} + '=' + to_text(o));
    const std::vector<char*> argv = pointers(arguments);
    const std::vector<char*> envp = pointers(environment);
    keep_private_what_was_opened();
    std::fflush(nullptr);
    execve("/proc/self/exe", argv.data(), envp.data());
    return std::string{"the heart did not start: "} + std::strerror(errno);
}

} // namespace genever::detail
