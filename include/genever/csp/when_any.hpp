// when_any: several tasks at the same time, and the result of the first that has one.
#pragma once

#include <genever/csp/detail/concurrent_tasks.hpp>

#include <coroutine>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace genever {

namespace detail {

template <class... Ts>
class [[nodiscard("co_await it")]] when_any_awaiter : public concurrent_wait {
    struct state : strict_child_set {
        std::tuple<std::optional<value_or_unit<Ts>>...> results;
        void drop_results() noexcept override {
            std::apply([](auto&... r) { (r.reset(), ...); }, results);
        }
        std::size_t winner = 0;
    };
    using result = std::variant<value_or_unit<Ts>...>;

public:
    explicit when_any_awaiter(task<Ts>... work)
        : concurrent_wait(ref<child_set>{new state}), work_(std::move(work)...) {}

    template <task_promise_type P>
    bool await_suspend(std::coroutine_handle<P> h) {
        auto& s = static_cast<state&>(*this->set_);
        this->start([&] {
            [&]<std::size_t... I>(std::index_sequence<I...>) {
                (start_child<whose::first>(s, std::move(std::get<I>(work_)), &std::get<I>(s.results), I,
                                           &s.winner),
                 ...);
            }(std::index_sequence_for<Ts...>{});
        });
        return this->suspend(static_cast<process&>(*h.promise().self), h);
    }
    result await_resume() {
        this->rethrow();
        return pick<0>(static_cast<state&>(*this->set_));
    }

private:
    template <std::size_t I>
    static result pick(state& s) {
        if constexpr (I + 1 < sizeof...(Ts)) {
            if (s.winner != I) return pick<I + 1>(s);
        }
        return result{std::in_place_index<I>, std::move(*std::get<I>(s.results))};
    }

    std::tuple<task<Ts>...> work_;
};

template <class T>
class [[nodiscard("co_await it")]] when_any_vector_awaiter : public concurrent_wait {
    struct state : strict_child_set {
        std::vector<std::optional<value_or_unit<T>>> results;
        void drop_results() noexcept override { results.clear(); }
        std::size_t winner = 0;
    };
    using result =
        std::conditional_t<std::is_void_v<T>, std::size_t, std::pair<std::size_t, value_or_unit<T>>>;

public:
    explicit when_any_vector_awaiter(std::vector<task<T>> work)
        : concurrent_wait(ref<child_set>{new state}), work_(std::move(work)) {
        if (work_.empty()) throw std::invalid_argument("genever: when_any of no tasks");
    }

    template <task_promise_type P>
    bool await_suspend(std::coroutine_handle<P> h) {
        auto& s = static_cast<state&>(*this->set_);
        this->start([&] {
            s.results.resize(work_.size());
            for (std::size_t i = 0; i < work_.size(); ++i)
                start_child<whose::first>(s, std::move(work_[i]), &s.results[i], i, &s.winner);
        });
        return this->suspend(static_cast<process&>(*h.promise().self), h);
    }
    result await_resume() {
        this->rethrow();
        auto& s = static_cast<state&>(*this->set_);
        if constexpr (std::is_void_v<T>)
            return s.winner;
        else
            return {s.winner, std::move(*s.results[s.winner])};
    }

private:
    std::vector<task<T>> work_;
};

} // namespace detail

/// Runs the tasks at the same time, each as a process of its own, until the first has ended, and gives its result as the
/// std::variant alternative of its number (std::monostate for a task<>); or rethrows its exception. The others are killed
/// at their next suspension point, and their frames are gone when the await returns.
///
///     auto r = co_await when_any(ask(primary), ask(replica));
///     if (r.index() == 1) log_slow_primary();
///
/// Killed while it waits, it does what when_all does: the tasks go first.
template <class... Ts>
    requires(sizeof...(Ts) > 0)
detail::when_any_awaiter<Ts...> when_any(task<Ts>... work) {
    return detail::when_any_awaiter<Ts...>{std::move(work)...};
}
/// The same for as many tasks as there are, at least one (else std::invalid_argument): the winner's number and result, or
/// only the number where they are task<>.
template <class T>
detail::when_any_vector_awaiter<T> when_any(std::vector<task<T>> work) {
    return detail::when_any_vector_awaiter<T>{std::move(work)};
}

} // namespace genever
