// Values through a channel from one process to another.

#include "harness.hpp"

#include <genever/csp/chan.hpp>
#include <genever/csp/go.hpp>

#include <optional>

using namespace genever;

namespace {

task<> pass(std::int64_t n, std::size_t capacity) {
    const chan<std::int64_t> values(capacity);
    go([values, n]() -> task<> {
        for (std::int64_t i = 0; i < n; ++i) co_await values.send(i);
        values.close();
    });
    std::int64_t sum = 0;
    std::int64_t count = 0;
    for (;;) {
        const std::optional<std::int64_t> v = co_await values.recv();
        if (!v) break;
        sum += *v;
        ++count;
    }
    bench::check(count == n && sum == bench::sum_below(n), "the channel's values");
}

task<> chan_unbuffered(std::int64_t n) { return pass(n, 0); }
task<> chan_buffered(std::int64_t n) { return pass(n, 128); }

} // namespace

void bench::add_channels() {
    add("chan_unbuffered", chan_unbuffered, 200'000);
    add("chan_buffered", chan_buffered, 400'000);
}
