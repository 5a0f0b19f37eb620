#include "accepted_client.hpp"

#include "connection.hpp"

namespace genever::http {

task<> serve_client(std::unique_ptr<accepted_client> client) {
    client->open();
    for (bool first = true;; first = false) {
        bool late = false;
        if (!first) { // the first request may be here already, and its wait counts from the client's acceptance
            const server_state::client_wait w{client->member};
            const time_point deadline = w.draining() ? client->server.idle_until()
                                                     : later(client->idle_since, client->idle_patience());
            const io_result come = co_await client->stream.io().readable(deadline);
            late = come == io_result::timeout && !w.draining(); // in a drain there is one last look
        }
        const auto serving = std::make_unique<connection>(*client);
        if (late) {
            co_await serving->linger();
            co_return;
        }
        const auto then = co_await serving->serve();
        if (then == connection::after::end) co_return;
    }
}

} // namespace genever::http
