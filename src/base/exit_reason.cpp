#include <genever/base/exit_reason.hpp>

#include <genever/base/demangle.hpp>
#include <genever/base/exit_error.hpp>
#include <genever/base/pid.hpp>
#include <genever/base/stack_trace.hpp>

namespace genever {

struct exit_reason::details {
    std::atomic<std::uint32_t> references{1};
    std::string type;
    std::string text;
    stack_trace trace;
    std::exception_ptr exception;
};

std::string_view to_string(exit_kind k) noexcept {
    switch (k) {
    case exit_kind::normal: return "normal";
    case exit_kind::shutdown: return "shutdown";
    case exit_kind::killed: return "killed";
    case exit_kind::noproc: return "noproc";
    case exit_kind::timeout: return "timeout";
    case exit_kind::overloaded: return "overloaded";
    case exit_kind::error: return "error";
    }
    return "unknown";
}

exit_reason exit_reason::error(std::string_view text) {
    auto* d = new details;
    d->text = text;
    return {exit_kind::error, d};
}

exit_reason exit_reason::shutdown(std::string_view text) {
    auto* d = new details;
    d->text = text;
    return {exit_kind::shutdown, d};
}

exit_reason exit_reason::from_exception(const std::exception_ptr& e) noexcept {
    try {
        // Its type is asked first: to rethrow what is not one would cost more than all the rest.
        if (e && *e.__cxa_exception_type() == typeid(exit_error)) std::rethrow_exception(e);
    } catch (const exit_error& says) {
        return says.reason();
    }
    try {
        auto* d = new details;
        exit_reason r{exit_kind::error, d};
        auto described = describe_exception(e);
        d->type = std::move(described.type);
        d->text = std::move(described.text);
        d->trace = trace_of(e);
        d->exception = e;
        return r;
    } catch (...) {
        return exit_kind::error; // no memory for the details: the kind alone still restarts the process
    }
}

std::string_view exit_reason::type() const noexcept { return details_ ? details_->type : std::string_view{}; }
std::string_view exit_reason::text() const noexcept { return details_ ? details_->text : std::string_view{}; }
const stack_trace* exit_reason::trace() const noexcept { return details_ ? &details_->trace : nullptr; }
std::exception_ptr exit_reason::exception() const noexcept {
    return details_ ? details_->exception : nullptr;
}

void exit_reason::retain() const noexcept {
    // relaxed: a new reference is made from one that is already held
    if (details_) details_->references.fetch_add(1, std::memory_order_relaxed);
}

void exit_reason::release() noexcept {
    // acq_rel: the last holder sees everything that the others did with the details before they let go
    if (details_ && details_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete details_;
    details_ = nullptr;
}

std::string to_string(const exit_reason& r) {
    std::string s{to_string(r.kind())};
    if (!r.type().empty()) (s += ' ') += r.type();
    if (!r.text().empty()) (s += ": ") += r.text();
    return s;
}

std::string to_string(pid p) {
    if (!p) return "<none>";
    return '<' + std::to_string(p.slot()) + '.' + std::to_string(p.generation()) + '>';
}

} // namespace genever
