// The clock, sleeping, and timers that send messages.
#include <genever/runtime/time.hpp>

#include "bounded_mailbox.hpp"
#include "runtime_core.hpp"

#include <algorithm>

namespace genever {

time_point now() noexcept {
    if (detail::thread_state* t = detail::this_thread()) return time_point{duration{t->core->now()}};
    return time_point{duration{detail::system_now()}};
}

namespace detail {

void arm(timer_node& t, time_point when) noexcept {
    thread_state* here = this_thread();
    runtime_core& core = here ? *here->core : *t.ticket.p->home;
    worker& w = here && here->w ? *here->w : core.any_worker(); // the monitor has none
    if (w.timers.add(t, when.time_since_epoch().count())) core.wake_worker(w);
}

void arm_after(timer_node& t, duration d) noexcept {
    thread_state* here = this_thread();
    if (here && here->w && !here->core->is_simulated() && here->w->timers.add_after(t, d.count())) return;
    arm(t, deadline_in(d));
}

bool retarget(timer_node& t, wait_ticket ticket) noexcept { return t.wheel && t.wheel->retarget(t, ticket); }

bool disarm(timer_node& t) noexcept {
    // acquire: pairs with the release of a firing, which is then done with the node. Only the owner arms it.
    return t.armed.load(std::memory_order_acquire) && t.wheel->remove(t);
}

void sleep_awaiter::suspend(process& p, std::coroutine_handle<> h) noexcept {
    if (until_ <= now()) {
        requeue(p, h);
        return;
    }
    timer_.ticket = prepare_park(p, h);
    if (until_ != time_point::max()) arm(timer_, until_);
}

// ---- timers that send

ref<timer_entry> hold_entry(timer_node& t) noexcept {
    return ref<timer_entry>{static_cast<timer_entry*>(&t)};
}

void arm_once(timer_entry& e, duration delay) {
    require_core("starting a timer");
    e.add_reference(); // the wheel's
    arm_after(e, std::max(delay, duration::zero()));
}

void arm_interval(timer_entry& e, duration period) {
    const runtime_core& core = require_core("starting a timer");
    e.every = std::max<std::int64_t>(1, period.count());
    e.due = later(time_point{duration{core.now()}}, duration{e.every}).time_since_epoch().count();
    e.add_reference();
    arm(e, time_point{duration{e.due}});
}

void fire_entry(ref<timer_entry> e) {
    if (!is_alive(e->to)) return;
    message* m = nullptr;
    try {
        m = e->make();
    } catch (...) {
        // Copying the user's value failed: this firing is lost, and that is the receiver's to know.
        exit_process(e->to, {}, exit_reason::from_exception(std::current_exception()));
        return;
    }
    delivery d{send_result::noproc, false, m};
    {
        spin_guard g{e->sending};
        if (!e->cancelled) d = offer(e->to, m);
        e->sent = !e->cancelled;
        // A mailbox that is full at the moment costs this firing, not the later ones.
        if (d.result != send_result::noproc && e->every != 0) {
            const std::int64_t now = this_thread()->core->now();
            e->due += e->every;
            if (e->due <= now)
                e->due += (now - e->due) / e->every * e->every + e->every; // skip what was missed
            e->add_reference();
            arm(*e, time_point{duration{e->due}});
        }
    }
    if (d.left) drop_left(d);
}

bool cancel_entry(timer_entry& e) noexcept {
    ref<timer_entry> of_the_wheel; // let go of after the lock
    spin_guard g{e.sending};
    const bool first = !std::exchange(e.cancelled, true);
    if (disarm(e)) of_the_wheel = hold_entry(e);
    return first && (!e.sent || e.every != 0);
}

} // namespace detail
} // namespace genever
