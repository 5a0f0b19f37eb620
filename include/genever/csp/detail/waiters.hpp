// The queue of suspended processes in a synchronisation object, and how one of them is served.
//
// One waiter, from its suspension on:
//
//     queued ──── served: popped, its suspension claimed, `outcome` written, released ────▶ resumes: outcome != none
//        │                                                   └── or destroyed first: what it was given goes back
//        ├── popped, but the claim was refused: somebody else has ended the suspension, or a kill is on its way
//        └── destroyed while it waits: its destructor takes it out
//
// All fields change under the object's lock, except that a process that has been resumed reads its own waiters without:
// the claim was the last that anybody did with them. Between claim and release the waiter neither runs nor goes away,
// so the release comes after the object's lock: a served process never finds that lock still held by its server, and may
// even destroy the object.
#pragma once

#include <genever/base/spinlock.hpp>
#include <genever/runtime/detail/process.hpp>

namespace genever::detail {

enum class wait_outcome : std::uint8_t { none, done, closed };

/// One suspended process in some object's queue. Lies in the awaiter, which takes it out in its destructor.
struct waiter {
    waiter* previous = nullptr;
    waiter* next = nullptr;
    wait_ticket ticket;
    bool queued = false;
    wait_outcome outcome = wait_outcome::none;
};

/// First in, first out. Under its owner's lock.
class waiter_queue {
public:
    bool empty() const noexcept { return !first_; }
    waiter* front() const noexcept { return first_; }
    void push_back(waiter& w) noexcept {
        w.previous = last_;
        w.next = nullptr;
        (last_ ? last_->next : first_) = &w;
        last_ = &w;
        w.queued = true;
    }
    void remove(waiter& w) noexcept {
        if (!w.queued) return;
        (w.previous ? w.previous->next : first_) = w.next;
        (w.next ? w.next->previous : last_) = w.previous;
        w.queued = false;
    }
    waiter* pop_front() noexcept {
        waiter* w = first_;
        if (w) remove(*w);
        return w;
    }
    /// Takes out the first one whose suspension can be claimed, and claims it. The others before it are finished: they
    /// are about to leave by themselves.
    waiter* claim_front() noexcept {
        while (waiter* w = pop_front())
            if (claim(w->ticket)) return w;
        return nullptr;
    }

private:
    waiter* first_ = nullptr;
    waiter* last_ = nullptr;
};

/// The waiters that have been claimed and served under a lock: releases them when it goes, in their order. Declare it
/// before the lock's guard, so that it goes after the unlock.
class served_waiters {
public:
    served_waiters() noexcept = default;
    served_waiters(const served_waiters&) = delete;
    served_waiters& operator=(const served_waiters&) = delete;
    ~served_waiters() {
        while (waiter* w = first_) {
            first_ = w->next;
            release_claim(*w->ticket.p); // from here on `*w` may be gone
        }
    }

    void add(waiter& w, wait_outcome how = wait_outcome::done) noexcept {
        w.outcome = how;
        w.next = nullptr;
        (first_ ? last_->next : first_) = &w;
        last_ = &w;
    }

private:
    waiter* first_ = nullptr;
    waiter* last_ = nullptr;
};

} // namespace genever::detail
