#include <genever/csp/semaphore.hpp>

#include <stdexcept>

namespace genever {

using namespace detail;

// Under the lock.

bool semaphore::take(std::size_t n) noexcept {
    if (n > free_) return false;
    free_ -= n;
    return true;
}

void semaphore::grant(served_waiters& served) noexcept {
    while (waiter* w = waiting_.front()) {
        const std::size_t n = static_cast<portion_waiter*>(w)->n;
        if (!take(n)) return;
        waiting_.remove(*w);
        if (claim(w->ticket))
            served.add(*w);
        else
            free_ += n; // it is about to leave by itself
    }
}

// Without.

semaphore::acquire_awaiter semaphore::acquire(std::size_t n) {
    if (n > size_) throw std::invalid_argument("genever: semaphore: more permits wanted than there are");
    return {*this, n};
}

semaphore::permit semaphore::try_acquire(std::size_t n) noexcept {
    spin_guard g{lock_};
    return {waiting_.empty() && take(n) ? this : nullptr, n};
}

bool semaphore::suspend(portion_waiter& w, process& p, std::coroutine_handle<> h) noexcept {
    const bool go_on = may_continue(p);
    spin_guard g{lock_};
    if (waiting_.empty() && take(w.n)) {
        if (go_on) return false;
        w.outcome = wait_outcome::done;
        requeue(p, h);
        return true;
    }
    w.ticket = prepare_park(p, h);
    waiting_.push_back(w);
    return true;
}

void semaphore::give_back(std::size_t n) noexcept {
    served_waiters served;
    spin_guard g{lock_};
    free_ += n;
    grant(served);
}

void semaphore::release(std::size_t n) {
    served_waiters served;
    spin_guard g{lock_};
    if (n > size_ - free_) throw std::logic_error("genever: semaphore: more released than was taken");
    free_ += n;
    grant(served);
}

void semaphore::leave(portion_waiter& w) noexcept {
    served_waiters served;
    spin_guard g{lock_};
    waiting_.remove(w);
    if (w.outcome == wait_outcome::done) free_ += w.n;
    grant(served); // it may have been what the others waited behind
}

std::size_t semaphore::available() const noexcept {
    spin_guard g{lock_};
    return free_;
}

} // namespace genever
