// The processes that are ready on one worker.
#pragma once

#include <genever/base/spinlock.hpp>
#include <genever/runtime/detail/process.hpp>

#include <atomic>
#include <cstddef>

namespace genever::detail {

/// First in, first out, with one slot before the front (the LIFO slot) for who was woken last by the running
/// process: it finds its data warm. Everything is under one lock, so that any thread may push, pop or steal. The LIFO
/// slot is stolen only where the monitor has opened it, because its worker does not come to it: two processes that wake
/// each other in turn would otherwise be torn apart at each step.
class run_queue {
public:
    void push(process& p) noexcept {
        spin_guard g{lock_};
        push_back(p);
    }
    /// Puts `p` into the LIFO slot; who was there goes to the back of the queue.
    void push_lifo(process& p) noexcept {
        spin_guard g{lock_};
        if (lifo_) push_back(*lifo_);
        lifo_ = &p;
        lifo_open_ = false;
        has_lifo_.store(true, std::memory_order_relaxed); // a hint, as size_ is
    }
    /// Whoever is in the LIFO slot may be stolen from now on.
    void open_lifo() noexcept {
        spin_guard g{lock_};
        lifo_open_ = true;
    }
    /// The next one, or null. `streak` counts how often in a row the LIFO slot was served: after 16 times its
    /// process goes to the back, so that two which wake each other do not starve the rest.
    process* pop(unsigned& streak) noexcept {
        if (looks_empty()) return nullptr;
        spin_guard g{lock_};
        if (lifo_) {
            process* p = lifo_;
            lifo_ = nullptr;
            has_lifo_.store(false, std::memory_order_relaxed);
            if (++streak <= 16) return p;
            push_back(*p);
        }
        streak = 0;
        return pop_front();
    }
    /// Takes up to half of what is here, at most 32: gives one and puts the others into `to`. Where nothing else is here, the
    /// process in the LIFO slot if that is open.
    process* steal_into(run_queue& to) noexcept;

    /// Without the lock: hints, exact for a thread that alone uses the queue.
    bool looks_empty() const noexcept { return length() == 0; }
    std::size_t length() const noexcept {
        return size_.load(std::memory_order_relaxed) + (has_lifo_.load(std::memory_order_relaxed) ? 1 : 0);
    }
    /// How many wait behind the LIFO slot.
    std::size_t waiting() const noexcept { return size_.load(std::memory_order_relaxed); }

private:
    void push_back(process& p) noexcept {
        p.next_ready = nullptr;
        (first_ ? last_->next_ready : first_) = &p;
        last_ = &p;
        size_.store(size_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    process* pop_front() noexcept {
        process* p = first_;
        if (!p) return nullptr;
        first_ = p->next_ready;
        size_.store(size_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
        return p;
    }

    spinlock lock_;
    std::atomic<bool> has_lifo_{false};
    process* lifo_ = nullptr;
    bool lifo_open_ = false;
    process* first_ = nullptr;
    process* last_ = nullptr;
    std::atomic<std::size_t> size_{0};
};

inline process* run_queue::steal_into(run_queue& to) noexcept {
    process* mine = nullptr;
    process* rest[32];
    std::size_t n = 0;
    {
        spin_guard g{lock_};
        std::size_t share = (size_.load(std::memory_order_relaxed) + 1) / 2;
        if (share > 32) share = 32;
        mine = pop_front();
        for (; mine && n + 1 < share; ++n) rest[n] = pop_front();
        if (!mine && lifo_ && lifo_open_) {
            mine = lifo_;
            lifo_ = nullptr;
            has_lifo_.store(false, std::memory_order_relaxed);
        }
    }
    for (std::size_t i = 0; i < n; ++i) to.push(*rest[i]);
    return mine;
}

} // namespace genever::detail
