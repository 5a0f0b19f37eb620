#include "system_wait.hpp"

#include <genever/otp/detail/server_message.hpp>
#include <genever/runtime/time.hpp>

namespace genever::detail {

system_wait::system_wait(predicate wanted, const void* context, time_point deadline) noexcept
    : wanted_(wanted), context_(context), deadline_(deadline) {
    over = &system_wait::woken;
}

system_wait::~system_wait() {
    disarm(timer_);
    if (found_) let_go(found_.release());
}

bool system_wait::look(process& p) noexcept {
    looked_ = true;
    spin_guard g{p.lock};
    for (message* m = seen_ ? seen_->next : p.system.first; m; m = m->next) {
        if (wanted_(*m, context_)) {
            p.system.remove(seen_, m);
            found_.reset(m);
            break;
        }
        seen_ = m;
    }
    note_system_seen(p);
    return found_ != nullptr;
}

bool system_wait::await_ready() noexcept {
    process& p = *current_process();
    return may_continue(p) && look(p);
}

void system_wait::suspend(process& p, std::coroutine_handle<> h) noexcept {
    p.resume_point = h;
    // Over its budget it takes nothing, since it may be destroyed before it runs again; it looks when it is its turn.
    if (looked_)
        wait(p);
    else
        wait_for_mail(p, *this, parking::requeue);
}

void system_wait::wait(process& p) noexcept {
    waiting_ = true;
    timer_.ticket = wait_for_mail(p, *this, parking::system_mail);
    if (deadline_ != time_point::max()) arm(timer_, deadline_);
}

bool system_wait::woken(mail_waiter& w, process& p) noexcept {
    auto& self = static_cast<system_wait&>(w);
    if (self.look(p)) return true; // the timer's ticket is of the past: it wakes nobody
    if (!self.waiting_) {
        self.wait(p);
        return false;
    }
    if (self.deadline_ == time_point::max() || retarget(self.timer_, {&p, p.token})) {
        wait_for_mail(p, self, parking::system_mail);
        return false;
    }
    return true; // the deadline
}

message_ptr take_system_message(process& p, system_wait::predicate wanted, const void* context) noexcept {
    spin_guard g{p.lock};
    message* before = nullptr;
    for (message* m = p.system.first; m; before = m, m = m->next) {
        if (!wanted(*m, context)) continue;
        p.system.remove(before, m);
        return message_ptr{m};
    }
    return nullptr;
}

} // namespace genever::detail
