// Everything is read under the process's lock, so that it fits together, and so that the frame of a parked process stays
// where it is meanwhile.
#include <genever/runtime/process_info.hpp>

#include "arena.hpp"
#include "bounded_mailbox.hpp"
#include "runtime_core.hpp"
#include "signals.hpp"

#include <genever/base/stack_trace.hpp>

#include <cstring>
#include <span>

namespace genever {

namespace detail {

namespace {

/// Under p's lock. A frame begins with the address of the function that resumes it: the ABI of GCC and Clang.
const void* code_of_frame(const process& p) noexcept {
    const void* code = nullptr;
    if (const void* frame = p.resume_point.address()) std::memcpy(&code, frame, sizeof code);
    return code;
}

/// Under p's lock, which keeps its runtime from ending: whether a worker is at it.
bool runs(const process& p) noexcept {
    if (current_process() == &p) return true;
    runtime_core& core = *p.home;
    for (unsigned i = 0; i < core.workers(); ++i) {
        worker& w = core.worker_at(i);
        spin_guard g{w.driver_lock}; // a driver lives as long as it is one
        const thread_state* t = w.driver.load(std::memory_order_relaxed);
        if (t && t->running.load(std::memory_order_relaxed) == &p) return true;
    }
    return core.threads().a_stuck_one_runs(p);
}

std::size_t bytes_of(const process_extras& x) noexcept {
    constexpr std::size_t entry = 2 * sizeof(std::uint64_t);
    // One link lies in what is counted.
    std::size_t n =
        sizeof x + x.label.bytes_alone() + (x.links.size() > 1 ? x.links.size() * sizeof(pid) : 0);
    if (!x.rare) return n;
    const rare_extras& r = *x.rare;
    n += sizeof r + (r.watchers.size() + r.monitoring.size()) * entry;
    for (const auto& name : r.names) n += sizeof name + name.capacity();
    if (r.bounded) n += sizeof *r.bounded;
    if (r.aliases) n += sizeof *r.aliases + r.aliases->size() * entry;
    return n;
}

/// Under p's lock; p lives.
process_info look_at(const process& p) {
    process_info i;
    i.pid = pid_of(p);
    if (p.state.load(std::memory_order_relaxed) == run_state::parked) {
        i.state = process_state::parked;
        i.suspended_in = code_of_frame(p);
    } else if (runs(p)) {
        i.state = process_state::running;
    }
    i.trap_exit = p.trap_exit;
    i.mailbox_length = p.arrived - p.consumed.load(std::memory_order_relaxed);
    i.reductions = p.operations;
    i.memory = cell_size;
    if (const process_extras* x = p.extras) {
        i.label = x->label.view();
        i.quiet = x->quiet;
        i.memory += bytes_of(*x);
        for (const auto& [other, nothing] : x->links) i.links.push_back(other);
    }
    if (const rare_extras* x = existing_rare(p)) {
        i.names = x->names;
        if (x->bounded) {
            i.mailbox = limit_of(*x->bounded);
            i.mailbox_lost = x->bounded->lost;
            i.senders_waiting = x->bounded->waiting;
        }
        for (const auto& [ref, whom] : x->monitoring) i.monitors.push_back(whom);
        for (const auto& [ref, who] : x->watchers) i.monitored_by.push_back(who);
    }
    return i;
}

/// `f(process&)` for each that lives in this runtime, under its lock.
template <class F>
void for_each_living(const runtime_core& core, F f) {
    the_cells.for_each([&](process& p) {
        if (p.state.load(std::memory_order_relaxed) == run_state::dead) return; // leaves free cells alone
        spin_guard g{p.lock};
        if (core.is_home_of(p)) f(p);
    });
}

} // namespace

std::vector<process_info> list_processes(const runtime_core& core) {
    std::vector<process_info> all;
    for_each_living(core, [&](process& p) { all.push_back(look_at(p)); });
    return all;
}

} // namespace detail

using namespace detail;

std::string_view to_string(process_state s) noexcept {
    switch (s) {
    case process_state::running: return "running";
    case process_state::ready: return "ready";
    case process_state::parked: return "parked";
    }
    return "unknown";
}

std::string process_info::suspension_point() const {
    if (!suspended_in) return {};
    // As a return address: `symbolise` looks at the byte before it.
    void* const inside = const_cast<char*>(static_cast<const char*>(suspended_in)) + 1;
    const auto frames = symbolise(std::span<void* const>{&inside, 1});
    if (frames.empty()) return {};
    const stack_frame& f = frames.back(); // what is inlined at its very beginning is not the coroutine
    return f.line == 0 ? f.function : f.function + " at " + f.file + ':' + std::to_string(f.line);
}

std::optional<process_info> info(pid id) {
    process* p = find_block(id);
    if (!p) return {};
    spin_guard g{p->lock};
    if (!alive(*p, id)) return {};
    return look_at(*p);
}

std::vector<pid> processes() {
    const runtime_core& core = require_core("processes");
    std::vector<pid> all;
    for_each_living(core, [&](process& p) { all.push_back(pid_of(p)); });
    return all;
}

std::vector<process_info> process_list() { return list_processes(require_core("process_list")); }

} // namespace genever
