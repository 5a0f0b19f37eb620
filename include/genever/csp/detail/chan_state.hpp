// What a channel is, behind its handles.
//
// Under one lock: a ring of `capacity` values, the receivers that wait because it is empty, the senders that wait because
// it is full, whether it has been closed, and the values that have come back.
//
// A value passes straight between the awaiters of a waiting and a coming process: the coming one claims the waiting
// one's suspension, moves the value, and releases it after the unlock.
//
// A value on its way belongs, one after the other, to: the send (until it is taken: killed before, nothing was sent);
// the ring, or the receiver's awaiter; the receiving process, from the moment at which it runs again. A receiver that is
// destroyed between the last two (killed, timed out) gives it back: to the next receiver, or else to `returned`, which
// goes before the ring, in the order in which the values were first handed out, and which does not count for
// `capacity`. So one receiver sees its senders' order whatever becomes of it; of several receivers, one may see a value
// that came back after a younger one that it got meanwhile.
//
// T's move constructor, and the destructor of what has been moved from, run under the lock.
#pragma once

#include <genever/base/counted.hpp>
#include <genever/base/pool.hpp>
#include <genever/csp/detail/waiters.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace genever::detail {

template <class T>
class chan_state : public counted<chan_state<T>> {
public:
    struct receiver : waiter {
        std::optional<T> value;
        std::uint64_t handed = 0; // its number among all values of the channel
    };
    struct sender : waiter {
        T* value = nullptr; // in the sender's awaiter
    };

    spinlock lock;

    // ---- making and ending

    /// Throws std::bad_array_new_length for a capacity that no memory could hold, std::bad_alloc.
    static ref<chan_state> make(std::size_t capacity) {
        if (capacity > (std::numeric_limits<std::size_t>::max() / 2 - sizeof(chan_state)) / sizeof(T))
            throw std::bad_array_new_length{};
        return ref<chan_state>{::new (allocate(bytes(capacity))) chan_state(capacity)};
    }
    static void destroy(chan_state* s) noexcept {
        const std::size_t size = bytes(s->capacity_);
        s->~chan_state();
        if constexpr (over_aligned)
            ::operator delete(static_cast<void*>(s), size, std::align_val_t{alignof(T)});
        else
            pool_free(s, size);
    }

    // ---- under the lock

    /// Hands `v` to a receiver, which goes to `served`, or to the ring. False: full, `v` is untouched.
    bool put(T& v, served_waiters& served) noexcept {
        if (waiter* w = receivers_.claim_front()) {
            hand(static_cast<receiver&>(*w), v);
            served.add(*w);
            return true;
        }
        if (count_ == capacity_) return false;
        push(v);
        return true;
    }

    /// Gives `r` the oldest value: one that came back, from the ring, or from a sender. False: there is none.
    bool take(receiver& r, served_waiters& served) noexcept {
        if (returned_) [[unlikely]] {
            std::unique_ptr<returned_value> n{std::exchange(returned_, returned_->next)};
            r.value.emplace(std::move(*n->value));
            r.handed = n->handed;
            return true;
        }
        if (count_ != 0) {
            T& oldest = slots()[head_];
            hand(r, oldest);
            oldest.~T();
            head_ = after(head_);
            --count_;
            if (waiter* w = senders_.claim_front()) { // there is room for one more
                push(*static_cast<sender&>(*w).value);
                served.add(*w);
            }
            return true;
        }
        if (waiter* w = senders_.claim_front()) {
            hand(r, *static_cast<sender&>(*w).value);
            served.add(*w);
            return true;
        }
        return false;
    }

    /// False: it was closed before.
    bool close(served_waiters& served) noexcept {
        if (closed_) return false;
        closed_ = true;
        for (waiter_queue* q : {&receivers_, &senders_})
            while (waiter* w = q->claim_front()) served.add(*w, wait_outcome::closed);
        return true;
    }

    bool closed() const noexcept { return closed_; }
    std::size_t capacity() const noexcept { return capacity_; } // never changes: also without the lock
    std::size_t size() const noexcept {
        std::size_t n = count_;
        for (const returned_value* r = returned_; r; r = r->next) ++n;
        return n;
    }
    waiter_queue& receivers() noexcept { return receivers_; }
    waiter_queue& senders() noexcept { return senders_; }

    // ---- without the lock

    /// A receiver is destroyed that has a value but never ran again. (Without memory for the way back, and nobody
    /// waiting, the value is dropped: a destructor cannot say so.)
    void give_back(receiver& r) noexcept {
        std::unique_ptr<returned_value> n{new (std::nothrow) returned_value{}};
        served_waiters served;
        spin_guard g{lock};
        if (waiter* w = receivers_.claim_front()) {
            auto& other = static_cast<receiver&>(*w);
            other.value.emplace(std::move(*r.value));
            other.handed = r.handed;
            served.add(*w);
        } else if (n) {
            n->value.emplace(std::move(*r.value));
            n->handed = r.handed;
            returned_value** at = &returned_;
            while (*at && (*at)->handed < n->handed) at = &(*at)->next;
            n->next = *at;
            *at = n.release();
        }
    }

private:
    struct returned_value {
        returned_value* next = nullptr;
        std::uint64_t handed = 0;
        std::optional<T> value;
    };

    explicit chan_state(std::size_t capacity) noexcept : capacity_(capacity) {}
    ~chan_state() {
        for (; count_ != 0; --count_, head_ = after(head_)) slots()[head_].~T();
        while (returned_) delete std::exchange(returned_, returned_->next);
    }

    // The ring lies behind the state, in the same block.
    static constexpr std::size_t ring_offset() noexcept {
        return (sizeof(chan_state) + alignof(T) - 1) / alignof(T) * alignof(T);
    }
    static constexpr std::size_t bytes(std::size_t capacity) noexcept {
        return ring_offset() + capacity * sizeof(T);
    }
    static constexpr bool over_aligned = alignof(T) > alignof(std::max_align_t);
    static void* allocate(std::size_t size) {
        if constexpr (over_aligned)
            return ::operator new(size, std::align_val_t{alignof(T)});
        else
            return pool_allocate(size);
    }
    T* slots() noexcept { return reinterpret_cast<T*>(reinterpret_cast<std::byte*>(this) + ring_offset()); }
    std::size_t after(std::size_t i) const noexcept { return i + 1 == capacity_ ? 0 : i + 1; }

    void hand(receiver& r, T& v) noexcept {
        r.value.emplace(std::move(v));
        r.handed = ++handed_;
    }
    void push(T& v) noexcept {
        std::size_t tail = head_ + count_;
        if (tail >= capacity_) tail -= capacity_;
        ::new (static_cast<void*>(slots() + tail)) T(std::move(v));
        ++count_;
    }

    bool closed_ = false;
    const std::size_t capacity_;
    std::size_t head_ = 0;
    std::size_t count_ = 0;
    std::uint64_t handed_ = 0;
    returned_value* returned_ = nullptr;
    waiter_queue receivers_;
    waiter_queue senders_;
};

} // namespace genever::detail
