// Two processes that let each other go first.

#include "harness.hpp"

#include <genever/runtime/receive.hpp>

using namespace genever;

namespace {

task<> yield_to(pid parent, std::int64_t times) {
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < times; ++i) {
        co_await genever::yield();
        ++count;
    }
    send(parent, count);
}

task<> yield_2(std::int64_t n) {
    spawn(yield_to, self(), n / 2);
    spawn(yield_to, self(), n / 2);
    std::int64_t count = 0;
    for (int i = 0; i < 2; ++i) {
        const std::int64_t v = co_await receive([](std::int64_t v) { return v; });
        count += v;
    }
    bench::check(count == n, "yield's count");
}

} // namespace

void bench::add_yield() { add("yield", yield_2, 1'000'000); }
