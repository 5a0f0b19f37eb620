// The queue of suspended processes in a synchronisation object.
#pragma once

#include <genever/runtime/detail/process.hpp>

namespace genever::detail {

/// One suspended process in some object's queue. Lies in the awaiter, which takes it out in its destructor.
struct waiter {
    waiter* previous = nullptr;
    waiter* next = nullptr;
    wait_ticket ticket;
    bool queued = false;
};

/// First in, first out. Under its owner's lock.
class waiter_queue {
public:
    bool empty() const noexcept { return !first_; }
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

private:
    waiter* first_ = nullptr;
    waiter* last_ = nullptr;
};

} // namespace genever::detail
