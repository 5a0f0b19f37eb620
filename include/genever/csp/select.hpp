// select: waits until one of several channel operations can go ahead. How: detail/select_core.hpp.
#pragma once

#include <genever/csp/chan.hpp>
#include <genever/csp/detail/select_clauses.hpp>
#include <genever/csp/detail/select_core.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/task.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace genever {

// ---- the clauses

/// A case of `select` that receives from `c`. `f` is called with the `std::optional` value, nothing when the channel is
/// closed and empty; or without an argument, where it takes none. Never ready when `c` is nil. The handle must live until
/// the select has begun to wait.
template <class T, class F>
    requires(std::invocable<F&, std::optional<T>> || std::invocable<F&>)
detail::recv_clause<T, std::decay_t<F>> recv(const chan<T>& c, F&& f) {
    detail::refuse_miscompiled_clause<F>();
    return {c, std::forward<F>(f)};
}
/// The same, which leaves what it received in `into`. That must outlive the select.
template <class T>
detail::recv_clause<T, detail::store_into<T>> recv(const chan<T>& c, std::optional<T>& into) {
    return {c, detail::store_into<T>{&into}};
}
/// The same, which forgets what it received.
template <class T>
detail::recv_clause<T, detail::no_action> recv(const chan<T>& c) {
    return {c, {}};
}

/// A case of `select` that sends `value` to `c` and then calls `f()`, if there is one. Never ready when `c` is nil; the
/// select throws closed_channel when it takes this case and `c` is closed. A value that was not sent is destroyed with
/// the select.
template <class T, class U, std::invocable F>
    requires std::convertible_to<U, T>
detail::send_clause<T, std::decay_t<F>> send(const chan<T>& c, U&& value, F&& f) {
    detail::refuse_miscompiled_value<U>();
    detail::refuse_miscompiled_clause<F>();
    return {c, T(std::forward<U>(value)), std::forward<F>(f)};
}
template <class T, class U>
    requires std::convertible_to<U, T>
detail::send_clause<T, detail::no_action> send(const chan<T>& c, U&& value) {
    detail::refuse_miscompiled_value<U>();
    return {c, T(std::forward<U>(value)), {}};
}

/// The case that is taken when no other has been ready for `delay` (zero or less: at once, as `otherwise`). With a
/// callable: `after(1s, [] {...})`, the one of `receive`.
inline detail::after_clause<detail::no_action> after(duration delay) noexcept { return {delay, {}}; }

/// The case that is taken when no other is ready: Go's `default`. With it a select never waits.
template <std::invocable F>
detail::otherwise_clause<std::decay_t<F>> otherwise(F&& f) {
    detail::refuse_miscompiled_clause<F>();
    return {std::forward<F>(f)};
}
inline detail::otherwise_clause<detail::no_action> otherwise() noexcept { return {}; }

// ---- the wait

namespace detail {

template <class... Clauses>
class [[nodiscard("co_await it")]] select_awaiter : select_core {
    static constexpr std::size_t count = sizeof...(Clauses);
    static constexpr bool any_acts = (Clauses::acts || ...);
    static constexpr std::size_t otherwises = (std::size_t{0} + ... + (Clauses::is_otherwise ? 1 : 0));
    static_assert(otherwises <= 1, "genever: a select has at most one otherwise clause");
    using result = select_result<Clauses...>::type;

public:
    template <class... Given>
    explicit select_awaiter(std::in_place_t, Given&&... clauses)
        : clauses_(std::forward<Given>(clauses)...) {}
    ~select_awaiter() { abandon(); }

    bool await_ready() const noexcept { return false; }
    template <task_promise_type P>
    bool await_suspend(std::coroutine_handle<P> h) noexcept {
        std::size_t otherwise = none;
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            (
                [&] {
                    if constexpr (std::tuple_element_t<I, std::tuple<Clauses...>>::is_otherwise)
                        otherwise = I;
                    else
                        cases_[I] = &std::get<I>(clauses_);
                }(),
                ...);
        }(std::index_sequence_for<Clauses...>{});
        std::array<select_case*, 2 * count> scratch;
        return suspend(static_cast<process&>(*h.promise().self), h, cases_, scratch, otherwise);
    }
    result await_resume() {
        const std::size_t i = settle();
        if constexpr (count != 0) {
            if constexpr (any_acts) {
                return act<0>(i);
            } else {
                act<0>(i);
                return i;
            }
        } else {
            return i; // a select without cases never ends
        }
    }

private:
    template <std::size_t I>
    auto act(std::size_t i) -> std::conditional_t<any_acts, result, void> {
        if constexpr (I + 1 < count) {
            if (i != I) return act<I + 1>(i);
        }
        return std::get<I>(clauses_).act();
    }

    std::tuple<Clauses...> clauses_;
    std::array<select_case*, count> cases_{};
};

/// A select whose clauses return tasks: the one of the chosen clause is awaited, while its callable is kept alive.
template <class Result, class... Clauses>
Result select_and_await(Clauses... clauses) {
    select_awaiter<Clauses...> wait{std::in_place, std::move(clauses)...};
    auto chosen = co_await wait;
    if constexpr (std::is_void_v<typename Result::value_type>)
        co_await std::move(chosen);
    else
        co_return co_await std::move(chosen);
}

} // namespace detail

/// Waits until one of its cases can go ahead, and lets exactly that one: Go's `select`. Where several could, each is
/// taken with the same likelihood. `otherwise` is taken only when no case can go ahead at the one moment at which all are
/// looked at. A channel may be in several cases, also to send and to receive; a select does not meet itself.
///
///     co_await select(
///         recv(jobs, [&](std::optional<job> j) { if (j) run(*j); }),
///         send(beats, 1, [] {}),
///         after(1s, [] { log_idle(); }));
///
/// The callable of the chosen case runs in the waiting process, after the wait; the results have one common type, which
/// `co_await` gives. When they are tasks, the chosen one is awaited. A case without a callable does nothing, among
/// callables that return nothing. When no case has one, `co_await` gives the number of the case, for loops:
///
///     std::optional<job> j;
///     for (;;) switch (co_await select(recv(jobs, j), recv(quit))) {
///         case 0: if (j) run(*j); break;
///         case 1: co_return;
///     }
///
/// Cases other than these: `done(token)` (cancellation.hpp), `tick(ticker)` (ticker.hpp). Without cases, or with only
/// cases at nil channels, it waits for ever. Destroyed while it waits, nothing was received or sent.
template <class... Clauses>
auto select(Clauses&&... clauses) {
    using result = detail::select_result<detail::clause_case<std::decay_t<Clauses>>...>::type;
    if constexpr (detail::is_task<result>)
        return detail::select_and_await<result, detail::clause_case<std::decay_t<Clauses>>...>(
            std::forward<Clauses>(clauses)...);
    else
        return detail::select_awaiter<detail::clause_case<std::decay_t<Clauses>>...>(
            std::in_place, std::forward<Clauses>(clauses)...);
}

// ---- a number of cases that is not known beforehand

/// One case for a select over a vector of them (Go's reflect.Select): any of the clauses above whose callable, if it
/// has one, returns nothing. A send clause is good for one select: its value goes.
class any_case {
public:
    template <class Clause>
        requires(!std::same_as<std::decay_t<Clause>, any_case>)
    // NOLINTNEXTLINE(google-explicit-constructor): so that a vector of cases can be written as a list of clauses
    any_case(Clause&& c)
        : case_(std::make_unique<detail::boxed_clause<detail::clause_case<std::decay_t<Clause>>>>(
              std::forward<Clause>(c))) {}

private:
    friend detail::select_vector_awaiter;
    std::unique_ptr<detail::clause_box> case_;
};

/// `select` over as many cases as there are; gives the number of the one that was taken, after its callable has run.
/// The cases are borrowed, and can be used again: keep them, and their channels' handles, until the select is over.
inline detail::select_vector_awaiter select(std::vector<any_case>& cases) {
    return detail::select_vector_awaiter{cases};
}

} // namespace genever
