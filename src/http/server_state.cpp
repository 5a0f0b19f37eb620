#include "server_state.hpp"

#include <genever/runtime/process.hpp>

namespace genever::http {

using detail::spin_guard;

server_state::member::member(server_state& s, io_handle& io) : server_(s), io_(io) {
    spin_guard g{s.lock_};
    next_ = s.first_;
    if (next_) next_->previous_ = this;
    s.first_ = this;
    ++s.count_;
}

server_state::member::~member() {
    pid tell;
    {
        spin_guard g{server_.lock_};
        (previous_ ? previous_->next_ : server_.first_) = next_;
        if (next_) next_->previous_ = previous_;
        if (--server_.count_ == 0) tell = server_.waits_for_drain_;
    }
    if (tell) send(tell, drained{});
}

bool server_state::member::begin_wait() noexcept {
    spin_guard g{server_.lock_};
    waiting_ = true;
    return !server_.draining.load(std::memory_order_relaxed); // written under the lock
}

void server_state::member::end_wait() noexcept {
    spin_guard g{server_.lock_};
    waiting_ = false;
}

void server_state::drain(pid who) {
    bool none;
    {
        spin_guard g{lock_};
        draining.store(true, std::memory_order_relaxed);
        waits_for_drain_ = who;
        none = count_ == 0;
        for (member* m = first_; m; m = m->next_)
            if (m->waiting_) m->io_.nudge();
    }
    if (none) send(who, drained{});
}

std::size_t server_state::connections() noexcept {
    spin_guard g{lock_};
    return count_;
}

} // namespace genever::http
