#include <genever/web/middleware.hpp>

#include <genever/base/exit_reason.hpp>
#include <genever/base/log.hpp>
#include <genever/http/log_text.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>

#include <charconv>
#include <chrono>

namespace genever::web {
namespace {

template <class N>
void append_number(std::string& out, N n) {
    char digits[24];
    out.append(digits, std::to_chars(digits, digits + sizeof digits, n).ptr);
}

} // namespace

// Both middlewares are plain functions that become coroutines only when the rest of the chain has to wait:
// a handler that answers at once passes through them without a frame. What they need of themselves stays
// valid: the chain holds them as long as a request runs.

// --- recovery ---

recovery_middleware recovery(crash_hook hook) { return recovery_middleware{std::move(hook)}; }

task<> recovery_middleware::operator()(context& c, next rest) const {
    std::exception_ptr error;
    try {
        task<> running = rest(c);
        if (running.empty()) return {};
        return guard(c, std::move(running));
    } catch (...) {
        error = std::current_exception();
    }
    recover(c, error);
    return {};
}

task<> recovery_middleware::guard(context& c, task<> rest) const {
    std::exception_ptr error;
    try {
        co_await std::move(rest);
    } catch (...) {
        error = std::current_exception();
    }
    if (error) recover(c, error);
}

void recovery_middleware::recover(context& c, const std::exception_ptr& e) const {
    try {
        if (hook_) hook_(c, e);
    } catch (...) {
        // A report that fails must not take the answer with it.
    }
    if (c.exchange().head_sent()) std::rethrow_exception(e);
    const bool close = c.exchange().response.close;
    c.exchange().response.clear();
    c.exchange().response.close = close;
    c.abort_with(500, "Internal Server Error");
}

void log_crash(const context& c, const std::exception_ptr& e) {
    std::string what = "request ";
    what += http::to_string(c.method());
    what += ' ';
    http::append_log_text(what, c.target());
    what += " from ";
    what += c.client_address();
    if (!c.matched_pattern().empty()) {
        what += " (route ";
        what += c.matched_pattern();
        what += ')';
    }
    report_crash(what, exit_reason::from_exception(e));
}

// --- logger ---

logger_middleware::logger_middleware(access_sink sink) : sink_(std::move(sink)) {
    const auto* f = sink_.target<void (*)(const access_record&)>();
    writes_log_ = f && *f == &log_access;
}

logger_middleware logger(access_sink sink) { return logger_middleware{std::move(sink)}; }

// Without anybody to read the line the clock is not read for it either.
bool logger_middleware::silent() const noexcept {
    return !sink_ || (writes_log_ && !log::enabled(log::level::info));
}

task<> logger_middleware::operator()(context& c, next rest) const {
    if (silent()) return rest(c);
    const time_point start = now();
    try {
        task<> running = rest(c);
        if (!running.empty()) return wait(c, start, std::move(running));
    } catch (...) {
        report(c, start, 500);
        throw;
    }
    report(c, start, c.status());
    return {};
}

task<> logger_middleware::wait(context& c, time_point start, task<> rest) const {
    try {
        co_await std::move(rest);
    } catch (...) {
        report(c, start, 500);
        throw;
    }
    report(c, start, c.status());
}

void logger_middleware::report(const context& c, time_point start, int status) const {
    sink_({.client = c.client_address(),
           .method = c.method(),
           .target = c.target(),
           .status = status,
           .bytes = c.method() == http::method::head ? 0 : c.bytes_written(),
           .latency = now() - start});
}

std::string to_string(const access_record& r) {
    std::string line;
    line.reserve(r.client.size() + r.target.size() + 64);
    line += r.client;
    line += ' ';
    line += http::to_string(r.method);
    line += ' ';
    http::append_log_text(line, r.target);
    line += ' ';
    append_number(line, r.status);
    line += ' ';
    append_number(line, r.bytes);
    line += ' ';
    append_number(line, std::chrono::duration_cast<std::chrono::microseconds>(r.latency).count());
    line += "us";
    return line;
}

void log_access(const access_record& r) {
    if (log::enabled(log::level::info)) log::write(log::level::info, to_string(r));
}

} // namespace genever::web
