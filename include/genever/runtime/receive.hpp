// Selective receive: takes the first message of the mailbox that one of the given clauses wants.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/runtime/detail/timer.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/time.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

namespace genever {

namespace detail {

/// Waits until a message of one of some types is there, system lane first. What has been looked at once is not looked at
/// again by the same wait: a long mailbox costs nothing at each further arrival.
class receive_wait : public mail_waiter {
public:
    /// `types` null: any message. The array must outlive the wait.
    receive_wait(const message_type* const* types, std::size_t count) noexcept
        : types_(types), count_(static_cast<std::uint32_t>(count)) {
        over = &receive_wait::woken;
    }
    receive_wait(const receive_wait&) = delete;

    bool ready() {
        process& p = require_process("receive");
        return may_continue(p) && look(p);
    }
    template <task_promise_type P>
    void await_suspend(std::coroutine_handle<P> h) noexcept {
        auto& p = static_cast<process&>(*h.promise().self);
        p.resume_point = h;
        wait_for_mail(p, *this, how_to_wait());
    }

protected:
    bool look(process& p) noexcept;
    /// Where it has not looked yet its process's budget was used up: it takes nothing now, since it may be destroyed before
    /// it runs again, and looks when it is its turn.
    parking how_to_wait() const noexcept { return looked_ ? parking::mail : parking::requeue; }
    message_ptr take_result() noexcept { return std::move(found_); }

private:
    static bool woken(mail_waiter& w, process& p) noexcept;
    bool look_bounded(process& p) noexcept;
    bool take_own(process& p) noexcept;

    const message_type* const* types_;
    std::uint32_t count_;
    bool looked_ = false;
    message* seen_ = nullptr;        // up to here nothing in the user lane is wanted
    message* system_seen_ = nullptr; // the same of the system lane
    message_ptr found_;
};

/// The same, no longer than a given time; zero or less: only looks.
class timed_receive_wait : public receive_wait {
public:
    timed_receive_wait(const message_type* const* types, std::size_t count, duration timeout) noexcept
        : receive_wait(types, count), timeout_(timeout) {
        over = &timed_receive_wait::woken;
    }
    ~timed_receive_wait() { disarm(timer_); }

    bool ready() {
        process& p = require_process("receive");
        return may_continue(p) && (look(p) || timeout_ <= duration::zero());
    }
    template <task_promise_type P>
    void await_suspend(std::coroutine_handle<P> h) noexcept {
        suspend(static_cast<process&>(*h.promise().self), h);
    }

private:
    static bool woken(mail_waiter& w, process& p) noexcept;
    void suspend(process& p, std::coroutine_handle<> h) noexcept;

    void wait(process& p) noexcept;

    duration timeout_;
    bool waiting_ = false;
    timer_node timer_;
};

template <class F>
struct clause_argument;
template <class R, class C, class A>
struct clause_argument<R (C::*)(A)> {
    using type = std::remove_cvref_t<A>;
    using result = R;
};
template <class R, class C, class A>
struct clause_argument<R (C::*)(A) const> : clause_argument<R (C::*)(A)> {};
template <class R, class A>
struct clause_argument<R (*)(A)> {
    using type = std::remove_cvref_t<A>;
    using result = R;
};
template <class F>
    requires requires { &F::operator(); }
struct clause_argument<F> : clause_argument<decltype(&F::operator())> {};

/// GCC 12 destroys a closure (or another aggregate) with a destructor twice when it is made inside a co_await
/// expression; one that has a name is safe.
template <class F>
constexpr void refuse_miscompiled_clause() {
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
    static_assert(
        std::is_lvalue_reference_v<F> || std::is_trivially_destructible_v<F>,
        "genever: GCC 12 miscompiles a clause that owns something (captures by value) inside co_await "
        "receive(...): give it a name first, auto clause = [x](int i) {...}, or capture by reference");
#endif
}

template <class F>
struct after_clause {
    duration delay;
    F f;
};
template <class T>
inline constexpr bool is_after = false;
template <class F>
inline constexpr bool is_after<after_clause<F>> = true;

template <class... Clauses>
struct clause_types {
    static constexpr const message_type* list[sizeof...(Clauses) + 1] = {
        &value_message<typename clause_argument<Clauses>::type>::type_of..., nullptr};
};

struct no_after {};

template <class After, class... Clauses>
class [[nodiscard("co_await it")]] receive_awaiter
    : public std::conditional_t<std::is_same_v<After, no_after>, receive_wait, timed_receive_wait> {
    static constexpr bool has_after = !std::is_same_v<After, no_after>;
    using result = std::common_type_t<typename clause_argument<Clauses>::result...>;

public:
    explicit receive_awaiter(std::tuple<Clauses...> clauses)
        requires(!has_after)
        : receive_wait(clause_types<Clauses...>::list, sizeof...(Clauses)), clauses_(std::move(clauses)) {}
    receive_awaiter(duration timeout, After after, std::tuple<Clauses...> clauses)
        requires has_after
        : timed_receive_wait(clause_types<Clauses...>::list, sizeof...(Clauses), timeout),
          after_(std::move(after)), clauses_(std::move(clauses)) {}

    bool await_ready() { return this->ready(); }
    result await_resume() {
        message_ptr m = this->take_result();
        if (!m) {
            if constexpr (has_after) return after_();
        }
        return dispatch<0>(m);
    }

private:
    template <std::size_t I>
    result dispatch(message_ptr& m) {
        if constexpr (I + 1 < sizeof...(Clauses)) {
            if (m->type != clause_types<Clauses...>::list[I]) return dispatch<I + 1>(m);
        }
        using clause = std::tuple_element_t<I, std::tuple<Clauses...>>;
        using value_type = typename clause_argument<clause>::type;
        return std::get<I>(clauses_)(std::move(static_cast<value_message<value_type>*>(m.get())->value));
    }

    [[no_unique_address]] After after_;
    std::tuple<Clauses...> clauses_;
};

template <class... Clauses, std::size_t... I>
auto make_receive(std::tuple<Clauses...> all, std::index_sequence<I...>) {
    using last = std::tuple_element_t<sizeof...(Clauses) - 1, std::tuple<Clauses...>>;
    auto& end = std::get<sizeof...(Clauses) - 1>(all);
    static_assert(is_after<last>);
    return receive_awaiter<decltype(end.f), std::tuple_element_t<I, std::tuple<Clauses...>>...>(
        end.delay, std::move(end.f),
        std::tuple<std::tuple_element_t<I, std::tuple<Clauses...>>...>(std::move(std::get<I>(all))...));
}

} // namespace detail

/// The clause of `receive` for the case that nothing wanted comes within `delay` (0: only look).
template <class F>
detail::after_clause<std::decay_t<F>> after(duration delay, F&& f) {
    detail::refuse_miscompiled_clause<F>();
    return {delay, std::forward<F>(f)};
}

/// Takes the first message, in the order of arrival, whose type is the argument type of one of the clauses, and
/// calls that clause with it; other messages stay. `down` and `exit_signal` come from the system lane and go
/// before the rest. Each clause is a callable with one, non-template parameter; all return one type, which
/// `co_await` gives. The last may be `after(5s, [] {...})`.
///
///     auto n = co_await receive([](int i) { return i; }, after(5s, [] { return -1; }));
///
/// Killed while it waits, nothing has been taken.
template <class... Clauses>
auto receive(Clauses&&... clauses) {
    static_assert(sizeof...(Clauses) > 0, "genever: receive needs at least one clause");
    using all = std::tuple<std::decay_t<Clauses>...>;
    using last = std::tuple_element_t<sizeof...(Clauses) - 1, all>;
    (
        [] {
            if constexpr (!detail::is_after<std::decay_t<Clauses>>)
                detail::refuse_miscompiled_clause<Clauses>();
        }(),
        ...);
    if constexpr (detail::is_after<last>) {
        static_assert(sizeof...(Clauses) > 1, "genever: receive with only an after clause is sleep_for");
        return detail::make_receive(all(std::forward<Clauses>(clauses)...),
                                    std::make_index_sequence<sizeof...(Clauses) - 1>{});
    } else {
        return detail::receive_awaiter<detail::no_after, std::decay_t<Clauses>...>(
            all(std::forward<Clauses>(clauses)...));
    }
}

} // namespace genever
