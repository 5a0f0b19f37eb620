// Where a thread is that does not come back.
#pragma once

#include "thread_state.hpp"

#include <genever/base/stack_trace.hpp>

#include <csignal>
#include <optional>

namespace genever::detail {

/// The signal with which a thread that computes is asked for its stack. Its default is to be ignored, and Go's runtime has
/// shown that programs bear it. A handler that the program has installed for it before is called for all others.
inline constexpr int stack_signal = SIGURG;

/// Whether a thread of this program is blocked in the kernel. Not so while it computes, or waits for a core.
bool is_blocked(const thread_state& t) noexcept;

/// The stack of a thread of this program that runs a process and is blocked in a system call; nothing while it computes.
/// It is read from outside, since a signal would make the call return early, and starts with the innermost function that
/// keeps a frame pointer. The thread must not end meanwhile.
std::optional<stack_trace> stack_if_blocked(const thread_state& t) noexcept;

/// Asking a thread that computes, which is interrupted for about a microsecond once it has a core. One question at a time
/// in the whole program: false when another one is under way, or the system refuses.
bool ask_for_stack(const thread_state& t) noexcept;
/// The answer, once. Nothing: it has not come yet.
std::optional<stack_trace> take_answer() noexcept;
/// Gives up the question. False: the answer is just being written; take it.
bool withdraw_question() noexcept;

} // namespace genever::detail
