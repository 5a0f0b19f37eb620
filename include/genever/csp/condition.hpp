// condition: waits, beside a mutex, until another process says that something has changed.
//
// One wait:
//
//     in the condition's queue ── notified ──▶ the mutex is free: it is taken in the waiter's name, who runs
//        │                                 └─▶ it is not: in the mutex's queue, still the same suspension
//        ├── destroyed: out of the queue
//        └── notified by notify_one, and destroyed before it ran: out of the mutex's queue, or the mutex unlocked, and
//            the next one is notified in its place
//
// So a notified process is woken once, with the mutex in its hands. Lock order: the condition's, then the mutex's.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/csp/mutex.hpp>
#include <genever/runtime/detail/timer.hpp>
#include <genever/runtime/task.hpp>
#include <genever/runtime/time.hpp>

#include <condition_variable>
#include <coroutine>
#include <functional>
#include <utility>

namespace genever {

namespace detail {

struct condition_waiter : waiter {
    mutex* beside = nullptr;
    bool notified = false; // under the condition's lock, as `by_one`
    bool by_one = false;
};

} // namespace detail

/// A condition variable for processes (std::condition_variable; Go's sync.Cond). All that is waited for lies under the
/// mutex of the guard; check it in a loop, or give a predicate. Notifications go to those who wait at that moment,
/// the longest waiting first, and are remembered by nobody. A wake may be spurious after a timed wait, and another process may have had the mutex
/// in between. Usable on any thread; it and the mutex must outlive those who wait.
///
/// A wait that is destroyed (a kill, a deadline around it) leaves the guard without the mutex: `owns_lock()` is false.
/// A notification by notify_one that it had not acted upon goes to the next one.
class condition {
public:
    condition() noexcept = default;
    condition(const condition&) = delete;
    condition& operator=(const condition&) = delete;

    /// Unlocks the mutex, waits to be notified, and has the mutex again. `g` must outlive the wait. Throws
    /// std::logic_error where it owns none.
    detail::condition_awaiter wait(mutex::guard& g);
    /// Waits until `holds()`, which is called with the mutex held. Keeps the predicate.
    template <std::predicate F>
    task<> wait(mutex::guard& g, F holds);
    /// The same two, no longer than `limit`; after that, too, the mutex is held again, however long that takes.
    task<std::cv_status> wait_for(mutex::guard& g, duration limit) {
        return wait_until(g, deadline_in(limit));
    }
    task<std::cv_status> wait_until(mutex::guard& g, time_point deadline);
    /// False: the time is up and `holds()` is false.
    template <std::predicate F>
    task<bool> wait_for(mutex::guard& g, duration limit, F holds);

    /// Lets one process go on that waits; with or without the mutex held. On any thread.
    void notify_one() noexcept;
    /// Lets all go on that wait now, one after the other as each gets the mutex. On any thread.
    void notify_all() noexcept;

private:
    friend detail::condition_awaiter;

    detail::spinlock lock_;
    detail::waiter_queue waiting_;
};

namespace detail {

class [[nodiscard("co_await it")]] condition_awaiter {
public:
    enum class end : std::uint8_t { owning, notified, timeout };

    condition_awaiter(condition& c, mutex::guard& g, time_point deadline) noexcept
        : condition_(c), guard_(g), deadline_(deadline) {}
    condition_awaiter(const condition_awaiter&) = delete;
    condition_awaiter& operator=(const condition_awaiter&) = delete;
    ~condition_awaiter() {
        if (suspended_) abandon();
    }

    bool await_ready() const noexcept { return false; }
    template <task_promise_type P>
    void await_suspend(std::coroutine_handle<P> h) noexcept {
        suspend(static_cast<process&>(*h.promise().self), h);
    }
    /// Without a deadline always `owning`.
    end await_resume() noexcept { return suspended_ ? settle() : end::owning; }

private:
    void suspend(process& p, std::coroutine_handle<> h) noexcept;
    end settle() noexcept;
    void abandon() noexcept;
    bool leave() noexcept;

    condition& condition_;
    mutex::guard& guard_;
    time_point deadline_;
    condition_waiter me_;
    timer_node timer_;
    bool suspended_ = false;
};

} // namespace detail

template <std::predicate F>
task<> condition::wait(mutex::guard& g, F holds) {
    for (;;) {
        if (std::invoke(holds)) co_return;
        co_await wait(g);
    }
}

template <std::predicate F>
task<bool> condition::wait_for(mutex::guard& g, duration limit, F holds) {
    const time_point deadline = deadline_in(limit);
    for (;;) {
        if (std::invoke(holds)) co_return true;
        const std::cv_status s = co_await wait_until(g, deadline);
        if (s == std::cv_status::timeout) co_return std::invoke(holds);
    }
}

} // namespace genever
