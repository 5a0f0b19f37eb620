// A one-byte lock for sections of a few instructions.
#pragma once

#include <atomic>

namespace genever::detail {

/// Mutual exclusion for sections of a few instructions which call nothing that could block. Uncontended it
/// costs one locked instruction: the unlock is a plain store, which is why waiters do not sleep on a futex (a
/// sleeper would cost every unlock a second locked instruction). A waiter spins, then gives its core away, then
/// sleeps for moments, so that a holder that lost its core is not kept from it by those who wait for it.
class spinlock {
public:
    void lock() noexcept {
        // acquire: pairs with the release in unlock
        if (held_.exchange(true, std::memory_order_acquire)) [[unlikely]]
            lock_slowly();
    }
    bool try_lock() noexcept { return !held_.exchange(true, std::memory_order_acquire); }
    void unlock() noexcept {
        // release: pairs with the acquire in lock
        held_.store(false, std::memory_order_release);
    }

private:
    void lock_slowly() noexcept;

    std::atomic<bool> held_{false};
};

/// Holds a spinlock for a scope.
class [[nodiscard]] spin_guard {
public:
    explicit spin_guard(spinlock& l) noexcept : lock_(l) { lock_.lock(); }
    ~spin_guard() { lock_.unlock(); }
    spin_guard(const spin_guard&) = delete;
    spin_guard& operator=(const spin_guard&) = delete;

private:
    spinlock& lock_;
};

} // namespace genever::detail
