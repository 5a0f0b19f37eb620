#include <genever/csp/shared_mutex.hpp>

namespace genever {

using namespace detail;

// Under the lock.

bool shared_mutex::take(mode how) noexcept {
    if (writer_ || (how == mode::exclusive && readers_ != 0)) return false;
    if (how == mode::exclusive)
        writer_ = true;
    else
        ++readers_;
    return true;
}

void shared_mutex::give_up(mode how) noexcept {
    if (how == mode::exclusive)
        writer_ = false;
    else
        --readers_;
}

void shared_mutex::grant(served_waiters& served) noexcept {
    while (waiter* w = waiting_.front()) {
        const mode how = static_cast<shared_waiter*>(w)->how;
        if (!take(how)) return;
        waiting_.remove(*w);
        if (claim(w->ticket))
            served.add(*w);
        else
            give_up(how); // it is about to leave by itself
    }
}

// Without.

bool shared_mutex::try_take(mode how) noexcept {
    spin_guard g{lock_};
    return waiting_.empty() && take(how);
}

bool shared_mutex::suspend(shared_waiter& w, process& p, std::coroutine_handle<> h) noexcept {
    const bool go_on = may_continue(p);
    spin_guard g{lock_};
    if (waiting_.empty() && take(w.how)) {
        if (go_on) return false;
        w.outcome = wait_outcome::done;
        requeue(p, h);
        return true;
    }
    w.ticket = prepare_park(p, h);
    waiting_.push_back(w);
    return true;
}

void shared_mutex::unlock(mode how) noexcept {
    served_waiters served;
    spin_guard g{lock_};
    give_up(how);
    grant(served);
}

void shared_mutex::leave(shared_waiter& w) noexcept {
    served_waiters served;
    spin_guard g{lock_};
    waiting_.remove(w);
    if (w.outcome == wait_outcome::done) give_up(w.how);
    grant(served); // it may have been what the others waited behind
}

} // namespace genever
