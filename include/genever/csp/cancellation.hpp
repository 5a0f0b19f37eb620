// cancellation: tells a tree of calls and processes that their work is no longer wanted, and until when it is.
//
// A source has a state; the tokens made from it name that state, and a source made from a token has a state below it.
//
//     live ──── cancel: its own, or one above it; once ────▶ cancelled, with a cause that never changes
//
// A state holds its parent (a reference) and its children (a list without references; a child unlists itself under its
// parent's lock, in O(1), when its last reference goes). `cancel` goes down the tree without recursion: under a state's
// lock it marks it, serves those who wait, and takes the children off, with a reference each, to do the same with them
// after the unlock. The link of that list is the child's, and only who took it off its parent uses it.
//
// Deadlines need no timer here. A state's deadline is the earliest of its own and all above it, fixed when it is made;
// whoever waits for a token arms a timer of his own for it, and who only asks looks at the clock.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/base/counted.hpp>
#include <genever/base/exit_reason.hpp>
#include <genever/csp/detail/select_clauses.hpp>
#include <genever/csp/detail/select_core.hpp>
#include <genever/csp/detail/waiters.hpp>
#include <genever/runtime/detail/timer.hpp>
#include <genever/runtime/task.hpp>
#include <genever/runtime/time.hpp>

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <stdexcept>
#include <utility>

namespace genever {

/// What `throw_if_cancelled` throws.
class operation_cancelled : public std::runtime_error {
public:
    explicit operation_cancelled(exit_reason cause);
    const exit_reason& cause() const noexcept { return cause_; }

private:
    exit_reason cause_;
};

namespace detail {

/// A scope (runtime/timeout.hpp) that is called off when a state is cancelled.
struct scope_waiter : waiter { // `ticket` holds the process and its generation
    std::uint64_t scope_number = 0;
};

class cancellation_state : public counted<cancellation_state> {
public:
    /// `parent` may be null.
    static ref<cancellation_state> make(cancellation_state* parent, time_point deadline);
    static void destroy(cancellation_state* s) noexcept;

    void cancel(exit_reason cause) noexcept;
    bool cancelled() const noexcept {
        // acquire: pairs with the release in `mark`
        return cancelled_.load(std::memory_order_acquire) ||
               (deadline_ != time_point::max() && now() >= deadline_);
    }
    exit_reason cause() const noexcept;
    time_point deadline() const noexcept { return deadline_; }

    // Under the lock.
    spinlock lock;
    waiter_queue waiting;
    waiter_queue scopes;
    bool marked() const noexcept { return cancelled_.load(std::memory_order_relaxed); }

private:
    cancellation_state(cancellation_state* parent, time_point deadline) noexcept
        : deadline_(deadline), parent_(parent) {}
    ~cancellation_state() = default;
    void mark(const exit_reason& cause, cancellation_state*& children) noexcept;
    void unlist(cancellation_state& child) noexcept;

    std::atomic<bool> cancelled_{false};
    exit_reason cause_;
    const time_point deadline_;
    cancellation_state* const parent_;       // one reference of it is ours
    cancellation_state* children_ = nullptr; // under the lock, as their links
    cancellation_state* previous_ = nullptr; // under the parent's
    cancellation_state* next_ = nullptr;
    bool listed_ = false;
};

class done_awaiter;
struct cancellation_access;

} // namespace detail

/// Tells whether some work is still wanted, and lets wait for the moment at which it is not: what Go's context.Context does
/// beside carrying values. Pass it down by value to whatever may take long; look at it, select on it, or put it around
/// a task (`cancellable`, csp/cancellable.hpp). Copies name the same; cheap to copy; usable on any thread. A
/// default-constructed token is never cancelled.
class cancellation_token {
public:
    cancellation_token() noexcept = default;

    /// Cancelled, or past its deadline.
    bool is_cancelled() const noexcept { return state_ && state_->cancelled(); }
    /// Why: `timeout` when a deadline has passed, `shutdown` when nothing else was said; `normal` while it is not
    /// cancelled.
    exit_reason cause() const noexcept { return state_ ? state_->cause() : exit_reason{}; }
    /// `time_point::max()`: none.
    time_point deadline() const noexcept { return state_ ? state_->deadline() : time_point::max(); }
    /// Throws operation_cancelled, with the cause.
    void throw_if_cancelled() const;
    /// Waits until it is cancelled or its deadline passes; gives the cause.
    detail::done_awaiter done() const noexcept;

    friend bool operator==(const cancellation_token& a, const cancellation_token& b) noexcept {
        return a.state_ == b.state_;
    }

private:
    friend class cancellation_source;
    friend struct detail::cancellation_access;
    explicit cancellation_token(detail::ref<detail::cancellation_state> s) noexcept : state_(std::move(s)) {}

    detail::ref<detail::cancellation_state> state_;
};

/// Who may cancel. Made from a token, it is cancelled with it, and no later than it: so one cancel, or one deadline, goes
/// down a tree of calls, and never up. Its end cancels it, as Go's `defer cancel()`.
///
///     task<> serve(cancellation_token t) {
///         cancellation_source mine{t, 2s};          // with t, and in two seconds at the latest
///         go([t = mine.token()]() -> task<> { co_await fetch(t); });
///         ...
///     }                                             // whoever has the token is told that it is over
class cancellation_source {
public:
    explicit cancellation_source(const cancellation_token& parent = {},
                                 time_point deadline = time_point::max())
        : state_(detail::cancellation_state::make(parent.state_.get(), deadline)) {}
    cancellation_source(const cancellation_token& parent, duration limit)
        : cancellation_source(parent, deadline_in(limit)) {}
    cancellation_source(cancellation_source&&) noexcept = default;
    cancellation_source& operator=(cancellation_source&& o) noexcept {
        if (this != &o) {
            cancel();
            state_ = std::move(o.state_);
        }
        return *this;
    }
    ~cancellation_source() { cancel(); }

    cancellation_token token() const noexcept { return cancellation_token{state_}; }
    /// Cancels all that hangs on it. The first cause counts; again, it does nothing. On any thread. When the
    /// call that counts returns, all tokens of it and below say that they are cancelled; another one may return before.
    void cancel(exit_reason cause = exit_kind::shutdown) const noexcept {
        if (state_) state_->cancel(std::move(cause));
    }
    bool is_cancelled() const noexcept { return !state_ || state_->cancelled(); }

private:
    detail::ref<detail::cancellation_state> state_;
};

namespace detail {

struct cancellation_access {
    static cancellation_state* state(const cancellation_token& t) noexcept { return t.state_.get(); }
};

/// A wait for a token, alone or in a select.
template <class F>
class done_clause final : public select_case {
public:
    using result = plain_result<F>::type;
    static constexpr bool acts = is_action<F>;
    static constexpr bool is_otherwise = false;

    done_clause(const cancellation_token& t, F f) : state_(cancellation_access::state(t)), f_(std::move(f)) {
        timed = state_ && state_->deadline() != time_point::max();
    }

    void prepare(time_point) noexcept override {
        me_.outcome = wait_outcome::none;
        me = &me_;
        if (!state_) return;
        lock = &state_->lock;
        queue = &state_->waiting;
        due = state_->deadline();
    }
    bool attempt(served_waiters&, time_point t) noexcept override {
        return state_ && (state_->marked() || due <= t);
    }
    void hold() noexcept override {
        if (state_) state_->add_reference();
    }
    void let_go() noexcept override {
        if (state_) state_->drop_reference();
    }

    result act() {
        if constexpr (acts) return std::invoke(f_);
    }

private:
    cancellation_state* state_;
    [[no_unique_address]] F f_;
    waiter me_;
};

class [[nodiscard("co_await it")]] done_awaiter : select_core {
public:
    explicit done_awaiter(cancellation_token t) noexcept : token_(std::move(t)), clause_(token_, {}) {}
    ~done_awaiter() { abandon(); }

    bool await_ready() const noexcept { return false; }
    template <task_promise_type P>
    bool await_suspend(std::coroutine_handle<P> h) noexcept {
        cases_[0] = &clause_;
        return suspend(static_cast<process&>(*h.promise().self), h, std::span{cases_}.first(1),
                       std::span{cases_}.subspan(1), none);
    }
    exit_reason await_resume() noexcept {
        settle();
        return token_.cause();
    }

private:
    cancellation_token token_;
    done_clause<no_action> clause_;
    select_case* cases_[3] = {};
};

} // namespace detail

inline detail::done_awaiter cancellation_token::done() const noexcept { return detail::done_awaiter{*this}; }

/// A case of `select` that is ready when the token is cancelled or past its deadline. Never, for a default-constructed
/// one. The token must live until the select has begun to wait.
template <std::invocable F>
detail::done_clause<std::decay_t<F>> done(const cancellation_token& t, F&& f) {
    detail::refuse_miscompiled_clause<F>();
    return {t, std::forward<F>(f)};
}
inline detail::done_clause<detail::no_action> done(const cancellation_token& t) { return {t, {}}; }

} // namespace genever
