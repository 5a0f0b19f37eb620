#include "crash_reporter.hpp"

#include <genever/base/log.hpp>
#include <genever/base/stack_trace.hpp>

#include <csignal>
#include <pthread.h>

namespace genever {

std::string to_string(const crash_report& r) {
    std::string s = r.part.empty() ? "process " : r.part + " crashed in process ";
    s += to_string(r.pid);
    if (!r.label.empty()) s += " (" + r.label + ")";
    for (const auto& n : r.names)
        if (n != r.label) s += " named " + n;
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

void crash_reporter::take(const crash_report& r) {
    std::lock_guard g{lock_};
    if (waiting_.size() >= most_waiting) {
        ++left_out_;
        return;
    }
    waiting_.push_back(r);
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
        const crash_report r = std::move(waiting_.front());
        waiting_.pop_front();
        const std::size_t left_out = waiting_.empty() ? std::exchange(left_out_, 0) : 0;
        g.unlock();
        log::write(log::level::error, to_string(r));
        if (left_out != 0)
            log::write(log::level::error, std::to_string(left_out) + " further crash reports were left out");
        g.lock();
    }
}

} // namespace detail
} // namespace genever
