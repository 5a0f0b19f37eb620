#include <genever/base/spinlock.hpp>

#include <ctime>
#include <sched.h>

namespace genever::detail {

namespace {

void pause_briefly() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

} // namespace

void spinlock::lock_slowly() noexcept {
    for (int round = 0;; ++round) {
        // relaxed: only a hint; try_lock acquires
        if (!held_.load(std::memory_order_relaxed) && try_lock()) return;
        if (round < 100) {
            pause_briefly();
        } else if (round < 120) {
            sched_yield();
        } else {
            // The holder has lost its core, perhaps at a low priority: get out of its way.
            timespec moment{0, 50'000};
            nanosleep(&moment, nullptr);
        }
    }
}

} // namespace genever::detail
