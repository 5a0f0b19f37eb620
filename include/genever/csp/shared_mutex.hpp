// shared_mutex: many readers, or one writer.
//
// Under `lock_`: whether a writer has it, how many readers have it, and one queue of both kinds of waiters. Who finds
// somebody queued queues behind him: so readers that keep coming do not starve a writer. Whenever something has changed
// (an unlock, a waiter that left), `grant` serves from the front all that can have it at once: one writer, or readers up
// to the next writer. A waiter that was served and is destroyed before it runs again gives it back.
#pragma once

#include <genever/csp/detail/waiters.hpp>
#include <genever/runtime/task.hpp>

#include <coroutine>
#include <cstddef>
#include <utility>

namespace genever {

/// Any number of processes may hold it shared, or one exclusively. First come, first served, in one line: neither kind
/// starves the other. A process that waits is suspended. Not recursive: not for readers either, a writer may wait in
/// between. Usable on any thread; it must outlive those who hold it or wait for it.
class shared_mutex {
    enum class mode : bool { shared, exclusive };
    struct shared_waiter : detail::waiter {
        mode how = mode::shared;
    };

public:
    shared_mutex() noexcept = default;
    shared_mutex(const shared_mutex&) = delete;
    shared_mutex& operator=(const shared_mutex&) = delete;

    /// Holds a shared_mutex in its mode, or nothing. Gives it back when it goes, also when its process is killed.
    template <bool Exclusive>
    class [[nodiscard("name it: it is unlocked when it goes")]] basic_guard {
    public:
        basic_guard() noexcept = default;
        basic_guard(basic_guard&& o) noexcept : mutex_(std::exchange(o.mutex_, nullptr)) {}
        basic_guard& operator=(basic_guard&& o) noexcept {
            if (this != &o) {
                unlock();
                mutex_ = std::exchange(o.mutex_, nullptr);
            }
            return *this;
        }
        ~basic_guard() { unlock(); }

        /// Unlocks it now. No effect where it holds nothing.
        void unlock() noexcept {
            if (shared_mutex* m = std::exchange(mutex_, nullptr)) m->unlock(mode{Exclusive});
        }
        bool owns_lock() const noexcept { return mutex_ != nullptr; }
        explicit operator bool() const noexcept { return owns_lock(); }

    private:
        friend shared_mutex;
        explicit basic_guard(shared_mutex* m) noexcept : mutex_(m) {}
        shared_mutex* mutex_ = nullptr;
    };
    using guard = basic_guard<true>;
    using shared_guard = basic_guard<false>;

    template <bool Exclusive>
    class [[nodiscard("co_await it")]] basic_awaiter {
    public:
        explicit basic_awaiter(shared_mutex& m) noexcept : mutex_(m) { me_.how = mode{Exclusive}; }
        basic_awaiter(const basic_awaiter&) = delete;
        basic_awaiter& operator=(const basic_awaiter&) = delete;
        ~basic_awaiter() {
            if (suspended_) mutex_.leave(me_);
        }

        bool await_ready() const noexcept { return false; }
        template <detail::task_promise_type P>
        bool await_suspend(std::coroutine_handle<P> h) noexcept {
            return suspended_ = mutex_.suspend(me_, static_cast<detail::process&>(*h.promise().self), h);
        }
        basic_guard<Exclusive> await_resume() noexcept {
            suspended_ = false;
            return basic_guard<Exclusive>{&mutex_};
        }

    private:
        shared_mutex& mutex_;
        shared_waiter me_;
        bool suspended_ = false;
    };

    /// Waits until no other process holds it in any mode; gives the guard. Destroyed while it waits, it leaves the line,
    /// or passes on what it had been given.
    basic_awaiter<true> lock() noexcept { return basic_awaiter<true>{*this}; }
    /// Waits until no process holds it exclusively, and none that came before waits for that.
    basic_awaiter<false> lock_shared() noexcept { return basic_awaiter<false>{*this}; }
    /// Take it if that is possible at once (nobody waits, either); else the guard holds nothing. On any thread.
    guard try_lock() noexcept { return guard{try_take(mode::exclusive) ? this : nullptr}; }
    shared_guard try_lock_shared() noexcept { return shared_guard{try_take(mode::shared) ? this : nullptr}; }

private:
    bool take(mode how) noexcept;
    bool try_take(mode how) noexcept;
    bool suspend(shared_waiter& w, detail::process& p, std::coroutine_handle<> h) noexcept;
    void unlock(mode how) noexcept;
    void give_up(mode how) noexcept;
    void grant(detail::served_waiters& served) noexcept;
    void leave(shared_waiter& w) noexcept;

    detail::spinlock lock_;
    bool writer_ = false;
    std::size_t readers_ = 0;
    detail::waiter_queue waiting_;
};

} // namespace genever
