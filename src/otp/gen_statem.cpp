// The order of a transition is that of OTP's documentation of gen_statem, type transition_option().
#include <genever/otp/detail/statem_core.hpp>

#include <genever/runtime/process.hpp>

#include <algorithm>
#include <iterator>

namespace genever::detail {

task<> statem_core::begin() {
    statem_outcome o = std::move(*first_);
    first_.reset();
    co_await apply(std::move(o), true);
    co_await run();
}

task<> statem_core::take(held_message& event) {
    queue_.push_back({std::move(event), 0});
    return run();
}

task<> statem_core::fired(std::uint64_t number) {
    const auto t = std::ranges::find(timers_, number, &timer::number);
    if (t == timers_.end()) return {}; // stopped when its message was on its way
    queue_.push_back({std::move(t->event), 0});
    timers_.erase(t);
    return run();
}

task<> statem_core::run() {
    for (;;) {
        if (queue_.empty() || core_->genever_stop) co_return; // what is left fails with the process's end
        const std::uint64_t zero = queue_.front().timer;
        current_ = std::move(queue_.front().event);
        queue_.pop_front();
        if (zero != 0) {
            const auto t = std::ranges::find(timers_, zero, &timer::number);
            const bool stopped = t == timers_.end();
            if (stopped) {
                current_.done();
                continue;
            }
            timers_.erase(t);
        }
        stop_timer(statem_timer::event, {}); // any event does
        const auto& type = static_cast<const statem_message_type&>(server_type_of(*current_.get()));
        statem_step step = type.step(current_, core_->genever_server);
        if (step.waits) {
            statem_outcome o = co_await std::move(step.later);
            step.now = std::move(o);
        }
        co_await apply(std::move(step.now), false);
    }
}

task<> statem_core::apply(statem_outcome o, bool initial) {
    if (o.stop) {
        current_.done();
        core_->genever_stop = std::move(o.stop);
        co_return;
    }
    const bool change = o.next && state_ && o.next->index != state_->index;
    if (change) stop_timer(statem_timer::state, {});
    if (o.next) state_ = std::move(o.next);
    if (change || initial || o.repeat) {
        statem_step entered = enter_(core_->genever_server);
        if (entered.waits) {
            statem_outcome more = co_await std::move(entered.later);
            entered.now = std::move(more);
        }
        std::ranges::move(entered.now.timers, std::back_inserter(o.timers));
        if (entered.now.stop) core_->genever_stop = std::move(entered.now.stop);
    }
    if (o.postpone && current_.get()) // at the start there is nothing to postpone
        postponed_.push_back(std::move(current_));
    else
        current_.done();
    if (change) {
        for (auto i = postponed_.rbegin(); i != postponed_.rend(); ++i) queue_.push_front({std::move(*i), 0});
        postponed_.clear();
    }
    for (auto i = o.inserted.rbegin(); i != o.inserted.rend(); ++i) queue_.push_front({std::move(*i), 0});
    for (auto& a : o.timers) start_timer(std::move(a));
}

void statem_core::stop_timer(statem_timer kind, const std::string& name) noexcept {
    const auto t =
        std::ranges::find_if(timers_, [&](const timer& x) { return x.kind == kind && x.name == name; });
    if (t == timers_.end()) return;
    t->ref.cancel();
    timers_.erase(t);
}

// One of no length is an event that has been received last: after those that are in the queue, before those that are in the
// mailbox.
void statem_core::start_timer(statem_timer_action a) {
    stop_timer(a.kind, a.name);
    if (!a.event.get() || a.after == infinity) return;
    const std::uint64_t number = ++last_timer_;
    if (a.after <= duration::zero()) {
        timers_.push_back({a.kind, std::move(a.name), number, {}, held_message{nullptr}});
        queue_.push_back({std::move(a.event), number});
        return;
    }
    timers_.push_back({a.kind, std::move(a.name), number, {}, std::move(a.event)});
    const tick_maker make = tick_;
    timers_.back().ref =
        timer_ref{detail::start_once(self(), a.after, [make, number] { return make(number); })};
}

} // namespace genever::detail
