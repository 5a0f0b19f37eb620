// Putting a cancellation token around a task: what is cancelled is destroyed where it waits.
#pragma once

#include <genever/csp/cancellation.hpp>
#include <genever/runtime/timeout.hpp>

#include <coroutine>
#include <expected>
#include <type_traits>
#include <utility>

namespace genever {

/// The error of `cancellable`: the task was destroyed, or never started, its token was cancelled.
struct cancelled {
    exit_reason cause;
};

namespace detail {

/// As timeout_awaiter, with one more who may call the scope off: the token, at which the scope is registered from the
/// start of the work until its end.
template <class T>
class [[nodiscard("co_await it")]] cancellable_awaiter : scope {
public:
    cancellable_awaiter(cancellation_token token, task<T> work) noexcept
        : token_(std::move(token)), work_(std::move(work)) {
        destroy = [](scope& s) noexcept { static_cast<cancellable_awaiter&>(s).work_ = task<T>{}; };
    }
    cancellable_awaiter(const cancellable_awaiter&) = delete;
    cancellable_awaiter& operator=(const cancellable_awaiter&) = delete;
    ~cancellable_awaiter() { finish(); }

    bool await_ready() const noexcept {
        return token_.is_cancelled() || (std::is_void_v<T> && work_.empty());
    }
    template <task_promise_type P>
    bool await_suspend(std::coroutine_handle<P> h) noexcept {
        process& p = static_cast<process&>(*h.promise().self);
        parent = h;
        enter(p);
        entered_ = true;
        me_.ticket = {&p, p.generation};
        me_.scope_number = number;
        if (cancellation_state* s = cancellation_access::state(token_)) {
            timer_.what = timer_node::action::interrupt;
            timer_.ticket = me_.ticket;
            timer_.scope_number = number;
            {
                spin_guard g{s->lock};
                if (s->marked()) return false; // cancelled after all
                s->scopes.push_back(me_);
            }
            if (s->deadline() != time_point::max()) arm(timer_, s->deadline());
        }
        frame_ = work_.start(p, h);
        return true;
    }
    std::expected<T, cancelled> await_resume() {
        finish();
        const bool destroyed = frame_ && work_.empty();
        const bool never_started = !frame_ && token_.is_cancelled();
        if (destroyed || never_started) return std::unexpected(cancelled{token_.cause()});
        if constexpr (std::is_void_v<T>) {
            if (frame_) work_.result();
            return {};
        } else {
            return work_.result();
        }
    }

private:
    void finish() noexcept {
        if (!entered_) return;
        entered_ = false;
        disarm(timer_);
        if (cancellation_state* s = cancellation_access::state(token_)) {
            spin_guard g{s->lock};
            s->scopes.remove(me_);
        }
        leave();
    }

    cancellation_token token_;
    task<T> work_;
    std::coroutine_handle<> frame_;
    scope_waiter me_;
    timer_node timer_;
    bool entered_ = false;
};

} // namespace detail

/// Awaits `work` unless and until the token is cancelled, or its deadline passes: then the frames of `work` are destroyed at
/// the point where they are suspended, innermost first, as a kill does, and the result is `cancelled` with the cause. Work
/// that does not suspend is not interrupted; with a token that is cancelled already it is not started. An exception of the
/// work is rethrown.
///
///     auto page = co_await cancellable(token, fetch(url));
///     if (!page) co_return;
template <class T>
detail::cancellable_awaiter<T> cancellable(cancellation_token token, task<T> work) {
    return {std::move(token), std::move(work)};
}

} // namespace genever
