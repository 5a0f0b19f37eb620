// Giving a task a deadline: what has not finished by then is destroyed where it waits.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/runtime/detail/timer.hpp>
#include <genever/runtime/task.hpp>
#include <genever/runtime/time.hpp>

#include <coroutine>
#include <cstdint>
#include <expected>
#include <type_traits>
#include <utility>

namespace genever {

/// The error of `with_timeout`: the task was destroyed, its deadline had passed.
struct timed_out {
    friend bool operator==(timed_out, timed_out) noexcept = default;
};

namespace detail {

/// A stretch of a process's stack of coroutines that can be called off as a whole. It lies in the frame of the
/// coroutine above the stretch and is listed, innermost first, in the process's extras (under its lock).
struct scope {
    scope* outer = nullptr;
    std::uint64_t number = 0; // repeats after 2^32 others of its process: no call-off is so late
    bool late = false;        // called off: by a deadline, or by somebody's word
    bool peer_gone = false;   // called off, as long as that is not taken back
    bool is_called_off() const noexcept { return late || peer_gone; }
    process* owner = nullptr;
    std::coroutine_handle<> parent;             // goes on when the stretch has ended or been destroyed
    void (*destroy)(scope&) noexcept = nullptr; // destroys the stretch's frames

    void enter(process& p) noexcept;
    void leave() noexcept;
};

/// Calls the scope of this number off if the process still lives and the scope is still entered. Any thread.
/// `process_and_use` holds the process's generation where other tickets hold a token.
void interrupt(wait_ticket process_and_use, std::uint64_t scope_number) noexcept;
/// The same since nobody is there for whom it would be done, for who holds a lock.
struct called_off {
    bool in_time = false;       // the scope was still entered
    process* to_push = nullptr; // who is to be pushed (`push_ready`) once that lock is free
};
called_off call_off_for_peer(wait_ticket process_and_use, std::uint64_t scope_number) noexcept;
/// By the process itself: what `peer_gone` has called off goes on, unless something else has, too.
void forget_peer_gone(wait_ticket process_and_use, std::uint64_t scope_number) noexcept;

template <class T>
class [[nodiscard("co_await it")]] timeout_awaiter : scope {
public:
    timeout_awaiter(task<T> work, time_point deadline) noexcept
        : work_(std::move(work)), deadline_(deadline) {
        destroy = [](scope& s) noexcept { static_cast<timeout_awaiter&>(s).work_ = task<T>{}; };
    }
    timeout_awaiter(const timeout_awaiter&) = delete;
    ~timeout_awaiter() {
        disarm(timer_);
        leave();
    }

    bool await_ready() const noexcept { return std::is_void_v<T> && work_.empty(); }
    template <task_promise_type P>
    void await_suspend(std::coroutine_handle<P> h) noexcept {
        process& p = static_cast<process&>(*h.promise().self);
        parent = h;
        enter(p);
        timer_.what = timer_node::action::interrupt;
        timer_.ticket = {&p, p.generation};
        timer_.scope_number = number;
        if (deadline_ != time_point::max()) arm(timer_, deadline_);
        frame_ = work_.start(p, h);
    }
    std::expected<T, timed_out> await_resume() {
        disarm(timer_);
        leave();
        if (work_.empty() && frame_) return std::unexpected(timed_out{});
        if constexpr (std::is_void_v<T>) {
            if (frame_) work_.result();
            return {};
        } else {
            return work_.result();
        }
    }

private:
    task<T> work_;
    time_point deadline_;
    std::coroutine_handle<> frame_;
    timer_node timer_;
};

} // namespace detail

/// Awaits `work`, but no longer than `limit`: if it has not finished by then, its frames are destroyed at the
/// point where they are suspended, innermost first, as a kill does, and the result is `timed_out`. Work that does
/// not suspend is not interrupted. An exception of the work is rethrown.
template <class T>
detail::timeout_awaiter<T> with_timeout(duration limit, task<T> work) {
    return {std::move(work), deadline_in(limit)};
}

} // namespace genever
