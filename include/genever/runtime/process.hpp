// Processes: spawn, send, exit, links, monitors, names.
#pragma once

#include <genever/base/exit_reason.hpp>
#include <genever/base/pid.hpp>
#include <genever/runtime/detail/process.hpp>
#include <genever/runtime/mailbox_limit.hpp>
#include <genever/runtime/message.hpp>
#include <genever/runtime/process_info.hpp>
#include <genever/runtime/task.hpp>

#include <coroutine>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace genever {

/// How a process is started, beyond what it runs.
struct spawn_options {
    /// What crash reports and lists call it.
    std::string label = {};
    /// Link it to this process from the start; `spawn_link` fills in the caller.
    pid link = {};
    /// Let this process monitor it from the start under `monitor`.
    pid watcher = {};
    monitor_ref monitor = {};
    /// It traps exits from the start (`trap_exit`): whoever links to it must not end it before it has taken its first step.
    bool trap_exit = false;
    /// A crash is somebody's to report (its supervisor's): no report by the runtime.
    bool quiet = false;
    /// How many messages its mailbox takes, and what happens then (mailbox.hpp). Capacity 0 throws std::invalid_argument.
    mailbox_limit mailbox = {};
};

namespace detail {

/// The callable and its arguments live in this coroutine's frame, hence as long as the process: captures,
/// and what `f` takes by reference, cannot dangle.
template <class F, class... Args>
task<> process_main(F f, Args... args) {
    if constexpr (is_task<std::invoke_result_t<F, Args...>>)
        co_await std::invoke(std::move(f), std::move(args)...);
    else
        std::invoke(std::move(f), std::move(args)...);
}

/// A coroutine's callable and arguments, beside its frame: the frame refers to them.
template <class F, class... Args>
struct kept_call {
    F f;
    std::tuple<Args...> args;

    template <class G, class... Given>
    explicit kept_call(G&& g, Given&&... given)
        : f(std::forward<G>(g)), args(std::forward<Given>(given)...) {}
    task<> operator()() { return std::apply(std::move(f), std::move(args)); }
};
template <class Kept>
inline constexpr bool can_be_kept = sizeof(Kept) <= most_kept && alignof(Kept) <= alignof(void*);

/// A process being made: owns a free cell, into which the next frame on this thread is put if it fits.
class process_birth {
public:
    /// `home` null: the current runtime. Throws std::logic_error outside of one, std::bad_alloc when no cell is
    /// left.
    explicit process_birth(runtime_core* home);
    ~process_birth();
    process_birth(const process_birth&) = delete;
    process_birth& operator=(const process_birth&) = delete;

    /// Puts what it will be called with into the cell; what it throws ends the birth.
    template <class Kept, class... From>
    Kept& keep(From&&... from) {
        static_assert(can_be_kept<Kept>);
        void* const room = make_room(sizeof(Kept));
        Kept* kept = nullptr;
        try {
            kept = new (room) Kept(std::forward<From>(from)...);
        } catch (...) {
            leave_room(*p_, sizeof(Kept));
            throw;
        }
        has_kept([](process& p) noexcept {
            static_cast<Kept*>(room_of_kept(p, sizeof(Kept)))->~Kept();
            leave_room(p, sizeof(Kept));
        });
        return *kept;
    }

    /// Starts it.
    pid start(task<> root, const spawn_options* options);

private:
    void* make_room(std::size_t size);
    void has_kept(drop_call how) noexcept;
    static void* room_of_kept(process& p, std::size_t size) noexcept;
    static void leave_room(process& p, std::size_t size) noexcept;

    process* p_;
};

template <class F, class... Args>
pid spawn_on(runtime_core* home, const spawn_options* options, F&& f, Args&&... args) {
    using result = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>;
    static_assert(is_task<result> || std::is_void_v<result>,
                  "genever: what a process runs must return task<> (a coroutine) or void");
    if constexpr (is_task<result>)
        static_assert(std::is_void_v<typename result::value_type>,
                      "genever: nobody receives the result of a spawned process: return task<>");
    process_birth birth{home};
    using kept = kept_call<std::decay_t<F>, std::decay_t<Args>...>;
    if constexpr (is_task<result> && std::is_empty_v<std::decay_t<F>> && sizeof...(Args) == 0)
        return birth.start(f(), options); // nothing to keep alive: the callable's own frame is the root
    else if constexpr (is_task<result> && can_be_kept<kept>)
        return birth.start(birth.keep<kept>(std::forward<F>(f), std::forward<Args>(args)...)(), options);
    else
        return birth.start(process_main<std::decay_t<F>, std::decay_t<Args>...>(std::forward<F>(f),
                                                                                std::forward<Args>(args)...),
                           options);
}

monitor_ref new_monitor_ref() noexcept;
void exit_process(pid to, pid from, exit_reason reason);

} // namespace detail

/// The calling process. `pid{}` on a thread that runs none.
pid self() noexcept;

/// Starts a process that runs `f(args...)`. Callable and arguments are moved into it. A coroutine or a plain
/// function; an exception that leaves it ends the process with an `error` exit and makes a crash report, and
/// touches nobody who is not linked. Throws std::logic_error outside of a runtime (there use
/// `runtime::spawn`). (A function that makes its task<> otherwise than by being a coroutine does so in the spawner.)
template <class F, class... Args>
    requires std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>
pid spawn(F&& f, Args&&... args) {
    return detail::spawn_on(nullptr, nullptr, std::forward<F>(f), std::forward<Args>(args)...);
}
/// The same with options.
template <class F, class... Args>
    requires std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>
pid spawn(const spawn_options& options, F&& f, Args&&... args) {
    return detail::spawn_on(nullptr, &options, std::forward<F>(f), std::forward<Args>(args)...);
}
/// Starts a process linked to the caller, with no moment between the two.
template <class F, class... Args>
    requires std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>
pid spawn_link(F&& f, Args&&... args) {
    spawn_options options;
    options.link = self();
    return detail::spawn_on(nullptr, &options, std::forward<F>(f), std::forward<Args>(args)...);
}
/// Starts a process that the caller monitors.
template <class F, class... Args>
    requires std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>
std::pair<pid, monitor_ref> spawn_monitor(F&& f, Args&&... args) {
    spawn_options options;
    options.watcher = self();
    options.monitor = detail::new_monitor_ref();
    const pid p = detail::spawn_on(nullptr, &options, std::forward<F>(f), std::forward<Args>(args)...);
    return {p, options.monitor};
}

/// Sends a value to a process. Never blocks: what is sent to a process that has ended, or whose full mailbox does not take
/// it, is dropped, and the result, which converts to false then, says so. `delivered` only tells that it has come into
/// the mailbox. Callable on any thread. (`send_wait` waits for room.)
template <class T>
send_result send(pid to, T&& value) {
    return detail::post(to,
                        detail::new_message<detail::value_message<std::decay_t<T>>>(std::forward<T>(value)));
}

/// Sends an exit signal, as Erlang's exit/2: `killed` ends the process at its next suspension point, without
/// it having a say; any other reason but `normal` ends one that does not trap exits, and becomes an
/// `exit_signal` message for one that does. `normal` is ignored unless it is trapped (or sent to oneself). Sent to
/// oneself, it ends the process at its next suspension point or with its return, whichever comes first.
/// Callable on any thread.
inline void exit(pid to, exit_reason reason) { detail::exit_process(to, self(), std::move(reason)); }

/// Whether exits of linked processes, and exit signals but `killed`, become messages for the caller. Returns
/// what it was before.
bool trap_exit(bool on);

/// Links the caller with `other`: each one's exit (but `normal`) reaches the other one. Linking to a process that
/// is gone gives an exit with `noproc`. Linking twice is linking once.
void link(pid other);
/// Ends the link. No exit of `other` reaches the caller by it afterwards; one that is in the mailbox stays.
void unlink(pid other);

/// Lets the caller know of `other`'s end by one `down` message; at once when it is gone already (`noproc`).
monitor_ref monitor(pid other);
/// Ends the monitor: its `down` never comes afterwards, and is taken from the mailbox if it is there.
void demonitor(monitor_ref ref);

/// Gives `p`, a process of this runtime, a name that others find it by; it may have several. False when the name is taken
/// (by `p` itself, too, as in Erlang) or empty, or `p` is not alive or another runtime's. A name is free again when its
/// process has ended, before anybody hears of the end.
bool register_name(std::string_view name, pid p);
/// Anybody may take a name away. False when nobody had it.
bool unregister_name(std::string_view name);
/// Who has the name in this runtime; `pid{}`: nobody.
pid whereis(std::string_view name);

/// Whether the process has not ended. Callable on any thread; may be past when it is read.
bool is_alive(pid p) noexcept;
/// What crash reports and lists call the calling process.
void set_label(std::string_view label);

namespace detail {
struct yield_awaiter {
    bool await_ready() const noexcept { return false; }
    template <task_promise_type P>
    void await_suspend(std::coroutine_handle<P> h) const noexcept {
        requeue(static_cast<process&>(*h.promise().self), h);
    }
    void await_resume() const noexcept {}
};
} // namespace detail

/// Lets the others that are ready run first.
inline detail::yield_awaiter yield() noexcept { return {}; }

} // namespace genever
