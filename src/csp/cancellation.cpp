#include <genever/csp/cancellation.hpp>

#include <genever/runtime/timeout.hpp>

#include <algorithm>

namespace genever {

using namespace detail;

operation_cancelled::operation_cancelled(exit_reason cause)
    : std::runtime_error("genever: cancelled: " + to_string(cause)), cause_(std::move(cause)) {}

void cancellation_token::throw_if_cancelled() const {
    if (is_cancelled()) throw operation_cancelled(cause());
}

namespace detail {

ref<cancellation_state> cancellation_state::make(cancellation_state* parent, time_point deadline) {
    if (parent) deadline = std::min(deadline, parent->deadline_);
    ref<cancellation_state> s{new cancellation_state(parent, deadline)};
    if (!parent) return s;
    parent->add_reference();
    exit_reason cause;
    {
        spin_guard g{parent->lock};
        if (!parent->marked()) {
            s->next_ = parent->children_;
            if (s->next_) s->next_->previous_ = s.get();
            parent->children_ = s.get();
            s->listed_ = true;
            return s;
        }
        cause = parent->cause_;
    }
    s->cancel(std::move(cause));
    return s;
}

void cancellation_state::destroy(cancellation_state* s) noexcept {
    for (;;) { // with this state its parent may go, and so on: not by recursion
        cancellation_state* parent = s->parent_;
        if (parent) parent->unlist(*s);
        delete s;
        if (!parent || !parent->drop_last_reference()) return;
        s = parent;
    }
}

void cancellation_state::unlist(cancellation_state& child) noexcept {
    spin_guard g{lock};
    if (!child.listed_) return;
    (child.previous_ ? child.previous_->next_ : children_) = child.next_;
    if (child.next_) child.next_->previous_ = child.previous_;
    child.listed_ = false;
}

/// Cancels this one state; `children` gets those that are next, each with a reference.
void cancellation_state::mark(const exit_reason& cause, cancellation_state*& children) noexcept {
    served_waiters served;
    spin_guard g{lock};
    if (marked()) return;
    const bool late = deadline_ != time_point::max() && now() >= deadline_;
    cause_ = late ? exit_reason{exit_kind::timeout} : cause;
    // release: whoever sees the mark sees the cause
    cancelled_.store(true, std::memory_order_release);
    while (waiter* w = waiting.claim_front()) served.add(*w);
    while (waiter* w = scopes.pop_front()) interrupt(w->ticket, static_cast<scope_waiter*>(w)->scope_number);
    while (cancellation_state* c = children_) {
        children_ = c->next_;
        c->listed_ = false;
        c->previous_ = c->next_ = nullptr;
        if (!c->add_reference_if_alive()) continue; // its end waits for this lock
        c->next_ = children;
        children = c;
    }
}

void cancellation_state::cancel(exit_reason cause) noexcept {
    cancellation_state* next = nullptr;
    mark(cause, next);
    while (cancellation_state* s = next) {
        next = s->next_;
        s->mark(cause, next);
        s->drop_reference();
    }
}

exit_reason cancellation_state::cause() const noexcept {
    // acquire: pairs with the release in `mark`; the cause does not change any more
    if (cancelled_.load(std::memory_order_acquire)) return cause_;
    return cancelled() ? exit_reason{exit_kind::timeout} : exit_reason{};
}

} // namespace detail
} // namespace genever
