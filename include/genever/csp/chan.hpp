// chan<T>: Go's channel. What it is inside, and who owns a value when: detail/chan_state.hpp.
#pragma once

#include <genever/csp/detail/chan_state.hpp>
#include <genever/runtime/task.hpp>

#include <coroutine>
#include <cstddef>
#include <functional>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace genever {

/// Thrown by a send to a closed channel, by closing one twice and by closing a nil one: bugs of the program, as Go's
/// panics are.
class closed_channel : public std::logic_error {
public:
    using std::logic_error::logic_error;
};

/// `chan<T> c = nil;` is Go's nil channel: sending to it and receiving from it block for ever, so that a `select` never
/// takes such a case. Assigned to a variable it switches a case off.
struct nil_t {
    explicit constexpr nil_t() noexcept = default;
};
inline constexpr nil_t nil{};

namespace detail {
template <class T>
class send_awaiter;
template <class T>
class recv_awaiter;
struct chan_access;

template <class U>
constexpr void refuse_miscompiled_value() {
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
    static_assert(
        std::is_lvalue_reference_v<U> || !std::is_aggregate_v<U> || std::is_trivially_destructible_v<U>,
        "genever: GCC 12 miscompiles co_await c.send(value{...}); write co_await c.emplace(...), also for "
        "c.emplace(std::move(value)), or give the value a name, or its type a constructor");
#endif
}
} // namespace detail

/// A channel: typed, first in first out, for any number of senders and receivers. With capacity 0 a send waits for its
/// receiver. A `chan` is a handle: copies name the same channel, which lives as long as one of them. What has been moved
/// from is nil. `send` and `recv` in processes; the rest on any thread.
///
///     chan<int> c(4);
///     go([c]() -> task<> { for (int i = 0; i < 10; ++i) co_await c.send(i); c.close(); });
///     while (auto v = co_await c.recv()) use(*v);
///
/// T moves without throwing. Its move constructor, and the destructor of what was moved from, must not use the channel.
template <class T>
class chan {
    static_assert(
        std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
        "genever: a channel's values must be movable without throwing; send a std::unique_ptr to the value");

public:
    using value_type = T;

    /// Room for all `capacity` values is made at once. Throws std::bad_alloc.
    explicit chan(std::size_t capacity = 0) : state_(detail::chan_state<T>::make(capacity)) {}
    // NOLINTNEXTLINE(google-explicit-constructor): `c = nil` is the idiom
    chan(nil_t) noexcept {}

    /// Sends: suspends until a receiver has the value or it lies in the buffer. Throws closed_channel when the channel is
    /// closed, also meanwhile. Destroyed while it waits (by a kill, a deadline, ...), nothing has been sent, unless the
    /// value had just gone to a receiver or into the buffer. The handle must live until the await has begun.
    ///
    /// GCC 12 destroys an aggregate's members twice when it is made inside a co_await expression, so there
    /// `co_await c.send(request{text})` is refused; `co_await c.emplace(text)` does the same.
    template <class U = T>
        requires std::is_convertible_v<U&&, T>
    detail::send_awaiter<T> send(U&& value) const {
        detail::refuse_miscompiled_value<U>();
        return {state_.get(), T(std::forward<U>(value))};
    }
    /// Sends a value that is made from `args`.
    template <class... Args>
        requires std::is_constructible_v<T, Args&&...>
    detail::send_awaiter<T> emplace(Args&&... args) const {
        return {state_.get(), T(std::forward<Args>(args)...)};
    }
    /// Receives: suspends until there is a value. Nothing when the channel is closed and empty. Destroyed while it waits,
    /// nothing has been taken: a value that it had been given already goes to the next receiver, or back to the front.
    /// The handle must live until the await has begun.
    detail::recv_awaiter<T> recv() const noexcept { return detail::recv_awaiter<T>{state_.get()}; }

    /// Receives until the channel is closed and empty, and calls `f` with each value: Go's `for v := range c`. Where `f`
    /// is a coroutine it is awaited. Owns `f`, and a handle.
    template <class F>
    task<> for_each(F f) const {
        return each(*this, std::move(f));
    }

    /// Sends if that is possible at once; otherwise false, and `value` is as it was. Throws closed_channel.
    bool try_send(T&& value) const {
        if (!state_) return false;
        detail::served_waiters served;
        detail::spin_guard g{state_->lock};
        if (state_->closed()) throw closed_channel("genever: send on a closed channel");
        return state_->put(value, served);
    }
    bool try_send(const T& value) const
        requires std::is_copy_constructible_v<T>
    {
        return try_send(T(value));
    }
    /// Receives if that is possible at once. Nothing: empty, or closed.
    std::optional<T> try_recv() const noexcept {
        if (!state_) return {};
        typename detail::chan_state<T>::receiver r;
        {
            detail::served_waiters served;
            detail::spin_guard g{state_->lock};
            state_->take(r, served);
        }
        return std::move(r.value);
    }
    /// No more values will be sent: receivers get those that are there, then nothing; senders that wait throw
    /// closed_channel. Throws it when it is closed already, or nil.
    void close() const {
        if (!state_) throw closed_channel("genever: close of a nil channel");
        detail::served_waiters served;
        detail::spin_guard g{state_->lock};
        if (!state_->close(served)) throw closed_channel("genever: close of a closed channel");
    }

    /// How many values lie in the buffer; past when it is read. More than the capacity when killed receivers have given
    /// values back.
    std::size_t size() const noexcept {
        if (!state_) return 0;
        detail::spin_guard g{state_->lock};
        return state_->size();
    }
    std::size_t capacity() const noexcept { return state_ ? state_->capacity() : 0; }
    bool is_closed() const noexcept {
        if (!state_) return false;
        detail::spin_guard g{state_->lock};
        return state_->closed();
    }

    friend bool operator==(const chan& a, const chan& b) noexcept { return a.state_ == b.state_; }
    friend bool operator==(const chan& a, nil_t) noexcept { return !a.state_; }

private:
    friend detail::chan_access;

    template <class F>
    static task<> each(chan c, F f) {
        for (;;) {
            auto v = co_await c.recv();
            if (!v) co_return;
            if constexpr (detail::is_task<std::invoke_result_t<F&, T&&>>)
                co_await std::invoke(f, std::move(*v));
            else
                std::invoke(f, std::move(*v));
        }
    }

    detail::ref<detail::chan_state<T>> state_;
};

namespace detail {

struct chan_access {
    template <class T>
    static chan_state<T>* state(const chan<T>& c) noexcept {
        return c.state_.get();
    }
};

// Both awaiters borrow the channel from the handle, until they suspend: from then on the handle may go, and they hold a
// reference of their own (`suspended_`). Nothing of that is paid by a wait that finds its channel ready.

template <class T>
class [[nodiscard("co_await it")]] send_awaiter {
    using state = chan_state<T>;

public:
    send_awaiter(state* s, T value) noexcept : state_(s), value_(std::move(value)) {}
    send_awaiter(const send_awaiter&) = delete;
    send_awaiter& operator=(const send_awaiter&) = delete;
    ~send_awaiter() {
        if (!suspended_) return;
        if (me_.ticket.p) {
            spin_guard g{state_->lock};
            state_->senders().remove(me_);
        }
        state_->drop_reference();
    }

    bool await_ready() const noexcept { return false; }
    template <task_promise_type P>
    bool await_suspend(std::coroutine_handle<P> h) noexcept {
        return suspend(static_cast<process&>(*h.promise().self), h);
    }
    void await_resume() {
        me_.ticket.p = nullptr; // whoever ended the suspension has taken it from the queue
        if (me_.outcome == wait_outcome::closed) throw closed_channel("genever: send on a closed channel");
    }

private:
    bool suspend(process& p, std::coroutine_handle<> h) noexcept {
        const bool go_on = may_continue(p);
        if (!state_) {
            prepare_park(p, h);
            return true;
        }
        served_waiters served;
        spin_guard g{state_->lock};
        if (state_->closed()) {
            me_.outcome = wait_outcome::closed;
        } else if (!state_->put(value_, served)) {
            me_.value = &value_;
            me_.ticket = prepare_park(p, h);
            state_->senders().push_back(me_);
        }
        if (!me_.ticket.p) {
            if (go_on) return false;
            requeue(p, h);
        }
        suspended_ = true;
        state_->add_reference();
        return true;
    }

    state* state_;
    T value_;
    typename state::sender me_;
    bool suspended_ = false;
};

template <class T>
class [[nodiscard("co_await it")]] recv_awaiter {
    using state = chan_state<T>;

public:
    explicit recv_awaiter(state* s) noexcept : state_(s) {}
    recv_awaiter(const recv_awaiter&) = delete;
    recv_awaiter& operator=(const recv_awaiter&) = delete;
    ~recv_awaiter() {
        if (!suspended_) return;
        if (me_.ticket.p) {
            spin_guard g{state_->lock};
            state_->receivers().remove(me_);
        }
        if (me_.value) state_->give_back(me_); // it never ran again
        state_->drop_reference();
    }

    bool await_ready() const noexcept { return false; }
    template <task_promise_type P>
    bool await_suspend(std::coroutine_handle<P> h) noexcept {
        return suspend(static_cast<process&>(*h.promise().self), h);
    }
    std::optional<T> await_resume() noexcept {
        me_.ticket.p = nullptr; // whoever ended the suspension has taken it from the queue
        return std::exchange(me_.value, std::nullopt);
    }

private:
    bool suspend(process& p, std::coroutine_handle<> h) noexcept {
        const bool go_on = may_continue(p);
        if (!state_) {
            prepare_park(p, h);
            return true;
        }
        served_waiters served;
        spin_guard g{state_->lock};
        if (!state_->take(me_, served) && !state_->closed()) {
            me_.ticket = prepare_park(p, h);
            state_->receivers().push_back(me_);
        } else if (go_on) {
            return false;
        } else {
            requeue(p, h);
        }
        suspended_ = true;
        state_->add_reference();
        return true;
    }

    state* state_;
    typename state::receiver me_;
    bool suspended_ = false;
};

} // namespace detail
} // namespace genever
