// Calls to a gen_server.

#include "harness.hpp"

#include <genever/otp/gen_server.hpp>
#include <genever/otp/server_ref.hpp>
#include <genever/runtime/receive.hpp>

#include <string>

using namespace genever;

namespace {

struct adder : gen_server<adder> {
    struct add {
        std::int64_t by;
        using reply = std::int64_t;
    };

    std::int64_t handle(const add& m) { return total_ += m.by; }

private:
    std::int64_t total_ = 0;
};

/// By its name, which is looked up at each call, or by its pid.
task<> round_trips(std::int64_t n, std::string name) {
    const auto started = co_await start<adder>(name);
    bench::check(started.has_value(), "the server does not start");
    const monitor_ref watch = monitor(*started);
    const server_ref<adder> server = name.empty() ? server_ref<adder>{*started} : server_ref<adder>{name};
    std::int64_t total = 0;
    for (std::int64_t i = 0; i < n; ++i) total = co_await server.call<adder::add>(1);
    bench::check(total == n, "call_round_trip's total");
    exit(*started, exit_kind::shutdown);
    const monitor_ref ended = co_await receive([](const down& d) { return d.ref; });
    bench::check(ended == watch, "another process has ended");
}

task<> call_round_trip(std::int64_t n) { return round_trips(n, ""); }
task<> call_by_name(std::int64_t n) { return round_trips(n, "the_adder"); }

} // namespace

void bench::add_calls() {
    add("call_round_trip", call_round_trip, 200'000);
    add("call_by_name", call_by_name, 200'000);
}
