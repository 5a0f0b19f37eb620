// Shared states with their reference count inside.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace genever::detail {

/// Counts references. `State` derives from it and has `static void destroy(State*) noexcept`.
template <class State>
class counted {
public:
    counted(const counted&) = delete;
    counted& operator=(const counted&) = delete;

    /// relaxed: whoever adds a reference has one, or the object's lock keeps the last one from going
    void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
    void drop_reference() noexcept {
        if (drop_last_reference()) State::destroy(static_cast<State*>(this));
    }
    /// Drops a reference. True: it was the last one, the state is the caller's to destroy.
    bool drop_last_reference() noexcept {
        // acq_rel: the last one to go sees what all the others did with the state
        return references_.fetch_sub(1, std::memory_order_acq_rel) == 1;
    }
    /// Adds a reference unless the last one has gone (and the state waits, at some lock, for its destruction).
    bool add_reference_if_alive() noexcept {
        std::uint32_t n = references_.load(std::memory_order_relaxed);
        while (n != 0)
            if (references_.compare_exchange_weak(n, n + 1, std::memory_order_relaxed)) return true;
        return false;
    }

protected:
    counted() noexcept = default;
    ~counted() = default;

private:
    std::atomic<std::uint32_t> references_{1};
};

/// Holds one reference, or none.
template <class State>
class ref {
public:
    ref() noexcept = default;
    /// Takes over the reference that a new state begins with.
    explicit ref(State* s) noexcept : state_(s) {}
    ref(const ref& o) noexcept : state_(o.state_) {
        if (state_) state_->add_reference();
    }
    ref(ref&& o) noexcept : state_(std::exchange(o.state_, nullptr)) {}
    ref& operator=(ref o) noexcept {
        std::swap(state_, o.state_);
        return *this;
    }
    ~ref() {
        if (state_) state_->drop_reference();
    }

    State* get() const noexcept { return state_; }
    /// Gives the reference away.
    State* release() noexcept { return std::exchange(state_, nullptr); }
    State* operator->() const noexcept { return state_; }
    State& operator*() const noexcept { return *state_; }
    explicit operator bool() const noexcept { return state_ != nullptr; }
    friend bool operator==(const ref& a, const ref& b) noexcept { return a.state_ == b.state_; }

private:
    State* state_ = nullptr;
};

} // namespace genever::detail
