// How one suspension waits at several places.
//
//     select ──▶ all places locked, the cases tried in random order
//                  ├── one could go ahead: that one it is
//                  ├── none, and there is an `otherwise`: that one
//                  └── none: a waiter of each case queued at its place, all with the one ticket of this suspension;
//                      unlocked, parked ──▶ a counterpart at one of the places, or the timer, consumes the ticket: the
//                      first wins, the others find the ticket stale and pass over the waiter
//                          ──▶ resumed: the waiters at the other places taken out
//                          └── or destroyed first: all taken out, and what had been received is given back
//
// All the places stay locked from the first try to the last waiter queued. So `otherwise` is never taken while one case
// or another was ready all the time, and no wake falls between looking and queuing. Places are locked in the order of
// their addresses, one that is in several cases once. A select never meets itself: it looks for counterparts before it
// queues.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/csp/detail/waiters.hpp>
#include <genever/runtime/detail/timer.hpp>

#include <coroutine>
#include <cstddef>
#include <span>

namespace genever::detail {

/// One case of a select. Lies in the awaiter; what it waits at is borrowed until the select suspends.
class select_case {
public:
    /// The last word before the wait: fills in the fields below for the place it lies at now.
    virtual void prepare(time_point now) noexcept = 0;
    /// Under the place's lock: goes ahead if that is possible at once. Those it serves go to `served`.
    virtual bool attempt(served_waiters& served, time_point now) noexcept = 0;
    /// It is the one that was chosen, and the process goes on.
    virtual void chosen() noexcept {}
    /// The select suspends, and needs its places beyond the expression; and no longer.
    virtual void hold() noexcept {}
    virtual void let_go() noexcept {}
    /// Destroyed after it was served, before the process ran again.
    virtual void give_back() noexcept {}

    spinlock* lock = nullptr;      // of the place; null: it only waits for its time, or is switched off
    waiter_queue* queue = nullptr; // where `me` waits
    waiter* me = nullptr;
    bool timed = false; // `prepare` wants to know the time; from the start
    time_point due =
        time_point::max(); // when it is ready by the clock alone; a try that goes ahead goes before it

protected:
    select_case() noexcept = default;
    select_case(select_case&&) noexcept = default;
    select_case& operator=(select_case&&) = delete;
    ~select_case() = default;
};

/// The wait. Whoever derives from it calls `abandon` in his destructor, before the cases go.
class select_core {
public:
    static constexpr std::size_t none = static_cast<std::size_t>(-1);

    select_core() noexcept = default;
    select_core(const select_core&) = delete;
    select_core& operator=(const select_core&) = delete;

protected:
    ~select_core() = default;

    /// In await_suspend. `cases` as they are numbered (null: one that is not to be waited for), `scratch` of twice
    /// their number; `otherwise`: the number of the case for when none is ready, or `none`.
    bool suspend(process& p, std::coroutine_handle<> h, std::span<select_case*> cases,
                 std::span<select_case*> scratch, std::size_t otherwise) noexcept;
    /// In await_resume: the number of the case that it is.
    std::size_t settle() noexcept;
    void abandon() noexcept;

private:
    void leave_places(bool served_known) noexcept;

    std::span<select_case*> cases_;
    std::size_t chosen_ = none;
    bool suspended_ = false;
    bool queued_ = false;
    timer_node timer_;
};

} // namespace genever::detail
