// when_all: several tasks at the same time, and all their results.
#pragma once

#include <genever/csp/detail/concurrent_tasks.hpp>

#include <coroutine>
#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace genever {

namespace detail {

template <class... Ts>
class [[nodiscard("co_await it")]] when_all_awaiter : public concurrent_wait {
    struct state : strict_child_set {
        std::tuple<std::optional<value_or_unit<Ts>>...> results;
        void drop_results() noexcept override {
            std::apply([](auto&... r) { (r.reset(), ...); }, results);
        }
    };
    static constexpr bool nothing = (std::is_void_v<Ts> && ...);
    using result = std::conditional_t<nothing, void, std::tuple<value_or_unit<Ts>...>>;

public:
    explicit when_all_awaiter(task<Ts>... work)
        : concurrent_wait(ref<child_set>{new state}), work_(std::move(work)...) {}

    template <task_promise_type P>
    bool await_suspend(std::coroutine_handle<P> h) {
        auto& s = static_cast<state&>(*this->set_);
        this->start([&] {
            [&]<std::size_t... I>(std::index_sequence<I...>) {
                (start_child<whose::all>(s, std::move(std::get<I>(work_)), &std::get<I>(s.results), I,
                                         nullptr),
                 ...);
            }(std::index_sequence_for<Ts...>{});
        });
        return this->suspend(static_cast<process&>(*h.promise().self), h);
    }
    result await_resume() {
        this->rethrow();
        if constexpr (!nothing)
            return std::apply([](auto&... r) { return result{std::move(*r)...}; },
                              static_cast<state&>(*this->set_).results);
    }

private:
    std::tuple<task<Ts>...> work_;
};

template <class T>
class [[nodiscard("co_await it")]] when_all_vector_awaiter : public concurrent_wait {
    struct state : strict_child_set {
        std::vector<std::optional<value_or_unit<T>>> results;
        void drop_results() noexcept override { results.clear(); }
    };
    using result = std::conditional_t<std::is_void_v<T>, void, std::vector<value_or_unit<T>>>;

public:
    explicit when_all_vector_awaiter(std::vector<task<T>> work)
        : concurrent_wait(ref<child_set>{new state}), work_(std::move(work)) {}

    template <task_promise_type P>
    bool await_suspend(std::coroutine_handle<P> h) {
        auto& s = static_cast<state&>(*this->set_);
        this->start([&] {
            s.results.resize(work_.size());
            for (std::size_t i = 0; i < work_.size(); ++i)
                start_child<whose::all>(s, std::move(work_[i]), &s.results[i], i, nullptr);
        });
        return this->suspend(static_cast<process&>(*h.promise().self), h);
    }
    result await_resume() {
        this->rethrow();
        if constexpr (!std::is_void_v<T>) {
            result all;
            auto& results = static_cast<state&>(*this->set_).results;
            all.reserve(results.size());
            for (auto& r : results) all.push_back(std::move(*r));
            return all;
        }
    }

private:
    std::vector<task<T>> work_;
};

} // namespace detail

/// Runs the tasks at the same time, each as a process of its own, and gives all their results: a std::tuple
/// (std::monostate for a task<>), or nothing where all are task<>. The first exception ends the others, by a kill at their
/// next suspension point, and is rethrown; in every case all have ended, and their frames are gone, when the await returns.
///
///     auto [user, orders] = co_await when_all(load_user(id), load_orders(id));
///
/// When its process is killed while it waits, or a deadline passes, it kills the tasks, each at its next suspension point,
/// and the frames of whoever waits go only when those of the tasks are gone: a task may refer to the locals around the
/// await, however it ends. (So one that computes for long without an await delays that end.) A process has one mailbox:
/// `self()` and `receive` in such a task are the child's.
template <class... Ts>
detail::when_all_awaiter<Ts...> when_all(task<Ts>... work) {
    return detail::when_all_awaiter<Ts...>{std::move(work)...};
}
/// The same for as many tasks as there are; the results in their order.
template <class T>
detail::when_all_vector_awaiter<T> when_all(std::vector<task<T>> work) {
    return detail::when_all_vector_awaiter<T>{std::move(work)};
}

} // namespace genever
