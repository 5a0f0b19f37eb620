// A hierarchical timing wheel: timers start and end in O(1).
#pragma once

#include <genever/base/spinlock.hpp>
#include <genever/runtime/detail/timer.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>

namespace genever::detail {

/// Timers by deadline in wheels of 64 slots, each level 64 times coarser than the one below (Varghese and
/// Lauck, "Hashed and Hierarchical Timing Wheels", 1987, scheme 7). A timer goes to the level of the highest
/// bit in which its deadline differs from the current tick, and moves down as time passes. Timers of one
/// tick fire in the order in which they were armed. Any thread may call any function.
class timer_wheel {
public:
    static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

    /// One tick is 2^`shift` nanoseconds; a timer fires up to one tick late, and never early. With a `clock`, it is read
    /// for timers that were armed by a length of time: the callers' `now` may be older than they are, since several
    /// threads may use a wheel. Without one `now` is taken for it.
    explicit timer_wheel(unsigned shift, std::int64_t (*clock)() noexcept = nullptr) noexcept;
    /// Lets go of the entries that are still armed: their time never comes. No process lives any more.
    ~timer_wheel();

    /// Arms `t` for `when` (nanoseconds on the runtime's clock). True when the worker that sleeps on this wheel has
    /// to be woken for it.
    bool add(timer_node& t, std::int64_t when) noexcept;
    /// Arms `t` to fire not before `length` nanoseconds after this call, without reading a clock: it waits in a list of
    /// its own until the worker next tells the time. False, and nothing has happened, while the worker sleeps: use `add`.
    bool add_after(timer_node& t, std::int64_t length) noexcept;
    /// Gives `t` another ticket. False when it is not armed.
    bool retarget(timer_node& t, wait_ticket ticket) noexcept;
    /// True when `t` was armed.
    bool remove(timer_node& t) noexcept;

    /// Fires all that is due at `now`. Returns how many.
    std::size_t expire(std::int64_t now);

    /// Tells those that wait to be told the time the time.
    void date() noexcept;

    /// How many timers are armed, and how late those that fired were, beyond their tick; nanoseconds.
    struct counts {
        std::size_t armed = 0;
        std::uint64_t fired = 0;
        std::int64_t late_in_all = 0;
        std::int64_t latest = 0;
    };
    counts count() noexcept;

    /// It is `now`; says when `expire` next has something to do (not necessarily to fire): nanoseconds, or `never`. A
    /// timer that is added afterwards with an earlier deadline makes `add` return true, until `awake`.
    std::int64_t sleep(std::int64_t now) noexcept;
    void awake() noexcept;
    /// Whether a timer waits to be told the time. A hint, as the next one is: read without the lock.
    bool has_pending() const noexcept { return has_pending_.load(std::memory_order_relaxed); }
    /// When `expire` next has something to do with the others, or `never`.
    std::int64_t next_event() const noexcept { return next_.load(std::memory_order_relaxed); }

private:
    static constexpr unsigned bits = 6;
    static constexpr unsigned slots = 1U << bits;
    static constexpr unsigned levels = 11; // 66 bits: every deadline has a place

    struct list {
        timer_node* first = nullptr;
        timer_node* last = nullptr;
    };

    void insert(timer_node& t, std::int64_t when) noexcept;
    void place(timer_node& t) noexcept;
    void date_pending(std::int64_t now) noexcept;
    void unlink(timer_node& t) noexcept;
    std::int64_t compute_next() const noexcept;
    static unsigned level_of(std::uint64_t now, std::uint64_t when) noexcept;

    const unsigned shift_;
    std::int64_t (*const clock_)() noexcept;
    spinlock lock_;
    std::uint64_t tick_ = 0;
    std::array<std::uint64_t, levels> occupied_{};
    std::array<std::array<list, slots>, levels> wheel_{};
    list pending_; // `t.deadline` of each is a length of time
    counts counts_;
    std::int64_t sleeping_until_ = std::numeric_limits<std::int64_t>::min(); // the least: awake
    std::atomic<std::int64_t> next_{never};
    std::atomic<bool> has_pending_{false};
};

} // namespace genever::detail
