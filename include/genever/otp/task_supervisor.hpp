// Tasks under a supervisor: work that runs beside its owner and whose result the owner awaits.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/base/exit_error.hpp>
#include <genever/base/exit_reason.hpp>
#include <genever/base/ordered_table.hpp>
#include <genever/base/pid.hpp>
#include <genever/base/spinlock.hpp>
#include <genever/otp/child_spec.hpp>
#include <genever/otp/detail/guarded_task.hpp>
#include <genever/otp/dynamic_supervisor.hpp>
#include <genever/otp/server_ref.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/task.hpp>
#include <genever/runtime/time.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace genever {

/// The description of a task supervisor, as Elixir's Task.Supervisor: a dynamic supervisor whose children are tasks, with the
/// same options. `child<task_supervisor>("tasks")`, or `child<task_supervisor>("tasks", task_supervisor{}.max_children(10))`.
class task_supervisor : public dynamic_supervisor {
public:
    task_supervisor() noexcept = default;
    // NOLINTNEXTLINE(google-explicit-constructor): what the setters give is one
    task_supervisor(const dynamic_supervisor& d) noexcept : dynamic_supervisor(d) {}
};

template <std::same_as<task_supervisor> T>
child_spec child(std::string name, task_supervisor s = {}) {
    return child<dynamic_supervisor>(std::move(name), dynamic_supervisor(s));
}

namespace detail {

/// What a task and its owner share.
struct task_state_base {
    pid owner;
    monitor_ref ref; // the owner's monitor on the task
    bool linked = false;

    genever::pid task; // the owner's: known once it has been started

    /// In the supervisor: false, nobody waits for the start any more.
    bool is_wanted() noexcept;
    /// In the supervisor: it has been started as `p`. Abandoned meanwhile, its owner hears nothing of its end.
    void started_as(genever::pid p) noexcept;
    /// In the task: false, there is nothing to do any more. Else, where it is linked, the link is in place.
    bool begin();
    /// In the owner: ends the link, or keeps the task from making it.
    void detach();
    /// In the owner: nobody wants it any more. It is killed, or will not begin; the owner hears nothing of it.
    void abandon() noexcept;

private:
    spinlock lock_;
    genever::pid begun_; // itself, once it has begun
    bool detached_ = false;
    bool abandoned_ = false; // it must not begin
};

template <class T>
using stored = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

/// The result is written by the task before it ends, and read by the owner after it has heard of the end.
template <class T>
struct task_state : task_state_base {
    std::optional<stored<T>> value;
};

template <class T, class F, class... Args>
struct task_job : task_state<T> {
    std::optional<std::tuple<F, std::tuple<Args...>>> call;
};

template <class F, class... Args>
using task_result_of = typename awaited<std::invoke_result_t<F, Args...>>::type;

/// `f(args...)`, a coroutine or not.
template <class T, class F, class... Args>
task<T> run_call(F f, std::tuple<Args...> args) {
    if constexpr (is_task<std::invoke_result_t<F, Args...>>) {
        auto work = std::apply(std::move(f), std::move(args));
        if constexpr (std::is_void_v<T>) {
            co_await std::move(work);
        } else {
            T result = co_await std::move(work);
            co_return result;
        }
    } else if constexpr (std::is_void_v<T>) {
        std::apply(std::move(f), std::move(args));
    } else {
        co_return std::apply(std::move(f), std::move(args));
    }
}

// The callable and its arguments go before the result can be seen: they are the task's.
template <class T, class F, class... Args>
task<> task_main(std::shared_ptr<task_job<T, F, Args...>> job) {
    if (!job->begin()) co_return;
    auto work = run_call<T>(std::move(std::get<0>(*job->call)), std::move(std::get<1>(*job->call)));
    job->call.reset();
    if constexpr (std::is_void_v<T>) {
        co_await std::move(work);
        job->value.emplace();
    } else {
        T result = co_await std::move(work);
        job->value.emplace(std::move(result));
    }
}

/// A task for its effect.
template <class F, class... Args>
task<> effect_main(F f, std::tuple<Args...> args) {
    auto work = run_call<task_result_of<F, Args...>>(std::move(f), std::move(args));
    co_await std::move(work);
}

/// Starts a task in the supervisor's process.
template <class T, class F, class... Args>
task<start_result> spawn_task(std::shared_ptr<task_job<T, F, Args...>> job) {
    if (!job->is_wanted()) co_return genever::pid{};
    spawn_options options;
    options.label = "task";
    options.link = self();
    options.watcher = job->owner;
    options.monitor = job->ref;
    const genever::pid p = spawn_on(nullptr, &options, &task_main<T, F, Args...>, job);
    job->started_as(p);
    co_return p;
}

/// Asks the supervisor for the start and waits for it. Called off meanwhile, the task is abandoned. Throws
/// std::runtime_error when the supervisor has max_children.
task<> start_task(dynamic_supervisor_ref supervisor, child_spec spec, std::shared_ptr<task_state_base> state);

template <class T, class F, class... Args>
std::shared_ptr<task_job<T, std::decay_t<F>, std::decay_t<Args>...>> make_task_job(bool linked, F&& f,
                                                                                   Args&&... args) {
    static_assert(!std::is_reference_v<T>,
                  "genever: a task's result must be a value: what it refers to would be gone");
    auto job = std::make_shared<task_job<T, std::decay_t<F>, std::decay_t<Args>...>>();
    job->owner = self();
    job->ref = new_monitor_ref();
    job->linked = linked;
    job->call.emplace(std::forward<F>(f), std::tuple<std::decay_t<Args>...>(std::forward<Args>(args)...));
    return job;
}
template <class Job>
child_spec task_spec(std::shared_ptr<Job> job) {
    return child_spec("task", [job = std::move(job)] { return spawn_task(job); }).restart(restart::temporary);
}

/// The end of a task, by its owner's monitor; nothing: not by the deadline.
task<std::optional<exit_reason>> await_end(monitor_ref ref, time_point deadline);

/// Which of several tasks has ended, and how; nothing: none by the deadline.
struct some_end {
    std::uint64_t ref;
    exit_reason why;
};
using awaited_refs = ordered_table<std::uint64_t, std::size_t>;
task<std::optional<some_end>> await_any_end(awaited_refs& refs, time_point deadline);

void require_owner(pid owner, const char* what);
[[noreturn]] void throw_task_exit(pid task, const exit_reason& why);
[[noreturn]] void throw_task_timeout();
unsigned worker_count();

} // namespace detail

/// A task that has been started, and the right to its result: for the process that started it, its owner. Movable.
///
/// The result comes with the end of the task: by a monitor, not by a message of the user lane, so that a full mailbox does
/// not lose it. The owner that receives `down` messages itself while it has tasks (a server) hands them to `take`.
///
/// Destroyed in its owner without having been awaited, it lets the task run on, and nobody hears of the result. (A linked
/// task's crash still reaches the owner.) All waits can be killed and called off; the task can be awaited again afterwards.
template <class T>
class task_ref {
public:
    using result = std::expected<T, exit_reason>;

    task_ref(task_ref&&) noexcept = default;
    task_ref& operator=(task_ref&& o) noexcept {
        if (this != &o) {
            forget();
            state_ = std::move(o.state_);
        }
        return *this;
    }
    ~task_ref() { forget(); }

    /// The process that runs it; `pid{}` after the result was taken.
    genever::pid pid() const noexcept { return state_ ? state_->task : genever::pid{}; }
    /// The monitor whose `down` tells the owner of the end.
    monitor_ref ref() const noexcept { return state_ ? state_->ref : monitor_ref{}; }

    /// Waits for the result, 5 seconds at most unless it is told otherwise. As Elixir's Task.await: when the task has ended
    /// without a result, throws `exit_error` with its reason; when the time is over, with `timeout`: the owner, if it does
    /// not catch that, ends with the same reason. A linked task that crashes ends an owner that does not trap exits anyway.
    /// After either, the result is lost. Throws std::logic_error in another process than the owner, and when the result was taken.
    task<T> await(duration limit = default_call_timeout) {
        require("await");
        const std::optional<exit_reason> why = co_await detail::await_end(state_->ref, deadline_in(limit));
        if (!why) {
            forget();
            detail::throw_task_timeout();
        }
        const auto ended = std::move(state_);
        if (!ended->value) detail::throw_task_exit(ended->task, *why);
        if constexpr (!std::is_void_v<T>) co_return std::move(*ended->value);
    }

    /// Waits for the end for a while: the result, or why there is none; nothing when the time is over, and then the task
    /// can still be awaited, also when its end comes in between.
    task<std::optional<result>> yield(duration limit = default_call_timeout) {
        require("yield");
        const std::optional<exit_reason> why = co_await detail::await_end(state_->ref, deadline_in(limit));
        std::optional<result> r;
        if (why) r.emplace(take_result(*why));
        co_return r;
    }

    /// Ends the task: asks it (`shutdown`), kills it when it has not ended after `limit`, and waits until it is gone. Gives the
    /// result if it came before; nothing when it has ended as it was told to; else why it has ended.
    task<std::optional<result>> shutdown(duration limit = std::chrono::seconds{5}) {
        return end(exit_kind::shutdown, limit);
    }
    task<std::optional<result>> shutdown(brutal_kill_t) { return end(exit_kind::killed, infinity); }

    /// For an owner that receives `down` messages itself: the result if this one is the task's; nothing, and nothing has
    /// changed, if it is not.
    std::optional<result> take(const down& d) {
        std::optional<result> r;
        if (!state_ || d.ref != state_->ref) return r;
        detail::require_owner(state_->owner, "take");
        r.emplace(take_result(d.reason));
        return r;
    }

private:
    friend class task_supervisor_ref;
    template <class U>
    friend task<std::conditional_t<std::is_void_v<U>, void, std::vector<detail::stored<U>>>>
    await_many(std::vector<task_ref<U>> tasks, duration limit);

    explicit task_ref(std::shared_ptr<detail::task_state<T>> s) noexcept : state_(std::move(s)) {}

    void require(const char* what) const {
        if (!state_)
            throw std::logic_error(std::string{"genever: "} + what + ": the task's result was taken");
        detail::require_owner(state_->owner, what);
    }
    void forget() noexcept {
        if (state_ && self() == state_->owner) demonitor(state_->ref);
        state_.reset();
    }
    result take_result(const exit_reason& why) {
        const auto ended = std::move(state_);
        if (!ended->value) return std::unexpected(why);
        if constexpr (std::is_void_v<T>)
            return {};
        else
            return std::move(*ended->value);
    }
    task<std::optional<result>> end(exit_kind how, duration limit) {
        require("shutdown");
        const genever::pid p = pid();
        state_->detach();
        genever::exit(p, how);
        std::optional<exit_reason> why = co_await detail::await_end(state_->ref, deadline_in(limit));
        const bool late = !why;
        if (late) {
            genever::exit(p, exit_kind::killed);
            auto last = co_await detail::await_end(state_->ref, time_point::max());
            why = std::move(last);
        }
        const bool as_told = *why == how || (late && *why == exit_kind::killed);
        std::optional<result> r;
        if (state_->value || !as_told) r.emplace(take_result(*why));
        state_.reset();
        co_return r;
    }

    std::shared_ptr<detail::task_state<T>> state_;
};

/// Waits for all of several tasks' results, in the tasks' order; `limit` is for all together. As Elixir's Task.await_many: as
/// soon as one has ended without a result, or when the time is over, throws as `await` does, and all results are lost.
template <class T>
task<std::conditional_t<std::is_void_v<T>, void, std::vector<detail::stored<T>>>>
await_many(std::vector<task_ref<T>> tasks, duration limit = default_call_timeout) {
    const time_point deadline = deadline_in(limit);
    detail::awaited_refs refs;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        tasks[i].require("await_many");
        refs.insert(tasks[i].state_->ref.value, i);
    }
    for (;;) {
        if (refs.empty()) break;
        const std::optional<detail::some_end> e = co_await detail::await_any_end(refs, deadline);
        if (!e) detail::throw_task_timeout();
        const auto& state = *tasks[*refs.find(e->ref)].state_;
        if (!state.value) detail::throw_task_exit(tasks[*refs.find(e->ref)].pid(), e->why);
        refs.erase(e->ref);
    }
    if constexpr (!std::is_void_v<T>) {
        std::vector<detail::stored<T>> results;
        results.reserve(tasks.size());
        for (auto& t : tasks) {
            results.push_back(std::move(*t.state_->value));
            t.state_.reset();
        }
        co_return results;
    }
}

/// What becomes of a stream whose task takes too long.
enum class on_task_timeout : std::uint8_t {
    exit,      ///< `next` throws `exit_error` with `timeout`
    kill_task, ///< the task is killed, and its result is the error `timeout`
};

struct task_stream_options {
    /// How many tasks run at the same time at most; 0: as many as the runtime has workers.
    std::size_t max_concurrency = 0;
    /// Results come in the order of the items, which may mean to keep some; else as they are ready.
    bool ordered = true;
    /// For each task, from its start.
    duration timeout = default_call_timeout;
    on_task_timeout on_timeout = on_task_timeout::exit;
};

/// The results of one task for each item of a range, as they are asked for: what `async_stream` gives. For the process that
/// made it. Tasks are started by `next` alone: who does not ask gets none. Destroyed, also by the kill of its process, it kills
/// what is in flight.
template <class T, class Items, class F>
class task_stream {
public:
    using result = std::expected<T, exit_reason>;

    task_stream(dynamic_supervisor_ref supervisor, bool linked, Items items, F f, task_stream_options o)
        : p_(std::make_unique<inside>(std::move(supervisor), linked, std::move(items), std::move(f), o)) {}
    task_stream(task_stream&&) noexcept = default;
    task_stream& operator=(task_stream&&) noexcept = default;

    /// The next result: a value, or why its task has ended without one. Nothing: there are no more. Throws what the start of
    /// a task throws. Called off while it starts a task, that task is killed and its item is lost.
    task<std::optional<result>> next() { return next_of(*p_); }

private:
    struct running {
        std::shared_ptr<detail::task_state<T>> state;
        time_point deadline;
    };
    struct inside {
        inside(dynamic_supervisor_ref s, bool l, Items i, F g, task_stream_options opt)
            : supervisor(std::move(s)), linked(l), items(std::move(i)), f(std::move(g)), options(opt),
              at(std::ranges::begin(items)) {
            if (options.max_concurrency == 0) options.max_concurrency = detail::worker_count();
        }
        inside(const inside&) = delete;
        ~inside() {
            for (auto& [place, r] : in_flight) r.state->abandon();
        }

        dynamic_supervisor_ref supervisor;
        bool linked;
        Items items;
        F f;
        task_stream_options options;
        std::ranges::iterator_t<Items> at;
        pid owner = self();
        std::size_t started = 0;
        std::size_t given = 0;
        std::map<std::size_t, running> in_flight; // by place, and so by deadline
        detail::awaited_refs refs;                // of those, with their places
        std::map<std::size_t, result> ready;      // by place; by order of the ends if unordered
        std::size_t ends = 0;
    };

    static task<> start_one(inside& s) {
        // An owned container gives its items away; a view's belong to others.
        auto take = [&s]() -> decltype(auto) {
            if constexpr (std::ranges::view<Items>)
                return *s.at;
            else
                return std::ranges::iter_move(s.at);
        };
        auto job = detail::make_task_job<T>(s.linked, s.f, take());
        ++s.at;
        const time_point deadline = deadline_in(s.options.timeout);
        auto starting = detail::start_task(s.supervisor, detail::task_spec(job), job);
        co_await std::move(starting);
        const std::size_t place = s.started++;
        s.refs.insert(job->ref.value, place);
        s.in_flight.emplace(place, running{std::move(job), deadline});
    }
    static void has_ended(inside& s, std::size_t place, result r) {
        s.refs.erase(s.in_flight.find(place)->second.state->ref.value);
        s.in_flight.erase(place);
        s.ready.emplace(s.options.ordered ? place : s.ends++, std::move(r));
    }
    static task<std::optional<result>> next_of(inside& s) {
        detail::require_owner(s.owner, "a stream's next");
        for (;;) {
            for (;;) {
                if (s.in_flight.size() >= s.options.max_concurrency || s.at == std::ranges::end(s.items))
                    break;
                auto starting = start_one(s);
                co_await std::move(starting);
            }
            std::optional<result> r;
            if (auto first = s.ready.begin();
                first != s.ready.end() && (!s.options.ordered || first->first == s.given)) {
                r.emplace(std::move(first->second));
                s.ready.erase(first);
                ++s.given;
                co_return r;
            }
            if (s.in_flight.empty()) co_return r;
            const std::optional<detail::some_end> e =
                co_await detail::await_any_end(s.refs, s.in_flight.begin()->second.deadline);
            if (!e) {
                if (s.options.on_timeout == on_task_timeout::exit) detail::throw_task_timeout();
                s.in_flight.begin()->second.state->abandon();
                has_ended(s, s.in_flight.begin()->first, std::unexpected(exit_reason{exit_kind::timeout}));
                continue;
            }
            const std::size_t place = *s.refs.find(e->ref);
            const auto state = s.in_flight.find(place)->second.state;
            if (!state->value)
                has_ended(s, place, std::unexpected(e->why));
            else if constexpr (std::is_void_v<T>)
                has_ended(s, place, result{});
            else
                has_ended(s, place, result{std::move(*state->value)});
        }
    }

    std::unique_ptr<inside> p_;
};

/// A reference to a running task supervisor, by name or pid. A value; for processes of its runtime. What starts tasks throws
/// `call_error` when there is no supervisor, and std::runtime_error when it has max_children.
///
///     auto t = co_await tasks.async(fetch, url);            // url is moved into the task
///     auto page = co_await t.await();
///
/// Callables and arguments are moved into the task; a callable is a plain function or a coroutine.
class task_supervisor_ref {
public:
    explicit task_supervisor_ref(std::string name) : to_(std::move(name)) {}
    explicit task_supervisor_ref(std::string_view name) : to_(name) {}
    explicit task_supervisor_ref(const char* name) : to_(name) {}
    explicit task_supervisor_ref(genever::pid p) noexcept : to_(p) {}

    genever::pid pid() const { return to_.pid(); }

    /// Starts `f(args...)` as a task, linked to the caller: either one's abnormal end is the other one's. Gives a task_ref of
    /// the result. (An owner that traps exits receives the link's `exit_signal` at the end too, as in Elixir.)
    template <class F, class... Args>
    auto async(F&& f, Args&&... args) const {
        return start_async(true, std::forward<F>(f), std::forward<Args>(args)...);
    }
    /// The same without the link: a crash is an error for who awaits it.
    template <class F, class... Args>
    auto async_nolink(F&& f, Args&&... args) const {
        return start_async(false, std::forward<F>(f), std::forward<Args>(args)...);
    }

    /// One task, linked to the caller, for each item of `items`, run as the results are asked for: see task_stream. `f` is
    /// called with an item; each task has a copy of it. A range that is given as an rvalue is moved in and its items are
    /// moved into the tasks; an lvalue container is copied, a view is copied as a view: what it looks at must outlive the stream.
    ///
    ///     auto pages = tasks.async_stream(urls, fetch, {.max_concurrency = 8});
    ///     for (;;) {
    ///         auto page = co_await pages.next();
    ///         if (!page) break;
    ///         ...
    ///     }
    template <std::ranges::input_range R, class F>
    auto async_stream(R&& items, F&& f, task_stream_options o = {}) const {
        return make_stream(true, std::forward<R>(items), std::forward<F>(f), o);
    }
    /// The same without links: the crash of a task is its result.
    template <std::ranges::input_range R, class F>
    auto async_stream_nolink(R&& items, F&& f, task_stream_options o = {}) const {
        return make_stream(false, std::forward<R>(items), std::forward<F>(f), o);
    }

    /// Starts `f(args...)` as a child for its effect: nobody hears of its end but the supervisor, which never restarts it.
    template <class F, class... Args>
        requires std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>
    auto start_child(F&& f, Args&&... args) const {
        return start_child(restart::temporary, std::forward<F>(f), std::forward<Args>(args)...);
    }
    /// The same with a restart type; each start has copies of callable and arguments.
    template <class F, class... Args>
        requires std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>
    auto start_child(restart r, F&& f, Args&&... args) const {
        static_assert(
            std::is_copy_constructible_v<std::decay_t<F>> &&
                (std::is_copy_constructible_v<std::decay_t<Args>> && ...),
            "genever: a task's child is started from copies: callable and arguments must be copyable");
        using safe =
            std::bool_constant<detail::closure_is_safe<F> && (detail::argument_is_safe<Args> && ...)>;
        auto start = [f = std::decay_t<F>(std::forward<F>(f)),
                      args = std::tuple<std::decay_t<Args>...>(std::forward<Args>(args)...)] {
            return spawn_child<std::decay_t<F>, std::decay_t<Args>...>(f, args);
        };
        return detail::guarded_task<std::expected<genever::pid, child_error>, safe::value>{
            to_.start_child(child_spec("task", std::move(start)).restart(r))};
    }

    /// The tasks that run.
    task<std::vector<genever::pid>> children() const;
    /// Terminates a task of any kind.
    task<std::expected<void, child_error>> terminate_child(genever::pid child) const {
        return to_.terminate_child(child);
    }

private:
    template <class F, class... Args>
    static task<start_result> spawn_child(F f, std::tuple<Args...> args) {
        spawn_options options;
        options.label = "task";
        options.link = self();
        co_return detail::spawn_on(nullptr, &options, &detail::effect_main<F, Args...>, std::move(f),
                                   std::move(args));
    }

    template <class F, class... Args>
    auto start_async(bool linked, F&& f, Args&&... args) const {
        static_assert(
            std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>,
            "genever: the task's callable cannot be called with these arguments, which it gets as rvalues");
        using T = detail::task_result_of<std::decay_t<F>, std::decay_t<Args>...>;
        constexpr bool safe = detail::closure_is_safe<F> && (detail::argument_is_safe<Args> && ...);
        auto job = detail::make_task_job<T>(linked, std::forward<F>(f), std::forward<Args>(args)...);
        auto spec = detail::task_spec(job);
        return detail::guarded_task<task_ref<T>, safe>{started<T>(to_, std::move(spec), std::move(job))};
    }
    template <class T>
    static task<task_ref<T>> started(dynamic_supervisor_ref to, child_spec spec,
                                     std::shared_ptr<detail::task_state<T>> state) {
        auto starting = detail::start_task(std::move(to), std::move(spec), state);
        co_await std::move(starting);
        co_return task_ref<T>{std::move(state)};
    }

    template <class R, class F>
    auto make_stream(bool linked, R&& items, F&& f, task_stream_options o) const {
        using range = std::remove_cvref_t<R>;
        using item = std::ranges::range_value_t<range>;
        static_assert(std::is_copy_constructible_v<std::decay_t<F>>,
                      "genever: each task of a stream has a copy of the callable: it must be copyable");
        static_assert(std::is_invocable_v<std::decay_t<F>, item>,
                      "genever: the stream's callable cannot be called with an item of the range, which it "
                      "gets as an rvalue");
        using T = detail::task_result_of<std::decay_t<F>, item>;
        static_assert(!std::is_reference_v<T>,
                      "genever: a task's result must be a value: what it refers to would be gone");
        return task_stream<T, range, std::decay_t<F>>{to_, linked, range(std::forward<R>(items)),
                                                      std::decay_t<F>(std::forward<F>(f)), o};
    }

    dynamic_supervisor_ref to_;
};

} // namespace genever
