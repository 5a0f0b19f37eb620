// The default middleware: the access log and the barrier behind which a handler may crash.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/http/method.hpp>
#include <genever/web/context.hpp>

#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace genever::web {

/// Hears of an exception that left a request's chain. Called in the request's process, on the thread of the
/// throw where the chain did not wait in between; what it throws is ignored.
using crash_hook = std::function<void(const context&, std::exception_ptr)>;

/// Makes a crash report through the runtime (`report_crash`): the request, its route, the exception's type, text and stack
/// trace.
void log_crash(const context& c, const std::exception_ptr& e);

class recovery_middleware {
public:
    explicit recovery_middleware(crash_hook hook) : hook_(std::move(hook)) {}
    task<> operator()(context& c, next rest) const;

private:
    task<> guard(context& c, task<> rest) const;
    void recover(context& c, const std::exception_ptr& e) const;
    crash_hook hook_;
};

/// Catches what the rest of the chain throws, reports it to `hook`, and answers 500 as JSON in place of
/// whatever response was in the making; the connection goes on. When the head has been sent already, the
/// exception is reported and goes on to the server, which can only close the connection.
recovery_middleware recovery(crash_hook hook = &log_crash);

/// One answered request.
struct access_record {
    std::string_view client;
    http::method method = http::method::get;
    std::string_view target; ///< as it came; `to_string` escapes what must not stand in a log
    int status = 0;
    std::uint64_t bytes = 0; ///< of the body
    duration latency{};      ///< from the logger's start to the end of the chain within it
};

/// `127.0.0.1 GET /ping?x=1 200 18 42us`. Control bytes, non-ASCII bytes, backslashes and blanks in the
/// target come out as `\xNN`, so that a client can neither begin a line of its own nor fake a column.
std::string to_string(const access_record& r);

/// Receives access records in the request's process; the views are valid during the call. Be quick, throw
/// nothing.
using access_sink = std::function<void(const access_record&)>;

/// Writes the record to the log, at level `info`.
void log_access(const access_record& r);

class logger_middleware {
public:
    explicit logger_middleware(access_sink sink);
    task<> operator()(context& c, next rest) const;

private:
    task<> wait(context& c, time_point start, task<> rest) const;
    void report(const context& c, time_point start, int status) const;
    bool silent() const noexcept;
    access_sink sink_;
    bool writes_log_ = false; // through log_access, which has its level
};

/// Reports every request to `sink` when the rest of the chain has ended. One that ends in an exception
/// counts as a 500. A request that is destroyed on its way is not reported: with its process (a kill, a shutdown that took too
/// long), by its deadline, or because its client has gone; nor is one that was not admitted. http::server_stats counts these.
logger_middleware logger(access_sink sink = &log_access);

} // namespace genever::web
