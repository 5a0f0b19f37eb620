// The million-actor tree: every inner process starts ten, a million leaves answer with their number, sums go up.

#include "harness.hpp"

#include <genever/runtime/receive.hpp>

using namespace genever;

namespace {

task<> skynet(pid parent, std::int64_t number, std::int64_t leaves);

task<> inner(pid parent, std::int64_t number, std::int64_t leaves) {
    const pid me = self();
    for (std::int64_t i = 0; i < 10; ++i) spawn(skynet, me, number + i * (leaves / 10), leaves / 10);
    std::int64_t sum = 0;
    for (int i = 0; i < 10; ++i) {
        const std::int64_t v = co_await receive([](std::int64_t v) { return v; });
        sum += v;
    }
    send(parent, sum);
}

/// Not a coroutine itself: a leaf is done when it has sent.
task<> skynet(pid parent, std::int64_t number, std::int64_t leaves) {
    if (leaves > 1) return inner(parent, number, leaves);
    send(parent, number);
    return {};
}

constexpr std::int64_t million = 1'000'000;
constexpr std::int64_t tree_size = 1'111'111;

task<> skynet_1m(std::int64_t n) {
    bench::check(n == tree_size, "there is one size of skynet_1m");
    spawn(skynet, self(), 0, million);
    const std::int64_t sum = co_await receive([](std::int64_t v) { return v; });
    bench::check(sum == bench::sum_below(million), "skynet's sum");
}

} // namespace

void bench::add_skynet() { add("skynet_1m", skynet_1m, tree_size); }
