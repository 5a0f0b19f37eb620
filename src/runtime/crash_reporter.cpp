#include "crash_reporter.hpp"

#include "report_text.hpp"
#include "runtime_core.hpp"

#include <genever/base/json_text.hpp>
#include <genever/base/log.hpp>
#include <genever/base/stack_trace.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <limits>
#include <pthread.h>

namespace genever {

std::string detail::who(pid p, const std::string& label, const std::vector<std::string>& names) {
    std::string s = to_string(p);
    if (!label.empty()) s += " (" + label + ")";
    for (const auto& n : names)
        if (n != label) s += " named " + n;
    return s;
}

std::string to_string(const stall_report& r) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(r.lasted).count();
    const auto cpu = std::chrono::duration_cast<std::chrono::milliseconds>(r.cpu).count();
    std::string s =
        "process " + detail::who(r.pid, r.label, r.names) + " has kept its thread for " + std::to_string(ms) +
        " ms: it " +
        (r.in_system_call ? std::string{"is blocked in a system call"}
                          : "computes without an await, " + std::to_string(cpu) + " ms of CPU so far");
    s += "\n  others run on another thread meanwhile; better use co_await blocking(f), or co_await yield() "
         "in long "
         "loops";
    if (!r.stack.empty()) s += "\n  stack:\n" + to_string(r.stack);
    return s;
}

namespace {

// Steps of nice: a tenth of a worker's weight. It has short slices as well, so it soon gives the core back.
constexpr int modesty = 10;

std::string to_json_members(const stall_report& r) {
    const auto ms = [](duration d) {
        return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(d).count());
    };
    std::string s = R"("event":"stall","pid":)";
    append_json_string(s, to_string(r.pid));
    s += ",\"label\":";
    append_json_string(s, r.label);
    if (!r.names.empty()) {
        s += ",\"name\":";
        append_json_string(s, r.names.front());
    }
    s += ",\"lasted_ms\":" + ms(r.lasted) + ",\"cpu_ms\":" + ms(r.cpu);
    s += r.in_system_call ? ",\"in_system_call\":true" : ",\"in_system_call\":false";
    return s;
}

/// `std::runtime_error: no in process <64.1> (worker)`.
std::string headline(const crash_report& r) {
    return to_string(r.reason) + " in " +
           (r.part.empty() ? "process " + detail::who(r.pid, r.label, r.names) : r.part);
}

} // namespace

namespace detail {

crash_reporter::~crash_reporter() {
    {
        std::lock_guard g{lock_};
        ending_ = true;
    }
    something_.notify_one();
    if (thread_.joinable()) thread_.join();
}

std::optional<std::uint64_t> crash_reporter::admit(std::uint64_t kind, std::int64_t now) {
    std::lock_guard g{lock_};
    const auto before = kinds_.note(kind, now);
    if (!before) start_thread(); // to tell the count
    return before;
}

void crash_reporter::take(crash_report r, std::uint64_t kind) { push({std::move(r), kind}); }
void crash_reporter::take(stall_report r) { push({std::move(r)}); }

void crash_reporter::push(entry e) {
    std::string kind;
    const auto* const crash = std::get_if<crash_report>(&e.report);
    if (crash) kind = headline(*crash);
    std::lock_guard g{lock_};
    if (crash) kinds_.name(e.kind, std::move(kind));
    if (waiting_.size() >= most_waiting) {
        left_out_ += 1 + (crash ? crash->repeated : 0);
        return;
    }
    waiting_.push_back(std::move(e));
    start_thread();
    something_.notify_one();
}

// Under the lock.
void crash_reporter::start_thread() {
    if (thread_.joinable()) return;
    struct signals_blocked { // signals are the main thread's
        sigset_t before;
        signals_blocked() {
            sigset_t all;
            sigfillset(&all);
            pthread_sigmask(SIG_SETMASK, &all, &before);
        }
        ~signals_blocked() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
    };
    const signals_blocked for_the_thread;
    thread_ = std::thread{[this] { write_reports(); }};
}

void crash_reporter::write_reports() {
    pthread_setname_np(pthread_self(), "genever-reports");
    ask_to_be_prompt(0, std::min(19, own_nice_ + modesty));
    std::unique_lock g{lock_};
    for (;;) {
        // Counts are told about once a second: a look at them twice as often needs no word from whoever counts.
        const bool counts = kinds_.next_overdue() != std::numeric_limits<std::int64_t>::max();
        const auto awaited = [this] { return ending_ || !waiting_.empty(); };
        if (counts)
            something_.wait_for(g, std::chrono::nanoseconds{crash_kinds::interval / 2}, awaited);
        else
            something_.wait_for(g, std::chrono::seconds{1}, awaited);
        if (waiting_.empty()) {
            const bool last = ending_; // it may be set while a count is being told
            tell_overdue(g, last);
            if (last) break;
            continue;
        }
        const entry e = std::move(waiting_.front());
        waiting_.pop_front();
        g.unlock();
        // Naming a stack's functions is far more work than all the rest: not where nobody reads it.
        const auto* const crash = std::get_if<crash_report>(&e.report);
        const auto* const stall = std::get_if<stall_report>(&e.report);
        if (crash && log::enabled(log::level::error))
            log::write(log::level::error, to_string(*crash), to_json_members(*crash));
        if (stall && log::enabled(log::level::warning))
            log::write(log::level::warning, to_string(*stall), to_json_members(*stall));
        g.lock();
        // While reports come faster than they are written, too.
        tell_overdue(g, false);
        tell_left_out(g);
    }
}

void crash_reporter::tell_left_out(std::unique_lock<std::mutex>& g) {
    const std::int64_t now = system_now();
    if (left_out_ == 0 || (!waiting_.empty() && now - told_left_out_at_ < crash_kinds::interval)) return;
    told_left_out_at_ = now;
    const std::size_t n = std::exchange(left_out_, 0);
    g.unlock();
    log::write(log::level::error, std::to_string(n) + " further reports of crashes and stalls were left out");
    g.lock();
}

void crash_reporter::tell_overdue(std::unique_lock<std::mutex>& g, bool all) {
    const std::int64_t now = all ? std::numeric_limits<std::int64_t>::max() : system_now();
    while (const auto o = kinds_.take_overdue(now)) {
        g.unlock();
        log::write(log::level::error,
                   std::to_string(o->count) + " more crashes " +
                       (o->headline.empty() ? "of various kinds" : "like: " + o->headline),
                   R"("event":"crashes","count":)" + std::to_string(o->count));
        g.lock();
    }
}

} // namespace detail
} // namespace genever
