// Taking messages out of a mailbox.
#include <genever/runtime/receive.hpp>

#include "runtime_core.hpp"

#include <algorithm>

namespace genever::detail {

namespace {

bool wanted(const message* m, const message_type* const* types, std::size_t count) noexcept {
    return !types || std::find(types, types + count, m->type) != types + count;
}

message* take_from(message_list& l, const message_type* const* types, std::size_t count) noexcept {
    message* before = nullptr;
    for (message* m = l.first; m; before = m, m = m->next) {
        if (!wanted(m, types, count)) continue;
        l.remove(before, m);
        return m;
    }
    return nullptr;
}

} // namespace

message* take_matching(process& p, const message_type* const* types, std::size_t count) noexcept {
    // What is here already needs no lock, unless the system lane, which goes first, has something.
    message* m = nullptr;
    {
        spin_guard g{p.lock};
        if (!p.system.empty()) m = take_from(p.system, types, count);
        p.mail.append(p.inbox);
    }
    if (m) return m;
    m = take_from(p.mail, types, count);
    if (m) p.consumed.store(p.consumed.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return m;
}

message* take_any(process& p) noexcept { return take_matching(p, nullptr, 0); }

receive_wait::receive_wait(const message_type* const* types, std::size_t count, duration timeout) noexcept
    : types_(types), count_(count), timeout_(timeout) {
    over = &receive_wait::woken;
}

receive_wait::~receive_wait() {
    if (parked_) disarm(timer_);
}

bool receive_wait::look(process& p) noexcept {
    if (message* m = take_matching(p, types_, count_)) {
        found_.reset(m);
        return true;
    }
    return false;
}

bool receive_wait::ready() noexcept {
    process& p = require_process("receive");
    return may_continue(p) && (look(p) || timeout_ <= duration::zero());
}

// Parks unless a wanted message is here. The last look at what has arrived and the announcement that mail is awaited
// are one step under the lock. True when a message was found instead.
bool receive_wait::park_unless_found(process& p, std::coroutine_handle<> h) noexcept {
    for (;;) {
        message* m = nullptr;
        bool fresh;
        {
            spin_guard g{p.lock};
            m = take_from(p.system, types_, count_);
            fresh = !p.inbox.empty();
            p.mail.append(p.inbox);
            if (!m && !fresh) {
                timer_.ticket = prepare_park(p, h);
                p.wants_mail = true;
            }
        }
        if (m) {
            found_.reset(m);
            return true;
        }
        if (!fresh) break;
        if (look(p)) return true;
    }
    p.waiter = this;
    if (deadline_ != time_point::max()) arm(timer_, deadline_);
    return false;
}

bool receive_wait::suspend(process& p, std::coroutine_handle<> h) noexcept {
    if (look(p) || timeout_ <= duration::zero()) { // only its budget was used up
        requeue(p, h);
        return true;
    }
    if (timeout_ != infinity) deadline_ = deadline_in(timeout_);
    parked_ = true;
    leaf_ = h;
    return !park_unless_found(p, h);
}

bool receive_wait::woken(mail_waiter& w, process& p) noexcept {
    auto& self = static_cast<receive_wait&>(w);
    const bool late = p.reason == wake_reason::timeout;
    disarm(self.timer_);
    if (self.look(p) || late) return true;
    return self.park_unless_found(p, self.leaf_);
}

} // namespace genever::detail
