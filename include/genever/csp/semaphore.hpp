// semaphore: a number of permits, handed out in portions.
//
// Under `lock_`: how many permits are free, and the queue of those who wait, each for its number. Only the first of the
// line is served, so many small requests do not starve a large one. A waiter that was served and is destroyed before it
// runs again gives its permits back; one that leaves the front of the line lets those behind it be looked at.
#pragma once

#include <genever/csp/detail/waiters.hpp>
#include <genever/runtime/task.hpp>

#include <coroutine>
#include <cstddef>
#include <utility>

namespace genever {

/// A weighted semaphore, as Go's x/sync/semaphore. First come, first served, also where a smaller request behind could be
/// met. A process that waits is suspended. Usable on any thread; it must outlive its permits and those who wait.
///
///     auto permit = co_await s.acquire(3);   // until `permit` goes, however it goes
class semaphore {
    struct portion_waiter : detail::waiter {
        std::size_t n = 0;
    };

public:
    /// With `permits` of them, all free.
    explicit semaphore(std::size_t permits) noexcept : size_(permits), free_(permits) {}
    semaphore(const semaphore&) = delete;
    semaphore& operator=(const semaphore&) = delete;

    /// Holds some permits, or nothing. Releases them when it goes, also when its process is killed. May be moved to
    /// another process.
    class [[nodiscard("name it: the permits are released when it goes")]] permit {
    public:
        permit() noexcept = default;
        permit(permit&& o) noexcept : semaphore_(std::exchange(o.semaphore_, nullptr)), n_(o.n_) {}
        permit& operator=(permit&& o) noexcept {
            if (this != &o) {
                release();
                semaphore_ = std::exchange(o.semaphore_, nullptr);
                n_ = o.n_;
            }
            return *this;
        }
        ~permit() { release(); }

        /// Releases them now. No effect where it holds nothing.
        void release() noexcept {
            if (semaphore* s = std::exchange(semaphore_, nullptr)) s->give_back(n_);
        }
        /// Lets go of them without releasing: that is `semaphore::release`'s part then.
        void forget() noexcept { semaphore_ = nullptr; }
        explicit operator bool() const noexcept { return semaphore_ != nullptr; }

    private:
        friend semaphore;
        permit(semaphore* s, std::size_t n) noexcept : semaphore_(s), n_(n) {}
        semaphore* semaphore_ = nullptr;
        std::size_t n_ = 0;
    };

    class [[nodiscard("co_await it")]] acquire_awaiter {
    public:
        acquire_awaiter(semaphore& s, std::size_t n) noexcept : semaphore_(s) { me_.n = n; }
        acquire_awaiter(const acquire_awaiter&) = delete;
        acquire_awaiter& operator=(const acquire_awaiter&) = delete;
        ~acquire_awaiter() {
            if (suspended_) semaphore_.leave(me_);
        }

        bool await_ready() const noexcept { return false; }
        template <detail::task_promise_type P>
        bool await_suspend(std::coroutine_handle<P> h) noexcept {
            return suspended_ = semaphore_.suspend(me_, static_cast<detail::process&>(*h.promise().self), h);
        }
        permit await_resume() noexcept {
            suspended_ = false;
            return permit{&semaphore_, me_.n};
        }

    private:
        semaphore& semaphore_;
        portion_waiter me_;
        bool suspended_ = false;
    };

    /// Waits until `n` permits are free and nobody waits in front; gives them. Throws std::invalid_argument when there
    /// are not that many in all: that would be for ever. Destroyed while it waits, it leaves the line, or gives back
    /// what it had been given.
    acquire_awaiter acquire(std::size_t n = 1);
    /// Takes `n` if that is possible at once (nobody waits, either); else the permit holds nothing. On any thread.
    permit try_acquire(std::size_t n = 1) noexcept;
    /// Releases `n` that were forgotten (`permit::forget`). On any thread. Throws std::logic_error when more would be free
    /// than there are.
    void release(std::size_t n = 1);

    /// How many are free; may be past when it is read.
    std::size_t available() const noexcept;
    std::size_t size() const noexcept { return size_; }

private:
    bool suspend(portion_waiter& w, detail::process& p, std::coroutine_handle<> h) noexcept;
    bool take(std::size_t n) noexcept;
    void grant(detail::served_waiters& served) noexcept;
    void give_back(std::size_t n) noexcept;
    void leave(portion_waiter& w) noexcept;

    mutable detail::spinlock lock_;
    const std::size_t size_;
    std::size_t free_;
    detail::waiter_queue waiting_;
};

} // namespace genever
