// Timers that are cancelled long before they are due: what nearly every timer of a service does.

#include "harness.hpp"

#include <genever/runtime/receive.hpp>
#include <genever/runtime/time.hpp>

#include <chrono>

using namespace genever;
using namespace std::chrono_literals;

namespace {

struct tick {};

task<> timer_start_cancel(std::int64_t n) {
    const pid me = self();
    std::int64_t cancelled = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        timer_ref t = send_after(me, 1h, tick{});
        if (t.cancel()) ++cancelled;
    }
    bench::check(cancelled == n, "a timer could not be cancelled");
    const bool came = co_await receive([](tick) { return true; }, after(0s, [] { return false; }));
    bench::check(!came, "a cancelled timer fired");
}

} // namespace

void bench::add_timers() { add("timer_start_cancel", timer_start_cancel, 200'000, 1); }
