#include <genever/csp/condition.hpp>

#include <genever/base/defer.hpp>

#include <stdexcept>

namespace genever {

using namespace detail;

namespace {

void require_owner(const mutex::guard& g) {
    if (!g) throw std::logic_error("genever: waiting for a condition without holding its mutex");
}

} // namespace

condition_awaiter condition::wait(mutex::guard& g) {
    require_owner(g);
    return {*this, g, time_point::max()};
}

void condition::notify_one() noexcept {
    served_waiters served;
    spin_guard g{lock_};
    while (waiter* w = waiting_.pop_front()) {
        auto& c = static_cast<condition_waiter&>(*w);
        if (!c.beside->give_or_queue(c, served)) continue; // about to be destroyed, or its time is up
        c.notified = c.by_one = true;
        return;
    }
}

void condition::notify_all() noexcept {
    served_waiters served;
    spin_guard g{lock_};
    while (waiter* w = waiting_.pop_front()) {
        auto& c = static_cast<condition_waiter&>(*w);
        c.notified = c.beside->give_or_queue(c, served);
    }
}

void condition_awaiter::suspend(process& p, std::coroutine_handle<> h) noexcept {
    may_continue(p); // counts
    mutex* m = std::exchange(guard_.mutex_, nullptr);
    me_.beside = m;
    suspended_ = true;
    {
        spin_guard g{condition_.lock_};
        timer_.ticket = me_.ticket = prepare_park(p, h);
        condition_.waiting_.push_back(me_);
    }
    if (deadline_ != time_point::max()) arm(timer_, deadline_);
    m->unlock();
}

/// Out of whichever queue it is in. True: it has the mutex.
bool condition_awaiter::leave() noexcept {
    disarm(timer_);
    {
        spin_guard g{condition_.lock_};
        if (!me_.notified) {
            condition_.waiting_.remove(me_);
            return false;
        }
    }
    spin_guard g{me_.beside->lock_};
    me_.beside->waiting_.remove(me_);
    return me_.outcome == wait_outcome::done;
}

condition_awaiter::end condition_awaiter::settle() noexcept {
    const bool owning = leave();
    suspended_ = false;
    if (owning) {
        guard_.mutex_ = me_.beside;
        return end::owning;
    }
    return me_.notified ? end::notified : end::timeout;
}

void condition_awaiter::abandon() noexcept {
    if (leave()) me_.beside->unlock();
    if (me_.by_one) condition_.notify_one();
}

task<std::cv_status> condition::wait_until(mutex::guard& g, time_point deadline) {
    using end = condition_awaiter::end;
    require_owner(g);
    mutex& m = *g.mutex_;
    condition_awaiter wait{*this, g, deadline};
    const end how = co_await wait;
    if (how == end::owning) co_return std::cv_status::no_timeout;
    // The time was up while it waited for the condition, or for the mutex after that. A notification that this process
    // does not live to act upon goes to the next one.
    bool acted = how == end::timeout;
    defer pass_on{[&] {
        if (!acted) notify_one();
    }};
    g = co_await m.lock();
    acted = true;
    co_return how == end::timeout ? std::cv_status::timeout : std::cv_status::no_timeout;
}

} // namespace genever
