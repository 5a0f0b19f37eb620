// wait_group: waits for a number of things to be done.
#pragma once

#include <genever/base/spinlock.hpp>
#include <genever/csp/detail/stored_call.hpp>
#include <genever/csp/detail/waiters.hpp>
#include <genever/csp/go.hpp>

#include <coroutine>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace genever {

namespace detail {

struct wait_group_state {
    spinlock lock;
    std::ptrdiff_t count = 0;
    waiter_queue waiting;

    void add(std::ptrdiff_t n);
    /// One less; where somebody has counted this one down already, a crash report instead of an exception.
    void leave() noexcept;
};

/// Counts down when it goes, however its process ends.
class wait_group_share {
public:
    explicit wait_group_share(std::shared_ptr<wait_group_state> s) noexcept : state_(std::move(s)) {}
    wait_group_share(wait_group_share&&) noexcept = default;
    ~wait_group_share() {
        if (state_) state_->leave();
    }

private:
    std::shared_ptr<wait_group_state> state_;
};

} // namespace detail

/// Go's sync.WaitGroup: `add` before the work starts, `done` when it has ended, `wait` until the count is 0. Copies name
/// the same group. Any thread may `add` and `done`; processes `wait`.
///
/// Better than counting by hand is `wg.go(f)`: it counts its process in and out, also when that process throws (a
/// crash report, and the group still completes) or is killed.
class wait_group {
public:
    wait_group() : state_(std::make_shared<detail::wait_group_state>()) {}

    /// Adds `n`, which may be negative. Throws std::logic_error when the count would fall below 0.
    void add(std::ptrdiff_t n = 1) { state_->add(n); }
    /// One less. Throws std::logic_error where there was none.
    void done() { state_->add(-1); }

    /// Starts `f(args...)` as a process that this group waits for.
    template <class F, class... Args>
        requires std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>
    pid go(F&& f, Args&&... args) {
        using call = detail::stored_call<std::decay_t<F>, std::decay_t<Args>...>;
        using member = detail::outlived<detail::wait_group_share, call>;
        add(1);
        return spawn(
            [](member m) -> task<> {
                if constexpr (detail::is_task<typename call::result>)
                    co_await m.inner();
                else
                    m.inner();
                co_return;
            },
            member{detail::wait_group_share{state_}, std::forward<F>(f), std::forward<Args>(args)...});
    }

    class [[nodiscard("co_await it")]] wait_awaiter {
    public:
        explicit wait_awaiter(std::shared_ptr<detail::wait_group_state> s) noexcept : state_(std::move(s)) {}
        wait_awaiter(const wait_awaiter&) = delete;
        ~wait_awaiter();

        bool await_ready();
        template <detail::task_promise_type P>
        void await_suspend(std::coroutine_handle<P> h) noexcept {
            suspend(static_cast<detail::process&>(*h.promise().self), h);
        }
        void await_resume() const noexcept {}

    private:
        void suspend(detail::process& p, std::coroutine_handle<> h) noexcept;

        std::shared_ptr<detail::wait_group_state> state_;
        detail::waiter me_;
    };

    /// Suspends until the count is 0. Killed meanwhile, the group is as if nobody had waited.
    wait_awaiter wait() const noexcept { return wait_awaiter{state_}; }

private:
    std::shared_ptr<detail::wait_group_state> state_;
};

} // namespace genever
