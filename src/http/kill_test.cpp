// Kills of a connection in each of its states, that is at each wait of connection.cpp and at its handler's own: all
// destructors run once, the connection does not count any more, nor does its request, its client sees the end, the others are
// served, and a drain has nothing to wait for. Kills of the connections' process while it drains, and of the acceptor. Real sockets,
// and therefore real threads. For the other rooms' tables see runtime/kill_test_support.hpp.
#include "server_processes.hpp"
#include "server_test_support.hpp"

#include "runtime/kill_test_support.hpp"

#include <genever/runtime/process_info.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/socket_source.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using namespace genever;
using namespace genever::http::test;
using namespace std::chrono_literals;

namespace {

struct place {
    std::atomic<int> alive{0};
    std::atomic<int> reached{0};  // handlers that are about to wait
    std::atomic<int> answered{0}; // and those that were done at once
    http::traffic_class nobody{{.max_concurrency = 0}};
};
using at_place = std::shared_ptr<place>;
using witness = test::witness<place>;

/// Does what the path says.
task<> handle(at_place p, http::exchange& x) {
    const witness w{p};
    const std::string path{x.request.path};
    if (path == "/answer") {
        ++p->answered;
        x.response.body = "answered";
        co_return;
    }
    if (path == "/some" || path == "/few") {
        x.response.body.assign(path == "/some" ? 40'000 : 10'000, 'x');
        co_return;
    }
    if (path == "/refused") {
        ++p->reached;
        const bool admitted = x.admit(p->nobody);
        EXPECT_FALSE(admitted);
        co_return;
    }
    if (path == "/big") {
        x.response.body.assign(64 * 1024 * 1024, 'x');
        ++p->reached;
        co_return;
    }
    if (path == "/detached") x.detach();
    ++p->reached;
    if (path == "/body") {
        [[maybe_unused]] const auto body = co_await x.read_body();
    }
    if (path == "/pieces") {
        const std::string piece(256 * 1024, 'x');
        for (;;) {
            const auto sent = co_await x.send_piece(piece);
            if (!sent) co_return;
        }
    }
    if (path == "/piece") {
        [[maybe_unused]] const auto sent = co_await x.send_piece("piece");
    }
    auto below = [](at_place at) -> task<> {
        const witness inner{at};
        co_await sleep_for(24h);
    }(p);
    co_await std::move(below);
}

/// What happens when the connection waits, before its kill.
enum class then : std::uint8_t { nothing, the_drain, the_cold };

struct state_case {
    std::string name;
    /// The coroutine in which the connection's process is parked then; a part of its name.
    std::string parked_in;
    std::string says;
    /// What the client hears before the state is reached.
    std::string hears = {};
    /// How many handlers are about to wait then.
    int handlers = 0;
    /// Beyond the connections' process.
    bool detached = false;
    then what = then::nothing;
};

std::string times(std::size_t n, const std::string& text) {
    std::string all;
    for (; n > 0; --n) all += text;
    return all;
}

const std::string post = "POST /body HTTP/1.1\r\nHost: t\r\n";

const std::vector<state_case>& cases() {
    static const std::vector<state_case> all{
        {"nothing was said yet", "serve", ""},
        {"idle, after a request", "serve", get("/answer"), "answered"},
        {"half a head", "serve", get("/answer") + "GET /answer HTTP/1.1\r\nHo", "answered"},
        {"the handler waits", "handle", get("/wait"), "", 1},
        {"the handler waits, more requests are there", "handle", get("/wait") + get("/wait"), "", 1},
        {"the handler waits, a response before it", "handle", get("/answer") + get("/wait"), "answered", 1},
        {"half a body", "wait_for_bytes", post + "Content-Length: 10\r\n\r\n01234", "", 1},
        {"half a body in another block", "wait_for_bytes",
         post + "Content-Length: 100000\r\n\r\n" + std::string(50'000, 'b'), "", 1},
        {"half a chunk", "wait_for_bytes", post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\nde", "",
         1},
        {"a body that was asked for", "wait_for_bytes",
         post + "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n", "100 Continue", 1},
        {"a body that nobody wanted", "wait_for_bytes",
         "POST /answer HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n12345", "answered"},
        {"a response that the client does not read", "flush", get("/big"), "", 1},
        {"a piece that the client does not read", "flush", get("/pieces"), "HTTP/1.1 200 OK", 1},
        {"between two pieces", "handle", get("/piece"), "piece", 1},
        // Each response goes before the next request is handled, so it is none that waits for being large.
        {"responses before the next request", "flush", times(400, get("/some"))},
        {"few bytes before a handler that may wait", "flush", times(2500, get("/few"))},
        {"a refusal that is answered later", "serve", get("/refused"), "", 1},
        {"half a head, in a drain", "serve", get("/answer") + "GET /answer HTTP/1.1\r\nHo", "answered", 0,
         false, then::the_drain},
        {"the handler waits, in a drain", "handle", get("/wait"), "", 1, false, then::the_drain},
        {"detached", "handle", get("/detached"), "", 1, true},
        {"lingering", "wait_for_bytes", "GET /answer HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
         "answered"},
    };
    return all;
}

pid connection_process() {
    for (const process_info& i : process_list())
        if (i.label == "http connection") return i.pid;
    return {};
}

enum class killed { itself, with_the_others };

/// Reads to the end, whatever it is.
task<bool> sees_the_end(client& c) {
    for (;;) {
        char buffer[65536];
        const auto n = co_await c.stream.read_some(buffer, now() + 5s);
        if (!n) co_return n.error() != std::errc::timed_out;
        if (*n == 0) co_return true;
    }
}

/// Whether the process waits in such a coroutine. Its name must be looked up, and then it is known.
bool waits_in(pid who, const std::string& part) {
    const auto i = info(who);
    return i && i->state == process_state::parked &&
           test::kill_driver::function_at(i->suspended_in).find(part) != std::string::npos;
}

/// Until `f()`, or for ten seconds: then the test has failed. A plain loop would hide what was waited for in vain.
template <class F>
task<bool> comes_true(F f, const char* what) {
    const time_point end = now() + 10s;
    for (;;) {
        if (f()) co_return true;
        if (now() >= end) {
            ADD_FAILURE() << "never: " << what;
            co_return false;
        }
        co_await yield();
    }
}

/// `exactly`: not before the process waits where the case says. Else wherever it is after so many steps.
task<> kill_in(const state_case& c, killed how, bool exactly, unsigned steps) {
    trap_exit(true);
    auto p = std::make_shared<place>();
    const http::server_options options{.address = "127.0.0.1",
                                       .port = 0,
                                       .handler = [p](http::exchange& x) -> task<> { return handle(p, x); },
                                       .drain_timeout = 10s,
                                       .admission = patient({.refusal_rate = 1, .refusal_patience = 1h})};
    auto server = std::make_shared<http::server_state>(options);
    const pid connections = http::start_connections(server);
    // There are so many refusals that one more waits for long.
    for (int i = 0; i < 1000; ++i) server->admission.answer_refusal_at(now());
    auto listener = http::start_listener(server, connections);
    EXPECT_TRUE(listener);

    client visitor;
    co_await visitor.connect(server->port);
    if (!c.says.empty()) co_await visitor.say(c.says);
    if (!c.hears.empty()) {
        const bool heard = co_await visitor.hear(c.hears);
        EXPECT_TRUE(heard) << visitor.got;
    }
    const bool begun = co_await comes_true([&] { return p->reached >= c.handlers && connection_process(); },
                                           "the handlers are reached");
    if (!begun) co_return;
    const pid victim = connection_process();
    const monitor_ref ref = monitor(victim);
    if (exactly) {
        const bool waits = co_await comes_true([&] { return waits_in(victim, c.parked_in); },
                                               "it waits where the case says");
        if (!waits) co_return;
    }
    const auto awaits_of = [&] {
        const auto i = info(victim);
        return i ? i->reductions : 0;
    };
    const auto before = awaits_of();
    if (c.what == then::the_drain) {
        exit(connections, exit_kind::shutdown);
        // It is nudged, and waits for what has begun; a handler is left alone.
        const bool drains = co_await comes_true(
            [&] {
                return waits_in(connections, "connections_process") && server->draining &&
                       (c.handlers > 0 || awaits_of() != before) && waits_in(victim, c.parked_in);
            },
            "the drain waits");
        if (!drains) co_return;
    }
    if (c.what == then::the_cold) {
        const time_point latest = now() + 3s; // in case it was cold before
        const bool cold = co_await comes_true(
            [&] { return (awaits_of() != before || now() >= latest) && waits_in(victim, c.parked_in); },
            "it gives its memory back");
        if (!cold) co_return;
    }
    for (unsigned i = 0; i < steps; ++i) co_await yield();

    exit(how == killed::itself ? victim : connections, exit_kind::killed);
    test::kill_driver::ends all;
    const auto end = co_await all.of(ref);
    if (!end) co_return;
    if (exactly) {
        EXPECT_EQ(*end, exit_kind::killed) << to_string(*end);
    }
    EXPECT_EQ(p->alive, 0);
    EXPECT_EQ(server->connections(), 0U);
    EXPECT_EQ(server->admission.other().in_hand(), 0U);
    EXPECT_EQ(p->nobody.in_hand(), 0U);
    const bool ended = co_await sees_the_end(visitor);
    EXPECT_TRUE(ended);

    std::vector<pid> to_end{*listener};
    if (how == killed::itself) {
        to_end.push_back(connections);
    }
    if (how == killed::itself && c.what != then::the_drain) {
        client other;
        co_await other.connect(server->port);
        co_await other.say(get("/answer"));
        const bool heard = co_await other.hear("answered");
        EXPECT_TRUE(heard);
    }
    if (how == killed::with_the_others) {
        const auto why = co_await receive([](const exit_signal& s) { return s.reason.kind(); });
        EXPECT_EQ(why, exit_kind::killed);
    }
    for (const pid q : to_end) {
        exit(q, exit_kind::shutdown);
        const auto why = co_await receive([](const exit_signal& s) { return s.reason.kind(); },
                                          after(5s, [] { return exit_kind::timeout; }));
        EXPECT_EQ(why, exit_kind::shutdown);
    }
    EXPECT_EQ(p->alive, 0);
}

void in_every_one(const std::vector<state_case>& states, std::vector<unsigned> worker_counts, bool exactly,
                  unsigned rounds) {
    for (const unsigned workers : worker_counts) {
        for (const state_case& c : states) {
            SCOPED_TRACE(c.name + " with " + std::to_string(workers) + " workers");
            runtime rt{{.workers = workers, .on_crash = [](const crash_report&) {}}};
            rt.run([&]() -> task<> {
                for (unsigned round = 0; round < rounds; ++round)
                    for (const killed how : {killed::itself, killed::with_the_others}) {
                        if (::testing::Test::HasFailure()) co_return;
                        if (c.detached && how == killed::with_the_others) continue;
                        co_await kill_in(c, how, exactly, exactly ? 0 : round);
                    }
            });
            if (::testing::Test::HasFailure()) {
                ADD_FAILURE() << "this case, on another thread"; // which has no traces
                return;
            }
        }
    }
}

} // namespace

TEST(HttpKill, InEveryStateOfAConnectionLeavesNothingBehind) { in_every_one(cases(), {1, 2, 4}, true, 2); }

TEST(HttpKill, WhereverAConnectionIsLeavesNothingBehind) { in_every_one(cases(), {1, 2, 4}, false, 6); }

TEST(HttpKill, OfAConnectionThatIsColdLeavesNothingBehind) {
    in_every_one({{"cold", "serve", get("/answer"), "answered", 0, false, then::the_cold}}, {2}, true, 1);
}

// A client that has sent many requests at once has had its turn; the connection gives the others theirs, and is killed before
// it has its next one.
TEST(HttpKill, WhileAConnectionLetsOthersRunLeavesNothingBehind) {
    auto p = std::make_shared<place>();
    http::server_options options{.handler = [p](http::exchange& x) -> task<> {
        const witness w{p};
        if (x.request.path == "/kill") {
            exit(self(), exit_kind::killed);    // at the next wait, which is not this handler's
            const time_point end = now() + 2ms; // longer than a turn
            while (now() < end) std::this_thread::yield();
        } else {
            ++p->answered;
        }
        x.response.body = "done";
        return {};
    }};
    with_server(options, [p](std::uint16_t port) -> task<> {
        for (int round = 0; round < 10; ++round) {
            client c;
            co_await c.connect(port);
            co_await c.say(get("/kill") + get("/next"));
            const bool ended = co_await c.hear_end();
            EXPECT_TRUE(ended);
            EXPECT_EQ(occurrences(c.got, "done"), 1U) << c.got;
            EXPECT_EQ(p->answered, 0) << "it did not let others run";
            EXPECT_EQ(p->alive, 0);
        }
    });
    EXPECT_EQ(p.use_count(), 2); // `options`' is the other one
}

namespace {

/// Who is killed asks while others of its class have all the places, for some fifty milliseconds: its next wait is for one of them.
struct crowded {
    static constexpr bool admits = true;
    at_place p;
    std::vector<std::shared_ptr<http::traffic_class>> crowds; // by the path's last digit

    task<> operator()(http::exchange& x) const {
        const bool dies = x.request.path.starts_with("/kill");
        if (dies) exit(self(), exit_kind::killed);
        if (!x.admit(*crowds[static_cast<std::size_t>(x.request.path.back() - '0')])) return {};
        if (!dies) ++p->reached;
        return [](at_place at) -> task<> {
            const witness w{at};
            co_await sleep_for(24h);
        }(p);
    }
};

} // namespace

TEST(HttpKill, WhileARequestWaitsForAPlaceInItsClassLeavesNothingBehind) {
    auto p = std::make_shared<place>();
    std::vector<std::shared_ptr<http::traffic_class>> crowds; // one for each round: a class learns
    for (int i = 0; i < 10; ++i) crowds.push_back(a_class({}));
    const http::server_options options{
        .handler = crowded{p, crowds},
        .admission = {.least_concurrency = 1, .initial_concurrency = 1, .surge_patience = 10s}};
    with_server(options, [p, crowds](std::uint16_t port) -> task<> {
        for (std::size_t round = 0; round < crowds.size(); ++round) {
            const http::traffic_class* const crowd = crowds[round].get();
            p->reached = 0;
            {
                client others[4];
                for (client& c : others) {
                    co_await c.connect(port);
                    co_await c.say(get("/hold" + std::to_string(round)));
                }
                co_await until(p->reached, 4);
                co_await until(p->alive, 4);
                client c;
                co_await c.connect(port);
                co_await c.say(get("/kill" + std::to_string(round)));
                const bool ended = co_await c.hear_end();
                EXPECT_TRUE(ended);
                EXPECT_EQ(c.got, "");
                EXPECT_EQ(crowd->in_hand(), 4U);
                EXPECT_EQ(p->alive, 4);
            }
            const bool empty = co_await comes_true([&] { return crowd->in_hand() == 0; }, "the others go");
            if (!empty) co_return;
            EXPECT_EQ(p->alive, 0);
        }
    });
}

namespace {

enum class acceptor_waits : std::uint8_t { for_a_client, for_the_gate };

task<> kill_the_acceptor(acceptor_waits where) {
    trap_exit(true);
    auto p = std::make_shared<place>();
    const http::server_options options{.address = "127.0.0.1",
                                       .port = 0,
                                       .handler = [p](http::exchange& x) -> task<> { return handle(p, x); },
                                       .drain_timeout = 10s,
                                       .admission = patient({})};
    auto server = std::make_shared<http::server_state>(options);
    const pid connections = http::start_connections(server);
    std::optional<test::ended_with_us> gate;
    if (where == acceptor_waits::for_the_gate) {
        gate.emplace(spawn([]() -> task<> { co_await receive([](int) {}); }));
        set_accept_gate(gate->who);
    }
    auto listener = http::start_listener(server, connections);
    EXPECT_TRUE(listener);

    // One who is served already, and goes on to be.
    client served;
    if (where == acceptor_waits::for_a_client) {
        co_await served.connect(server->port);
        co_await served.say(get("/answer"));
        const bool heard = co_await served.hear("answered");
        EXPECT_TRUE(heard);
    }
    const char* const point =
        where == acceptor_waits::for_a_client ? "accept_connections" : "until_accepting";
    const bool waits = co_await comes_true([&] { return waits_in(server->acceptor.load(), point); }, point);
    if (!waits) co_return;
    exit(server->acceptor.load(), exit_kind::killed);
    const auto why = co_await receive([](const exit_signal& s) { return s.reason.kind(); },
                                      after(10s, [] { return exit_kind::timeout; }));
    EXPECT_EQ(why, exit_kind::killed); // the listener goes with it
    const auto refused = co_await net::connect(*net::endpoint::parse("127.0.0.1", server->port), now() + 5s);
    EXPECT_FALSE(refused) << "it listens still";
    set_accept_gate({});
    if (where == acceptor_waits::for_a_client) {
        co_await served.say(get("/answer"));
        const bool heard = co_await served.hear("answered", 2);
        EXPECT_TRUE(heard);
    }

    // Another listener takes its port.
    auto second = http::start_listener(server, connections);
    EXPECT_TRUE(second);
    client other;
    co_await other.connect(server->port);
    co_await other.say(get("/answer"));
    const bool heard = co_await other.hear("answered");
    EXPECT_TRUE(heard);
    served = {}; // nobody lingers for them
    other = {};
    for (const pid q : {*second, connections}) {
        exit(q, exit_kind::shutdown);
        const auto end = co_await receive([](const exit_signal& s) { return s.reason.kind(); },
                                          after(10s, [] { return exit_kind::timeout; }));
        EXPECT_EQ(end, exit_kind::shutdown);
    }
    EXPECT_EQ(p->alive, 0);
    EXPECT_EQ(server->connections(), 0U);
}

} // namespace

TEST(HttpKill, OfTheAcceptorClosesItsSocketAndLeavesTheConnectionsAlone) {
    for (const unsigned workers : {1U, 2U, 4U})
        for (const acceptor_waits where : {acceptor_waits::for_a_client, acceptor_waits::for_the_gate}) {
            SCOPED_TRACE(std::to_string(workers) + " workers");
            runtime rt{{.workers = workers, .on_crash = [](const crash_report&) {}}};
            rt.run([&]() -> task<> {
                for (int round = 0; round < 3; ++round) co_await kill_the_acceptor(where);
            });
        }
}
