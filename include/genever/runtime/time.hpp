// The runtime's clock and its timers.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/runtime/detail/timer.hpp>
#include <genever/runtime/message.hpp>

#include <coroutine>
#include <functional>
#include <memory>
#include <utility>

namespace genever {

/// The time on the runtime's clock: monotonic, and virtual in a simulation. Callable on any thread; outside of
/// a runtime it is the system's monotonic clock.
time_point now() noexcept;

namespace detail {

class sleep_awaiter {
public:
    explicit sleep_awaiter(time_point until) noexcept : until_(until) {}
    sleep_awaiter(const sleep_awaiter&) = delete;
    ~sleep_awaiter() { disarm(timer_); }

    bool await_ready() const noexcept { return false; }
    template <task_promise_type P>
    void await_suspend(std::coroutine_handle<P> h) noexcept {
        suspend(static_cast<process&>(*h.promise().self), h);
    }
    void await_resume() const noexcept {}

private:
    void suspend(process& p, std::coroutine_handle<> h) noexcept;

    time_point until_;
    timer_node timer_;
};

} // namespace detail

/// The point in time that lies `d` ahead of now: a deadline. `infinity` gives `time_point::max()`, which never comes.
inline time_point deadline_in(duration d) noexcept { return later(now(), d); }

/// Suspends the process for at least `d`; zero or less is a `yield`. Other processes run meanwhile.
inline detail::sleep_awaiter sleep_for(duration d) noexcept { return detail::sleep_awaiter{later(now(), d)}; }
/// Suspends the process until `t` on the runtime's clock.
inline detail::sleep_awaiter sleep_until(time_point t) noexcept { return detail::sleep_awaiter{t}; }

namespace detail {
struct timer_entry;
using message_factory = std::function<message*()>;
std::shared_ptr<timer_entry> start_timer(pid to, duration first, duration every, message_factory make);
bool cancel_entry(const std::shared_ptr<timer_entry>& e) noexcept;
} // namespace detail

/// A timer that sends messages. Copies name the same timer. Letting go of it does not cancel it. Not to be cancelled
/// after its runtime has ended, which ends the timer, too.
class timer_ref {
public:
    timer_ref() = default;
    explicit timer_ref(std::shared_ptr<detail::timer_entry> e) noexcept : entry_(std::move(e)) {}

    /// Stops the timer. True when a message was still to come and now never will; false when the (only) message
    /// has been sent, perhaps not received, or the timer had been cancelled before. Callable on any thread.
    bool cancel() noexcept { return entry_ && detail::cancel_entry(entry_); }

private:
    std::shared_ptr<detail::timer_entry> entry_;
};

/// Sends `value` to `to` after `delay`. A receiver that is gone by then gets nothing; a full mailbox treats the message by
/// its policy, as one of `send`: it may be lost. (Deadlines and sleeping send no messages: they lose nothing.) Callable on
/// the runtime's threads.
template <class T>
timer_ref send_after(pid to, duration delay, T value) {
    auto held = std::make_shared<T>(std::move(value));
    return timer_ref{detail::start_timer(to, delay, duration::zero(), [held]() -> detail::message* {
        return detail::new_message<detail::value_message<T>>(std::move(*held));
    })};
}

/// Sends a copy of `value` to `to` every `period` (more than zero), the first after one period, until it is
/// cancelled or the receiver is gone. Firings are due at multiples of the period from the start, so lateness
/// does not add up; those that were missed as a whole are skipped. What a full mailbox does not take is lost; the later
/// ones come all the same.
template <class T>
timer_ref send_interval(pid to, duration period, T value) {
    return timer_ref{
        detail::start_timer(to, period, period, [value = std::move(value)]() -> detail::message* {
            return detail::new_message<detail::value_message<T>>(value);
        })};
}

} // namespace genever
