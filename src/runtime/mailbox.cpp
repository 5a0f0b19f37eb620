// Taking messages out of a mailbox.
#include <genever/runtime/receive.hpp>

#include "bounded_mailbox.hpp"
#include "runtime_core.hpp"

#include <algorithm>

namespace genever::detail {

namespace {

/// Takes the first message behind `seen` (null: from the start) whose type is one of `types` (null: of any). `seen` is
/// then the last one that was passed over.
message* take_from(message_list& l, message*& seen, const message_type* const* types,
                   std::size_t count) noexcept {
    for (message* m = seen ? seen->next : l.first; m; m = m->next) {
        if (!types || std::find(types, types + count, m->type) != types + count) {
            l.remove(seen, m);
            return m;
        }
        seen = m;
    }
    return nullptr;
}

} // namespace

bool receive_wait::look(process& p) noexcept {
    looked_ = true;
    // relaxed: a hint. What it misses is seen under the lock when the process parks.
    const auto news = p.mailbox_news.load(std::memory_order_relaxed);
    if ((news & bounded_mail) != 0) [[unlikely]]
        return look_bounded(p);
    // What is its own already needs no lock, and comes before what has arrived since.
    if ((news & (system_news | system_left)) == 0 && take_own(p)) return true;
    if (news == 0) return false;
    message* m;
    {
        spin_guard g{p.lock};
        m = take_from(p.system, system_seen_, types_, count_);
        p.mail.append(p.inbox);
        p.mailbox_news.store(p.system.empty() ? 0 : system_left, std::memory_order_relaxed);
    }
    found_.reset(m);
    return m || take_own(p);
}

bool receive_wait::take_own(process& p) noexcept {
    message* m = p.mail.first;
    if (!m) return false;
    if (!seen_ && (!types_ || m->type == types_[0])) // most often the first one is what is wanted
        p.mail.pop_front();
    else if (m = take_from(p.mail, seen_, types_, count_); !m)
        return false;
    p.consumed.store(p.consumed.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    found_.reset(m);
    return true;
}

// Under the lock, since a sender may take messages out.
bool receive_wait::look_bounded(process& p) noexcept {
    message* m;
    advance on;
    {
        spin_guard g{p.lock};
        m = take_from(p.system, system_seen_, types_, count_);
        const bool user = !m;
        if (user) {
            m = take_bounded(
                p, seen_,
                [](const message& it, const void* self) noexcept {
                    const auto& w = *static_cast<const receive_wait*>(self);
                    return !w.types_ ||
                           std::find(w.types_, w.types_ + w.count_, it.type) != w.types_ + w.count_;
                },
                this);
        }
        p.mailbox_news.store(p.system.empty() ? bounded_mail : bounded_mail | system_left,
                             std::memory_order_relaxed);
        if (user && m) on = advance(p);
    }
    on.then();
    found_.reset(m);
    return m != nullptr;
}

bool receive_wait::woken(mail_waiter& w, process& p) noexcept {
    auto& self = static_cast<receive_wait&>(w);
    if (self.look(p)) return true;
    wait_for_mail(p, self);
    return false;
}

void timed_receive_wait::suspend(process& p, std::coroutine_handle<> h) noexcept {
    p.resume_point = h;
    if (how_to_wait() == parking::mail)
        wait(p);
    else
        wait_for_mail(p, *this, parking::requeue);
}

void timed_receive_wait::wait(process& p) noexcept {
    waiting_ = true;
    timer_.ticket = wait_for_mail(p, *this);
    if (timeout_ != infinity) arm_after(timer_, timeout_);
}

bool timed_receive_wait::woken(mail_waiter& w, process& p) noexcept {
    auto& self = static_cast<timed_receive_wait&>(w);
    if (self.look(p)) return true; // the timer's ticket is of the past: it wakes nobody
    if (!self.waiting_) {
        if (self.timeout_ <= duration::zero()) return true;
        self.wait(p);
        return false;
    }
    if (self.timeout_ == infinity || retarget(self.timer_, {&p, p.token})) {
        wait_for_mail(p, self);
        return false;
    }
    return true; // the timer has fired
}

} // namespace genever::detail
