#include <genever/otp/call_error.hpp>

namespace genever {

std::string_view to_string(call_failure k) noexcept {
    switch (k) {
    case call_failure::noproc: return "no such process";
    case call_failure::timeout: return "no answer in time";
    case call_failure::exited: return "the server exited";
    case call_failure::no_reply: return "no reply";
    case call_failure::calling_self: return "a server cannot call itself";
    case call_failure::overloaded: return "the server's mailbox is full";
    case call_failure::wrong_server: return "the process is no server of this type";
    }
    return "unknown";
}

namespace {

std::string describe(call_failure kind, std::string_view server, std::string_view message,
                     const exit_reason& reason) {
    std::string s = "call ";
    s += message;
    s += " to ";
    s += server;
    s += ": ";
    s += to_string(kind);
    if (kind == call_failure::exited) (s += ": ") += to_string(reason);
    return s;
}

exit_reason reason_of(call_failure kind, exit_reason reason) {
    switch (kind) {
    case call_failure::exited: return reason;
    case call_failure::noproc: return exit_kind::noproc;
    case call_failure::timeout: return exit_kind::timeout;
    case call_failure::overloaded: return exit_kind::overloaded;
    default: return exit_reason::error(to_string(kind));
    }
}

} // namespace

call_error::call_error(call_failure kind, std::string_view server, std::string_view message,
                       exit_reason reason)
    : std::runtime_error(describe(kind, server, message, reason)), kind_(kind),
      reason_(reason_of(kind, std::move(reason))) {}

} // namespace genever
