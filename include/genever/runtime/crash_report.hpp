// What is told of a crash.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/base/exit_reason.hpp>
#include <genever/base/pid.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <typeinfo>
#include <vector>

namespace genever {

/// What is known of a process that an exception, or an `error` exit signal, has ended; or of a part of its work that
/// an exception ended while the process lives on.
struct crash_report {
    /// What was lost where the process lives on (`request GET /users`), else empty.
    std::string part;
    genever::pid pid;
    std::string label;
    std::vector<std::string> names;
    exit_reason reason;
    std::size_t mailbox_length = 0;
    /// The type of the message that it was handling, where the runtime knows that: a gen_server's.
    std::string last_message;
    /// Who started it, who started that one, and so on, the nearest first: `<64.1> (root)`. Ends with one that is gone, or
    /// that was started without spawn_options; empty for a process that was.
    std::vector<std::string> ancestors;
    /// How long the process has lived; not known of one that was started without spawn_options.
    std::optional<duration> uptime;
    /// How many like this one were counted instead of reported since the last one that was.
    std::uint64_t repeated = 0;
};

/// The report as a block of text for people: who, why, the stack of the throw. Reads the program's debug information, which
/// takes long the first time (see `symbolise`).
std::string to_string(const crash_report& r);
/// The same as the members of a JSON object, without the braces and in one line.
std::string to_json_members(const crash_report& r);

/// Receives every crash report, on the thread on which the process ended, which waits for it: be quick, throw nothing.
using crash_handler = std::function<void(const crash_report&)>;

/// Reports an exception that was caught at a barrier inside the calling process, which lives on: `what` says what was
/// lost (`GET /users`). Call it in the process, near the catch.
void report_crash(std::string_view what, exit_reason reason) noexcept;

namespace detail {
/// For the report of the calling process's end: what it was handling.
void note_last_message(const std::type_info& type) noexcept;
} // namespace detail

} // namespace genever
