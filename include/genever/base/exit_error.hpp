// An exception that says with which reason the process that it leaves shall end.
#pragma once

#include <genever/base/exit_reason.hpp>

#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace genever {

/// Ends the process that it leaves with exactly `reason()`, where another exception would be an `error` exit of its own: what
/// Elixir's exit/1 is. It can be caught like any exception.
class exit_error final : public std::exception {
public:
    /// `context` says what was going on, for who catches it: the text is "context: reason".
    explicit exit_error(exit_reason why, std::string_view context = {})
        : why_(std::move(why)), text_(context) {
        if (!text_.empty()) text_ += ": ";
        text_ += to_string(why_);
    }

    const exit_reason& reason() const noexcept { return why_; }
    const char* what() const noexcept override { return text_.c_str(); }

private:
    exit_reason why_;
    std::string text_;
};

} // namespace genever
