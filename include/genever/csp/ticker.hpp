// ticker: a tick every period.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/csp/detail/select_clauses.hpp>
#include <genever/csp/detail/select_core.hpp>
#include <genever/runtime/task.hpp>
#include <genever/runtime/time.hpp>

#include <concepts>
#include <coroutine>
#include <functional>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace genever {

namespace detail {
template <class F>
class tick_clause;
class tick_awaiter;
} // namespace detail

/// Go's time.Ticker: ticks at multiples of a period from its start. One tick is kept for a receiver that is late, those
/// after it are dropped, so a slow receiver is neither flooded nor shifted. It is a value that belongs to one process at a
/// time, and costs nothing while nobody waits for it: no timer runs in between. What several are to hear goes through a
/// channel.
///
///     ticker beat(1s);
///     for (;;) {
///         const time_point t = co_await beat.tick();   // or `tick(beat, f)` in a select
///         ...
///     }
class ticker {
public:
    /// The first tick is due after one period. Throws std::invalid_argument for a period that is not more than zero.
    explicit ticker(duration period) { reset(period); }

    /// Waits for the next tick; gives the time at which it was due. Destroyed while it waits, the tick is still to come.
    /// The ticker must outlive the wait.
    detail::tick_awaiter tick() noexcept;
    /// No more ticks: a wait is for ever then, until `reset`. One that was kept is dropped.
    void stop() noexcept { next_ = time_point::max(); }
    /// Begins anew, with the first tick after one `period`. Throws as the constructor.
    void reset(duration period) {
        if (period <= duration::zero())
            throw std::invalid_argument("genever: a ticker's period must be more than zero");
        period_ = period;
        next_ = deadline_in(period);
    }

private:
    template <class F>
    friend class detail::tick_clause;

    time_point consume() noexcept {
        const time_point tick = next_;
        const time_point t = now();
        next_ = later(next_, period_);
        if (next_ <= t) next_ = later(next_, ((t - next_) / period_ + 1) * period_);
        return tick;
    }

    duration period_{};
    time_point next_;
};

namespace detail {

template <class F>
class tick_clause final : public select_case {
    template <class G>
    struct result_of : std::invoke_result<G&, time_point> {};
    template <class G>
        requires(!std::is_invocable_v<G&, time_point>)
    struct result_of<G> : plain_result<G> {};

public:
    using result = result_of<F>::type;
    static constexpr bool acts = is_action<F>;
    static constexpr bool is_otherwise = false;

    tick_clause(ticker& t, F f) : ticker_(&t), f_(std::move(f)) { timed = true; }

    void prepare(time_point) noexcept override { due = ticker_->next_; }
    bool attempt(served_waiters&, time_point t) noexcept override {
        return due <= t && due != time_point::max();
    }
    void chosen() noexcept override { tick_ = ticker_->consume(); }

    time_point tick() const noexcept { return tick_; }
    result act() {
        if constexpr (std::is_invocable_v<F&, time_point>)
            return std::invoke(f_, tick_);
        else if constexpr (acts)
            return std::invoke(f_);
    }

private:
    ticker* ticker_;
    time_point tick_;
    [[no_unique_address]] F f_;
};

class [[nodiscard("co_await it")]] tick_awaiter : select_core {
public:
    explicit tick_awaiter(ticker& t) noexcept : clause_(t, {}) {}
    ~tick_awaiter() { abandon(); }

    bool await_ready() const noexcept { return false; }
    template <task_promise_type P>
    bool await_suspend(std::coroutine_handle<P> h) noexcept {
        cases_[0] = &clause_;
        return suspend(static_cast<process&>(*h.promise().self), h, std::span{cases_}.first(1),
                       std::span{cases_}.subspan(1), none);
    }
    time_point await_resume() noexcept {
        settle();
        return clause_.tick();
    }

private:
    tick_clause<no_action> clause_;
    select_case* cases_[3] = {};
};

} // namespace detail

inline detail::tick_awaiter ticker::tick() noexcept { return detail::tick_awaiter{*this}; }

/// A case of `select` that is ready at the ticker's next tick; `f` is called with the time at which that was due, or
/// without. The ticker must outlive the select.
template <class F>
    requires(std::invocable<F&, time_point> || std::invocable<F&>)
detail::tick_clause<std::decay_t<F>> tick(ticker& t, F&& f) {
    detail::refuse_miscompiled_clause<F>();
    return {t, std::forward<F>(f)};
}
inline detail::tick_clause<detail::no_action> tick(ticker& t) { return {t, {}}; }

} // namespace genever
