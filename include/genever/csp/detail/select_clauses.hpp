// What the clauses of a select are made of.
#pragma once

#include <genever/csp/chan.hpp>
#include <genever/csp/detail/select_core.hpp>
#include <genever/runtime/receive.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace genever {

class any_case;

namespace detail {

/// In the place of a callable: nothing is to be done. (A constructor, so that it is no aggregate: see GCC 12 in
/// docs/pitfalls.md.)
struct no_action {
    constexpr no_action() noexcept {}
};
template <class T>
class store_into {
public:
    explicit store_into(std::optional<T>* to) noexcept : to_(to) {}
    void operator()(std::optional<T>&& v) const noexcept { *to_ = std::move(v); }

private:
    std::optional<T>* to_;
};
template <class F>
inline constexpr bool is_action = !std::is_same_v<F, no_action>;
template <class T>
inline constexpr bool is_action<store_into<T>> = false;

// Each clause has `result`, what its callable returns; `acts`, whether it has one; `act()`, which calls it.

template <class T, class F>
class recv_clause final : public select_case {
    static constexpr bool wants_value = std::is_invocable_v<F&, std::optional<T>>;
    template <class G>
    struct result_of
        : std::conditional_t<wants_value, std::invoke_result<G&, std::optional<T>>, std::invoke_result<G&>> {
    };
    template <class G>
        requires(!is_action<G>)
    struct result_of<G> {
        using type = void;
    };

public:
    using result = result_of<F>::type;
    static constexpr bool acts = is_action<F>;
    static constexpr bool is_otherwise = false;

    recv_clause(const chan<T>& c, F f) : state_(chan_access::state(c)), f_(std::move(f)) {}

    void prepare(time_point) noexcept override {
        me_.outcome = wait_outcome::none;
        me_.value.reset();
        me = &me_;
        if (!state_) return;
        lock = &state_->lock;
        queue = &state_->receivers();
    }
    bool attempt(served_waiters& served, time_point) noexcept override {
        return state_ && (state_->take(me_, served) || state_->closed());
    }
    void hold() noexcept override {
        if (state_) state_->add_reference();
    }
    void let_go() noexcept override {
        if (state_) state_->drop_reference();
    }
    void give_back() noexcept override {
        if (me_.value) state_->give_back(me_);
    }

    result act() {
        if constexpr (std::is_same_v<F, no_action>)
            me_.value.reset();
        else if constexpr (wants_value)
            return std::invoke(f_, std::exchange(me_.value, std::nullopt));
        else
            return std::invoke(f_);
    }

private:
    chan_state<T>* state_;
    [[no_unique_address]] F f_;
    typename chan_state<T>::receiver me_;
};

template <class F>
struct plain_result {
    using type = std::invoke_result_t<F&>;
};
template <>
struct plain_result<no_action> {
    using type = void;
};

template <class T, class F>
class send_clause final : public select_case {
public:
    using result = plain_result<F>::type;
    static constexpr bool acts = is_action<F>;
    static constexpr bool is_otherwise = false;

    send_clause(const chan<T>& c, T value, F f)
        : state_(chan_access::state(c)), value_(std::move(value)), f_(std::move(f)) {}

    void prepare(time_point) noexcept override {
        me_.value = &value_;
        me_.outcome = wait_outcome::none;
        me = &me_;
        if (!state_) return;
        lock = &state_->lock;
        queue = &state_->senders();
    }
    bool attempt(served_waiters& served, time_point) noexcept override {
        if (!state_) return false;
        if (!state_->closed()) return state_->put(value_, served);
        me_.outcome = wait_outcome::closed;
        return true;
    }
    void hold() noexcept override {
        if (state_) state_->add_reference();
    }
    void let_go() noexcept override {
        if (state_) state_->drop_reference();
    }

    result act() {
        if (me_.outcome == wait_outcome::closed)
            throw closed_channel("genever: send on a closed channel, in a select");
        if constexpr (acts) return std::invoke(f_);
    }

private:
    chan_state<T>* state_;
    T value_;
    [[no_unique_address]] F f_;
    typename chan_state<T>::sender me_;
};

template <class F>
class after_case final : public select_case {
public:
    using result = plain_result<F>::type;
    static constexpr bool acts = is_action<F>;
    static constexpr bool is_otherwise = false;

    after_case(after_clause<F> a) : delay_(a.delay), f_(std::move(a.f)) { timed = true; }

    void prepare(time_point now) noexcept override { due = later(now, delay_); }
    bool attempt(served_waiters&, time_point) noexcept override {
        return false;
    } // only when nothing else can go

    result act() {
        if constexpr (acts) return std::invoke(f_);
    }

private:
    duration delay_;
    [[no_unique_address]] F f_;
};

template <class F>
class otherwise_clause {
public:
    using result = plain_result<F>::type;
    static constexpr bool acts = is_action<F>;
    static constexpr bool is_otherwise = true;

    otherwise_clause()
        requires(!acts)
    {}
    otherwise_clause(F f) : f_(std::move(f)) {}

    result act() {
        if constexpr (acts) return std::invoke(f_);
    }

private:
    [[no_unique_address]] F f_;
};

/// A clause as it lies in the awaiter.
template <class Clause>
struct case_of {
    using type = Clause;
};
template <class F>
struct case_of<after_clause<F>> {
    using type = after_case<F>;
};
template <class Clause>
using clause_case = case_of<Clause>::type;

template <class... Results>
struct common_result {
    using type = std::common_type_t<Results...>;
};
template <class One>
struct common_result<One> { // not decayed, and a task, which is no common_type of others
    using type = One;
};
template <class One, class... More>
    requires(std::is_same_v<One, More> && ...)
struct common_result<One, More...> {
    using type = One;
};

/// What a select of these clauses gives.
template <class... Clauses>
struct select_result {
    using type = common_result<typename Clauses::result...>::type;
};
template <class... Clauses>
    requires(!Clauses::acts && ...)
struct select_result<Clauses...> {
    using type = std::size_t;
};

// ---- cases in a vector

/// A clause on the heap.
class clause_box {
public:
    virtual ~clause_box() = default;
    virtual select_case* waiting() noexcept = 0; // null: the otherwise clause
    virtual void act() = 0;
};
template <class Clause>
class boxed_clause final : public clause_box {
    static_assert(std::is_void_v<typename Clause::result>,
                  "genever: the callables of a select over a vector return nothing");

public:
    template <class Given>
    explicit boxed_clause(Given&& c) : clause_(std::forward<Given>(c)) {}
    select_case* waiting() noexcept override {
        if constexpr (Clause::is_otherwise)
            return nullptr;
        else
            return &clause_;
    }
    void act() override { clause_.act(); }

private:
    Clause clause_;
};

class [[nodiscard("co_await it")]] select_vector_awaiter : select_core {
public:
    explicit select_vector_awaiter(std::vector<any_case>& cases);
    ~select_vector_awaiter() { abandon(); }

    bool await_ready() const noexcept { return false; }
    template <task_promise_type P>
    bool await_suspend(std::coroutine_handle<P> h) noexcept {
        const std::span all{pointers_};
        return suspend(static_cast<process&>(*h.promise().self), h, all.first(count_), all.subspan(count_),
                       otherwise_);
    }
    std::size_t await_resume();

private:
    std::vector<any_case>* given_;
    std::size_t count_;
    std::size_t otherwise_ = none;
    std::vector<select_case*> pointers_; // the cases, and scratch of twice their number
};

} // namespace detail
} // namespace genever
