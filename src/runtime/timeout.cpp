#include <genever/runtime/timeout.hpp>

#include "runtime_core.hpp"

namespace genever::detail {

void refresh_interrupt(process& p) noexcept {
    bool waits = false;
    for (scope* s = p.extras ? p.extras->scopes : nullptr; s; s = s->outer) waits |= s->is_called_off();
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
    if (is_called_off()) refresh_interrupt(*owner);
    owner = nullptr;
}

namespace {
called_off call_off(wait_ticket process_and_use, std::uint64_t number, bool scope::* why) noexcept {
    process& p = *process_and_use.p;
    spin_guard g{p.lock};
    if (p.state.load(std::memory_order_relaxed) == run_state::dead || p.generation != process_and_use.token ||
        !p.extras)
        return {};
    for (scope* s = p.extras->scopes; s; s = s->outer) {
        if (s->number != number) continue;
        s->*why = true;
        p.interrupted = true;
        p.attention.store(p.attention.load(std::memory_order_relaxed) | signal_waits,
                          std::memory_order_relaxed);
        const bool parked = p.state.load(std::memory_order_relaxed) == run_state::parked && !p.claimed;
        return {true, parked && consume(p, wake_reason::called_off) ? &p : nullptr};
    }
    return {};
}
} // namespace

void interrupt(wait_ticket process_and_use, std::uint64_t number) noexcept {
    if (process* const p = call_off(process_and_use, number, &scope::late).to_push) push_ready(*p);
}

called_off call_off_for_peer(wait_ticket process_and_use, std::uint64_t number) noexcept {
    return call_off(process_and_use, number, &scope::peer_gone);
}

void forget_peer_gone(wait_ticket process_and_use, std::uint64_t number) noexcept {
    process& p = *process_and_use.p;
    spin_guard g{p.lock};
    for (scope* s = p.extras ? p.extras->scopes : nullptr; s; s = s->outer)
        if (s->number == number) s->peer_gone = false;
    refresh_interrupt(p);
}

} // namespace genever::detail
