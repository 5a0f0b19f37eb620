// The caller's side of a call.
#include <genever/otp/server_ref.hpp>

#include <genever/base/demangle.hpp>
#include <genever/runtime/time.hpp>

namespace genever::detail {

call_wait::~call_wait() {
    disarm(timer_);
    if (request_) request_->type->drop(request_, exit_kind::normal); // never posted: nobody waits
}

// Everything that the answer touches is set before the request is posted: it may be answered before `post` returns.
void call_wait::suspend(process& p, std::coroutine_handle<> h) {
    if (to_ == pid_of(p)) {
        slot_.state = call_slot_base::outcome::failed;
        slot_.failure = call_failure::calling_self;
        requeue(p, h);
        return;
    }
    request* q = std::exchange(request_, nullptr);
    q->ticket = timer_.ticket = prepare_park(p, h);
    q->slot = &slot_;
    if (timeout_ != infinity) arm_after(timer_, timeout_);
    const send_result sent = post_or_wait(to_, q, place_);
    if (sent) return;
    // Nobody there, or no room: the failure is in the slot already. Others may run first, so that a loop of calls to nobody does
    // not keep the worker to itself.
    disarm(timer_);
    cancel_park(p);
    if (slot_.state == call_slot_base::outcome::none) { // the timer was faster
        slot_.state = call_slot_base::outcome::failed;
        slot_.failure = sent == send_result::noproc ? call_failure::noproc : call_failure::overloaded;
    }
    requeue(p, h);
}

bool call_wait::answered() noexcept {
    disarm(timer_);
    return slot_.state == call_slot_base::outcome::answered;
}

call_error call_wait::error() const {
    const call_failure kind =
        slot_.state == call_slot_base::outcome::failed ? slot_.failure : call_failure::timeout;
    std::string server = name_;
    if (to_) (server += server.empty() ? "" : " ") += to_string(to_);
    return call_error(kind, server, demangle(*message_), slot_.why);
}

} // namespace genever::detail
