// The limit of a mailbox and the messages that wait outside.
//
// A bounded process has the bit `bounded_mail` in mailbox_news, from which all else follows:
//
// * Nothing lies in its `mail`: whoever sends puts into `inbox`, also when it is parked, and the owner takes from there
//   under the lock. So `drop_oldest` can take the oldest message out, and `arrived - consumed` is the exact length.
// * What waits for room stands in one line, first come, first served. While anybody stands there a plain send finds the
//   mailbox full: the room that is made belongs to the line.
// * Who makes room (the owner by a receive, or by another limit) lets the line move (`advance`). A message that goes by
//   itself is put in. A sender who is to do it himself is woken, one at a time: `woken`. He puts his message in when he runs
//   again, after the last point at which a kill or a deadline could have taken him away: so nothing has been sent when he
//   is. He then lets the line move on; so does his place's end if he is destroyed (waiting_send).
// * Unless the line has been told to move, there is nobody in it or no room.
#pragma once

#include "signals.hpp"

#include <genever/runtime/detail/waiting_send.hpp>
#include <genever/runtime/mailbox_limit.hpp>

#include <cstdint>

namespace genever::detail {

/// Under the process's lock.
struct bounded_mailbox {
    static constexpr std::uint32_t unlimited = ~std::uint32_t{0};

    std::uint32_t capacity = unlimited;
    mailbox_policy policy = mailbox_policy::reject;
    std::uint32_t passed = 0; // how many of the oldest messages the present receive has looked at and left
    std::uint64_t lost = 0;   // messages that it has cost so far
    waiting_send* first = nullptr;
    waiting_send* last = nullptr;
    std::uint32_t waiting = 0;
    bool woken = false; // the first one has been woken

    void push_back(waiting_send& w) noexcept;
    void remove(waiting_send& w) noexcept;
};

/// The limit in the form of a mailbox's. Throws std::invalid_argument.
void set_limit(bounded_mailbox& b, mailbox_limit limit);

inline mailbox_limit limit_of(const bounded_mailbox& b) noexcept {
    return {b.capacity == bounded_mailbox::unlimited ? mailbox_limit::unlimited : b.capacity, b.policy};
}

/// What has become of a message and what is left to do after the unlock.
struct delivery {
    send_result result;
    bool push = false;       // the process
    message* left = nullptr; // nobody's messages, a list: the message itself, or those that it has driven out
};

/// Under p's lock: what a plain send does.
/// `w`, where there is one: `m` waits in it under the policy `wait`, and counts as delivered.
delivery deliver_bounded(process& p, message* m, waiting_send* w) noexcept;
/// Under p's lock: puts `m` into the mailbox of any living process.
delivery deliver_user(process& p, message* m) noexcept;
/// Drops what is left, with the reason that the result stands for.
void drop_left(const delivery& d) noexcept;

/// Under p's lock, by its owner: the first message behind `seen` (null: the first of all) that is wanted; `seen` is then the
/// last one that was passed over.
message* take_bounded(process& p, message*& seen, bool (*wanted)(const message&, const void*) noexcept,
                      const void* context) noexcept;

/// Lets the line of a mailbox move. Under the lock; `then` after the unlock.
class [[nodiscard]] advance {
public:
    advance() noexcept = default;
    explicit advance(process& p) noexcept;
    void then() noexcept;

private:
    process* push_ = nullptr;
    wait_ticket wake_;
};

/// The process has ended with `why`, and this was its mailbox: tells those who wait. Without a lock.
void end_line(process& p, bounded_mailbox& b, const exit_reason& why) noexcept;

/// Hands over a message as `post` does, but leaves it to the caller to drop what is left.
delivery offer(pid to, message* m) noexcept;

} // namespace genever::detail
