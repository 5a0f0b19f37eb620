// Whether requests have waited for too long: controlled delay for requests.
//
//          all above the target for an interval, or one above the limit
//      calm ──────────────────────────────────────────────────────────────▶ overloaded
//        ▲                                                                      │
//        └────────────── nobody refused for an interval ────────────────────────┘
//
// Calm, a request is refused only when it has waited for longer than the limit: bursts pass. Overloaded, at twice the target:
// the standing queue then lies between the target and its double, so the service stays busy, and what it serves has
// waited for little. (Admission_options cites the sources.)
#pragma once

#include <genever/base/clock.hpp>

#include <atomic>

namespace genever::http {

/// One server's. Safe on all threads; its figures are relaxed, since each is judged by itself and a late look does
/// little harm. In the usual case it only reads.
class queue_delay {
public:
    queue_delay(duration target, duration interval, duration limit) noexcept
        : target_(target), interval_(interval), limit_(limit) {}

    /// Notes that a request begins to be handled at `now` and had waited for `waited`. The result: whether the server is
    /// overloaded.
    bool note(time_point now, duration waited) noexcept {
        if (waited <= target_ && !trouble_.load(std::memory_order_relaxed)) [[likely]]
            return false;
        return note_slowly(now, waited);
    }
    /// Whether the server is overloaded, for a request whose wait tells nothing.
    bool overloaded(time_point now) const noexcept {
        return trouble_.load(std::memory_order_relaxed) &&
               now.time_since_epoch().count() < overloaded_until_.load(std::memory_order_relaxed);
    }
    /// How long one may have waited: under overload from the target (for a `share` of 0) to twice that (1 and more). So nobody is
    /// refused, and the overload prolonged by that, where there is no standing queue.
    duration tolerance(bool overloaded, double share) const noexcept;
    /// Notes that one has been refused: the server is overloaded for at least another interval.
    void note_refusal(time_point now) noexcept;

private:
    bool note_slowly(time_point now, duration waited) noexcept;

    const duration target_;
    const duration interval_;
    const duration limit_;
    // Nanoseconds; 0: none.
    std::atomic<bool> trouble_{false}; // one of the others is not 0
    std::atomic<duration::rep> above_since_{0};
    std::atomic<duration::rep> above_last_{0};
    std::atomic<duration::rep> overloaded_until_{0};
};

} // namespace genever::http
