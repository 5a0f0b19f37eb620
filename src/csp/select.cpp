// The wait at several places; the order of things is at the head of detail/select_core.hpp.
#include <genever/csp/select.hpp>
#include <genever/runtime/time.hpp>

#include "runtime/random.hpp"

#include <algorithm>
#include <functional>
#include <stdexcept>

namespace genever::detail {

namespace {

/// Every order is equally likely, so that the first ready case in it is every ready case with the same likelihood.
void shuffle(std::span<select_case*> cases, process& p) noexcept {
    std::uint64_t r = 0;
    std::uint64_t range = 0; // r is uniform below it, nearly: so much of the number that was drawn is unused
    for (std::uint64_t left = cases.size(); left > 1; --left) {
        if (range >> 32 < left) { // one part in 2^32 is as uneven as a choice may be
            r = random_number(p);
            range = ~std::uint64_t{0};
        }
        std::swap(cases[left - 1], cases[r % left]);
        r /= left;
        range /= left;
    }
}

class locked_places {
public:
    explicit locked_places(std::span<select_case*> cases) noexcept : cases_(cases) {
        std::ranges::sort(cases_, std::less<>{}, [](const select_case* c) { return c->lock; });
        const spinlock* last = nullptr;
        for (select_case* c : cases_) {
            if (c->lock && c->lock != last) c->lock->lock();
            last = c->lock;
        }
    }
    locked_places(const locked_places&) = delete;
    locked_places& operator=(const locked_places&) = delete;
    ~locked_places() {
        const spinlock* last = nullptr;
        for (select_case* c : cases_) {
            if (c->lock && c->lock != last) {
                last = c->lock;
                c->lock->unlock();
            }
        }
    }

private:
    std::span<select_case*> cases_;
};

} // namespace

bool select_core::suspend(process& p, std::coroutine_handle<> h, std::span<select_case*> cases,
                          std::span<select_case*> scratch, std::size_t otherwise) noexcept {
    const bool go_on = may_continue(p);
    cases_ = cases;
    time_point t{};
    for (const select_case* c : cases) {
        if (!c || !c->timed) continue;
        t = now();
        break;
    }
    std::size_t n = 0;
    select_case* first_due = nullptr;
    for (select_case* c : cases) {
        if (!c) continue;
        c->prepare(t);
        scratch[n++] = c;
        if (c->due != time_point::max() && (!first_due || c->due < first_due->due)) first_due = c;
    }
    const std::span<select_case*> order = scratch.first(n);
    const std::span<select_case*> by_address = scratch.subspan(n, n);
    std::ranges::copy(order, by_address.begin());
    shuffle(order, p);
    const auto number = [&](select_case* c) {
        return static_cast<std::size_t>(std::ranges::find(cases, c) - cases.begin());
    };
    {
        served_waiters served;
        const locked_places locked{by_address};
        for (select_case* c : order) {
            if (!c->attempt(served, t)) continue;
            chosen_ = number(c);
            break;
        }
        if (chosen_ == none) chosen_ = otherwise;
        if (chosen_ == none && first_due && first_due->due <= t) chosen_ = number(first_due);
        if (chosen_ != none && go_on) return false;

        suspended_ = true;
        for (select_case* c : order) c->hold();
        if (chosen_ != none) { // only the budget was used up
            requeue(p, h);
            return true;
        }
        queued_ = true;
        timer_.ticket = prepare_park(p, h);
        for (select_case* c : order) {
            if (!c->queue) continue;
            c->me->ticket = timer_.ticket;
            c->queue->push_back(*c->me);
        }
    }
    if (first_due) arm(timer_, first_due->due);
    return true;
}

// `served_known`: the process runs again, so nobody writes into its waiters any more, and the one that was served is
// known to be out of its queue.
void select_core::leave_places(bool served_known) noexcept {
    if (!queued_) return;
    disarm(timer_);
    for (select_case* c : cases_) {
        if (!c || !c->queue || (served_known && c->me->outcome != wait_outcome::none)) continue;
        spin_guard g{*c->lock};
        c->queue->remove(*c->me);
    }
    queued_ = false;
}

std::size_t select_core::settle() noexcept {
    if (suspended_) {
        const bool waited = queued_;
        leave_places(true);
        if (waited) {
            select_case* first_due = nullptr;
            for (std::size_t i = 0; i < cases_.size() && chosen_ == none; ++i) {
                select_case* c = cases_[i];
                if (c && c->me && c->me->outcome != wait_outcome::none) chosen_ = i;
                if (c && (!first_due || c->due < first_due->due)) first_due = c;
            }
            if (chosen_ == none) // the timer
                chosen_ = static_cast<std::size_t>(std::ranges::find(cases_, first_due) - cases_.begin());
        }
        for (select_case* c : cases_)
            if (c) c->let_go();
        suspended_ = false;
    }
    if (cases_[chosen_]) cases_[chosen_]->chosen();
    return chosen_;
}

void select_core::abandon() noexcept {
    if (!suspended_) return;
    leave_places(false);
    for (select_case* c : cases_) {
        if (!c) continue;
        c->give_back();
        c->let_go();
    }
}

// ---- cases in a vector

select_vector_awaiter::select_vector_awaiter(std::vector<any_case>& cases)
    : given_(&cases), count_(cases.size()), pointers_(3 * count_) {
    for (std::size_t i = 0; i < count_; ++i) {
        pointers_[i] = cases[i].case_->waiting();
        if (pointers_[i]) continue;
        if (otherwise_ != none) throw std::logic_error("genever: a select has at most one otherwise clause");
        otherwise_ = i;
    }
}

std::size_t select_vector_awaiter::await_resume() {
    const std::size_t i = settle();
    (*given_)[i].case_->act();
    return i;
}

} // namespace genever::detail
