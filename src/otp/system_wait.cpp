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

// Under p's lock.
message* system_wait::take(process& p) noexcept {
    for (message* m = seen_ ? seen_->next : p.system.first; m; m = m->next) {
        if (wanted_(*m, context_)) {
            p.system.remove(seen_, m);
            return m;
        }
        seen_ = m;
    }
    return nullptr;
}

bool system_wait::look(process& p) noexcept {
    spin_guard g{p.lock};
    found_.reset(take(p));
    return found_ != nullptr;
}

bool system_wait::await_ready() noexcept {
    process& p = *current_process();
    return may_continue(p) && look(p);
}

bool system_wait::suspend(process& p, std::coroutine_handle<> h) noexcept {
    if (look(p)) { // only its budget was used up
        requeue(p, h);
        return true;
    }
    leaf_ = h;
    return !park_unless_found(p, h);
}

// The last look and the announcement that mail is awaited are one step under the lock.
bool system_wait::park_unless_found(process& p, std::coroutine_handle<> h) noexcept {
    {
        spin_guard g{p.lock};
        found_.reset(take(p));
        if (found_) return true;
        timer_.ticket = prepare_park(p, h);
        p.wants_mail = true;
    }
    p.waiter = this;
    if (deadline_ != time_point::max()) arm(timer_, deadline_);
    return false;
}

bool system_wait::woken(mail_waiter& w, process& p) noexcept {
    auto& self = static_cast<system_wait&>(w);
    const bool late = p.reason == wake_reason::timeout;
    disarm(self.timer_);
    if (self.look(p) || late) return true;
    return self.park_unless_found(p, self.leaf_);
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
