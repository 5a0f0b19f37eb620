#include <genever/csp/wait_group.hpp>

#include <genever/runtime/runtime.hpp>

#include <exception>
#include <stdexcept>

namespace genever {

using namespace detail;

void wait_group_state::add(std::ptrdiff_t n) {
    {
        spin_guard g{lock};
        if (count + n < 0) throw std::logic_error("genever: wait_group: more done() than add()");
        count += n;
        if (count != 0) return;
        // Under the lock: a waiter that is being destroyed waits for it, so none is lost from under us.
        while (waiter* w = waiting.pop_front()) wake(w->ticket);
    }
}

void wait_group_state::leave() noexcept {
    try {
        add(-1);
    } catch (...) {
        report_crash("wait_group::go", exit_reason::from_exception(std::current_exception()));
    }
}

wait_group::wait_awaiter::~wait_awaiter() {
    if (!me_.ticket.p) return;
    spin_guard g{state_->lock};
    state_->waiting.remove(me_);
}

bool wait_group::wait_awaiter::await_ready() {
    if (!may_continue(require_process("waiting for a wait_group"))) return false;
    spin_guard g{state_->lock};
    return state_->count == 0;
}

void wait_group::wait_awaiter::suspend(process& p, std::coroutine_handle<> h) noexcept {
    spin_guard g{state_->lock};
    if (state_->count == 0) { // only the budget was used up
        requeue(p, h);
        return;
    }
    me_.ticket = prepare_park(p, h);
    state_->waiting.push_back(me_);
}

} // namespace genever
