// A message that waits outside of a full mailbox, in the awaiter of its sender.
#pragma once

#include <genever/runtime/detail/process.hpp>
#include <genever/runtime/mailbox_limit.hpp>
#include <genever/runtime/message.hpp>

namespace genever::detail {

struct bounded_mailbox;

/// Waits in line for room in a mailbox. The lock of `block`, the receiver's, guards all fields once it is in line, also
/// when the receiver has ended.
struct waiting_send {
    waiting_send() noexcept = default;
    waiting_send(const waiting_send&) = delete;
    ~waiting_send() {
        if (block) leave();
    }

    process* block = nullptr;         // null: it has never been in line
    bounded_mailbox* queue = nullptr; // null: it is out of line
    waiting_send* next = nullptr;
    waiting_send* prev = nullptr;
    message* m = nullptr; // its, as long as it is in line
    // Wakes the sender when it is its turn, who then sends by itself. Empty: the message goes by itself, since its sender
    // waits for something else.
    wait_ticket ticket;

    /// What has not been sent by now never is: a message that would have gone by itself is dropped.
    void leave() noexcept;
};

/// The same as `post`, but where the mailbox's policy is `wait` and it is full, `m` waits in `w` for room, and
/// counts as delivered. When the receiver ends first, it is dropped with the reason of that end.
send_result post_or_wait(pid to, message* m, waiting_send& w) noexcept;

} // namespace genever::detail
