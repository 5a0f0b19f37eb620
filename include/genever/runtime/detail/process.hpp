// The control block of a process and its life.
//
// A process is one root coroutine, the frames that it awaits, and this block. Blocks lie in one arena that is
// never unmapped: a `pid` leads to its block by arithmetic, and a block that has ended and serves another process
// is told from the old one by its generation. So any thread may look at any block at any time, under its lock.
//
//               spawn                    park
//        dead ─────────▶ ready ───────────────────▶ parked
//          ▲             │  ▲                         │
//          └── finish ───┘  └──── wake, kill ─────────┘
//
// * `ready`: in exactly one run queue, or running: owned by the worker's thread that took it from there. `parked`:
//   owned by whoever consumes its token.
// * Each suspension has a token, a number that never repeats in this block. A waker presents the token that it
//   was given (`wait_ticket`): the first one consumes it and makes the process run, every later one finds the
//   token stale and does nothing. So timers, sockets, channels and replies may all try to wake one suspension, late
//   and from any thread, and none of them needs to know whether the process still lives.
// * A waker that comes while the process is still on its way into the suspension sets `wake_pending`,
//   and the worker goes on with the process instead of parking it. Hence an awaiter may publish its ticket in
//   await_suspend and still touch its frame: nobody resumes the process before its worker has left it.
//   A look without the lock tells most late wakers so, which leaves the memory of the dead alone.
// * `claim` consumes the token without making the process run; `release` then does. Between the two the claimer
//   alone may write into the awaiter: it cannot be resumed or destroyed (a kill waits for the release).
// * Mail: a receive does not register anywhere. It leaves itself in `waiter` and asks for `parking::mail`; its worker
//   parks the process unless something has arrived (`mailbox_news`), all under one lock. Who sends to a process that
//   is parked so appends to its `mail` and makes it run; who sends to any other leaves the message in `inbox`. (With a
//   limit all mail stays in `inbox`, and the owner takes it from there under the lock.) Before the coroutine goes on, the worker asks the waiter whether it has what it wants.
// * Frames are destroyed only by the thread on which the process runs, so a kill marks the block and lets
//   a worker do it. Awaiters deregister in their destructors.
#pragma once

#include <genever/base/exit_reason.hpp>
#include <genever/base/pid.hpp>
#include <genever/base/spinlock.hpp>
#include <genever/runtime/mailbox_limit.hpp>
#include <genever/runtime/message.hpp>
#include <genever/runtime/task.hpp>

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>

namespace genever::detail {

class runtime_core;
struct process;
struct process_extras;

enum class run_state : std::uint8_t { dead, ready, parked };

/// What a coroutine asks its worker for when it suspends: nothing (it called or returned), to be parked until a
/// wake, to be parked until there is a message (of any lane, of the system lane), or to be put back behind the others
/// that are ready.
enum class parking : std::uint8_t { none, park, mail, system_mail, requeue };

/// Which messages end a suspension.
enum class mail_wanted : std::uint8_t { none, system_only, any };

/// What its owner may know of a mailbox without the lock: bits of `process::mailbox_news`.
inline constexpr std::uint8_t user_news = 1;   // something has come to `inbox` since the owner last looked
inline constexpr std::uint8_t system_news = 2; // the same of `system`
inline constexpr std::uint8_t system_left = 4; // the owner has seen messages in `system` and left them there
inline constexpr std::uint8_t bounded_mail =
    8; // no news: the user lane has a limit (src/runtime/bounded_mailbox.hpp)
/// Bits of `process::attention`.
inline constexpr std::uint8_t signal_waits = 1; // a kill or an interrupt
inline constexpr std::uint8_t simulated = 2;    // for life: every await is a choice of the simulation's

/// Why a suspension ended.
enum class wake_reason : std::uint8_t { ready, timeout, closed, called_off };

/// What an awaiter that waits for messages leaves in the block, to be asked by the worker on the process's own thread.
struct mail_waiter {
    /// When the suspension has ended, and before the coroutine goes on. True: resume. False: it has begun another
    /// suspension (`wait_for_mail`).
    bool (*over)(mail_waiter&, process&) = nullptr;
};
/// The same of an awaiter during whose suspension others use the frames of the process.
struct lending_waiter : mail_waiter {
    /// Before a kill or a deadline destroys the frames. True: they may go. False: they are still used; it has begun a
    /// suspension (`prepare_park`) that ends with that use, and will be asked again.
    bool (*may_leave)(lending_waiter&, process&) = nullptr;
};

/// A number that only grows, written under a lock or by one thread and read, as a hint, by others: no locked instruction
/// either way.
template <class T>
class locked_counter {
public:
    operator T() const noexcept { return value_.load(std::memory_order_relaxed); }
    locked_counter& operator=(T v) noexcept {
        value_.store(v, std::memory_order_relaxed);
        return *this;
    }
    T operator++() noexcept { return *this = static_cast<T>(*this + 1); }

private:
    std::atomic<T> value_{0};
};

inline constexpr std::size_t cell_size = 256;
enum class cell_guest : std::uint8_t { none, other, abandoned };

// The first half, a cache line, has what others touch while the process runs; the second what its owner touches then.
struct alignas(64) process : process_head {
    // ---- under `lock`
    spinlock lock;
    std::atomic<run_state> state; // written under `lock`, but for the birth: `process_birth::start`
    bool claimed : 1;             // its token has been consumed by a claimer that has not released it yet
    bool wake_pending : 1;        // woken while still running
    mail_wanted wants : 2;        // messages that end this suspension
    bool trap_exit : 1;
    bool killed : 1;      // it must end with extras->kill_reason
    bool ending : 1;      // its frames are gone; it takes no new names
    bool interrupted : 1; // a scope of extras->scopes has been called off
    wake_reason reason;
    locked_counter<std::uint32_t> generation;
    locked_counter<std::uint64_t> token;
    message_list inbox;                    // arrivals of the user lane
    message_list system;                   // arrivals of the system lane
    locked_counter<std::uint32_t> arrived; // user messages ever put into the mailbox
    // Written under `lock`, read by the owner without it, as hints.
    std::atomic<std::uint8_t> attention;
    std::atomic<std::uint8_t> mailbox_news;

    // Who lives in the rest of the cell: nobody or the root, or some other frame that was made while the process was;
    // a cell is not used again while such a frame lives.
    std::atomic<cell_guest> guest;
    // ---- the owner's
    parking asked : 6;   // what the coroutine asked for as it suspended
    bool lends : 1;      // `waiter` is a lending_waiter
    bool keeps_call : 1; // a `kept_call` goes after the frames

    // ---- the run queue's while queued
    process* next_ready;
    // ---- set at spawn
    runtime_core* home;
    std::coroutine_handle<task_promise<void>> root;
    // ---- the owner's, without the lock; under `lock` while parked
    message_list mail; // before `inbox` in the order of arrival: not yet received
    mail_waiter* waiter;
    process_extras* extras; // links, monitors, names...: under `lock`; made when first needed
    // ---- counters
    std::atomic<std::uint32_t> consumed;      // user messages ever received; written by the owner
    locked_counter<std::uint32_t> operations; // awaits so far: the owner writes it; every 128th yields

    // The rest of the cell holds the first frame when it fits.
    char* frame_storage() noexcept { return reinterpret_cast<char*>(this + 1); }
};
static_assert(sizeof(process) == 128);
inline constexpr std::size_t frame_room = cell_size - sizeof(process);

/// What the root was called with, where its frame does not own that, lies at the cell's end, before this address of the function that
/// destroys it. Up to this size it leaves enough of the cell to most frames.
using drop_call = void (*)(process&) noexcept;
inline constexpr std::size_t most_kept = 40;

/// One suspension of one process.
struct wait_ticket {
    process* p = nullptr;
    std::uint64_t token = 0;
};

// ---- for awaiters, on the process's own thread

/// The process that runs on this thread, or null. Never inlined: compilers cache the address of a thread_local
/// across a suspension, and the coroutine may go on elsewhere.
process* current_process() noexcept;
/// The same, and throws std::logic_error, naming `what`, where there is none.
process& require_process(const char* what);

inline constexpr std::uint32_t operations_before_yield = 128; // a power of two
bool may_continue_slowly(process& p) noexcept;

/// Counts one operation. False where the process should yield before it goes on (its budget is used up, a kill
/// waits, or the simulation wants another interleaving): await_ready then answers false.
inline bool may_continue(process& p) noexcept {
    if ((++p.operations & (operations_before_yield - 1)) != 0 &&
        p.attention.load(std::memory_order_relaxed) == 0) // a hint: parking looks under the lock
        return true;
    return may_continue_slowly(p);
}

/// Begins a suspension: `leaf` goes on after the wake. Call it in await_suspend before the ticket is published.
inline wait_ticket prepare_park(process& p, std::coroutine_handle<> leaf) noexcept {
    p.resume_point = leaf;
    p.asked = parking::park;
    return {&p, p.token};
}
/// Begins a suspension that ends when `w` says so, which is asked at every message (of the lanes that `how` names), and
/// at every wake by the ticket, which is for a timer beside it. `requeue`: asked once, when it is the process's turn again.
inline wait_ticket wait_for_mail(process& p, mail_waiter& w, parking how = parking::mail) noexcept {
    p.waiter = &w;
    p.asked = how;
    return {&p, p.token};
}
/// Begins a suspension whose end is asked as above, and that is asked before it is destroyed.
inline wait_ticket park_lending(process& p, std::coroutine_handle<> leaf, lending_waiter& w) noexcept {
    p.waiter = &w;
    p.lends = true;
    return prepare_park(p, leaf);
}
/// Takes the suspension back (await_suspend found that there is nothing to wait for): tickets that are already
/// out become stale, a wake that has come in between is forgotten.
void cancel_park(process& p) noexcept;
/// Ends await_suspend of an awaiter that has nothing to wait for but must let others run first.
inline void requeue(process& p, std::coroutine_handle<> leaf) noexcept {
    p.resume_point = leaf;
    p.asked = parking::requeue;
}

// ---- for wakers, on any thread

/// Under p's lock: consumes the token and says whether p has to be pushed (after the unlock).
bool consume(process& p, wake_reason why) noexcept;
void push_ready(process& p) noexcept;

/// Ends the suspension if the ticket is its current one. True when this call did it.
bool wake(wait_ticket t, wake_reason why = wake_reason::ready) noexcept;
/// Consumes the ticket without making the process run; true obliges to `release`.
bool claim(wait_ticket t, wake_reason why = wake_reason::ready) noexcept;
void release_claim(process& p) noexcept;
/// The two at once, for a few bytes: `write` runs under the process's lock, and must do nothing else. False, and it has not
/// run, where a claim would fail.
template <class F>
bool wake_after(wait_ticket t, F write) noexcept {
    if (t.p->token != t.token) return false;
    bool push;
    {
        spin_guard g{t.p->lock};
        if (t.p->token != t.token || t.p->killed || t.p->interrupted) return false;
        write();
        push = consume(*t.p, wake_reason::ready);
    }
    if (push) push_ready(*t.p);
    return true;
}

// ---- mailboxes, on any thread

/// Hands over a message for the user lane. What is not delivered is dropped, with `noproc` or `overloaded`; so is what a
/// full mailbox drops for it.
send_result post(pid to, message* m) noexcept;
/// The same for the system lane, which takes everything. False, and it is dropped, when nobody lives under `to`.
bool post_system(pid to, message* m) noexcept;

/// Whether the user lane has a limit: under p's lock, or by its owner, who alone changes it.
inline bool is_bounded(const process& p) noexcept {
    return (p.mailbox_news.load(std::memory_order_relaxed) & bounded_mail) != 0;
}

/// Under p's lock, by its owner: all of the system lane has been looked at.
inline void note_system_seen(process& p) noexcept {
    const auto user = static_cast<std::uint8_t>(p.mailbox_news.load(std::memory_order_relaxed) &
                                                (user_news | bounded_mail));
    p.mailbox_news.store(p.system.empty() ? user : static_cast<std::uint8_t>(user | system_left),
                         std::memory_order_relaxed); // a hint for the owner, see above
}

/// The block of a pid that may live; check the generation again under its lock. Null for one that has ended or never was.
process* find_block(pid p) noexcept;
/// Whether it lives, but not the process that has started it linked to itself: the end of that one has reached it, or will.
bool is_orphan(pid id) noexcept;
pid pid_of(const process& p) noexcept;

} // namespace genever::detail
