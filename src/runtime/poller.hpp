// The readiness poller: edge-triggered epoll, one for each worker.
#pragma once

#include <genever/base/spinlock.hpp>
#include <genever/runtime/detail/process.hpp>
#include <genever/runtime/io.hpp>

#include <atomic>
#include <cstdint>

namespace genever::detail {

/// A registered descriptor, in one cache line: there are as many as connections. Slots are never given back to the system: an
/// event that was fetched before the slot was freed finds another generation and is dropped. (16 bits suffice: a fetched event is
/// a few microseconds old.)
struct io_slot {
    spinlock lock;
    // Under it.
    bool read_edge : 1 = false; // an edge came and nobody has waited for it yet
    bool write_edge : 1 = false;
    bool read_closed : 1 = false;  // sticky: the peer sends no more, no further edge needs to come
    bool write_closed : 1 = false; // sticky: the connection is broken
    bool shut : 1 = false;
    bool shared_file : 1 = false; // others hold its open file: closing it does not take it out of the poller
    bool nudged : 1 = false;      // for the next wait for reading, once
    bool stamped : 1 = false;     // readable_at belongs to the time since the last wait for reading began
    std::uint16_t generation = 0; // of its use
    int fd = -1;                  // none: it is not in use
    wait_ticket reader;
    wait_ticket writer;
    hangup_watch* on_hangup = nullptr;        // its owner's, who takes it away again
    std::atomic<std::int64_t> readable_at{0}; // when the first edge for reading in that time was fetched
    union {
        class poller* home = nullptr; // while it is in use
        io_slot* next_free;           // while it is not
    };

    void note_edge(bool write) noexcept {
        if (write)
            write_edge = true;
        else
            read_edge = true;
    }
    /// Under the lock: calls off what is done for the peer, if he is gone. Whoever is to be pushed after the unlock, or null.
    process* look_after_hangup() noexcept;
};
static_assert(sizeof(io_slot) <= 64);

/// Wakes who waits for one direction of `s`, whose ticket the caller has just taken from it. An edge that found a wait
/// which had ended already (its deadline, a kill) is remembered for the next one, or wakes that if it is there by now.
/// `use`: the slot's generation for which the edge came.
void deliver_edge(io_slot& s, std::uint16_t use, bool write, wait_ticket waiting) noexcept;

/// Ends the slot's wait for reading, or the next one, with `closed`, once.
void nudge(io_slot& s) noexcept;

io_slot* take_io_slot();
void give_io_slot(io_slot* s) noexcept;

class poller {
public:
    /// Throws std::system_error.
    poller();
    ~poller();
    poller(const poller&) = delete;
    poller& operator=(const poller&) = delete;

    /// Throws std::system_error.
    void add(io_slot& s);
    /// Before a descriptor is closed whose open file lives on elsewhere.
    void take_out(int fd) noexcept;
    /// To be told after the descriptor has been closed, which took it out.
    void removed() noexcept { registered_.fetch_sub(1, std::memory_order_relaxed); }
    /// Whether there is anything to poll for, but an interrupt. A hint.
    bool watches() const noexcept { return registered_.load(std::memory_order_relaxed) != 0; }
    /// Fetches events and wakes who waits for them; blocks for at most `timeout` nanoseconds (negative: for
    /// ever, 0: not at all). True when an `interrupt` was among them: whoever is not the one that sleeps here has taken
    /// it from him, and must interrupt again.
    bool poll(std::int64_t timeout) noexcept;
    /// Ends a `poll` that blocks, or the next one that would. Any thread.
    void interrupt() noexcept;

private:
    int epoll_ = -1;
    int event_ = -1;
    std::atomic<int> registered_{0};
};

} // namespace genever::detail
