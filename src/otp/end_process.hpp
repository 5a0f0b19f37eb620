// Ending another process and waiting until it is gone, as OTP's supervisor does with a child.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/base/exit_reason.hpp>
#include <genever/base/pid.hpp>
#include <genever/runtime/task.hpp>

namespace genever::detail {

/// How a process that was told to end has ended.
struct process_end {
    exit_reason why;   ///< `noproc` when it had been gone before, and no exit signal of it was in the mailbox
    bool late = false; ///< it took longer than it was given, and was killed
};

/// Sends `p` an exit with `how`, kills it when it has not ended after `limit`, and waits until it is gone: its frames,
/// what they owned, and its names. By a monitor, since it may not be linked to the caller; where it is, its exit
/// signal is taken from the mailbox as well. Everything else in the mailbox stays there. Not for the caller itself.
task<process_end> end_process(pid p, exit_kind how, duration limit);

} // namespace genever::detail
