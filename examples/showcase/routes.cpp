#include "routes.hpp"

#include "rate_limiter.hpp"
#include "siblings.hpp"
#include "tree.hpp"
#include "work.hpp"

#include <genever/genever.hpp>
#include <genever/net/address.hpp>

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace showcase {

using namespace genever;
using namespace std::chrono_literals;

namespace {

// Names, not pids: they survive every restart.
const server_ref<rate_limiter> limiter{"rate_limiter"};
const server_ref<hit_counter> hits{"hit_counter"};
const server_ref<heartbeat> heart{"heartbeat"};

void ping(web::context& c) { c.json(200, {{"message", "pong"}}); }

/// For a load balancer: that the service takes requests.
void health(web::context& c) { c.json(200, {{"status", "up"}}); }

void plaintext(web::context& c) { c.bytes(200, "text/plain", "Hello, World!"); }

void user_post(web::context& c) { c.json(200, {{"id", c.param("id")}, {"pid", c.param("pid")}}); }

/// Hits are counted by address, however it is written: a key of bounded length.
task<> count_hit(web::context& c) {
    const auto address = net::endpoint::parse(c.param("ip"), 0);
    if (!address) {
        c.abort_with(400, "not a numeric IPv4 or IPv6 address, such as 127.0.0.1 or ::1");
        co_return;
    }
    const std::string ip = address->address();
    hits.cast(hit_counter::hit{});
    limiter.cast(rate_limiter::increment{ip});
    const std::uint64_t n = co_await limiter.call<rate_limiter::get_count>(ip);
    c.json(200, {{"ip", ip}, {"count", n}});
}

/// At most `limit` requests a window for each client address.
struct limited {
    std::uint64_t limit;

    task<> operator()(web::context& c) const {
        const auto answer = co_await limiter.call<rate_limiter::acquire>(std::string{c.client_address()});
        const auto seconds =
            std::chrono::ceil<std::chrono::seconds>(std::max<duration>(answer.until_reset, 1ns));
        c.set_header("X-RateLimit-Limit", std::to_string(limit));
        c.set_header("X-RateLimit-Remaining", std::to_string(answer.remaining));
        c.set_header("X-RateLimit-Reset", std::to_string(seconds.count()));
        if (answer.allowed) {
            c.json(200, {{"message", "within the limit"}});
        } else {
            c.set_header("Retry-After", std::to_string(seconds.count()));
            c.abort_with(429, "too many requests: try again in " + std::to_string(seconds.count()) + " s");
        }
    }
};

/// Ends the rate limiter, whatever it is doing, and does not wait for its restart.
void kill_limiter(web::context& c) {
    exit(limiter.pid(), exit_kind::killed);
    c.no_content();
}

/// Starts background work and waits for it. Its panic is its own.
task<> process(web::context& c) {
    const bool panic = c.query_or("panic", "0") == "1";
    wait_group wg;
    wg.go([panic]() -> task<> {
        co_await sleep_for(100ms);
        if (panic) throw std::runtime_error("the background task panics");
    });
    co_await wg.wait();
    c.json(200, {{"message", "Processing initiated"}});
}

void panic(web::context&) { throw std::runtime_error("the handler panics"); }

// What the compiler must not know, or it would rather remove these bugs.
int* volatile nothing = nullptr;
volatile int zero = 0;
volatile int deepest = 0;

void panic_segv(web::context& c) {
    const int value = *nothing;
    c.json(200, {{"value", value}});
}

void panic_fpe(web::context& c) {
    const int quotient = 100 / zero;
    c.json(200, {{"quotient", quotient}});
}

int recurse(volatile int& depth) {
    depth = depth + 1;
    return depth < 0 ? 0 : recurse(depth) + depth;
}

/// No exception comes of this: it ends the program, and the heart starts it again.
void panic_stack(web::context& c) { c.json(200, {{"depth", recurse(deepest)}}); }

/// Nor of this.
void panic_abort(web::context&) { std::abort(); }

task<> echo(web::context& c) {
    auto body = co_await c.body();
    if (!body) {
        switch (body.error()) {
        case http::body_error::too_large: c.abort_with(413, "the body is larger than 1 MiB"); break;
        case http::body_error::timeout: c.abort_with(408, "the body did not come in time"); break;
        default: c.abort_with(400, "the body is malformed"); break;
        }
        co_return;
    }
    const std::string_view type = c.header("Content-Type");
    c.bytes(200, type.empty() ? "application/octet-stream" : type, *body);
}

task<> tree(web::context& c) {
    auto t = co_await describe_tree();
    c.json(200, t);
}

/// What the server has admitted, and what it has not and why.
struct admission {
    std::shared_ptr<const http::server_stats> stats;

    void operator()(web::context& c) const {
        boost::json::object refused;
        for (std::size_t why = 1; why < http::refusal_count; ++why) {
            const auto r = static_cast<http::refusal>(why);
            refused[http::to_string(r)] = stats->refused(r);
        }
        c.json(200, boost::json::object{{"overloaded", stats->overloaded(now())},
                                        {"connections", stats->connections()},
                                        {"accepted", stats->accepted()},
                                        {"admitted", stats->admitted()},
                                        {"refused", std::move(refused)}});
    }
};

/// Makes a child crash: those that can throw, the others by a kill.
void make_crash(std::string_view child, pid p) {
    if (child == "rate_limiter")
        server_ref<rate_limiter>{p}.cast(rate_limiter::crash{});
    else if (child == "hit_counter")
        server_ref<hit_counter>{p}.cast(hit_counter::crash{});
    else if (child == "heartbeat")
        server_ref<heartbeat>{p}.cast(heartbeat::crash{});
    else
        exit(p, exit_kind::killed);
}

task<> crash(web::context& c) {
    using what = found_child::what;
    const std::string child{c.param("child")};
    const found_child before = co_await find_child(child);
    switch (before.kind) {
    case what::running: break;
    case what::down: c.abort_with(409, "it is not running at the moment: see /tree"); co_return;
    case what::unknown:
        c.abort_with(404, "there is no supervised process of that name: see /tree");
        co_return;
    case what::busy: c.abort_with(503, "a supervisor is busy: try again"); co_return;
    }
    // This request is served below the endpoint, and must outlive it to tell how it went.
    if (before.top == "endpoint") c.exchange().detach();
    make_crash(child, before.pid);
    const time_point end = now() + 5s;
    for (;;) {
        const found_child after = co_await find_child(child);
        if (after.kind == what::running && after.pid != before.pid) {
            c.json(200, {{"child", child}, {"old", to_string(before.pid)}, {"new", to_string(after.pid)}});
            co_return;
        }
        if (now() >= end) break;
        co_await sleep_for(1ms);
    }
    c.abort_with(503, "it has not been restarted within 5 s");
}

} // namespace

web::router routes(std::uint64_t limit, std::shared_ptr<const http::server_stats> stats) {
    web::router app;
    app.use(web::logger(), web::recovery());
    app.get("/ping", ping).name("ping");
    app.get("/health", health).name("health").priority(http::priority::critical);
    app.get("/plaintext", plaintext).name("plaintext");
    app.get("/users/:id/posts/:pid", user_post).name("user_post");
    app.get("/hits/:ip", count_hit).name("count_hit");
    app.get("/limited", limited{limit}).name("limited");
    app.post("/limited/kill", kill_limiter).name("kill_limiter");
    app.get("/process", process).name("process");
    app.get("/panic", panic).name("panic");
    app.get("/panic/segv", panic_segv).name("panic_segv");
    app.get("/panic/fpe", panic_fpe).name("panic_fpe");
    app.get("/panic/stack", panic_stack).name("panic_stack");
    app.get("/panic/abort", panic_abort).name("panic_abort");
    app.post("/crash/:child", crash).name("crash");
    app.get("/tree", tree).name("tree").priority(http::priority::critical);
    app.get("/admission", admission{std::move(stats)}).name("admission").priority(http::priority::critical);
    app.post("/echo", echo).name("echo");
    add_work_routes(app);
    return app;
}

} // namespace showcase
