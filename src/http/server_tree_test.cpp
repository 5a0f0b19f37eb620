// The server as a supervision tree: what dies with what, what comes back, and what a shutdown waits for.
#include "server_processes.hpp"
#include "server_test_support.hpp"

#include "runtime/simulation_test_support.hpp"

#include <genever/base/log.hpp>
#include <genever/http/server.hpp>
#include <genever/otp/supervisor.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <fcntl.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace genever;
using namespace genever::http::test;
using namespace std::chrono_literals;

namespace {

// Crashes on purpose: their reports are for nobody.
const bool without_reports = (log::set_level(log::level::off), true);

runtime_options workers(unsigned n) {
    return {.workers = n, .on_crash = [](const crash_report&) {}};
}

/// A server on a port of its own, below a supervisor that the calling process starts.
struct service {
    std::shared_ptr<std::atomic<std::uint16_t>> port = std::make_shared<std::atomic<std::uint16_t>>();
    pid root;

    /// By reference, for GCC 12 miscompiles aggregates that are made in a co_await expression.
    task<start_result> start(const http::server_options& given, unsigned max_restarts = 3) {
        trap_exit(true);
        http::server_options options = given;
        options.admission = patient(options.admission);
        options.address = "127.0.0.1";
        options.port = 0;
        options.on_listening = [port = port](const std::string&, std::uint16_t p) { port->store(p); };
        supervisor top{strategy::one_for_one, {child<http::server>("endpoint", std::move(options))}};
        top.max_restarts(max_restarts).period(1h);
        start_result started = co_await start_link(std::move(top), "root");
        root = started.value_or(pid{});
        co_return started;
    }
    /// Waits for the root's end, which somebody has asked for.
    task<exit_reason> end() const {
        exit_reason why;
        for (;;) {
            exit_signal s = co_await receive([](exit_signal e) { return e; });
            if (s.from != root) continue;
            why = s.reason;
            break;
        }
        co_return why;
    }
    task<exit_reason> stop() const {
        exit(root, exit_kind::shutdown);
        exit_reason why = co_await end();
        co_return why;
    }
};

pid find(const supervision_node& n, std::string_view name) {
    if (n.name == name) return n.pid;
    for (const supervision_node& c : n.children)
        if (const pid p = find(c, name)) return p;
    return {};
}

/// Waits until the tree shows a child under another pid than `old`.
task<pid> successor(std::string name, pid old) {
    for (;;) {
        const supervision_node tree = co_await supervision_tree(supervisor_ref{"root"}, 10s);
        const pid p = find(tree, name);
        if (p && p != old) co_return p;
        co_await yield();
    }
}

task<> answer_path(http::exchange& x) {
    x.response.body = x.request.path;
    return {};
}

} // namespace

// The budget of restarts is exactly what is killed: a single start that fails, because those before are not gone
// yet, exceeds it.
TEST(HttpServerTree, ComesBackAtOnceWhicheverOfItsProcessesIsKilled) {
    static constexpr unsigned rounds = 40;
    runtime rt{workers(4)};
    rt.run([]() -> task<> {
        service s;
        const http::server_options options{.handler = answer_path};
        const auto started = co_await s.start(options, rounds);
        EXPECT_TRUE(started);
        if (!started) co_return;
        const std::uint16_t port = s.port->load();
        for (unsigned round = 0; round < rounds; ++round) {
            // Within the endpoint its own supervisor allows three restarts.
            for (const char* victim :
                 {"endpoint.listener", "endpoint.connections", "endpoint.listener", "endpoint"}) {
                client before;
                co_await before.connect(port);
                co_await before.say(get("/before"));
                const bool answered = co_await before.hear("/before");
                EXPECT_TRUE(answered);
                const pid old = whereis(victim);
                exit(old, exit_kind::killed);
                co_await successor(victim, old);
                client after;
                co_await after.connect(port);
                co_await after.say(get("/after"));
                const bool served = co_await after.hear("/after");
                EXPECT_TRUE(served) << victim << " in round " << round;
                if (::testing::Test::HasFailure()) co_return;
            }
        }
        const supervision_node tree = co_await supervision_tree(supervisor_ref{"root"}, 10s);
        EXPECT_EQ(tree.children.front().restarts, rounds);
        const exit_reason why = co_await s.stop();
        EXPECT_EQ(why.kind(), exit_kind::shutdown);
    });
}

TEST(HttpServerTree, DoesNotStartWithoutItsNames) {
    for (const char* name : {"endpoint.connections", "endpoint.listener"}) {
        runtime rt{workers(2)};
        rt.run([name]() -> task<> {
            EXPECT_TRUE(register_name(name, self()));
            service s;
            const http::server_options options{.handler = answer_path};
            const auto started = co_await s.start(options);
            EXPECT_FALSE(started);
            EXPECT_NE(to_string(started.error()).find("the name " + std::string{name} + " belongs to "),
                      std::string::npos)
                << to_string(started.error());
            EXPECT_EQ(s.port->load(), 0) << "it must not say that it listens";
            // The root has ended by now, after all that it had started.
            EXPECT_EQ(processes().size(), 2U) << "this process, and the test's that waits for it";
        });
    }
}

TEST(HttpServerTree, DoesNotStartWhenTheListeningHookThrows) {
    runtime rt{workers(2)};
    rt.run([]() -> task<> {
        trap_exit(true);
        http::server_options options{.address = "127.0.0.1", .port = 0, .handler = answer_path};
        options.on_listening = [](const std::string&, std::uint16_t) { throw std::runtime_error("hooked"); };
        supervisor top{strategy::one_for_one, {child<http::server>("endpoint", std::move(options))}};
        const auto started = co_await start_link(std::move(top), "root");
        EXPECT_FALSE(started);
        EXPECT_NE(to_string(started.error()).find("hooked"), std::string::npos);
        EXPECT_EQ(processes().size(), 2U);
    });
}

TEST(HttpServerTree, ADetachedConnectionAnswersAfterItsServerHasBeenRestarted) {
    runtime rt{workers(4)};
    rt.run([]() -> task<> {
        auto handler = [](http::exchange& x) -> task<> {
            x.response.body = x.request.path;
            if (x.request.path != "/crash") co_return;
            x.detach();
            x.detach(); // changes nothing
            const pid old = whereis("endpoint");
            exit(old, exit_kind::killed);
            const pid next = co_await successor("endpoint", old);
            x.response.body = to_string(next);
        };
        service s;
        const http::server_options options{.handler = handler};
        const auto started = co_await s.start(options, 20);
        EXPECT_TRUE(started);
        for (int i = 0; i < 20; ++i) {
            client other;
            co_await other.connect(s.port->load());
            client c;
            co_await c.connect(s.port->load());
            co_await c.say(get("/crash") + get("/never"));
            const bool ended = co_await c.hear_end();
            EXPECT_TRUE(ended);
            EXPECT_EQ(occurrences(c.got, "HTTP/1.1 200 "), 1U) << c.got;
            EXPECT_EQ(occurrences(c.got, "Connection: close\r\n"), 1U);
            EXPECT_TRUE(c.got.ends_with("\r\n\r\n" + to_string(whereis("endpoint")))) << c.got;
            const bool lost = co_await other.hear_end(); // who was not detached
            EXPECT_TRUE(lost);
            EXPECT_EQ(other.got, "");
        }
        co_await s.stop();
    });
}

TEST(HttpServerTree, ADrainWaitsForAConnectionThatWasDetachedBeforeARestart) {
    runtime rt{workers(4)};
    rt.run([]() -> task<> {
        struct go_on {};
        const pid test = self();
        const auto answered = std::make_shared<std::atomic<bool>>(false);
        auto handler = [test, answered](http::exchange& x) -> task<> {
            x.detach();
            const pid old = whereis("endpoint");
            exit(old, exit_kind::killed);
            co_await successor("endpoint", old);
            send(test, self());
            co_await receive([](go_on) {});
            x.response.body = "whole";
            answered->store(true);
        };
        service s;
        const http::server_options options{.handler = handler};
        const auto started = co_await s.start(options);
        EXPECT_TRUE(started);
        client c;
        co_await c.connect(s.port->load());
        co_await c.say(get("/"));
        const pid connection = co_await receive([](pid p) { return p; });
        exit(s.root, exit_kind::shutdown);
        for (;;) { // the drain begins when the listener is gone
            if (!whereis("endpoint.listener")) break;
            co_await yield();
        }
        for (int i = 0; i < 100; ++i) co_await yield();
        EXPECT_TRUE(whereis("endpoint.connections")) << "it does not wait";
        send(connection, go_on{});
        const exit_reason why = co_await s.end();
        EXPECT_EQ(why.kind(), exit_kind::shutdown);
        EXPECT_TRUE(answered->load()) << "the drain did not wait";
        EXPECT_FALSE(is_alive(connection));
        const bool ended = co_await c.hear_end();
        EXPECT_TRUE(ended);
        EXPECT_TRUE(c.got.ends_with("\r\n\r\nwhole")) << c.got;
    });
}

TEST(HttpServerTree, ADetachedConnectionIsKilledWhenItsTimeIsOver) {
    runtime rt{workers(2)};
    rt.run([]() -> task<> {
        const pid test = self();
        auto handler = [test](http::exchange& x) -> task<> {
            x.detach();
            send(test, self());
            co_await sleep_for(1h);
        };
        service s;
        const http::server_options options{.handler = handler, .drain_timeout = 20ms};
        const auto started = co_await s.start(options);
        EXPECT_TRUE(started);
        client c;
        co_await c.connect(s.port->load());
        co_await c.say(get("/"));
        const pid connection = co_await receive([](pid p) { return p; });
        monitor(connection);
        const exit_reason why = co_await receive([](const down& d) { return d.reason; });
        EXPECT_EQ(why.kind(), exit_kind::killed);
        const bool ended = co_await c.hear_end();
        EXPECT_TRUE(ended);
        EXPECT_EQ(c.got, "");
        co_await s.stop();
    });
}

// One worker, and no suspension between the connections and the shutdown: no connection's process has run when the drain
// begins, for it is woken into the place before those that were spawned.
TEST(HttpServerTree, ADrainWaitsForConnectionsWhoseProcessesHaveNotRunYet) {
    runtime rt{workers(1)};
    rt.run([]() -> task<> {
        trap_exit(true);
        auto server = std::make_shared<http::server_state>(
            http::server_options{.handler = answer_path, .admission = patient({})});
        const pid connections = http::start_connections(server);
        for (int i = 0; i < 10; ++i) co_await yield(); // it waits
        auto listener = net::tcp_listener::bind(*net::endpoint::parse("127.0.0.1", 0));
        EXPECT_TRUE(listener);
        std::vector<net::tcp_stream> streams;
        for (int i = 0; i < 50; ++i) {
            const int fd = connect_blocking(listener->local().port()); // the test must not suspend
            send_blocking(fd, get("/x"));
            ::fcntl(fd, F_SETFL, O_NONBLOCK);
            streams.emplace_back(net::unique_fd{fd});
            auto accepted = listener->try_accept();
            EXPECT_TRUE(accepted);
            http::spawn_connection(server, connections, std::move(*accepted), now());
        }
        EXPECT_EQ(server->connections(), 50U);
        exit(connections, exit_kind::shutdown);
        for (net::tcp_stream& stream : streams) {
            client c;
            c.stream = std::move(stream);
            const bool ended = co_await c.hear_end();
            EXPECT_TRUE(ended);
            EXPECT_TRUE(c.got.ends_with("\r\n\r\n/x")) << "reset without an answer";
        }
        const exit_reason why = co_await receive([](exit_signal e) { return e.reason; });
        EXPECT_EQ(why.kind(), exit_kind::shutdown);
        EXPECT_EQ(server->connections(), 0U);
    });
}

TEST(HttpServerTree, TheCountIsRightHoweverAConnectionsProcessEnds) {
    test::under_seeds([](simulation& sim) {
        sim.run([&]() -> task<> {
            auto server = std::make_shared<http::server_state>(http::server_options{.handler = answer_path});
            std::vector<pid> all;
            for (int i = 0; i < 6; ++i)
                all.push_back(spawn(
                    [](http::server_state::presence p) -> task<> {
                        const http::server_state::presence mine{std::move(p)};
                        co_await sleep_for(1s);
                    },
                    *http::server_state::enter(server, 1)));
            EXPECT_EQ(server->connections(), 6U);
            server->drain(self());
            for (std::size_t i = 0; i < 3; ++i) { // most of them before their first step
                exit(all[i], exit_kind::killed);
                if (sim.random(2) == 0) co_await yield();
            }
            co_await receive([](http::drained) {});
            EXPECT_EQ(server->connections(), 0U);
            const bool more =
                co_await receive([](http::drained) { return true; }, after(0s, [] { return false; }));
            EXPECT_FALSE(more) << "told twice";
        });
    });
}
