// Links, monitors and exit signals: what processes tell each other of their ends.
#include <genever/runtime/process.hpp>

#include "signals.hpp"

namespace genever {

namespace detail {

void deliver_link_exit(pid to, pid from, const exit_reason& why) {
    process* p = find_block(to);
    if (!p) return;
    auto* m = new_message<value_message<exit_signal>>(exit_signal{from, why});
    bool push = false;
    {
        spin_guard g{p->lock};
        if (alive(*p, to) && p->extras && p->extras->links.erase(from)) {
            if (p->trap_exit) {
                push = deliver_system(*p, m);
                m = nullptr;
            } else if (why.kind() != exit_kind::normal) {
                push = mark_killed(*p, why, true);
            } else if (p->extras->parent == from) {
                p->extras->born_linked = false; // it outlives its parent
            }
        }
    }
    if (m) delete_message(m);
    if (push) push_ready(*p);
}

bool add_link(pid to, pid from) {
    process* p = find_block(to);
    if (!p) return false;
    spin_guard g{p->lock};
    if (!alive(*p, to)) return false;
    extras_of(*p).links.insert(from, {});
    return true;
}

void deliver_down(pid watcher, monitor_ref ref, pid watched, const exit_reason& why) {
    process* p = find_block(watcher);
    if (!p) return;
    auto* m = new_message<value_message<down>>(down{ref, watched, why});
    bool push = false;
    {
        spin_guard g{p->lock};
        rare_extras* const x = alive(*p, watcher) ? existing_rare(*p) : nullptr;
        if (x && x->monitoring.erase(ref.value)) {
            end_alias_of_monitor(*x, ref.value);
            push = deliver_system(*p, m);
            m = nullptr;
        }
    }
    if (m) delete_message(m);
    if (push) push_ready(*p);
}

void forget_watcher(pid watched, std::uint64_t ref) noexcept {
    process* p = find_block(watched);
    if (!p) return;
    spin_guard g{p->lock};
    rare_extras* const x = alive(*p, watched) ? existing_rare(*p) : nullptr;
    if (x) x->watchers.erase(ref);
}

void withdraw_monitor(pid watcher, monitor_ref ref, pid watched) noexcept {
    if (process* p = find_block(watcher)) {
        spin_guard g{p->lock};
        rare_extras* const x = alive(*p, watcher) ? existing_rare(*p) : nullptr;
        if (x && x->monitoring.erase(ref.value)) end_alias_of_monitor(*x, ref.value);
    }
    forget_watcher(watched, ref.value);
}

bool mark_killed(process& p, exit_reason reason, bool by_link) {
    if (p.killed) return false; // the first one counts
    process_extras& x = extras_of(p);
    x.kill_reason = std::move(reason);
    x.killed_by_link = by_link;
    p.killed = true;
    p.attention.store(p.attention.load(std::memory_order_relaxed) | signal_waits, std::memory_order_relaxed);
    if (p.state.load(std::memory_order_relaxed) != run_state::parked || p.claimed) return false;
    return consume(p, wake_reason::called_off);
}

void exit_process(pid to, pid from, exit_reason reason) {
    process* p = find_block(to);
    if (!p) return;
    const bool untrappable = reason == exit_kind::killed;
    auto* m = untrappable ? nullptr : new_message<value_message<exit_signal>>(exit_signal{from, reason});
    bool push = false;
    {
        spin_guard g{p->lock};
        if (alive(*p, to)) {
            if (p->trap_exit && !untrappable) {
                push = deliver_system(*p, m);
                m = nullptr;
            } else if (reason.kind() != exit_kind::normal || from == to) {
                push = mark_killed(*p, std::move(reason), false);
            }
        }
    }
    if (m) delete_message(m);
    if (push) push_ready(*p);
}

monitor_ref new_monitor_ref() noexcept {
    static std::atomic<std::uint64_t> last{0};
    return {last.fetch_add(1, std::memory_order_relaxed) + 1};
}

} // namespace detail

using namespace detail;

bool trap_exit(bool on) {
    process& p = require_process("trap_exit");
    spin_guard g{p.lock};
    const bool before = p.trap_exit;
    p.trap_exit = on;
    return before;
}

void link(pid other) {
    process& me = require_process("link");
    const pid id = pid_of(me);
    if (other == id) return;
    {
        spin_guard g{me.lock};
        extras_of(me).links.insert(other, {});
    }
    if (!add_link(other, id)) deliver_link_exit(id, other, exit_kind::noproc);
}

namespace {

void erase_link(process_extras& x, pid other) {
    x.links.erase(other);
    if (x.parent == other) x.born_linked = false; // nothing that becomes of the parent ends it
}

} // namespace

void unlink(pid other) {
    process& me = require_process("unlink");
    const pid id = pid_of(me);
    {
        spin_guard g{me.lock};
        if (me.extras) erase_link(*me.extras, other);
    }
    if (process* p = find_block(other)) {
        spin_guard g{p->lock};
        if (alive(*p, other) && p->extras) erase_link(*p->extras, id);
    }
}

void detail::begin_monitor(process& me, pid other, monitor_ref ref) {
    const pid id = pid_of(me);
    {
        spin_guard g{me.lock};
        rare_extras_of(me).monitoring.insert(ref.value, other);
    }
    bool there = false;
    if (process* p = find_block(other)) {
        spin_guard g{p->lock};
        there = alive(*p, other);
        if (there) rare_extras_of(*p).watchers.insert(ref.value, id);
    }
    if (!there) deliver_down(id, ref, other, exit_kind::noproc);
}

monitor_ref monitor(pid other) {
    process& me = require_process("monitor");
    const monitor_ref ref = new_monitor_ref();
    begin_monitor(me, other, ref);
    return ref;
}

void demonitor(monitor_ref ref) {
    process& me = require_process("demonitor");
    pid watched;
    {
        spin_guard g{me.lock};
        if (rare_extras* const x = existing_rare(me)) {
            if (const pid* whom = x->monitoring.find(ref.value)) {
                watched = *whom;
                x->monitoring.erase(ref.value);
                end_alias_of_monitor(*x, ref.value);
            }
        }
    }
    if (watched) forget_watcher(watched, ref.value);
    // Its end may have been told already.
    message* found = nullptr;
    {
        spin_guard g{me.lock};
        message* before = nullptr;
        for (message* m = me.system.first; m; before = m, m = m->next) {
            if (m->type != &value_message<down>::type_of) continue;
            if (static_cast<value_message<down>*>(m)->value.ref != ref) continue;
            me.system.remove(before, m);
            found = m;
            break;
        }
    }
    if (found) found->type->drop(found, exit_kind::normal);
}

} // namespace genever
