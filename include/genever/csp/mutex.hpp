// mutex: mutual exclusion between processes.
//
// `state_`: 0 free; `taken`; `taken | waited_for`: it is taken, and there may be waiters in the queue. The first
// transition and its inverse are one instruction each; all others happen under `lock_`, which guards the queue:
//
//     free ◀────▶ taken ──── a waiter queues ────▶ taken | waited_for ─┐ unlock: handed to the first waiter, taken
//                   ▲                                    │    ▲────────┘ all the time, nobody can cut in
//                   └── the queue has become empty ──────┘
//
// A waiter that was handed the mutex and is destroyed before it runs again unlocks it in its destructor.
#pragma once

#include <genever/csp/detail/waiters.hpp>
#include <genever/runtime/task.hpp>

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <utility>

namespace genever {

class condition;
namespace detail {
class condition_awaiter;
}

/// Mutual exclusion between processes: a process that waits for it is suspended, its thread does other work. First come,
/// first served. What it guards may be used across awaits. Not recursive. Usable on any thread of any runtime; it must
/// outlive those who hold it or wait for it.
///
///     auto g = co_await m.lock();   // until `g` goes, however it goes
class mutex {
public:
    mutex() noexcept = default;
    mutex(const mutex&) = delete;
    mutex& operator=(const mutex&) = delete;

    /// Holds a mutex, or nothing. Unlocks it when it goes, also when its process is killed. May be moved to another
    /// process.
    class [[nodiscard("name it: the mutex is unlocked when it goes")]] guard {
    public:
        guard() noexcept = default;
        guard(guard&& o) noexcept : mutex_(std::exchange(o.mutex_, nullptr)) {}
        guard& operator=(guard&& o) noexcept {
            if (this != &o) {
                unlock();
                mutex_ = std::exchange(o.mutex_, nullptr);
            }
            return *this;
        }
        ~guard() { unlock(); }

        /// Unlocks it now. No effect where it holds nothing.
        void unlock() noexcept {
            if (mutex* m = std::exchange(mutex_, nullptr)) m->unlock();
        }
        bool owns_lock() const noexcept { return mutex_ != nullptr; }
        explicit operator bool() const noexcept { return owns_lock(); }

    private:
        friend mutex;
        friend condition;
        friend detail::condition_awaiter;
        explicit guard(mutex* m) noexcept : mutex_(m) {}
        mutex* mutex_ = nullptr;
    };

    class [[nodiscard("co_await it")]] lock_awaiter {
    public:
        explicit lock_awaiter(mutex& m) noexcept : mutex_(m) {}
        lock_awaiter(const lock_awaiter&) = delete;
        lock_awaiter& operator=(const lock_awaiter&) = delete;
        ~lock_awaiter() {
            if (suspended_) abandon();
        }

        bool await_ready() const noexcept { return false; }
        template <detail::task_promise_type P>
        bool await_suspend(std::coroutine_handle<P> h) noexcept {
            auto& p = static_cast<detail::process&>(*h.promise().self);
            if (detail::may_continue(p) && mutex_.take()) return false;
            return suspend(p, h);
        }
        guard await_resume() noexcept {
            suspended_ = false;
            return guard{&mutex_};
        }

    private:
        bool suspend(detail::process& p, std::coroutine_handle<> h) noexcept;
        void abandon() noexcept;

        mutex& mutex_;
        detail::waiter me_;
        bool suspended_ = false;
    };

    /// Waits until the mutex is this process's; gives the guard. Destroyed while it waits, it leaves the line, or
    /// passes the mutex on.
    lock_awaiter lock() noexcept { return lock_awaiter{*this}; }
    /// Takes it if it is free; else the guard holds nothing. On any thread.
    guard try_lock() noexcept { return guard{take() ? this : nullptr}; }
    /// Whether somebody has it; may be past when it is read.
    bool is_locked() const noexcept { return state_.load(std::memory_order_relaxed) != 0; }

private:
    friend detail::condition_awaiter;
    friend condition;

    static constexpr std::uint32_t taken = 1;
    static constexpr std::uint32_t waited_for = 2;

    bool take() noexcept {
        std::uint32_t free = 0;
        // acquire: pairs with the release of the unlock
        return state_.compare_exchange_strong(free, taken, std::memory_order_acquire,
                                              std::memory_order_relaxed);
    }
    void unlock() noexcept {
        std::uint32_t mine = taken;
        // release: pairs with the acquire of the next lock
        if (!state_.compare_exchange_strong(mine, 0, std::memory_order_release, std::memory_order_relaxed))
            [[unlikely]]
            hand_over();
    }
    void hand_over() noexcept;
    bool take_or_announce() noexcept;
    void leave(detail::waiter& w) noexcept;
    bool give_or_queue(detail::waiter& w, detail::served_waiters& served) noexcept;

    std::atomic<std::uint32_t> state_{0};
    detail::spinlock lock_;
    detail::waiter_queue waiting_;
};

} // namespace genever
