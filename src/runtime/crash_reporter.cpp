#include "crash_reporter.hpp"

#include <genever/base/log.hpp>
#include <genever/base/stack_trace.hpp>

#include <csignal>
#include <pthread.h>

namespace genever {

namespace {

std::string who(pid p, const std::string& label, const std::vector<std::string>& names) {
    std::string s = to_string(p);
    if (!label.empty()) s += " (" + label + ")";
    for (const auto& n : names)
        if (n != label) s += " named " + n;
    return s;
}

} // namespace

std::string to_string(const stall_report& r) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(r.lasted).count();
    const auto cpu = std::chrono::duration_cast<std::chrono::milliseconds>(r.cpu).count();
    std::string s =
        "process " + who(r.pid, r.label, r.names) + " has kept its thread for " + std::to_string(ms) +
        " ms: it " +
        (r.in_system_call ? std::string{"is blocked in a system call"}
                          : "computes without an await, " + std::to_string(cpu) + " ms of CPU so far");
    s += "\n  others run on another thread meanwhile; better use co_await blocking(f), or co_await yield() "
         "in long "
         "loops";
    if (!r.stack.empty()) s += "\n  stack:\n" + to_string(r.stack);
    return s;
}

std::string to_string(const crash_report& r) {
    std::string s = r.part.empty() ? "process " : r.part + " crashed in process ";
    s += who(r.pid, r.label, r.names);
    if (r.part.empty()) s += " crashed";
    s += "\n  reason: " + to_string(r.reason);
    s += "\n  mailbox: " + std::to_string(r.mailbox_length) + " message" + (r.mailbox_length == 1 ? "" : "s");
    if (!r.last_message.empty()) s += "\n  last message: " + r.last_message;
    if (const stack_trace* t = r.reason.trace(); t && r.reason.exception())
        s += "\n  stack of the throw:\n" + to_string(*t);
    return s;
}

namespace detail {

crash_reporter::~crash_reporter() {
    {
        std::lock_guard g{lock_};
        ending_ = true;
    }
    something_.notify_one();
    if (thread_.joinable()) thread_.join();
}

void crash_reporter::take(std::variant<crash_report, stall_report> r) {
    std::lock_guard g{lock_};
    if (waiting_.size() >= most_waiting) {
        ++left_out_;
        return;
    }
    waiting_.push_back(std::move(r));
    if (!thread_.joinable()) {
        sigset_t all;
        sigset_t before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before); // signals are the main thread's
        thread_ = std::thread{[this] { write_reports(); }};
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }
    something_.notify_one();
}

void crash_reporter::write_reports() {
    pthread_setname_np(pthread_self(), "genever-reports");
    std::unique_lock g{lock_};
    for (;;) {
        something_.wait(g, [this] { return ending_ || !waiting_.empty(); });
        if (waiting_.empty()) break;
        const auto r = std::move(waiting_.front());
        waiting_.pop_front();
        const std::size_t left_out = waiting_.empty() ? std::exchange(left_out_, 0) : 0;
        g.unlock();
        if (const auto* crash = std::get_if<crash_report>(&r))
            log::write(log::level::error, to_string(*crash));
        else
            log::write(log::level::warning, to_string(std::get<stall_report>(r)));
        if (left_out != 0)
            log::write(log::level::error,
                       std::to_string(left_out) + " further reports of crashes and stalls were left out");
        g.lock();
    }
}

} // namespace detail
} // namespace genever
