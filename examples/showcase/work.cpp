#include "work.hpp"

#include <genever/genever.hpp>

#include <chrono>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace showcase {

using namespace genever;
using namespace std::chrono_literals;

// An order, as a client sends it and gets it back. Described types are not in an unnamed namespace: GCC would call their
// descriptors unused.
struct customer {
    std::string name;
    std::string email;
    std::string street;
    std::string city;
    std::string country;
};
BOOST_DESCRIBE_STRUCT(customer, (), (name, email, street, city, country))

struct order_line {
    std::string sku;
    std::string title;
    std::int64_t quantity;
    std::int64_t cents;
};
BOOST_DESCRIBE_STRUCT(order_line, (), (sku, title, quantity, cents))

struct order {
    std::string id;
    showcase::customer customer;
    std::vector<order_line> lines;
    std::string notes;
    bool express;
};
BOOST_DESCRIBE_STRUCT(order, (), (id, customer, lines, notes, express))

namespace {

constexpr std::int64_t longest_ms = 60'000;

std::int64_t cpu_microseconds() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1'000'000LL + t.tv_nsec / 1000;
}

/// Burns CPU without a pause, as a computation would.
void burn(std::int64_t us) {
    const std::int64_t end = cpu_microseconds() + us;
    while (cpu_microseconds() < end) {
    }
}

/// The query parameter `ms`, or nothing when the request has been answered with what is wrong with it.
std::optional<std::int64_t> milliseconds_asked(web::context& c) {
    const auto ms = c.query_as<std::int64_t>("ms");
    if (!ms) {
        c.abort_with(ms.error());
        return std::nullopt;
    }
    if (*ms < 0 || *ms > longest_ms) {
        c.abort_with(400, "ms must be from 0 to " + std::to_string(longest_ms));
        return std::nullopt;
    }
    return *ms;
}

void work(web::context& c) {
    constexpr std::int64_t most = 10'000'000;
    const auto us = c.query_as<std::int64_t>("us");
    if (!us) return c.abort_with(us.error());
    if (*us < 0 || *us > most) return c.abort_with(400, "us must be from 0 to 10000000");
    burn(*us);
    c.json(200, {{"us", *us}});
}

/// Waits without holding a thread.
task<> wait(web::context& c) {
    const auto ms = milliseconds_asked(c);
    if (!ms) co_return;
    co_await sleep_for(std::chrono::milliseconds{*ms});
    c.json(200, {{"ms", *ms}});
}

/// What 8 database connections would be: a query takes 20 ms, and who finds none free waits in line.
task<> pool(web::context& c) {
    static semaphore connections{8};
    const auto connection = co_await connections.acquire();
    co_await sleep_for(20ms);
    c.json(200, {{"message", "served"}});
}

/// What no handler should do: keeps its thread, by computing (`how=burn`) or by a call that blocks (`how=block`).
void hog(web::context& c) {
    const auto ms = milliseconds_asked(c);
    if (!ms) return;
    const std::string_view how = c.query_or("how", "burn");
    if (how == "burn")
        burn(*ms * 1000);
    else if (how == "block")
        std::this_thread::sleep_for(std::chrono::milliseconds{*ms});
    else
        return c.abort_with(400, "how must be burn or block");
    c.json(200, {{"ms", *ms}, {"how", how}});
}

/// Takes an order and gives it back.
task<> take_order(web::context& c) {
    const auto taken = co_await c.bind_json<order>();
    if (!taken) {
        c.abort_with(taken.error());
        co_return;
    }
    c.json(200, *taken);
}

} // namespace

void add_work_routes(web::router& app) {
    app.get("/work", work).name("work");
    app.get("/wait", wait).name("wait");
    app.get("/pool", pool).name("pool");
    app.get("/hog", hog).name("hog");
    app.post("/orders", take_order).name("take_order");
}

} // namespace showcase
