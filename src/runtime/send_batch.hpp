// What a worker's processes have posted to be sent (posted_send), until the worker sends all of it.
//
//             post                  the worker's next look at its descriptors, or a full batch
//     free ─────────▶ posted ──────────────────────────────────────────────────────────────────▶ over
//       ▲               │ settle: taken back                                            settle │
//       └───────────────┴──────────────────────────────────────────────────────────────────────┘
//
// The worker's thread posts and submits, and the monitor submits for it where that is stuck. A process that was woken by
// something else than its descriptor (a deadline, a nudge, a kill) may settle on any thread. All is under the lock, also the
// system's call: whoever takes back knows that the bytes are not looked at any more. A thread that has been relieved of its
// worker posts no more; what it was posting in that very moment it submits itself, when it leaves the worker's loop.
#pragma once

#include "send_ring.hpp"
#include "thread_state.hpp"

#include <genever/runtime/posted_send.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace genever::detail {

class send_batch {
public:
    /// As `posted_send::post`, on the thread `t`.
    bool add(posted_send& s, thread_state& t, std::int64_t now) noexcept;
    void take_back(posted_send& s) noexcept;
    /// Sends what is posted. Any thread.
    void submit() noexcept {
        if (count_.load(std::memory_order_relaxed) != 0) submit_all();
    }
    /// The same, but for a moment in which somebody is at it.
    void try_to_submit() noexcept;
    /// How many sends went to the system with others.
    std::uint64_t sent_together() const noexcept { return together_.load(std::memory_order_relaxed); }
    /// Before the worker has a thread: it sends nothing together.
    void turn_off() noexcept { off_ = true; }

private:
    void submit_all() noexcept;
    void submit_under_lock(std::int64_t now) noexcept;
    void open() noexcept;

    std::atomic<std::size_t> count_{0}; // changed under the lock
    std::mutex lock_;
    std::array<posted_send*, send_ring::most> posted_{};
    std::int64_t since_ = 0;    // when the first of them was posted
    unsigned sent_at_once_ = 0; // how many more are not collected, since one has waited for too long
    std::atomic<std::uint64_t> together_{0}; // changed under the lock
    bool off_ = false;
    send_ring ring_;
};

} // namespace genever::detail
