// What the system's scheduler is asked for: prompt threads for the workers, modest ones for hogs.
#pragma once

#include <cstdint>
#include <sys/types.h>

namespace genever::detail {

/// The nice value of the calling thread.
int own_nice() noexcept;

/// Asks for short slices: a thread that wakes then gets its core at once, also from threads of the same priority, and is
/// itself preempted sooner when it does not give it back. (sched_setattr(2), Linux 6.12 and later; without effect before.)
/// Needs no privilege.
void ask_to_be_prompt(pid_t thread, int nice) noexcept;

/// Asks for the system's slices, at the thread's own priority: for a thread that was started by one of the prompt ones. 0: the
/// calling thread.
void ask_for_usual_slices(pid_t thread) noexcept;

/// Lowers a thread's priority, for good: raising it again would need a privilege. Its slices are the system's again.
void lower_priority(pid_t thread, int nice) noexcept;

} // namespace genever::detail
