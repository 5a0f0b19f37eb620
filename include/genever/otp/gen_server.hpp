// gen_server: a process with state that handles one typed message at a time.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/base/demangle.hpp>
#include <genever/otp/detail/server_core.hpp>
#include <genever/otp/detail/server_message.hpp>
#include <genever/otp/server_ref.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/time.hpp>

#include <expected>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

namespace genever {

/// What a server hears when no message has come for as long as it said: `gen_server::timeout_when_idle`.
struct idle_timeout {};

/// The base of a server `struct S : gen_server<S>`, as OTP's gen_server. S lives in a process of its own, made by
/// `child<S>("name", args...)` under a supervisor or by `start_link`. It declares its messages as nested types, with
/// `using reply = R` those that are answered, and may have these public members, each a plain function or a
/// coroutine:
///
/// * a constructor from the arguments, then `init()` (or a default constructor and `init(args...)`). Whoever starts
///   the server waits for both; an exception, or `stop(why)`, makes the start fail.
/// * `handle(M)` for each message, by value or const reference; returns nothing for a cast, the reply for a call.
///   While a coroutine waits, no other message is handled. `handle(M, from<R>)` answers later, by `from`.
/// * `handle(down)` and `handle(exit_signal)`, for its monitors and, if it traps exits, its links.
/// * `handle(idle_timeout)`, see `timeout_when_idle`.
/// * `std::string format_status() const`: what may be shown of the state for debugging (otp/sys.hpp); without it nothing is.
/// * `terminate(const exit_reason&)`: called when a callback threw, after `stop`, and when the parent asks a server that
///   traps exits to end; not on a kill, and not on an exit signal that is not trapped.
///
/// A server that shall refuse what it cannot keep up with calls `set_mailbox_limit` (runtime/mailbox.hpp) in `init`.
///
/// An exception that leaves a callback ends the server with it; who called it then, or waits in its mailbox, gets a
/// `call_error` with the reason. What nobody handles is logged and dropped. All functions below are for the server's
/// own process.
template <class Derived>
class gen_server : public detail::server_core {
protected:
    gen_server() noexcept = default;
    ~gen_server() = default;

    /// Sends the server itself a message after `delay`.
    template <class M>
    timer_ref send_after(duration delay, M message) {
        static_assert(detail::server_handles_message<Derived, M>::value);
        static_assert(!detail::has_reply<M>, "genever: nobody receives the reply of a timer's message");
        return detail::start_once(
            genever::self(), delay, [message = std::move(message)]() mutable -> detail::message* {
                return detail::new_message<detail::cast_message<Derived, M>>(std::move(message));
            });
    }
    /// Sends the server itself a copy of a message every `period`, the first after one, until it is cancelled.
    template <class M>
    timer_ref send_interval(duration period, M message) {
        static_assert(detail::server_handles_message<Derived, M>::value);
        static_assert(!detail::has_reply<M>, "genever: nobody receives the reply of a timer's message");
        return detail::start_interval(
            genever::self(), period, [message = std::move(message)]() -> detail::message* {
                return detail::new_message<detail::cast_message<Derived, M>>(message);
            });
    }
    /// Handles M{args...} right after the callback that runs, before any other message: OTP's `continue`. In `init`: after
    /// whoever starts the server has been told that it is up, so that a long start need not hold up a supervisor.
    /// Several are handled in their order.
    template <class M, class... Args>
    void continue_with(Args&&... args) {
        static_assert(detail::server_handles_message<Derived, M>::value);
        static_assert(!detail::has_reply<M>, "genever: nobody receives the reply of a continue");
        this->genever_next.push_back(
            detail::new_message<detail::cast_message<Derived, M>>(std::forward<Args>(args)...));
    }
    template <std::nullptr_t = nullptr, class M>
    void continue_with(M&& message) {
        continue_with<std::remove_cvref_t<M>>(std::forward<M>(message));
    }
    /// Calls `handle(idle_timeout)` if no message comes within `d` after the callback that runs; zero: if none is there
    /// then. Any message calls it off, also one that nobody handles, but not a look by `sys`; each callback that wants it asks
    /// for it again, as in OTP. `infinity`: never.
    void timeout_when_idle(duration d) noexcept {
        static_assert(
            requires(Derived& s) { s.handle(idle_timeout{}); },
            "genever: the server has no public `handle(idle_timeout)`");
        this->genever_idle_after = d < duration::zero() ? duration::zero()
                                   : d == infinity      ? this->no_idle_timeout
                                                        : d;
    }
    /// Ends the server once the callback that runs has ended (and answered): `terminate(why)`, then the exit. In
    /// `init`: the start fails with `why`.
    void stop(exit_reason why = exit_kind::normal) noexcept { this->genever_stop = std::move(why); }
};

template <class Derived>
class gen_statem; // gen_statem.hpp

namespace detail {

/// A gen_statem, which takes its messages as events.
template <class S>
inline constexpr bool has_own_loop = std::is_base_of_v<gen_statem<S>, S>;

template <class S>
constexpr server_callbacks make_callbacks() {
    server_callbacks c{&tag_of<S>, nullptr, nullptr, nullptr, nullptr, nullptr};
    if constexpr (requires(const S& s) { std::string(s.format_status()); })
        c.format_status = [](const void* server) {
            return std::string(static_cast<const S*>(server)->format_status());
        };
    if constexpr (requires(S& s) { s.handle(idle_timeout{}); })
        c.on_idle = [](void* server) -> task<> {
            auto& s = *static_cast<S*>(server);
            if constexpr (is_task<decltype(s.handle(idle_timeout{}))>)
                return s.handle(idle_timeout{});
            else
                return s.handle(idle_timeout{}), task<>{};
        };
    if constexpr (requires(S& s, const exit_reason& r) { s.terminate(r); })
        c.terminate = [](void* server, const exit_reason& why) -> task<> {
            auto& s = *static_cast<S*>(server);
            if constexpr (is_task<decltype(s.terminate(why))>)
                return s.terminate(why);
            else
                return s.terminate(why), task<>{};
        };
    if constexpr (has_own_loop<S>) {
        S::genever_adapt(c);
        return c;
    } else {
        if constexpr (requires(S& s, down d) { s.handle(std::move(d)); })
            c.on_down = [](void* server, down&& d) -> task<> {
                auto& s = *static_cast<S*>(server);
                if constexpr (is_task<decltype(s.handle(std::move(d)))>)
                    return s.handle(std::move(d));
                else
                    return s.handle(std::move(d)), task<>{};
            };
        if constexpr (requires(S& s, exit_signal e) { s.handle(std::move(e)); })
            c.on_exit = [](void* server, exit_signal&& e) -> task<> {
                auto& s = *static_cast<S*>(server);
                if constexpr (is_task<decltype(s.handle(std::move(e)))>)
                    return s.handle(std::move(e));
                else
                    return s.handle(std::move(e)), task<>{};
            };
        return c;
    }
}
template <class S>
inline constexpr server_callbacks callbacks_of = make_callbacks<S>();

template <class S, class... Args>
concept constructs_from = std::is_constructible_v<S, Args&&...>;
template <class S, class... Args>
concept inits_from =
    std::is_default_constructible_v<S> && requires(S& s, Args... args) { s.init(std::move(args)...); };

/// After the construction: the rest of a server's life.
template <class S, class... Args>
task<> server_life(S& s, launch l, Args&&... args) {
    server_core& core = s;
    core.genever_callbacks = &callbacks_of<S>;
    core.genever_server = &s;
    core.genever_launch = std::move(l);
    if constexpr (has_own_loop<S>) {
        if constexpr (is_task<decltype(s.init(std::move(args)...))>) {
            auto first = co_await s.init(std::move(args)...);
            s.genever_begin(std::move(first));
        } else {
            s.genever_begin(s.init(std::move(args)...));
        }
    } else if constexpr (requires { s.init(std::move(args)...); }) {
        if constexpr (is_task<decltype(s.init(std::move(args)...))>)
            co_await s.init(std::move(args)...);
        else
            s.init(std::move(args)...);
    }
    co_await serve(core);
}

template <class S, class... Args>
task<> server_main(launch l, Args... args) {
    if (!take_name(l)) {
        const bool taken = co_await take_name_of_orphan(l);
        if (!taken) co_return;
    }
    if constexpr (constructs_from<S, Args...>) {
        S s(std::move(args)...);
        co_await server_life<S>(s, std::move(l));
    } else {
        S s;
        co_await server_life<S>(s, std::move(l), std::move(args)...);
    }
}

template <class S, class... Args>
pid spawn_server(bool linked, monitor_ref ref, std::string name, Args&&... args) {
    static_assert(
        std::is_base_of_v<gen_server<S>, S>,
        "genever: the server's type must derive from gen_server of itself: struct S : gen_server<S>");
    static_assert(constructs_from<S, std::decay_t<Args>...> || inits_from<S, std::decay_t<Args>...>,
                  "genever: the server has neither a constructor nor an init for these arguments");
    spawn_options options;
    options.label = name.empty() ? demangle(typeid(S)) : name;
    const pid me = pid_of(require_process("starting a server"));
    if (linked) {
        options.link = me;
    } else {
        options.watcher = me;
        options.monitor = ref;
    }
    process_birth birth{nullptr};
    launch l{std::move(name), me, linked ? me : pid{}};
    return birth.start(server_main<S, std::decay_t<Args>...>(std::move(l), std::forward<Args>(args)...),
                       &options);
}

} // namespace detail

/// Starts a server linked to the calling process, registers it under `name` (empty: under none), and waits until
/// its init has returned. Gives its pid, or why it could not start: the reason for which init ended, or an `error` when
/// the name is taken. (It waits five seconds for a name of one whose parent has ended.) A caller that does not trap exits
/// ends with a server whose init throws, as OTP's does.
/// Kills nobody when it is destroyed while it waits: the link does.
template <class S, class... Args>
task<std::expected<pid, exit_reason>> start_link(std::string name, Args&&... args) {
    return detail::await_start(
        detail::spawn_server<S>(true, {}, std::move(name), std::forward<Args>(args)...), {});
}

/// The same without the link.
template <class S, class... Args>
task<std::expected<pid, exit_reason>> start(std::string name, Args&&... args) {
    const monitor_ref ref = detail::new_monitor_ref();
    return detail::await_start(
        detail::spawn_server<S>(false, ref, std::move(name), std::forward<Args>(args)...), ref);
}

} // namespace genever
