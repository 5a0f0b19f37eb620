// What processes do to each other through links, monitors and exit signals, and what the mailbox does for it.
#pragma once

#include "runtime_core.hpp"

namespace genever::detail {

/// Under p's lock: whether the process that `id` names lives in this block.
inline bool alive(const process& p, pid id) noexcept {
    return p.generation == id.generation() && p.state.load(std::memory_order_relaxed) != run_state::dead;
}

/// Under p's lock: puts `m` into the system lane, which takes everything. True when p has to be pushed.
bool deliver_system(process& p, message* m) noexcept;
/// Ends all messages of a list. Without a lock: destructors are the user's code.
void drop_all(message_list& l, const exit_reason& why) noexcept;

/// Adds `from` to the links of `to`. False when `to` is gone.
bool add_link(pid to, pid from);
/// The end of a linked process reaches `to`.
void deliver_link_exit(pid to, pid from, const exit_reason& why);
/// Tells `watcher` of the end of `watched`, unless it has ended the monitor meanwhile.
void deliver_down(pid watcher, monitor_ref ref, pid watched, const exit_reason& why);
/// Lets `me`, the calling process, monitor `other` under `ref`.
void begin_monitor(process& me, pid other, monitor_ref ref);
/// Under the lock: a monitor has ended, and with it its alias, if it has one that lives no longer.
void end_alias_of_monitor(rare_extras& x, std::uint64_t ref) noexcept;
/// Takes a monitor out of the list of the process that it watches.
void forget_watcher(pid watched, std::uint64_t ref) noexcept;
/// Ends a monitor on both sides, from any process: the watcher hears nothing of it any more. What it has been told already
/// stays in its mailbox.
void withdraw_monitor(pid watcher, monitor_ref ref, pid watched) noexcept;

} // namespace genever::detail
