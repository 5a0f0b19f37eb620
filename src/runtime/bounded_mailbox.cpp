#include "bounded_mailbox.hpp"

#include <genever/runtime/mailbox.hpp>

#include <memory>
#include <stdexcept>
#include <utility>

namespace genever::detail {

namespace {

bounded_mailbox& bounded_of(process& p) noexcept { return *p.extras->rare->bounded; }

std::uint32_t length_of(const process& p) noexcept {
    return p.arrived - p.consumed.load(std::memory_order_relaxed);
}

void count_consumed(process& p) noexcept {
    p.consumed.store(p.consumed.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

bool has_room(const process& p, const bounded_mailbox& b) noexcept {
    return b.capacity == bounded_mailbox::unlimited || length_of(p) < b.capacity;
}

/// Whether a message that comes just now finds room: what there is belongs to the line.
bool takes_at_once(const process& p, const bounded_mailbox& b) noexcept {
    return b.capacity == bounded_mailbox::unlimited || (!b.first && length_of(p) < b.capacity);
}

/// True when p has to be pushed.
bool put(process& p, message* m) noexcept {
    ++p.arrived;
    p.inbox.push_back(m);
    p.mailbox_news.store(p.mailbox_news.load(std::memory_order_relaxed) | user_news,
                         std::memory_order_relaxed);
    return p.wants == mail_wanted::any && consume(p, wake_reason::ready);
}

const exit_reason& reason_to_drop(send_result r) noexcept {
    static const exit_reason noproc = exit_kind::noproc;
    static const exit_reason overloaded = exit_kind::overloaded;
    return r == send_result::noproc || r == send_result::inactive ? noproc : overloaded;
}

} // namespace

void set_limit(bounded_mailbox& b, mailbox_limit limit) {
    if (limit.capacity == 0) throw std::invalid_argument("genever: a mailbox of capacity 0 takes nothing");
    // Lengths are differences of 32-bit counters.
    constexpr std::size_t most = std::size_t{1} << 31;
    b.capacity =
        limit.capacity < most ? static_cast<std::uint32_t>(limit.capacity) : bounded_mailbox::unlimited;
    b.policy = limit.policy;
}

// ---- the line

void bounded_mailbox::push_back(waiting_send& w) noexcept {
    w.queue = this;
    w.next = nullptr;
    w.prev = last;
    (last ? last->next : first) = &w;
    last = &w;
    ++waiting;
}

void bounded_mailbox::remove(waiting_send& w) noexcept {
    (w.prev ? w.prev->next : first) = w.next;
    (w.next ? w.next->prev : last) = w.prev;
    w.queue = nullptr;
    --waiting;
}

advance::advance(process& p) noexcept {
    bounded_mailbox& b = bounded_of(p);
    while (b.first && !b.woken && has_room(p, b)) {
        waiting_send& w = *b.first;
        if (w.m) {
            b.remove(w);
            if (put(p, std::exchange(w.m, nullptr))) push_ = &p;
        } else {
            b.woken = true;
            wake_ = w.ticket;
        }
    }
}

void advance::then() noexcept {
    if (push_) push_ready(*push_);
    // Stale when the sender is about to be destroyed: its place then lets the line move on.
    if (wake_.p) wake(wake_);
}

void waiting_send::leave() noexcept {
    if (!block) return;
    process& p = *block;
    advance on;
    message* mine;
    {
        spin_guard g{p.lock};
        if (!queue) return;
        bounded_mailbox& b = *queue;
        const bool first_in_line = b.first == this;
        b.remove(*this);
        mine = std::exchange(m, nullptr);
        const rare_extras* const x = existing_rare(p);
        if (x && x->bounded.get() == &b) { // else its process has ended
            if (first_in_line) b.woken = false;
            on = advance(p);
        }
    }
    on.then();
    if (mine) mine->type->drop(mine, exit_kind::normal);
}

void end_line(process& p, bounded_mailbox& b, const exit_reason& why) noexcept {
    for (;;) {
        wait_ticket sender;
        message* m;
        {
            spin_guard g{p.lock};
            if (!b.first) return;
            waiting_send& w = *b.first;
            b.remove(w);
            m = std::exchange(w.m, nullptr);
            sender = w.ticket;
        }
        if (m)
            m->type->drop(m, why);
        else
            wake(sender);
    }
}

// ---- arrivals

delivery deliver_bounded(process& p, message* m, waiting_send* w) noexcept {
    bounded_mailbox& b = bounded_of(p);
    if (takes_at_once(p, b)) return {send_result::delivered, put(p, m)};
    switch (b.policy) {
    case mailbox_policy::drop_oldest: {
        message_list out;
        while (!p.inbox.empty()) {
            out.push_back(p.inbox.pop_front());
            count_consumed(p);
            if (b.passed != 0) --b.passed;
            ++b.lost;
            if (has_room(p, b)) break;
        }
        return {send_result::delivered, put(p, m), out.first};
    }
    case mailbox_policy::drop_newest: ++b.lost; return {send_result::dropped, false, m};
    case mailbox_policy::wait:
        if (w) {
            w->block = &p;
            w->m = m;
            b.push_back(*w);
            return {send_result::delivered};
        }
        break;
    case mailbox_policy::reject: break;
    }
    ++b.lost;
    return {send_result::full, false, m};
}

void drop_left(const delivery& d) noexcept {
    for (message* m = d.left; m;) {
        message* const next = m->next;
        m->type->drop(m, reason_to_drop(d.result));
        m = next;
    }
}

// ---- departures

message* take_bounded(process& p, message*& seen, bool (*wanted)(const message&, const void*) noexcept,
                      const void* context) noexcept {
    bounded_mailbox& b = bounded_of(p);
    if (!seen) b.passed = 0;
    if (b.passed == 0) seen = nullptr; // all that it had passed over has been dropped
    for (message* m = seen ? seen->next : p.inbox.first; m; m = m->next) {
        if (wanted(*m, context)) {
            p.inbox.remove(seen, m);
            count_consumed(p);
            return m;
        }
        seen = m;
        ++b.passed;
    }
    return nullptr;
}

// ---- sending that waits

send_wait_awaiter::~send_wait_awaiter() {
    place_.leave();
    if (message_) message_->type->drop(message_, exit_kind::normal);
}

bool send_wait_awaiter::attempt(process& p) noexcept {
    attempted_ = true;
    process* const to = find_block(to_);
    if (!to) return true; // result_ says noproc
    bool push = false;
    {
        spin_guard g{to->lock};
        if (!alive(*to, to_)) return true;
        if (!is_bounded(*to)) {
            push = deliver_user(*to, message_).push;
        } else if (takes_at_once(*to, bounded_of(*to))) {
            push = put(*to, message_);
        } else {
            if (to != &p) return false;
            result_ = send_result::full;
            return true;
        }
    }
    message_ = nullptr;
    result_ = send_result::delivered;
    if (push) push_ready(*to);
    return true;
}

void send_wait_awaiter::line_up(process& p) noexcept {
    place_.ticket = wait_for_mail(p, *this, parking::park);
    bool in_line = false;
    advance on;
    if (process* const to = find_block(to_)) {
        spin_guard g{to->lock};
        if (alive(*to, to_) && is_bounded(*to)) {
            place_.block = to;
            bounded_of(*to).push_back(place_);
            on = advance(*to); // there may be room by now
            in_line = true;
        }
    }
    on.then();
    if (!in_line) wake(place_.ticket); // to try once more
}

bool send_wait_awaiter::send_in_turn(process& p) noexcept {
    process& to = *place_.block;
    bool push = false;
    bool sent = false;
    advance on;
    {
        spin_guard g{to.lock};
        if (!place_.queue) return true; // the receiver has ended: result_ says noproc
        bounded_mailbox& b = *place_.queue;
        if (!alive(to, to_)) {
            b.remove(place_);
            return true;
        }
        const bool my_turn = b.first == &place_;
        if (my_turn) b.woken = false;
        if (my_turn && has_room(to, b)) {
            b.remove(place_);
            push = put(to, std::exchange(message_, nullptr));
            result_ = send_result::delivered;
            sent = true;
        } else {
            place_.ticket = wait_for_mail(p, *this, parking::park);
        }
        on = advance(to);
    }
    if (push) push_ready(to);
    on.then();
    return sent;
}

bool send_wait_awaiter::woken(mail_waiter& w, process& p) noexcept {
    auto& self = static_cast<send_wait_awaiter&>(w);
    if (self.place_.block) return self.send_in_turn(p);
    if (self.attempt(p)) return true;
    self.line_up(p);
    return false;
}

send_result send_wait_awaiter::await_resume() noexcept {
    if (message* m = std::exchange(message_, nullptr)) m->type->drop(m, reason_to_drop(result_));
    return result_;
}

} // namespace genever::detail

namespace genever {

using namespace detail;

mailbox_limit set_mailbox_limit(mailbox_limit limit) {
    process& p = require_process("set_mailbox_limit");
    auto fresh = std::make_unique<bounded_mailbox>();
    set_limit(*fresh, limit);
    mailbox_limit before;
    std::unique_ptr<bounded_mailbox> old; // freed after the unlock
    advance on;
    {
        spin_guard g{p.lock};
        std::unique_ptr<bounded_mailbox>& b = rare_extras_of(p).bounded;
        if (b) {
            before = limit_of(*b);
            b->capacity = fresh->capacity;
            b->policy = fresh->policy;
            on = advance(p);
        } else if (fresh->capacity != bounded_mailbox::unlimited) {
            b = std::move(fresh);
            p.mail.append(p.inbox);
            p.inbox = std::exchange(p.mail, {});
            p.mailbox_news.store(p.mailbox_news.load(std::memory_order_relaxed) | bounded_mail,
                                 std::memory_order_relaxed);
        }
        if (b && b->capacity == bounded_mailbox::unlimited && !b->first) {
            old = std::move(b);
            p.mailbox_news.store(
                static_cast<std::uint8_t>((p.mailbox_news.load(std::memory_order_relaxed) & ~bounded_mail) |
                                          user_news),
                std::memory_order_relaxed);
        }
    }
    on.then();
    return before;
}

} // namespace genever
