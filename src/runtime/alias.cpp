// An alias is an entry in its process's table of active ones. Its number comes from the counter of monitors: an alias
// that belongs to a monitor has that one's.
#include <genever/runtime/alias.hpp>

#include "bounded_mailbox.hpp"

namespace genever {

namespace detail {

namespace {

/// Under p's lock.
alias_table& aliases_of(process& p) {
    rare_extras& x = rare_extras_of(p);
    if (!x.aliases) x.aliases = std::make_unique<alias_table>();
    return *x.aliases;
}

alias_kind kind_of(monitor_alias mode) noexcept {
    switch (mode) {
    case monitor_alias::explicit_unalias: return alias_kind::explicit_unalias;
    case monitor_alias::demonitor: return alias_kind::demonitor;
    case monitor_alias::reply_demonitor: return alias_kind::reply_demonitor;
    }
    return alias_kind::explicit_unalias;
}

} // namespace

void end_alias_of_monitor(rare_extras& x, std::uint64_t ref) noexcept {
    if (!x.aliases) return;
    const alias_kind* kind = x.aliases->find(ref);
    if (kind && (*kind == alias_kind::demonitor || *kind == alias_kind::reply_demonitor))
        x.aliases->erase(ref);
}

send_result post_to_alias(alias to, message* m) noexcept {
    const pid owner = to.owner();
    delivery d{send_result::noproc, false, m};
    pid watched; // by the monitor that the message has ended
    if (process* const p = find_block(owner)) {
        {
            spin_guard g{p->lock};
            if (alive(*p, owner)) {
                rare_extras* const x = existing_rare(*p);
                const alias_kind* const kind = x && x->aliases ? x->aliases->find(to.number()) : nullptr;
                d.result = send_result::inactive;
                if (kind) {
                    d = deliver_user(*p, m);
                    if (d.result && *kind == alias_kind::reply_demonitor) {
                        if (const pid* const whom = x->monitoring.find(to.number())) watched = *whom;
                        x->monitoring.erase(to.number());
                    }
                    if (d.result && (*kind == alias_kind::reply || *kind == alias_kind::reply_demonitor))
                        x->aliases->erase(to.number());
                }
            }
        }
        if (d.push) push_ready(*p);
    }
    if (watched) forget_watcher(watched, to.number());
    if (d.left) drop_left(d);
    return d.result;
}

} // namespace detail

using namespace detail;

alias make_alias(alias_options options) {
    process& me = require_process("make_alias");
    const alias a{pid_of(me), new_monitor_ref().value};
    spin_guard g{me.lock};
    aliases_of(me).insert(a.number(), options.mode == alias_mode::reply ? alias_kind::reply
                                                                        : alias_kind::explicit_unalias);
    return a;
}

bool unalias(alias a) {
    process& me = require_process("unalias");
    if (a.owner() != pid_of(me)) return false;
    spin_guard g{me.lock};
    rare_extras* const x = existing_rare(me);
    return x && x->aliases && x->aliases->erase(a.number());
}

std::pair<monitor_ref, alias> monitor(pid other, monitor_alias mode) {
    process& me = require_process("monitor");
    const monitor_ref ref = new_monitor_ref();
    const alias a{pid_of(me), ref.value};
    {
        spin_guard g{me.lock};
        aliases_of(me).insert(a.number(), kind_of(mode));
    }
    begin_monitor(me, other, ref); // a process that is gone already ends both
    return {ref, a};
}

} // namespace genever
