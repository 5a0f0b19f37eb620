// How a connection asks whether its request may be handled.
#include "connection.hpp"

#include <genever/runtime/time.hpp>

#include <algorithm>
#include <optional>
#include <utility>

namespace genever::http {

// Decided before anything is done for the request; by the rules of a class that somebody further in knows better, again.
bool connection::admit(traffic_class& c) {
    if (refused_ != refusal::none || waits_for_) return false;
    if (class_ == &c || head_sent_) return true;
    const bool again = class_ != nullptr;
    permit_.give_back();
    const time_point time = now();
    // What has come while its predecessor was handled has waited for that one, not for the server; it is judged as that one was.
    const time_point since = std::max(stream_.io().readable_since(), came_at_);
    measured_ = !again && since > handled_at_;
    if (measured_) queued_ = time - since;
    handled_at_ = asked_at_ = time;
    if (std::exchange(fresh_turn_, false)) turn_began_ = time;
    return ask(c, may_wait_ && !again);
}

// Now, which is `handled_at_`.
bool connection::ask(traffic_class& c, bool may_wait) {
    class_ = &c;
    const admission_control::asker a{.client = client_.member.counted().client(),
                                     .waited = queued_,
                                     .measured = std::exchange(measured_, false),
                                     .in_reserve = client_.in_reserve(),
                                     .may_wait = may_wait,
                                     .asking = handled_at_ - asked_at_};
    const std::optional<refusal> why = server_.admission.admit(c, a, handled_at_, permit_);
    waits_for_ = why ? nullptr : &c;
    refused_ = why.value_or(refusal::none);
    return why == refusal::none;
}

// Until the class has a place for the request, or it is refused. False: the client is gone.
task<bool> connection::wait_for_a_place() {
    traffic_class& c = *waits_for_;
    bool sent = out_.empty() || flush_now(); // the client has waited for it long enough
    if (!sent) sent = co_await flush();
    if (!sent) {
        if (!late_) server_.admission.count(refusal::client_gone);
        co_return false;
    }
    {
        const admission_control::waiting w{c};
        while (waits_for_) {
            co_await sleep_for(admission_control::ask_again_after);
            if (stream_.io().hung_up() && !options_.half_closed_clients) {
                server_.admission.count(refusal::client_gone);
                co_return false;
            }
            handled_at_ = now();
            ask(c, true);
        }
    }
    response_.clear(); // what the handler has made before it asked
    fresh_turn_ = true;
    co_return true;
}

time_point connection::handler_deadline(time_point began) const noexcept {
    const duration limit = class_ && class_->settings.handler_timeout ? *class_->settings.handler_timeout
                                                                      : options_.handler_timeout;
    return later(began, limit);
}

} // namespace genever::http
