// When a refusal is answered: so many in a second at once, the others later.
#pragma once

#include <genever/base/clock.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace genever::http {

/// The generic cell rate algorithm (ITU-T I.371): each refusal takes the next moment of an even pace, and a few may run ahead
/// of it. Safe on all threads.
class refusal_pace {
public:
    /// `rate` a second (0: no limit). None is given a moment later than `patience` from its time.
    refusal_pace(std::uint64_t rate, duration patience) noexcept : patience_(patience) { set_rate(rate); }
    void set_rate(std::uint64_t rate) noexcept {
        constexpr duration second = std::chrono::seconds{1};
        step_.store(rate == 0 ? 0 : second.count() / static_cast<duration::rep>(rate),
                    std::memory_order_relaxed);
    }

    /// The moment for a refusal that is decided now: `now`, or later.
    time_point next(time_point now) noexcept {
        const duration::rep step = step_.load(std::memory_order_relaxed);
        if (step == 0) return now;
        const duration::rep t = now.time_since_epoch().count();
        duration::rep next = next_.load(std::memory_order_relaxed);
        for (;;) {
            const duration::rep mine = std::max(next, t);
            // Those who have waited for long enough take no moment: there are more refusals than the pace has room for.
            if (mine - t > patience_.count()) return now + patience_;
            if (next_.compare_exchange_weak(next, mine + step, std::memory_order_relaxed))
                return mine - t <= ahead ? now : time_point{duration{mine}};
        }
    }

private:
    static constexpr duration::rep ahead = 10'000'000; // 10 ms
    std::atomic<duration::rep> step_{0};
    const duration patience_;
    std::atomic<duration::rep> next_{0};
};

} // namespace genever::http
