// An agent: state in a process of its own, read and changed by functions that are sent to it.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/otp/child_spec.hpp>
#include <genever/otp/detail/guarded_task.hpp>
#include <genever/otp/gen_server.hpp>
#include <genever/otp/server_ref.hpp>
#include <genever/otp/via_name.hpp>
#include <genever/runtime/task.hpp>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace genever {

namespace detail {

template <class F, class... Args>
using agent_result = typename awaited<std::invoke_result_t<F, Args...>>::type;

template <class State, class F>
concept agent_reads = std::is_invocable_v<F, const State&>;
/// Changes the state in its place: returns nothing.
template <class State, class F>
concept agent_changes = std::is_invocable_v<F, State&> && std::is_void_v<agent_result<F, State&>>;
/// Makes the new state from the old one.
template <class State, class F>
concept agent_replaces =
    std::is_invocable_v<F, State&&> && std::is_convertible_v<agent_result<F, State&&>, State>;

} // namespace detail

/// The process behind an agent, as Elixir's Agent. It is started with a function that makes its first state, in the agent's
/// process: `child<agent<settings>>("settings", [] { return settings{}; })` under a supervisor, or
/// `start_link<agent<settings>>("settings", load, path)` with arguments for it. It is used by `agent_ref<settings>`.
///
/// An exception of that function makes the start fail; one of a function that is sent to the agent ends the agent with it,
/// and who waits for the answer gets a `call_error` with the reason.
template <class State>
class agent : public gen_server<agent<State>> {
public:
    template <class F, class... Args>
        requires std::is_invocable_v<F, Args...>
    explicit agent(F make, Args... args) {
        static_assert(std::is_convertible_v<detail::agent_result<F, Args...>, State>,
                      "genever: an agent's first function must return its state, or a task of it");
        if constexpr (detail::is_task<std::invoke_result_t<F, Args...>>)
            first_ = [make = std::move(make), ... args = std::move(args)](agent& a) mutable -> task<> {
                auto work = std::invoke(std::move(make), std::move(args)...);
                auto state = co_await std::move(work);
                a.state_.emplace(std::move(state));
            };
        else
            state_.emplace(std::invoke(std::move(make), std::move(args)...));
    }

    task<> init() {
        if (!first_) co_return;
        auto work = first_(*this);
        co_await std::move(work);
        first_ = {};
    }

    // ---- what agent_ref sends

    template <class F>
    struct get {
        F f;
        using reply = detail::agent_result<F, const State&>;
    };
    template <class F>
    struct update {
        F f;
        using reply = void;
    };
    template <class F>
    struct get_and_update {
        F f;
        using reply = detail::agent_result<F, State&>;
    };
    template <class F>
    struct change {
        F f;
    };
    struct finish {
        exit_reason why;
        using reply = void;
    };

    template <class F>
    auto handle(get<F> m) {
        return run<const State&>(std::move(m.f), *state_);
    }
    template <class F>
    auto handle(update<F> m) {
        return make_new(std::move(m.f));
    }
    template <class F>
    auto handle(get_and_update<F> m) {
        return run<State&>(std::move(m.f), *state_);
    }
    template <class F>
    auto handle(change<F> m) {
        return make_new(std::move(m.f));
    }
    void handle(finish m) { this->stop(std::move(m.why)); }

private:
    // A coroutine's callable lives in this frame, as long as it runs.
    template <class S, class F>
    static task<detail::agent_result<F, S>> run_coroutine(F f, std::remove_reference_t<S>& state) {
        auto work = std::invoke(f, state);
        if constexpr (std::is_void_v<detail::agent_result<F, S>>) {
            co_await std::move(work);
        } else {
            auto result = co_await std::move(work);
            co_return result;
        }
    }
    template <class S, class F>
    static auto run(F f, std::remove_reference_t<S>& state) {
        if constexpr (detail::is_task<std::invoke_result_t<F, S>>)
            return run_coroutine<S>(std::move(f), state);
        else
            return std::invoke(f, state);
    }
    template <class F>
    static task<> replace(F f, State& state) {
        auto work = std::invoke(f, State(state)); // a copy: what throws halfway must not leave half a state
        State made = co_await std::move(work);
        state = std::move(made);
    }
    template <class F>
    auto make_new(F f) {
        if constexpr (detail::agent_changes<State, F>)
            return run<State&>(std::move(f), *state_);
        else if constexpr (detail::is_task<std::invoke_result_t<F, State&&>>)
            return replace(std::move(f), *state_);
        else
            *state_ = std::invoke(f, std::move(*state_));
    }

    std::optional<State> state_;
    std::function<task<>(agent&)> first_;
};

/// A reference to an agent, by name (after every restart the new one), via name, or pid. A value; for processes of its runtime.
///
///     agent_ref<std::map<std::string, int>> counts{"counts"};
///     co_await counts.update([key](auto& m) { ++m[key]; });            // GCC 12: name what owns something first
///     auto n = co_await counts.get([](const auto& m) { return m.size(); });
///
/// Functions run in the agent's process, one at a time, plain ones or coroutines; while one waits, the others do too. They
/// are moved there with their captures: a reference into the caller dangles when the caller ends, or stops waiting, first.
/// All but `cast` wait for the function's end, 5 seconds at most or as long as they are told, and throw `call_error` when
/// no answer comes.
template <class State>
class agent_ref {
public:
    explicit agent_ref(std::string name) : to_(std::move(name)) {}
    explicit agent_ref(std::string_view name) : to_(name) {}
    explicit agent_ref(const char* name) : to_(name) {}
    explicit agent_ref(genever::pid p) noexcept : to_(p) {}
    explicit agent_ref(const via_name& v) : to_(v) {}

    genever::pid pid() const { return to_.pid(); }

    /// Gives `f(const State&)`.
    template <class F>
    auto get(F&& f, duration timeout = default_call_timeout) const {
        static_assert(detail::agent_reads<State, std::decay_t<F>>,
                      "genever: an agent's get takes a callable for const State&");
        return ask<typename agent<State>::template get<std::decay_t<F>>>(std::forward<F>(f), timeout);
    }
    /// Changes the state: `f(State&)` returns nothing, or `f(State)` returns the new one.
    template <class F>
    auto update(F&& f, duration timeout = default_call_timeout) const {
        check_update<std::decay_t<F>>();
        return ask<typename agent<State>::template update<std::decay_t<F>>>(std::forward<F>(f), timeout);
    }
    /// Gives `f(State&)`, which may change the state.
    template <class F>
    auto get_and_update(F&& f, duration timeout = default_call_timeout) const {
        static_assert(std::is_invocable_v<std::decay_t<F>, State&>,
                      "genever: an agent's get_and_update takes a callable for State&");
        return ask<typename agent<State>::template get_and_update<std::decay_t<F>>>(std::forward<F>(f),
                                                                                    timeout);
    }
    /// As `update`, without waiting. False when nobody is there, or a full mailbox does not take it.
    template <class F>
    bool cast(F&& f) const {
        check_update<std::decay_t<F>>();
        return to_.template cast<typename agent<State>::template change<std::decay_t<F>>>(std::forward<F>(f));
    }
    /// Ends the agent, and waits until it has answered what was sent before. Its supervisor may restart it, by its rule.
    task<> stop(exit_reason why = exit_kind::normal, duration timeout = infinity) const {
        return ask_by<typename agent<State>::finish>(to_, std::move(why), timeout);
    }

private:
    template <class F>
    static constexpr void check_update() {
        static_assert(
            detail::agent_changes<State, F> || detail::agent_replaces<State, F>,
            "genever: an agent's update takes a callable for State& that returns nothing, or one for "
            "State that returns the new state");
    }
    template <class M, class F>
    static task<typename M::reply> ask_by(server_ref<agent<State>> to, F f, duration timeout) {
        if constexpr (std::is_void_v<typename M::reply>)
            co_await to.within(timeout).template call<M>(std::move(f));
        else
            co_return co_await to.within(timeout).template call<M>(std::move(f));
    }
    template <class M, class F>
    auto ask(F&& f, duration timeout) const {
        static_assert(
            !std::is_reference_v<typename M::reply>,
            "genever: what an agent's function returns must be a value: the state is another process's");
        return detail::guarded_task<typename M::reply, detail::closure_is_safe<F>>{
            ask_by<M, std::decay_t<F>>(to_, std::forward<F>(f), timeout)};
    }

    server_ref<agent<State>> to_;
};

} // namespace genever
