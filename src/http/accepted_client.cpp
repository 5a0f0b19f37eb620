#include "accepted_client.hpp"

#include "connection.hpp"

#include <new>

namespace genever::http {

accepted_client::~accepted_client() {
    switch (state_) {
    case state::accepted: socket_.~unique_fd(); break;
    case state::waits: drop_wait(); break;
    case state::fresh:
    case state::asks:
    case state::late: drop_serving(); break;
    }
}

void accepted_client::open() {
    net::unique_fd socket = std::move(socket_);
    socket_.~unique_fd();
    serving_ = nullptr;
    state_ = state::fresh;
    member.stream() = net::tcp_stream{std::move(socket)};
}

task<after_serving> accepted_client::serve() {
    serving_ = new connection(*this);
    return state_ == state::late ? serving_->end() : serving_->serve();
}

void accepted_client::begin_wait() noexcept {
    drop_serving();
    in_drain_ = member.begin_wait();
    const time_point deadline = in_drain_ ? server().idle_until() : later(idle_since, idle_patience());
    new (&wait_) io_handle::wait_awaiter(member.stream().io().readable(deadline));
    state_ = state::waits;
}

void accepted_client::end_wait() noexcept {
    const io_result come = wait_.await_resume();
    drop_wait();
    serving_ = nullptr;
    const bool late = come == io_result::timeout && !in_drain_; // in a drain there is one last look
    if (late) server().admission.count(refusal::idle_timeout);
    state_ = late ? state::late : state::asks;
}

void accepted_client::drop_wait() noexcept {
    wait_.~wait_awaiter();
    member.end_wait();
}

void accepted_client::drop_serving() noexcept { delete serving_; }

task<> serve_client(std::unique_ptr<accepted_client> client) {
    client->open();
    for (;;) { // the first request may be here already
        const auto then = co_await client->serve();
        if (then == after_serving::end) co_return;
        co_await client->wait_for_request();
    }
}

} // namespace genever::http
