// A mutex that nobody else wants.

#include "harness.hpp"

#if __has_include(<genever/csp/mutex.hpp>)

#include <genever/csp/mutex.hpp>

using namespace genever;

namespace {

task<> mutex_uncontended(std::int64_t n) {
    genever::mutex m;
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        const auto held = co_await m.lock();
        ++count;
    }
    bench::check(count == n, "mutex_uncontended's count");
}

} // namespace

void bench::add_mutex() { add("mutex_uncontended", mutex_uncontended, 1'000'000, 1); }

#else

void bench::add_mutex() {}

#endif
