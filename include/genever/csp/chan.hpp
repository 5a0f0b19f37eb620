// chan<T>: Go's channel.
//
// State, under one lock: a ring of up to `capacity` values, the senders that wait because it is full, the receivers
// that wait because it is empty, and whether it has been closed. At most one of the two queues has somebody in it,
// and then the ring is full, or empty.
//
// A value passes straight between the awaiters of a waiting and a coming process. For that the coming one claims the
// waiting one's suspension: a claim fails when that process is about to be killed, and the next in line is served;
// so no value is handed to the dead, and none is lost.
#pragma once

#include <genever/base/spinlock.hpp>
#include <genever/csp/detail/waiters.hpp>
#include <genever/runtime/task.hpp>

#include <coroutine>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace genever {

/// Thrown by a send to a closed channel, and by closing one twice: bugs of the program, as Go's panics are.
class closed_channel : public std::logic_error {
public:
    using std::logic_error::logic_error;
};

namespace detail {

template <class T>
struct chan_state {
    struct receiver : waiter {
        std::optional<T> value;
    };
    struct sender : waiter {
        T* value = nullptr; // in the sender's awaiter
        bool closed = false;
    };

    explicit chan_state(std::size_t c) noexcept : capacity(c) {}

    spinlock lock;
    const std::size_t capacity;
    std::deque<T> ring;
    waiter_queue receivers;
    waiter_queue senders;
    bool closed = false;

    // All under the lock.

    /// Hands `v` to a receiver or to the ring. False: full, `v` is untouched.
    bool put(T& v) {
        while (waiter* w = receivers.pop_front()) {
            if (!claim(w->ticket)) continue;
            static_cast<receiver*>(w)->value.emplace(std::move(v));
            release_claim(*w->ticket.p);
            return true;
        }
        if (ring.size() >= capacity) return false;
        ring.push_back(std::move(v));
        return true;
    }

    /// Takes the oldest value, from the ring or from a sender. Nothing: empty.
    std::optional<T> take() {
        std::optional<T> v;
        if (!ring.empty()) {
            v.emplace(std::move(ring.front()));
            ring.pop_front();
        }
        while (waiter* w = senders.pop_front()) {
            if (!claim(w->ticket)) continue;
            auto* s = static_cast<sender*>(w);
            if (v)
                ring.push_back(std::move(*s->value));
            else
                v.emplace(std::move(*s->value));
            release_claim(*w->ticket.p);
            break;
        }
        return v;
    }

    void close() {
        spin_guard g{lock};
        if (closed) throw closed_channel("genever: close of a closed channel");
        closed = true;
        while (waiter* w = receivers.pop_front()) wake(w->ticket);
        while (waiter* w = senders.pop_front()) {
            if (!claim(w->ticket)) continue;
            static_cast<sender*>(w)->closed = true;
            release_claim(*w->ticket.p);
        }
    }
};

} // namespace detail

/// A channel: typed, first in first out, for any number of senders and receivers. With capacity 0 a send waits for its
/// receiver. Copies name the same channel; it lives as long as one of them. `send`, `recv` inside processes; the rest
/// on any thread.
///
///     chan<int> c(4);
///     go([c]() mutable -> task<> { for (int i = 0; i < 10; ++i) co_await c.send(i); c.close(); });
///     while (auto v = co_await c.recv()) use(*v);
template <class T>
class chan {
    static_assert(
        std::is_nothrow_move_constructible_v<T>,
        "genever: a channel's values must be movable without throwing; send a std::unique_ptr to the value");
    using state = detail::chan_state<T>;

public:
    explicit chan(std::size_t capacity = 0) : state_(std::make_shared<state>(capacity)) {}

    class [[nodiscard("co_await it")]] send_awaiter {
    public:
        send_awaiter(std::shared_ptr<state> s, T value) noexcept
            : state_(std::move(s)), value_(std::move(value)) {}
        send_awaiter(const send_awaiter&) = delete;
        ~send_awaiter() {
            if (!me_.ticket.p) return;
            detail::spin_guard g{state_->lock};
            state_->senders.remove(me_);
        }

        bool await_ready() {
            if (!detail::may_continue(detail::require_process("a send"))) return false;
            detail::spin_guard g{state_->lock};
            return send_now();
        }
        template <detail::task_promise_type P>
        void await_suspend(std::coroutine_handle<P> h) {
            auto& p = static_cast<detail::process&>(*h.promise().self);
            detail::spin_guard g{state_->lock};
            if (send_now()) { // only its budget was used up
                detail::requeue(p, h);
                return;
            }
            me_.value = &value_;
            me_.ticket = detail::prepare_park(p, h);
            state_->senders.push_back(me_);
        }
        void await_resume() const {
            if (me_.closed) throw closed_channel("genever: send on a closed channel");
        }

    private:
        bool send_now() {
            if (state_->closed) me_.closed = true;
            return me_.closed || state_->put(value_);
        }

        std::shared_ptr<state> state_;
        T value_;
        typename state::sender me_;
    };

    class [[nodiscard("co_await it")]] recv_awaiter {
    public:
        explicit recv_awaiter(std::shared_ptr<state> s) noexcept : state_(std::move(s)) {}
        recv_awaiter(const recv_awaiter&) = delete;
        ~recv_awaiter() {
            if (!me_.ticket.p) return;
            detail::spin_guard g{state_->lock};
            state_->receivers.remove(me_);
        }

        bool await_ready() {
            if (!detail::may_continue(detail::require_process("a receive"))) return false;
            detail::spin_guard g{state_->lock};
            return take_now();
        }
        template <detail::task_promise_type P>
        void await_suspend(std::coroutine_handle<P> h) {
            auto& p = static_cast<detail::process&>(*h.promise().self);
            detail::spin_guard g{state_->lock};
            if (take_now()) {
                detail::requeue(p, h);
                return;
            }
            me_.ticket = detail::prepare_park(p, h);
            state_->receivers.push_back(me_);
        }
        std::optional<T> await_resume() noexcept { return std::move(me_.value); }

    private:
        bool take_now() {
            me_.value = state_->take();
            return me_.value || state_->closed;
        }

        std::shared_ptr<state> state_;
        typename state::receiver me_;
    };

    /// Sends: suspends until a receiver has the value or it lies in the buffer. Throws closed_channel when the channel
    /// is closed, also meanwhile. Killed while it waits, nothing has been sent.
    send_awaiter send(T value) const { return send_awaiter{state_, std::move(value)}; }
    /// Receives: suspends until there is a value. Nothing when the channel is closed and empty. Killed while it waits,
    /// nothing has been taken.
    recv_awaiter recv() const { return recv_awaiter{state_}; }

    /// Sends if that is possible at once; otherwise false, and `value` is as it was. Throws closed_channel.
    bool try_send(T& value) const {
        detail::spin_guard g{state_->lock};
        if (state_->closed) throw closed_channel("genever: send on a closed channel");
        return state_->put(value);
    }
    bool try_send(T&& value) const { return try_send(value); }
    /// Receives if that is possible at once.
    std::optional<T> try_recv() const {
        detail::spin_guard g{state_->lock};
        return state_->take();
    }
    /// No more values will be sent: receivers get those that are there, then nothing. Throws closed_channel when it is
    /// closed already.
    void close() const { state_->close(); }

    /// How many values lie in the buffer.
    std::size_t size() const {
        detail::spin_guard g{state_->lock};
        return state_->ring.size();
    }
    std::size_t capacity() const noexcept { return state_->capacity; }
    bool is_closed() const {
        detail::spin_guard g{state_->lock};
        return state_->closed;
    }

    friend bool operator==(const chan& a, const chan& b) noexcept { return a.state_ == b.state_; }

private:
    std::shared_ptr<state> state_;
};

} // namespace genever
