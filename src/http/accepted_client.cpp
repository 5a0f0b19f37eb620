#include "accepted_client.hpp"

#include "connection.hpp"

#include <new>

namespace genever::http {

accepted_client::~accepted_client() {
    if (state_ == state::waits) drop_wait();
}

void accepted_client::begin_wait() noexcept {
    in_drain_ = member.begin_wait();
    const time_point deadline = in_drain_ ? server().idle_until() : later(idle_since, idle_patience());
    new (&wait_) io_handle::wait_awaiter(member.stream().io().readable(deadline));
    state_ = state::waits;
}

void accepted_client::end_wait() noexcept {
    const io_result come = wait_.await_resume();
    drop_wait();
    state_ = come == io_result::timeout && !in_drain_ ? state::late
                                                      : state::asks; // in a drain there is one last look
}

void accepted_client::drop_wait() noexcept {
    wait_.~wait_awaiter();
    member.end_wait();
}

namespace {

/// False: the connection has ended. A coroutine of its own, so that all this needs is gone while the client is idle.
task<bool> serve_while_it_asks(accepted_client& client) {
    const auto serving = std::make_unique<connection>(client);
    if (client.is_late()) {
        co_await serving->linger();
        co_return false;
    }
    const auto then = co_await serving->serve();
    co_return then == connection::after::idle;
}

} // namespace

task<> serve_client(std::unique_ptr<accepted_client> client) {
    client->open();
    for (;;) { // the first request may be here already
        const bool goes_on = co_await serve_while_it_asks(*client);
        if (!goes_on) co_return;
        co_await client->wait_for_request();
    }
}

} // namespace genever::http
