#include "timer_wheel.hpp"

#include "runtime_core.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace genever::detail {

namespace {

void append(auto& l, timer_node& t) noexcept {
    t.prev = l.last;
    t.next = nullptr;
    (l.last ? l.last->next : l.first) = &t;
    l.last = &t;
}
void take_out(auto& l, timer_node& t) noexcept {
    (t.prev ? t.prev->next : l.first) = t.next;
    (t.next ? t.next->prev : l.last) = t.prev;
}

} // namespace

timer_wheel::timer_wheel(unsigned shift, std::int64_t (*clock)() noexcept) noexcept
    : shift_(shift), clock_(clock) {}

timer_wheel::~timer_wheel() {
    date_pending(0);
    // All are off the wheel before the first value goes: it may own another one's timer_ref, and cancel that.
    list entries;
    for (auto& level : wheel_) {
        for (list& l : level) {
            while (timer_node* t = l.first) {
                l.first = t->next;
                if (t->what == timer_node::action::entry) append(entries, *t);
                t->armed.store(false, std::memory_order_release);
            }
        }
    }
    while (timer_node* t = entries.first) {
        entries.first = t->next;
        const auto last = hold_entry(*t);
    }
}

unsigned timer_wheel::level_of(std::uint64_t now, std::uint64_t when) noexcept {
    const std::uint64_t differing = (now ^ when) | (slots - 1);
    return (63U - static_cast<unsigned>(std::countl_zero(differing))) / bits;
}

// `t.deadline` is in ticks from here on, and not before tick_.
void timer_wheel::place(timer_node& t) noexcept {
    const auto when = static_cast<std::uint64_t>(t.deadline);
    const unsigned level = level_of(tick_, when);
    const unsigned slot = (when >> (level * bits)) & (slots - 1);
    append(wheel_[level][slot], t);
    occupied_[level] |= std::uint64_t{1} << slot;
}

void timer_wheel::unlink(timer_node& t) noexcept {
    const auto when = static_cast<std::uint64_t>(t.deadline);
    const unsigned level = level_of(tick_, when);
    const unsigned slot = (when >> (level * bits)) & (slots - 1);
    list& l = wheel_[level][slot];
    take_out(l, t);
    if (!l.first) occupied_[level] &= ~(std::uint64_t{1} << slot);
}

// Rounds up to a tick that has not been passed yet.
void timer_wheel::insert(timer_node& t, std::int64_t when) noexcept {
    when = std::clamp<std::int64_t>(when, 0, never - (std::int64_t{1} << 32)); // room to round up in
    const auto ns = static_cast<std::uint64_t>(when);
    const std::uint64_t due = (ns >> shift_) + ((ns & ((std::uint64_t{1} << shift_) - 1)) != 0 ? 1 : 0);
    t.deadline = static_cast<std::int64_t>(due > tick_ ? due : tick_ + 1);
    place(t);
}

bool timer_wheel::add(timer_node& t, std::int64_t when) noexcept {
    spin_guard g{lock_};
    t.wheel = this;
    t.armed.store(true, std::memory_order_relaxed);
    t.pending = false;
    ++counts_.armed;
    insert(t, when);
    const std::int64_t at = static_cast<std::int64_t>(static_cast<std::uint64_t>(t.deadline) << shift_);
    if (at < next_.load(std::memory_order_relaxed)) next_.store(at, std::memory_order_relaxed);
    return at < sleeping_until_;
}

bool timer_wheel::add_after(timer_node& t, std::int64_t length) noexcept {
    spin_guard g{lock_};
    if (sleeping_until_ != std::numeric_limits<std::int64_t>::min()) return false;
    t.wheel = this;
    t.armed.store(true, std::memory_order_relaxed);
    t.pending = true;
    ++counts_.armed;
    t.deadline = length;
    append(pending_, t);
    has_pending_.store(true, std::memory_order_relaxed);
    return true;
}

// It is `now`, and it was earlier when those that are pending were armed: from here on they have deadlines.
void timer_wheel::date_pending(std::int64_t now) noexcept {
    if (!pending_.first) return;
    has_pending_.store(false, std::memory_order_relaxed);
    if (clock_) now = clock_();
    for (timer_node* t = std::exchange(pending_, {}).first; t;) {
        timer_node* following = t->next;
        t->pending = false;
        insert(*t, later(time_point{duration{now}}, duration{t->deadline}).time_since_epoch().count());
        t = following;
    }
}

void timer_wheel::date() noexcept {
    if (!clock_) return;
    spin_guard g{lock_};
    date_pending(0);
    next_.store(compute_next(), std::memory_order_relaxed);
}

bool timer_wheel::retarget(timer_node& t, wait_ticket ticket) noexcept {
    spin_guard g{lock_};
    if (!t.armed.load(std::memory_order_relaxed)) return false;
    t.ticket = ticket;
    return true;
}

bool timer_wheel::remove(timer_node& t) noexcept {
    spin_guard g{lock_};
    if (!t.armed.load(std::memory_order_relaxed)) return false;
    t.armed.store(false, std::memory_order_relaxed);
    --counts_.armed;
    if (t.pending)
        take_out(pending_, t);
    else
        unlink(t);
    return true;
}

// The first occupied slot of the lowest occupied level: all of a lower level lies before all of a higher one.
std::int64_t timer_wheel::compute_next() const noexcept {
    for (unsigned level = 0; level < levels; ++level) {
        if (occupied_[level] == 0) continue;
        const unsigned at = (tick_ >> (level * bits)) & (slots - 1);
        const std::uint64_t ahead = std::rotr(occupied_[level], static_cast<int>(at));
        const auto distance = static_cast<std::uint64_t>(std::countr_zero(ahead));
        const std::uint64_t start = (tick_ >> (level * bits)) + distance;
        const std::uint64_t ticks = start << (level * bits);
        if (ticks > static_cast<std::uint64_t>(never) >> shift_) return never;
        return static_cast<std::int64_t>(ticks << shift_);
    }
    return never;
}

std::size_t timer_wheel::expire(std::int64_t now) {
    const std::uint64_t until = static_cast<std::uint64_t>(now) >> shift_;
    std::size_t fired = 0;
    lock_.lock();
    date_pending(now);
    for (;;) {
        const std::int64_t next = compute_next();
        const std::uint64_t at = static_cast<std::uint64_t>(next) >> shift_;
        if (next == never || at > until) {
            next_.store(next, std::memory_order_relaxed);
            break;
        }
        // Find that slot again, and either fire its first timer or spread all of it over the levels below.
        unsigned level = 0;
        while (occupied_[level] == 0) ++level;
        const unsigned slot = (at >> (level * bits)) & (slots - 1);
        if (level > 0) {
            list spread = wheel_[level][slot];
            wheel_[level][slot] = {};
            occupied_[level] &= ~(std::uint64_t{1} << slot);
            if (at > tick_) tick_ = at;
            for (timer_node* t = spread.first; t;) {
                timer_node* following = t->next;
                place(*t);
                t = following;
            }
            continue;
        }
        tick_ = at;
        timer_node& t = *wheel_[0][slot].first;
        unlink(t);
        ++fired;
        const std::int64_t late = now - static_cast<std::int64_t>(at << shift_);
        --counts_.armed;
        ++counts_.fired;
        counts_.late_in_all += late;
        counts_.latest = std::max(counts_.latest, late);
        const auto what = t.what;
        const wait_ticket ticket = t.ticket;
        const std::uint64_t scope = t.scope_number;
        auto entry = what == timer_node::action::entry ? hold_entry(t)
                                                       : ref<timer_entry>{}; // keeps it beyond the lock
        // release: pairs with the acquire in disarm, whose caller may end the node at once
        t.armed.store(false, std::memory_order_release);
        lock_.unlock();
        switch (what) {
        case timer_node::action::wake: wake(ticket, wake_reason::timeout); break;
        case timer_node::action::interrupt: interrupt(ticket, scope); break;
        case timer_node::action::entry: fire_entry(std::move(entry)); break;
        }
        lock_.lock();
    }
    if (until > tick_) tick_ = until;
    lock_.unlock();
    return fired;
}

std::int64_t timer_wheel::sleep(std::int64_t now) noexcept {
    spin_guard g{lock_};
    date_pending(now);
    next_.store(compute_next(), std::memory_order_relaxed);
    return sleeping_until_ = compute_next();
}

timer_wheel::counts timer_wheel::count() noexcept {
    spin_guard g{lock_};
    return counts_;
}

void timer_wheel::awake() noexcept {
    spin_guard g{lock_};
    sleeping_until_ = std::numeric_limits<std::int64_t>::min();
}

} // namespace genever::detail
