#include "accepted_client.hpp"

#include "connection.hpp"

namespace genever::http {

task<> serve_client(std::unique_ptr<accepted_client> client) {
    client->open();
    for (;;) {
        auto come = io_result::ready;
        {
            const server_state::client_wait w{client->member};
            if (!w.draining()) {
                const time_point deadline = later(client->idle_since, client->idle_patience());
                come = co_await client->stream.io().readable(deadline);
            }
        }
        const auto serving = std::make_unique<connection>(*client);
        if (come == io_result::timeout) {
            co_await serving->linger();
            co_return;
        }
        const auto then = co_await serving->serve();
        if (then == connection::after::end) co_return;
    }
}

} // namespace genever::http
