#include <genever/csp/detail/child_set.hpp>

#include <genever/runtime/process.hpp>

#include <stdexcept>

namespace genever::detail {

bool child_set::stop() noexcept {
    spin_guard g{lock_};
    if (std::exchange(stopped_, true)) return false;
    for (const child_share* c = first_; c; c = c->next_) exit_process(c->pid_, {}, exit_kind::killed);
    return true;
}

void child_set::abandon(std::exception_ptr why) noexcept {
    bool first = false;
    {
        spin_guard g{lock_};
        first = !stopped_ && !error_;
        if (first) error_ = why;
    }
    if (first) on_failure(why);
    stop();
}

bool child_set::all_have_ended() noexcept {
    spin_guard g{lock_};
    return running_ == 0;
}

child_share::child_share(child_set& s) noexcept : set_(&s) {
    s.add_reference();
    spin_guard g{s.lock_};
    ++s.running_;
}

child_share::~child_share() {
    if (!set_) return;
    if (!settled_) // killed, perhaps before its first step; without effect on a set that was stopped
        fail(
            std::make_exception_ptr(std::runtime_error("genever: a process that was waited for was killed")));
    wait_ticket leaving;
    {
        served_waiters served;
        spin_guard g{set_->lock_};
        unlist();
        if (--set_->running_ == 0) {
            leaving = std::exchange(set_->leaving_, {});
            while (waiter* w = set_->waiting_.claim_front()) served.add(*w);
        }
    }
    if (leaving.p) wake(leaving, wake_reason::called_off);
    set_->drop_reference();
}

bool child_share::enter() noexcept {
    pid_ = self();
    spin_guard g{set_->lock_};
    if (set_->stopped_) return false;
    entered_ = listed_ = true;
    next_ = set_->first_;
    if (next_) next_->previous_ = this;
    set_->first_ = this;
    return true;
}

void child_share::unlist() noexcept {
    if (!listed_) return;
    (previous_ ? previous_->next_ : set_->first_) = next_;
    if (next_) next_->previous_ = previous_;
    listed_ = false;
}

void child_share::fail(std::exception_ptr e) noexcept {
    settled_ = true;
    {
        spin_guard g{set_->lock_};
        unlist(); // it ends by itself
        if (set_->stopped_ || set_->error_) return;
        set_->error_ = e;
    }
    set_->on_failure(e);
}

bool child_share::win() noexcept {
    settled_ = true;
    {
        spin_guard g{set_->lock_};
        unlist();
        if (set_->error_) return false;
    }
    return set_->stop();
}

children_wait::children_wait(ref<child_set> s) noexcept : set_(std::move(s)) {
    over = [](mail_waiter&, process&) {
        return true;
    }; // its ticket has been claimed: the last child has ended
    may_leave = end_children;
}

bool children_wait::end_children(lending_waiter& w, process& p) noexcept {
    auto& self = static_cast<children_wait&>(w);
    child_set& set = *self.set_;
    if (set.all_have_ended()) return true;
    set.abandon(
        std::make_exception_ptr(std::runtime_error("genever: the wait for these processes was ended")));
    spin_guard g{set.lock_};
    if (set.running_ == 0) return true;
    set.waiting_.remove(self.me_);
    set.leaving_ = prepare_park(p, p.resume_point);
    return false;
}

children_wait::~children_wait() {
    if (!me_.ticket.p) return;
    spin_guard g{set_->lock_};
    set_->waiting_.remove(me_);
}

bool children_wait::suspend(process& p, std::coroutine_handle<> h) noexcept {
    const bool go_on = may_continue(p);
    spin_guard g{set_->lock_};
    if (set_->running_ == 0) {
        if (go_on) return false;
        requeue(p, h);
        return true;
    }
    me_.ticket = park_lending(p, h, *this);
    set_->waiting_.push_back(me_);
    return true;
}

} // namespace genever::detail
