#include <genever/runtime/timeout.hpp>

#include "runtime_core.hpp"

namespace genever::detail {

void refresh_interrupt(process& p) noexcept {
    bool waits = false;
    for (scope* s = p.extras ? p.extras->scopes : nullptr; s; s = s->outer) waits |= s->called_off();
    p.interrupted = waits;
    const auto life = static_cast<std::uint8_t>(p.attention.load(std::memory_order_relaxed) & simulated);
    p.attention.store(waits || p.killed ? static_cast<std::uint8_t>(life | signal_waits) : life,
                      std::memory_order_relaxed); // a hint; the flags are read under the lock
}

void scope::enter(process& p) noexcept {
    spin_guard g{p.lock};
    process_extras& x = extras_of(p);
    owner = &p;
    outer = x.scopes;
    number = ++x.scopes_entered;
    x.scopes = this;
}

void scope::leave() noexcept {
    if (!owner) return;
    spin_guard g{owner->lock};
    // `obey` has unlisted this one already when it was called off, and all within it.
    for (scope** s = owner->extras ? &owner->extras->scopes : nullptr; s && *s; s = &(*s)->outer) {
        if (*s != this) continue;
        *s = outer;
        break;
    }
    // Called off, and ended by itself before anybody obeyed: nobody shall obey that now.
    if (called_off()) refresh_interrupt(*owner);
    owner = nullptr;
}

void interrupt(wait_ticket process_and_use, std::uint64_t number, bool peer_gone) noexcept {
    process& p = *process_and_use.p;
    bool push = false;
    {
        spin_guard g{p.lock};
        if (p.state.load(std::memory_order_relaxed) == run_state::dead ||
            p.generation != process_and_use.token || !p.extras)
            return;
        for (scope* s = p.extras->scopes; s; s = s->outer) {
            if (s->number != number) continue;
            (peer_gone ? s->peer_gone : s->late) = true;
            p.interrupted = true;
            p.attention.store(p.attention.load(std::memory_order_relaxed) | signal_waits,
                              std::memory_order_relaxed);
            if (p.state.load(std::memory_order_relaxed) == run_state::parked && !p.claimed)
                push = consume(p, wake_reason::called_off);
            break;
        }
    }
    if (push) push_ready(p);
}

void forget_peer_gone(wait_ticket process_and_use, std::uint64_t number) noexcept {
    process& p = *process_and_use.p;
    spin_guard g{p.lock};
    for (scope* s = p.extras ? p.extras->scopes : nullptr; s; s = s->outer)
        if (s->number == number) s->peer_gone = false;
    refresh_interrupt(p);
}

} // namespace genever::detail
