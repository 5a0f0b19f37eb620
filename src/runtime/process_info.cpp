// What can be seen of processes from outside.
#include <genever/runtime/process.hpp>

#include "arena.hpp"
#include "signals.hpp"

namespace genever {

using namespace detail;

std::optional<process_info> info(pid id) {
    process* p = find_block(id);
    if (!p) return {};
    process_info i;
    i.pid = id;
    spin_guard g{p->lock};
    if (!alive(*p, id)) return {};
    i.parked = p->state.load(std::memory_order_relaxed) == run_state::parked;
    i.trap_exit = p->trap_exit;
    i.mailbox_length = p->arrived - p->consumed.load(std::memory_order_relaxed);
    if (p->extras) {
        i.label = p->extras->label;
        i.names = p->extras->names;
        i.links = p->extras->links.size();
        i.watchers = p->extras->watchers.size();
    }
    return i;
}

std::vector<pid> processes() {
    runtime_core& core = require_core("processes");
    std::vector<pid> all;
    the_cells.for_each([&](process& p) {
        if (p.state.load(std::memory_order_relaxed) == run_state::dead) return; // leaves free cells alone
        spin_guard g{p.lock};
        if (core.is_home_of(p)) all.push_back(pid_of(p));
    });
    return all;
}

} // namespace genever
