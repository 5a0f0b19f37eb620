// The showcase: a service with supervised state, background work, and crashes on request.
//
//   root (one_for_one)
//     rate_limiter   counts requests by address; a timer resets it
//     hit_counter    its siblings keep their state when it crashes
//     heartbeat      a periodic background worker
//     endpoint       the HTTP server
#include "rate_limiter.hpp"
#include "routes.hpp"
#include "settings.hpp"
#include "siblings.hpp"
#include "tree.hpp"

#include <genever/genever.hpp>

#include <exception>
#include <iostream>
#include <memory>

int main() {
    using namespace genever;
    using namespace showcase;
    try {
        const settings s;
        const auto window = std::chrono::milliseconds{s.window_ms};
        const auto queue_target = std::chrono::milliseconds{s.queue_target_ms};
        const auto stats = std::make_shared<http::server_stats>();
        const web::router app = routes(s.limit, stats);

        supervisor tree{
            strategy::one_for_one,
            {child<rate_limiter>("rate_limiter", s.limit, duration{window}),
             child<hit_counter>("hit_counter"), child<heartbeat>("heartbeat"),
             child<http::server>(
                 "endpoint", {.port = s.port,
                              .handler = app,
                              .header_timeout = std::chrono::milliseconds{s.read_timeout_ms},
                              .body_timeout = std::chrono::milliseconds{s.read_timeout_ms},
                              .admission = {.queue_target = queue_target, .queue_limit = 8 * queue_target},
                              .stats = stats,
                              .backlog = 4096, // as Go's servers, for bursts of new clients
                              .on_listening = [](const std::string& address, std::uint16_t port) {
                                  std::cout << "listening on http://" << address << ':' << port << std::endl;
                              }})}};
        tree.max_restarts(s.max_restarts);

        run_options options;
        options.on_started = [routes = app.routes()](pid) -> task<> {
            const std::string drawn = co_await draw_tree();
            std::cout << "routes:\n";
            for (const web::route_info& r : routes)
                std::cout << "  " << to_string(r.method) << ' ' << r.pattern << '\n';
            std::cout << "supervision tree:\n" << drawn << std::flush;
        };
        return run(std::move(tree), std::move(options));
    } catch (const std::exception& e) {
        std::cerr << "showcase: " << e.what() << '\n';
        return 2;
    }
}
