#include <genever/csp/mutex.hpp>

namespace genever {

using namespace detail;

/// Under the lock: takes the mutex (true), or makes its holder look into the queue when it unlocks.
bool mutex::take_or_announce() noexcept {
    std::uint32_t s = state_.load(std::memory_order_relaxed);
    for (;;) {
        const std::uint32_t next = s == 0 ? taken : s | waited_for;
        // acquire: as in `take`
        if (state_.compare_exchange_weak(s, next, std::memory_order_acquire, std::memory_order_relaxed))
            return s == 0;
    }
}

void mutex::hand_over() noexcept {
    for (;;) {
        {
            served_waiters served;
            spin_guard g{lock_};
            waiter* w = waiting_.claim_front();
            // relaxed: the next holder has it from under the lock
            if (waiting_.empty()) state_.store(taken, std::memory_order_relaxed);
            if (w) {
                served.add(*w);
                return;
            }
        }
        // All who waited have gone. The mutex may be another's, and end, as soon as it is free: that comes last.
        std::uint32_t mine = taken;
        if (state_.compare_exchange_strong(mine, 0, std::memory_order_release, std::memory_order_relaxed))
            return;
    }
}

/// A waiter is destroyed before it ran again.
void mutex::leave(waiter& w) noexcept {
    {
        spin_guard g{lock_};
        waiting_.remove(w);
    }
    if (w.outcome == wait_outcome::done) unlock(); // it had been handed the mutex
}

/// For a condition: `w`, which has been notified, goes on when the mutex is its. False: it never will, its process is
/// about to end.
bool mutex::give_or_queue(waiter& w, served_waiters& served) noexcept {
    {
        spin_guard g{lock_};
        if (!take_or_announce()) {
            waiting_.push_back(w);
            return true;
        }
    }
    if (claim(w.ticket)) {
        served.add(w);
        return true;
    }
    unlock();
    return false;
}

bool mutex::lock_awaiter::suspend(process& p, std::coroutine_handle<> h) noexcept {
    suspended_ = true;
    spin_guard g{mutex_.lock_};
    if (mutex_.take_or_announce()) {
        me_.outcome = wait_outcome::done;
        requeue(p, h);
        return true;
    }
    me_.ticket = prepare_park(p, h);
    mutex_.waiting_.push_back(me_);
    return true;
}

void mutex::lock_awaiter::abandon() noexcept { mutex_.leave(me_); }

} // namespace genever
