// One process selects from four channels, each with a sender of its own.

#include "harness.hpp"

#if __has_include(<genever/csp/select.hpp>)

#include <genever/csp/chan.hpp>
#include <genever/csp/go.hpp>
#include <genever/csp/select.hpp>

#include <optional>

using namespace genever;

namespace {

task<> select_4(std::int64_t n) {
    const chan<std::int64_t> a;
    const chan<std::int64_t> b;
    const chan<std::int64_t> c;
    const chan<std::int64_t> d;
    std::int64_t first = 0;
    for (const chan<std::int64_t>& to : {a, b, c, d}) {
        go([to, first, each = n / 4]() -> task<> {
            for (std::int64_t i = 0; i < each; ++i) co_await to.send(first + i);
        });
        first += n / 4;
    }
    std::int64_t sum = 0;
    const auto take = [&sum](std::optional<std::int64_t> v) { sum += v.value(); };
    for (std::int64_t i = 0; i < n; ++i)
        co_await genever::select(genever::recv(a, take), genever::recv(b, take), genever::recv(c, take),
                                 genever::recv(d, take));
    bench::check(sum == bench::sum_below(n), "select_4's sum");
}

} // namespace

void bench::add_select() { add("select_4", select_4, 200'000); }

#else

void bench::add_select() {}

#endif
