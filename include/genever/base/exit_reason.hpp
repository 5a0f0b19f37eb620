// Why a process ended.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace genever {

class stack_trace;

/// The kinds of exit, named as OTP names them.
enum class exit_kind : std::uint8_t {
    normal,     ///< the process returned
    shutdown,   ///< it was asked to end, by its supervisor as a rule
    killed,     ///< it was killed: nobody could catch that
    noproc,     ///< there was no such process
    timeout,    ///< an answer did not come in time
    overloaded, ///< a full mailbox did not take a message, or dropped it
    error,      ///< an exception left it, or somebody said that it failed
};

std::string_view to_string(exit_kind k) noexcept;

/// Why a process ended: a kind and, where there is more to say, the details: an exception's type, text and
/// stack trace, or the reason behind a shutdown. Copies share the details, which never change; it may be handed
/// from thread to thread like an int.
class exit_reason {
public:
    constexpr exit_reason() noexcept = default;
    // NOLINTNEXTLINE(google-explicit-constructor): a kind is a reason without details
    constexpr exit_reason(exit_kind kind) noexcept : kind_(kind) {}

    /// An `error` exit that names a failure without an exception.
    static exit_reason error(std::string_view text);
    /// A `shutdown` with words of explanation.
    static exit_reason shutdown(std::string_view text);
    /// The `error` exit of a process that this exception left: its type, its text, the stack of its throw.
    /// Call it on the thread on which the exception was thrown, soon: the trace is kept for a few throws only.
    static exit_reason from_exception(const std::exception_ptr& e) noexcept;

    exit_reason(const exit_reason& o) noexcept : kind_(o.kind_), details_(o.details_) {
        if (details_) retain();
    }
    exit_reason(exit_reason&& o) noexcept : kind_(o.kind_), details_(std::exchange(o.details_, nullptr)) {}
    exit_reason& operator=(exit_reason o) noexcept {
        std::swap(kind_, o.kind_);
        std::swap(details_, o.details_);
        return *this;
    }
    ~exit_reason() {
        if (details_) release();
    }

    constexpr exit_kind kind() const noexcept { return kind_; }
    /// Whether a transient child is restarted after this exit: everything but `normal` and `shutdown`. (Links
    /// carry on every exit but `normal`.)
    bool abnormal() const noexcept { return kind_ != exit_kind::normal && kind_ != exit_kind::shutdown; }
    /// The exception's type (demangled), or empty.
    std::string_view type() const noexcept;
    /// The exception's or the failure's text, or empty.
    std::string_view text() const noexcept;
    /// The stack of the throw, or null where there is none. Lives as long as this reason or a copy.
    const stack_trace* trace() const noexcept;
    /// The exception itself where an exception ended the process, or null.
    std::exception_ptr exception() const noexcept;

    friend bool operator==(const exit_reason& a, exit_kind k) noexcept { return a.kind_ == k; }

private:
    struct details;
    exit_reason(exit_kind kind, details* d) noexcept : kind_(kind), details_(d) {}
    void retain() const noexcept;
    void release() noexcept;

    exit_kind kind_ = exit_kind::normal;
    details* details_ = nullptr;
};

/// `normal`, `shutdown: why`, `error std::runtime_error: text`.
std::string to_string(const exit_reason& r);

} // namespace genever
