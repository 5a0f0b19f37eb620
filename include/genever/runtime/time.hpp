// The runtime's clock and its timers.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/base/counted.hpp>
#include <genever/base/pool.hpp>
#include <genever/runtime/detail/timer.hpp>
#include <genever/runtime/message.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <type_traits>
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

/// A timer that sends. The wheel holds a reference while it is armed, timer_refs hold theirs. It is fired by whoever took it
/// off the wheel, or cancelled by whoever did: never both.
struct timer_entry : timer_node, counted<timer_entry> {
    explicit timer_entry(pid receiver) noexcept : to(receiver) { what = action::entry; }
    virtual ~timer_entry() = default;
    static void destroy(timer_entry* e) noexcept { delete e; }
    static void* operator new(std::size_t size) { return pool_allocate(size); }
    static void operator delete(void* e, std::size_t size) noexcept { pool_free(e, size); }

    /// The message of one firing.
    virtual message* make() = 0;

    const pid to;
    std::int64_t due = 0;   // of an interval
    std::int64_t every = 0; // 0: once
    spinlock sending;       // held while a message goes out, and by a cancel: after that none does
    bool cancelled = false;
    bool sent = false; // once, at least
};

template <class Make>
struct timer_entry_of final : timer_entry {
    timer_entry_of(pid receiver, Make m) : timer_entry(receiver), make_(std::move(m)) {}
    message* make() override { return make_(); }
    Make make_;
};

/// Arms it; nothing has happened if this throws.
void arm_once(timer_entry& e, duration delay);
void arm_interval(timer_entry& e, duration period);
bool cancel_entry(timer_entry& e) noexcept;

} // namespace detail

/// A timer that sends messages. Copies name the same timer. Letting go of it does not cancel it. Not to be cancelled
/// after its runtime has ended, which ends the timer, too.
class timer_ref {
public:
    timer_ref() = default;
    explicit timer_ref(detail::ref<detail::timer_entry> e) noexcept : entry_(std::move(e)) {}

    /// Stops the timer. True when a message was still to come and now never will; false when the (only) message
    /// has been sent, perhaps not received, or the timer had been cancelled before. Callable on any thread.
    bool cancel() noexcept { return entry_ && detail::cancel_entry(*entry_); }

private:
    detail::ref<detail::timer_entry> entry_;
};

namespace detail {
/// Sends what `make()` gives: a message*.
template <class Make>
timer_ref start_once(pid to, duration delay, Make make) {
    ref<timer_entry> e{new timer_entry_of<Make>(to, std::move(make))};
    arm_once(*e, delay);
    return timer_ref{std::move(e)};
}
template <class Make>
timer_ref start_interval(pid to, duration period, Make make) {
    ref<timer_entry> e{new timer_entry_of<Make>(to, std::move(make))};
    arm_interval(*e, period);
    return timer_ref{std::move(e)};
}
} // namespace detail

/// Sends `value` to `to` after `delay`. A receiver that is gone by then gets nothing; a full mailbox treats the message by
/// its policy, as one of `send`: it may be lost. (Deadlines and sleeping send no messages: they lose nothing.) Callable on
/// the runtime's threads.
template <class T>
timer_ref send_after(pid to, duration delay, T value) {
    return detail::start_once(to, delay, [value = std::move(value)]() mutable -> detail::message* {
        return detail::new_message<detail::value_message<T>>(std::move(value));
    });
}

/// Sends a copy of `value` to `to` every `period` (more than zero), the first after one period, until it is
/// cancelled or the receiver is gone. Firings are due at multiples of the period from the start, so lateness
/// does not add up; those that were missed as a whole are skipped. What a full mailbox does not take is lost; the later
/// ones come all the same.
template <class T>
timer_ref send_interval(pid to, duration period, T value) {
    return detail::start_interval(to, period, [value = std::move(value)]() -> detail::message* {
        return detail::new_message<detail::value_message<T>>(value);
    });
}

} // namespace genever
