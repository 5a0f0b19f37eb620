// A runtime: workers, their processes, and the way in from an ordinary thread.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/base/stack_trace.hpp>
#include <genever/runtime/crash_report.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/stats.hpp>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace genever {

/// What is known of a process that has kept its thread to itself for long: it computes without an await, or is blocked in
/// a system call. Its worker has gone on with another thread meanwhile, if anything waited there.
struct stall_report {
    genever::pid pid;
    std::string label;
    std::vector<std::string> names;
    /// How long it had lasted when it was reported, and how much CPU time it had used meanwhile. There is one report for
    /// each stall.
    duration lasted{};
    duration cpu{};
    bool in_system_call = false;
    /// Where it was; empty when it could not be found out.
    stack_trace stack;
};

/// The report as a block of text for people.
std::string to_string(const stall_report& r);

/// Receives stall reports, on a thread that watches all workers: be quick, throw nothing.
using stall_handler = std::function<void(const stall_report&)>;

struct runtime_options {
    /// How many processes run at once. 0: one for each core that this program may use.
    unsigned workers = 0;
    /// Empty: reports go to the log (base/log.hpp).
    crash_handler on_crash = {};
    /// Empty: reports go to the log.
    stall_handler on_stall = {};
    /// For how long a process may compute without an await, in CPU time, or be blocked in a system call, before that is
    /// reported. (Its worker is given another thread long before: after two to four milliseconds, when something waits for
    /// it.)
    duration report_stall_after = std::chrono::milliseconds{20};
    /// How many threads may be stuck beside the workers at the same time; when there are more, their workers wait.
    std::size_t most_stuck_threads = 1024;
    /// How many threads may run `blocking` calls at once; at least 1.
    unsigned blocking_threads = 512;
    /// Whether workers send together what is posted (posted_send.hpp), where the system allows it: with io_uring, one call
    /// for up to sixteen sends.
    bool io_uring = true;
};

namespace detail {

inline const spawn_options quiet_options{
    .label = "main", .link = {}, .watcher = {}, .monitor = {}, .quiet = true, .mailbox = {}};

/// Where the reason of a process's end is left for a thread that waits for it.
class end_slot {
public:
    /// The first reason counts.
    void set(exit_reason why);
    bool is_set() const;
    /// Blocks the calling thread.
    exit_reason wait();

private:
    mutable std::mutex lock_;
    std::condition_variable told_;
    std::optional<exit_reason> reason_;
};

/// The watcher's side of an end_slot: tells the waiting thread also when the watcher is killed, or was never started.
class end_teller {
public:
    explicit end_teller(std::shared_ptr<end_slot> end) noexcept : end_(std::move(end)) {}
    end_teller(end_teller&&) noexcept = default;
    ~end_teller() {
        if (end_) end_->set(exit_kind::killed);
    }
    void tell(exit_reason why) { end_->set(std::move(why)); }

private:
    std::shared_ptr<end_slot> end_;
};

/// Starts `body` as a process, and one more that watches it and leaves the reason of its end.
template <class Body>
std::shared_ptr<end_slot> spawn_watched(runtime_core* core, Body body) {
    auto end = std::make_shared<end_slot>();
    spawn_on(core, &quiet_options, [teller = end_teller{end}, body = std::move(body)]() mutable -> task<> {
        spawn_options options = quiet_options;
        options.watcher = self();
        options.monitor = new_monitor_ref();
        spawn_on(nullptr, &options, std::move(body));
        exit_reason why = co_await receive([](const down& d) { return d.reason; });
        teller.tell(std::move(why));
    });
    return end;
}

/// Rethrows the exception that ended a process; std::runtime_error where something else did.
void throw_unless_normal(const exit_reason& why);

template <class T>
struct task_result {
    using type = T;
};
template <class T>
struct task_result<task<T>> {
    using type = T;
};

/// Hands `start` a body that runs `f` and keeps its result, and returns that. The place for the result belongs to both:
/// the process may outlive a caller whom an exception takes away.
template <class F, class Start>
auto run_with_result(F f, Start start) {
    using returned = std::invoke_result_t<F&>;
    using result = typename task_result<returned>::type;
    if constexpr (std::is_void_v<result>) {
        start([f = std::move(f)]() mutable -> task<> {
            if constexpr (is_task<returned>)
                co_await f();
            else
                f();
            co_return;
        });
    } else {
        auto out = std::make_shared<std::optional<result>>();
        start([f = std::move(f), out]() mutable -> task<> {
            if constexpr (is_task<returned>)
                out->emplace(co_await f());
            else
                out->emplace(f());
            co_return;
        });
        return std::move(**out);
    }
}

} // namespace detail

/// A set of workers with their processes. Construct it on an ordinary thread; several may exist at once.
class runtime {
public:
    /// Starts the workers. Throws std::system_error when the system gives no threads or descriptors.
    explicit runtime(runtime_options options = {});
    /// Kills every process, waits until all have ended and the `blocking` calls that are under way have returned, and
    /// stops the workers. Not to be called by one of its own processes.
    ~runtime();
    runtime(const runtime&) = delete;
    runtime& operator=(const runtime&) = delete;

    /// Starts a process from any thread.
    template <class F, class... Args>
    pid spawn(F&& f, Args&&... args) {
        return detail::spawn_on(core_.get(), nullptr, std::forward<F>(f), std::forward<Args>(args)...);
    }

    /// Runs `f()` as a process and blocks the calling thread until it has ended. Returns its result; rethrows
    /// the exception that ended it; throws std::runtime_error when something else did (it was killed).
    /// Other processes go on after the return.
    template <class F>
    auto run(F f) {
        return detail::run_with_result(std::move(f), [this](auto body) {
            detail::throw_unless_normal(detail::spawn_watched(core_.get(), std::move(body))->wait());
        });
    }

    /// Waits until `p` has ended and says why. `noproc` when it is gone already.
    exit_reason wait(pid p);

    /// What is known of each living process of this runtime (see the function of that name). Any thread.
    std::vector<process_info> process_list() const;

    unsigned workers() const noexcept;
    /// Any thread.
    runtime_stats stats() const;

private:
    std::unique_ptr<detail::runtime_core> core_;
};

} // namespace genever
