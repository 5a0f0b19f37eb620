// error_group: several processes that work on one thing, which fails when one of them does.
#pragma once

#include <genever/csp/cancellation.hpp>
#include <genever/csp/detail/child_set.hpp>
#include <genever/csp/detail/stored_call.hpp>
#include <genever/csp/go.hpp>
#include <genever/csp/semaphore.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/task.hpp>

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace genever {

namespace detail {

struct error_group_state final : child_set {
    explicit error_group_state(const cancellation_token& parent) : source(parent) {}
    void on_failure(const std::exception_ptr& e) noexcept override;

    cancellation_source source;
    std::optional<semaphore> places;
    std::atomic<std::size_t> unbegun{0}; // members that have been started and have no place yet
};

/// Counts a member that has not begun, which its group outlives.
class unbegun_member {
public:
    explicit unbegun_member(error_group_state& g) noexcept : group_(&g) {
        g.unbegun.fetch_add(1, std::memory_order_relaxed);
    }
    unbegun_member(unbegun_member&& o) noexcept : group_(std::exchange(o.group_, nullptr)) {}
    unbegun_member& operator=(unbegun_member&&) = delete;
    ~unbegun_member() { begun(); }

    void begun() noexcept {
        // release: for whoever finds that all have begun
        if (group_) std::exchange(group_, nullptr)->unbegun.fetch_sub(1, std::memory_order_release);
    }

private:
    error_group_state* group_;
};

} // namespace detail

/// Go's x/sync/errgroup. The first exception that leaves one of the processes cancels the group's token, and `wait`,
/// when all have ended, rethrows it; later ones are taken for consequences. A member that is killed has failed. No crash
/// report is made: the one who waits has the exception. As in Go, the others are told (`token`), not killed, and end by
/// themselves.
///
///     error_group g{parent_token};
///     for (auto& url : urls) g.go([url, t = g.token()]() -> task<> { co_await fetch(t, url); });
///     co_await g.wait();
///
/// The group belongs to one process. When it goes before all members have ended (because that process was killed, say, or
/// threw), the token is cancelled and the members are killed, each at its next suspension point: nobody would wait for
/// them any more. A kill or a deadline that hits `wait` waits for their end first, but an exception between `go` and
/// `wait` cannot: so a member must own what it uses, or refer to what outlives the owner.
class error_group {
public:
    explicit error_group(const cancellation_token& parent = {})
        : state_(new detail::error_group_state(parent)) {}
    error_group(const error_group&) = delete;
    error_group& operator=(const error_group&) = delete;
    ~error_group() {
        state_->source.cancel();
        state_->stop();
    }

    /// Cancelled with the parent, by the first failure (which is the cause), and when `wait` has ended.
    cancellation_token token() const noexcept { return state_->source.token(); }

    /// No more than `n` members (more than 0) run at once. Before the first `go`.
    void set_limit(std::size_t n) { state_->places.emplace(n); }

    /// Starts `f(args...)` as a process of the group. Where there is a limit it begins when a place is free, first come,
    /// first served; until then it is a parked process. (Go's blocks instead: see `room`.)
    template <class F, class... Args>
        requires std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>
    void go(F&& f, Args&&... args) {
        start(semaphore::permit{}, std::forward<F>(f), std::forward<Args>(args)...);
    }
    /// Starts it only if it can begin at once.
    template <class F, class... Args>
        requires std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>
    bool try_go(F&& f, Args&&... args) {
        semaphore::permit place;
        if (state_->places && !(place = state_->places->try_acquire())) return false;
        start(std::move(place), std::forward<F>(f), std::forward<Args>(args)...);
        return true;
    }
    /// Waits until all members that were started have begun and there is a free place: whoever starts members in a loop
    /// without end awaits this in between. It may take long where others start members of the group meanwhile.
    task<> room() {
        if (!state_->places) return {};
        return wait_for_place(state_);
    }

    class [[nodiscard("co_await it")]] wait_awaiter : detail::children_wait {
    public:
        explicit wait_awaiter(const error_group& g) noexcept : children_wait(base(g.state_)) {}
        bool await_ready() const noexcept { return false; }
        template <detail::task_promise_type P>
        bool await_suspend(std::coroutine_handle<P> h) noexcept {
            return suspend(static_cast<detail::process&>(*h.promise().self), h);
        }
        void await_resume();

    private:
        static detail::ref<detail::child_set> base(const detail::ref<detail::error_group_state>& s) noexcept {
            s->add_reference();
            return detail::ref<detail::child_set>{s.get()};
        }
    };

    /// Waits until all members have ended. Rethrows what the first one that failed threw (std::runtime_error where it was
    /// killed).
    wait_awaiter wait() const noexcept { return wait_awaiter{*this}; }

private:
    template <class F, class... Args>
    void start(semaphore::permit place, F&& f, Args&&... args) {
        using call = detail::stored_call<std::decay_t<F>, std::decay_t<Args>...>;
        using placed_call = detail::outlived<semaphore::permit, call>;
        using member =
            detail::outlived<detail::child_share, detail::outlived<detail::unbegun_member, placed_call>>;
        spawn(
            [](member m) -> task<> {
                if (!m.outer.enter()) co_return;
                auto& places = static_cast<detail::error_group_state&>(m.outer.set()).places;
                semaphore::permit& place = m.inner.inner.outer;
                try {
                    if (places && !place) place = co_await places->acquire();
                    m.inner.outer.begun();
                    if constexpr (detail::is_task<typename call::result>)
                        co_await m.inner.inner.inner();
                    else
                        m.inner.inner.inner();
                    m.outer.finish();
                } catch (...) {
                    m.outer.fail(std::current_exception());
                }
            },
            member{detail::child_share{*state_}, detail::unbegun_member{*state_}, std::move(place),
                   std::forward<F>(f), std::forward<Args>(args)...});
    }
    static task<> wait_for_place(detail::ref<detail::error_group_state> s) {
        for (;;) {
            {
                const auto place = co_await s->places->acquire();
                // acquire: what those have done that have begun is seen
                if (s->unbegun.load(std::memory_order_acquire) == 0) co_return;
            }
            co_await yield(); // those who have been started and have not run yet get in line now
        }
    }

    detail::ref<detail::error_group_state> state_;
};

} // namespace genever
