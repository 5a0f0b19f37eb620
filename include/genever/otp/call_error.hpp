// Why a call to a server gave no answer.
#pragma once

#include <genever/base/exit_reason.hpp>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace genever {

/// The ways in which a call can fail.
enum class call_failure : std::uint8_t {
    noproc,       ///< nobody has that name, or the process had ended before
    timeout,      ///< no answer in time; one that comes later is dropped
    exited,       ///< the server ended before it answered: `call_error::reason`
    no_reply,     ///< the server let go of the request without an answer
    calling_self, ///< a server that calls itself would wait for itself
    wrong_server, ///< the process is no server of this type
    overloaded,   ///< the server's full mailbox did not take the request, or dropped it
};

std::string_view to_string(call_failure k) noexcept;

/// What `call` throws, and what `try_call` returns. The text says who was asked what, and what happened.
class call_error : public std::runtime_error {
public:
    /// `reason` counts for `exited` only.
    call_error(call_failure kind, std::string_view server, std::string_view message, exit_reason reason);

    call_failure kind() const noexcept { return kind_; }
    /// Why the server ended (`exited`); `noproc`, `timeout` and `overloaded` for those; else an `error` with the text.
    const exit_reason& reason() const noexcept { return reason_; }

private:
    call_failure kind_;
    exit_reason reason_;
};

} // namespace genever
