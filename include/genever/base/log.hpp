// The log: where the library and its users report, never on the caller's time.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace genever::log {

enum class level : std::uint8_t { debug, info, warning, error, off };

/// Writes one entry (several lines are allowed) to the log. The text is copied; the writing happens on a thread
/// of the log's own. When entries come faster than they can be written, the oldest unwritten ones are dropped,
/// `flush` tells how many, and nobody waits. Any thread; throws nothing.
///
/// On a terminal entries are text for people. Elsewhere each is one line of JSON: `time`, `level`, `message` and what
/// `json_members` adds (`"a":1,"b":"c"`). GENEVER_LOG_FORMAT (`text`, `json`) in the environment decides otherwise.
void write(level l, std::string_view text, std::string_view json_members = {}) noexcept;

/// Writes one entry to standard error at once, on the caller's time, past the log's thread and its sink: for a program that
/// must have no other thread. Never waits: what standard error does not take (a pipe that nobody reads is full) is lost, and
/// the next entry that gets through is preceded by how many were. Any thread; throws nothing.
void write_unqueued(level l, std::string_view text) noexcept;

/// Entries below this level are not written. The default is `info`, or what the environment's GENEVER_LOG says
/// (`debug`, `info`, `warning`, `error`, `off`).
void set_level(level l) noexcept;
bool enabled(level l) noexcept;

/// Sends entries to `to` instead of standard error; it is called on the writing thread's own time, concurrently.
/// Empty: back to standard error. Call it before processes run.
void set_sink(std::function<void(level, std::string_view)> to);

/// Waits until everything written so far has reached standard error: before the program ends.
void flush() noexcept;

} // namespace genever::log
