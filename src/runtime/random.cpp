#include "random.hpp"

#include "runtime/runtime_core.hpp"

#include <atomic>

namespace genever::detail {

namespace {

// Every thread draws a sequence of its own: Marsaglia's xorshift ("Xorshift RNGs", 2003) from another start.
std::uint64_t first_state() noexcept {
    static std::atomic<std::uint64_t> threads{0};
    // relaxed: only the count matters
    return 0x9E3779B97F4A7C15ULL * (threads.fetch_add(1, std::memory_order_relaxed) + 1);
}

thread_local std::uint64_t state = first_state();

} // namespace

std::uint64_t random_number(process& p) noexcept {
    if (p.home->is_simulated()) return p.home->random()();
    asm volatile(
        ""); // the state's address is looked up at each call: the caller may have moved to another thread
    std::uint64_t x = state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    state = x;
    return x * 0x2545F4914F6CDD1DULL; // the high bits of a xorshift are the better ones
}

} // namespace genever::detail
