// gen_statem: a process that is a state machine.
#pragma once

#include <genever/otp/detail/statem_core.hpp>
#include <genever/otp/gen_server.hpp>

#include <concepts>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace genever {

template <class Derived>
class gen_statem;

/// The states of a gen_statem: types, each with the data that belongs to that state alone.
template <class... States>
struct state_list {};

namespace detail {

template <class S>
concept statem = std::derived_from<S, gen_statem<S>>;

template <class T, class List>
inline constexpr std::size_t index_of_state = 0;
template <class T, class First, class... Rest>
inline constexpr std::size_t index_of_state<T, state_list<First, Rest...>> =
    std::is_same_v<T, First> ? 0 : 1 + index_of_state<T, state_list<Rest...>>;

template <class T, class List>
inline constexpr bool is_state = false;
template <class T, class... Ts>
inline constexpr bool is_state<T, state_list<Ts...>> = (std::is_same_v<T, Ts> || ...);

struct statem_access;

template <class S, class M>
held_message new_event(M&& message) {
    using event = std::remove_cvref_t<M>;
    static_assert(server_handles_message<S, event>::value);
    static_assert(!has_reply<event>, "genever: nobody receives the reply of an event of the machine's own");
    return held_message{new_message<cast_message<S, event>>(std::forward<M>(message))};
}

/// The actions that every callback may ask for.
template <class Self, class S>
class statem_actions {
public:
    /// Sends the event `m` unless the state changes within `d`. Replaces a state timeout that runs.
    template <class M>
    Self&& state_timeout(duration d, M m) && {
        return add(statem_timer::state, {}, d, new_event<S>(std::move(m)));
    }
    Self&& cancel_state_timeout() && { return add(statem_timer::state, {}, infinity, held_message{nullptr}); }
    /// Sends `m` unless another event comes within `d`.
    template <class M>
    Self&& event_timeout(duration d, M m) && {
        return add(statem_timer::event, {}, d, new_event<S>(std::move(m)));
    }
    /// Sends `m` after `d`, whatever happens meanwhile. Replaces one of this name that runs.
    template <class M>
    Self&& timeout(std::string name, duration d, M m) && {
        return add(statem_timer::named, std::move(name), d, new_event<S>(std::move(m)));
    }
    Self&& cancel_timeout(std::string name) && {
        return add(statem_timer::named, std::move(name), infinity, held_message{nullptr});
    }

protected:
    statem_outcome outcome_;

private:
    friend struct statem_access;
    Self&& add(statem_timer kind, std::string name, duration d, held_message m) {
        outcome_.timers.push_back({kind, std::move(name), d, std::move(m)});
        return static_cast<Self&&>(*this);
    }
};

/// What an enter call gives.
template <class S>
class [[nodiscard("return it from the callback")]] statem_entry : public statem_actions<statem_entry<S>, S> {
    friend class gen_statem<S>;
    statem_entry() = default;
};

/// What a handler gives.
template <class S>
class [[nodiscard("return it from the callback")]] statem_transition
    : public statem_actions<statem_transition<S>, S> {
public:
    /// Keeps the event until the state has changed.
    statem_transition&& postpone() && {
        this->outcome_.postpone = true;
        return std::move(*this);
    }
    /// Inserts an event before all others that wait; several in their order.
    template <class M>
    statem_transition&& next_event(M m) && {
        this->outcome_.inserted.push_back(new_event<S>(std::move(m)));
        return std::move(*this);
    }

private:
    friend class gen_statem<S>;
    friend struct statem_access;
    statem_transition() = default;
};

struct statem_access {
    template <class T>
    static statem_outcome take(T&& t) noexcept {
        return std::move(t.outcome_);
    }
    template <class S>
    static statem_core& core(S& s) noexcept {
        return static_cast<gen_statem<S>&>(s).genever_statem;
    }
};

// ---- from a handler's result to a step

template <class S, class V>
concept actions_of = std::same_as<V, statem_transition<S>> || std::same_as<V, statem_entry<S>>;

template <class S, class T>
task<statem_outcome> wait_for_actions(task<T> work) {
    if constexpr (std::is_void_v<T>) {
        co_await std::move(work);
        co_return statem_outcome{};
    } else {
        auto t = co_await std::move(work);
        co_return statem_access::take(std::move(t));
    }
}

/// Calls a handler that gives nothing or actions.
template <class S, class F>
statem_step step_of(F call) {
    using result = std::invoke_result_t<F>;
    statem_step s;
    if constexpr (is_task<result>) {
        s.later = wait_for_actions<S>(call());
        s.waits = true;
    } else if constexpr (std::is_void_v<result>) {
        call();
    } else {
        s.now = statem_access::take(call());
    }
    return s;
}

/// Calls `f(state)` with the state that the machine is in.
template <class S, class F>
statem_step in_state(S& s, F f) {
    statem_state& current = *statem_access::core(s).state();
    statem_step step;
    [&]<class... Ts>(state_list<Ts...>) {
        std::size_t i = 0;
        (void)((current.index == i++ ? (step = f(static_cast<statem_state_of<Ts>&>(current).value), true)
                                     : false) ||
               ...);
    }(typename S::states{});
    return step;
}

template <class S>
statem_step enter_state(void* server) {
    S& s = *static_cast<S*>(server);
    return in_state(s, [&](auto& state) {
        if constexpr (requires { s.enter(state); })
            return step_of<S>([&] { return s.enter(state); });
        else
            return statem_step{};
    });
}

// ---- events

/// `s` itself; a handler that may not exist is looked up only where the state T needs it.
template <class T, class S>
S& looked_up_for(S& s) noexcept {
    return s;
}

template <class S, class T, class M>
concept handles_in = requires(S& s, T& state, M& m) { s.handle(state, m); };
template <class S, class M>
concept handles_anywhere = requires(S& s, M& m) { s.handle(m); };
template <class S, class T, class M>
concept defers_in =
    has_reply<M> && requires(S& s, T& state, M& m, from<typename M::reply>& f) { s.handle(state, m, f); };
template <class S, class M>
concept defers_anywhere =
    has_reply<M> && requires(S& s, M& m, from<typename M::reply>& f) { s.handle(m, f); };

template <class S, class M, class List>
inline constexpr bool handled_everywhere = false;
template <class S, class M, class... Ts>
inline constexpr bool handled_everywhere<S, M, state_list<Ts...>> =
    ((handles_in<S, Ts, M> || defers_in<S, Ts, M> || handles_anywhere<S, M> || defers_anywhere<S, M>) && ...);

template <class S, class V>
constexpr bool gives_actions() {
    using value = typename awaited<V>::type;
    return std::is_void_v<value> || std::same_as<value, statem_transition<S>>;
}

template <statem S, class M>
struct server_handles_message<S, M> {
    static_assert(std::is_same_v<M, std::decay_t<M>>, "genever: a message is a plain value");
    static_assert(
        handled_everywhere<S, M, typename S::states>,
        "genever: a state of the machine has no public `handle(state&, event)` for this event, and there is "
        "no `handle(event)` for all states (Message = see above)");
    static constexpr bool value = true;
};

template <statem S, class M>
struct cast_message<S, M> final : message {
    M value;

    template <class... A>
    explicit cast_message(A&&... a) : message(&type_of), value{std::forward<A>(a)...} {}

    static task<> handle(held_message& m, void* server) {
        return statem_access::core(*static_cast<S*>(server)).take(m);
    }
    static statem_step step(held_message& m, void* server) {
        S& s = *static_cast<S*>(server);
        M& v = static_cast<cast_message*>(m.get())->value;
        return in_state(s, [&]<class T>(T& state) {
            if constexpr (handles_in<S, T, M>) {
                static_assert(gives_actions<S, decltype(s.handle(state, v))>(),
                              "genever: a handler of a cast returns void, a transition, or a task of one");
                return step_of<S>([&] { return s.handle(state, v); });
            } else {
                auto& any = looked_up_for<T>(s);
                static_assert(gives_actions<S, decltype(any.handle(v))>(),
                              "genever: a handler of a cast returns void, a transition, or a task of one");
                return step_of<S>([&] { return any.handle(v); });
            }
        });
    }
    static void destroy(message* m) noexcept { delete_message(static_cast<cast_message*>(m)); }
    static constexpr statem_message_type type_of{
        {{&typeid(M), &drop_server_message}, &tag_of<S>, false, &handle, &destroy}, &step};
};

template <statem S, class M>
struct call_message<S, M> final : request {
    using reply = typename M::reply;
    M value;

    template <class... A>
    explicit call_message(A&&... a) : request(&type_of), value{std::forward<A>(a)...} {}

    static task<> handle(held_message& m, void* server) {
        return statem_access::core(*static_cast<S*>(server)).take(m);
    }
    static statem_step step(held_message& m, void* server) {
        S& s = *static_cast<S*>(server);
        return in_state(s, [&]<class T>(T& state) {
            auto& any = looked_up_for<T>(s);
            if constexpr (defers_in<S, T, M>)
                return deferred(s, m,
                                [&any, &state](M& v, from<reply>& f) { return any.handle(state, v, f); });
            else if constexpr (handles_in<S, T, M>)
                return answered(m, [&any, &state](M& v) { return any.handle(state, v); });
            else if constexpr (defers_anywhere<S, M>)
                return deferred(s, m, [&any](M& v, from<reply>& f) { return any.handle(v, f); });
            else
                return answered(m, [&any](M& v) { return any.handle(v); });
        });
    }
    static void destroy(message* m) noexcept { delete_message(static_cast<call_message*>(m)); }
    static constexpr statem_message_type type_of{
        {{&typeid(M), &drop_server_message}, &tag_of<S>, true, &handle, &destroy}, &step};

private:
    template <class F>
    static statem_step deferred(S& s, held_message& m, F handler) {
        static_assert(
            gives_actions<S, std::invoke_result_t<F, M&, from<reply>&>>(),
            "genever: a handler with `from` replies through it: it returns void, a transition, or a task of "
            "one");
        statem_step step;
        step.later = ask(s, m, std::move(handler));
        step.waits = true;
        return step;
    }
    // The event lies beside the request, which is gone with its answer.
    template <class F>
    static task<statem_outcome> ask(S& s, held_message& m, F handler) {
        from<reply> f{static_cast<call_message*>(m.release()), &s};
        M v = std::move(static_cast<call_message*>(f.request_.get())->value);
        statem_step step = step_of<S>([&] { return handler(v, f); });
        if (step.waits) {
            statem_outcome o = co_await std::move(step.later);
            step.now = std::move(o);
        }
        if (step.now.postpone) {
            auto* back = static_cast<call_message*>(f.request_.release());
            if (!back)
                throw std::logic_error("genever: a call was postponed whose `from` has been used or moved");
            std::destroy_at(&back->value);
            std::construct_at(&back->value, std::move(v));
            m = held_message{back};
        }
        co_return std::move(step.now);
    }

    template <class F>
    static statem_step answered(held_message& m, F handler) {
        using result = std::invoke_result_t<F, M&>;
        using value_type = typename awaited<result>::type;
        static_assert(
            std::is_void_v<reply> ? std::is_void_v<value_type> : std::is_convertible_v<value_type, reply>,
            "genever: a handler of a call returns the reply, or a task of it, and the state is kept; one "
            "that does more takes `from<R>&` as well");
        statem_step step;
        if constexpr (is_task<result>) {
            step.later = answer_later(m, std::move(handler));
            step.waits = true;
        } else {
            auto& q = *static_cast<call_message*>(m.get());
            if constexpr (std::is_void_v<reply>) {
                handler(q.value);
                answer<reply>(q);
            } else {
                answer<reply>(q, reply(handler(q.value)));
            }
        }
        return step;
    }
    template <class F>
    static task<statem_outcome> answer_later(held_message& m, F handler) {
        auto& q = *static_cast<call_message*>(m.get());
        auto work = handler(q.value);
        if constexpr (std::is_void_v<reply>) {
            co_await std::move(work);
            answer<reply>(q);
        } else {
            auto r = co_await std::move(work);
            answer<reply>(q, reply(std::move(r)));
        }
        co_return statem_outcome{};
    }
};

/// The machine's first step, and its timers': messages of the machine to itself.
template <class S>
struct statem_begin final : message {
    statem_begin() : message(&type_of) {}
    static task<> handle(held_message&, void* server) {
        return statem_access::core(*static_cast<S*>(server)).begin();
    }
    static void destroy(message* m) noexcept { delete_message(static_cast<statem_begin*>(m)); }
    static constexpr server_message_type type_of{
        {&typeid(statem_begin), &drop_server_message}, &tag_of<S>, false, &handle, &destroy};
};
template <class S>
struct statem_tick final : message {
    std::uint64_t number;
    explicit statem_tick(std::uint64_t n) : message(&type_of), number(n) {}
    static task<> handle(held_message& m, void* server) {
        return statem_access::core(*static_cast<S*>(server))
            .fired(static_cast<statem_tick*>(m.get())->number);
    }
    static void destroy(message* m) noexcept { delete_message(static_cast<statem_tick*>(m)); }
    static constexpr server_message_type type_of{
        {&typeid(statem_tick), &drop_server_message}, &tag_of<S>, false, &handle, &destroy};
};

} // namespace detail

/// The base of a state machine `struct S : gen_statem<S>`, as OTP's gen_statem. It is a gen_server as to its start, its
/// references (`server_ref<S>`, `child<S>`), its exits and `terminate`; its messages are events, handled by the state it is
/// in:
///
///     struct door : gen_statem<door> {
///         struct locked { std::string entered; };
///         struct open {};
///         using states = state_list<locked, open>;
///
///         struct button { char digit; };               // a cast
///         struct is_open { using reply = bool; };       // a call
///         struct forget {};                             // timeouts' events
///         struct close {};
///
///         explicit door(std::string code) : code_(std::move(code)) {}
///         locked init() { return {}; }                  // the first state
///
///         transition handle(locked& s, button b) {
///             s.entered += b.digit;
///             if (s.entered == code_) return next_state(open{});
///             return keep_state().timeout("forget", 10s, forget{});
///         }
///         transition handle(open&, button) { return keep_state().postpone(); } // until it is locked again
///         statem_entry enter(open&) { return actions().state_timeout(30s, close{}); }
///         transition handle(close) { return next_state(locked{}); }
///         void handle(locked& s, forget) { s.entered.clear(); }
///         void handle(open&, forget) {}
///         bool handle(locked&, is_open) { return false; }
///         bool handle(open&, is_open) { return true; }
///         ...
///
/// * `using states = state_list<...>`: the states are types. `init(args...)` gives the first one, or `next_state(it)` with
///   actions, or a task of those; `stop(why)` there makes the start fail.
/// * `handle(State&, Event)`, and for all states that have none `handle(Event)`: checked at compile time, so each
///   event has a handler in each state. Public, plain functions or coroutines. The event is taken by value or (const)
///   reference. It returns void (the state is kept) or a `transition`; for a call the reply (the state is kept), or it takes
///   `from<R>&` too, replies through that or keeps it by moving from it, and returns void or a `transition`.
/// * A `transition` is one of `keep_state()`, `next_state(S{...})`, `repeat_state()`, `stop(why)`, followed by actions:
///   `postpone`, `next_event`, `state_timeout`, `event_timeout`, `timeout`. A timeout's length `infinity` stops it.
/// * `enter(State&)`, where a state has one, is called when the machine has come into that state from another one, at the
///   start, and by `repeat_state`. It returns void or `actions()...`, and cannot change the state.
///
/// `next_state` of the state it is in replaces that state's data and is no change of state: postponed events stay so,
/// the state timeout goes on.
///
/// What follows a handler, in OTP's order: the state changes, which stops its state timeout; the enter call; the event is
/// postponed; if the state has changed, the postponed events come first, oldest first; events of `next_event` come
/// before these; timers start, and those of no length are events behind all that wait in the machine, before the mailbox. Any event
/// stops the event timeout.
///
/// `exit_signal` and `down` are events, too. When it ends, calls that wait or are postponed fail with its reason. A
/// timer's message comes by way of the mailbox: one with a limit that is full may drop it.
template <class Derived>
class gen_statem : public gen_server<Derived> {
public:
    using transition = detail::statem_transition<Derived>;
    using statem_entry = detail::statem_entry<Derived>;

protected:
    gen_statem() noexcept = default;
    ~gen_statem() = default;

    static transition keep_state() { return {}; }
    /// As if the state had been entered anew: the enter call is made again, and nothing else happens.
    static transition repeat_state() {
        transition t;
        t.outcome_.repeat = true;
        return t;
    }
    template <class T>
    static transition next_state(T state) {
        using states = typename Derived::states;
        static_assert(detail::is_state<T, states>, "genever: this is none of the machine's `states`");
        transition t;
        t.outcome_.next =
            std::make_unique<detail::statem_state_of<T>>(detail::index_of_state<T, states>, std::move(state));
        return t;
    }
    /// Ends the machine: `terminate(why)`, then the exit.
    static transition stop(exit_reason why = exit_kind::normal) {
        transition t;
        t.outcome_.stop = std::move(why);
        return t;
    }
    /// What an enter call returns.
    static statem_entry actions() { return {}; }

    /// The state, if it is in T; else null. Valid until the callback that runs has ended.
    template <class T>
    T* in() noexcept {
        detail::statem_state* s = genever_statem.state();
        if (!s || s->index != detail::index_of_state<T, typename Derived::states>) return nullptr;
        return &static_cast<detail::statem_state_of<T>*>(s)->value;
    }

    template <class... Any>
    void continue_with(Any&&...) = delete;     // next_event
    void timeout_when_idle(duration) = delete; // event_timeout

public: // for the library
    template <class First>
    void genever_begin(First first) {
        detail::statem_outcome o;
        if constexpr (std::is_same_v<First, transition>)
            o = detail::statem_access::take(std::move(first));
        else
            o = detail::statem_access::take(next_state(std::move(first)));
        if (o.stop) {
            this->genever_stop = std::move(o.stop);
            return;
        }
        if (!o.next) throw std::logic_error("genever: a machine's init has to give its first state");
        genever_statem.set_first(std::move(o));
        genever_statem.set_up(*this, &detail::enter_state<Derived>, [](std::uint64_t n) -> detail::message* {
            return detail::new_message<detail::statem_tick<Derived>>(n);
        });
        this->genever_next.push_back(detail::new_message<detail::statem_begin<Derived>>());
    }
    static constexpr void genever_adapt(detail::server_callbacks& c) {
        using states = typename Derived::states;
        if constexpr (detail::handled_everywhere<Derived, down, states>)
            c.on_down = [](void* server, down&& d) { return genever_signal(server, std::move(d)); };
        if constexpr (detail::handled_everywhere<Derived, exit_signal, states>)
            c.on_exit = [](void* server, exit_signal&& e) { return genever_signal(server, std::move(e)); };
    }

private:
    friend struct detail::statem_access;

    template <class M>
    static task<> genever_signal(void* server, M&& m) {
        detail::held_message event{detail::new_message<detail::cast_message<Derived, M>>(std::move(m))};
        return static_cast<gen_statem&>(*static_cast<Derived*>(server)).genever_statem.take(event);
    }

    detail::statem_core genever_statem;
};

} // namespace genever
