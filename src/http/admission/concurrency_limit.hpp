// How many requests of a class may be handled at once: found out from how long they take.
//
// Handlers that wait for something scarce (the connections of a database, another service) do not show in the time that
// requests wait for a worker: beyond what the scarce thing can do there are only more of them, each waiting for longer. What
// they take, T, is then proportional to how many are in hand, N; as long as it is not scarce, T is a constant B whatever
// N. The limit holds T a little above B.
//
//              T far above B, for a while             half as many take
//                                                     much less time
//        free ───────────────────────────▶ halved ───────────────────────▶ limited ◀────────┐
//         ▲ ▲      or at its ceiling for     │                              │    │  every 5 s│
//         │ └── as long as before: no queue, ┘                              │    ▼           │
//         │     B is what it takes now                                      │   probing ─────┘
//         └── for 2 s nobody refused, or few, and fewer in hand than may be ──┘   (fewer than it can do: what is B?)
//
// * Free, there is a ceiling all the same, or a surge would be admitted as a whole before the first of it has told anything. It
//   begins low and grows as TCP's window in its slow start (RFC 5681 section 3.1), doubling within T: by one for each request
//   that has taken its usual time, but no further than to twice as many as were in hand with it; and it doubles every 50 ms while none tells otherwise, for those that take long. Who
//   comes to the ceiling may wait for a moment (`unproven`), unless the last ones took too long. A ceiling that is wanted
//   and does not grow is a suspicion, too (a third is admitted then).
// * That T has grown does not tell a queue from work that takes longer by itself. So when it has, half as many are
//   admitted for a moment: in a queue each then takes half as long; work that takes longer takes as long as before, and is
//   left alone.
// * T is the median of a cohort: of so many that were admitted one after the other. (Of those that *end* one after the other
//   the quick ones would come first.) The median is known when most have ended, and is not moved by the few that take very long.
// * Far above B for a while: by a cumulative sum of ln(T / B) (E. S. Page: Continuous inspection schemes, Biometrika 41,
//   1954), which tells a lasting change from noise. B follows T slowly while the class is free.
// * The limit is N * 1.6 * B / T: the gradient form of Netflix's concurrency-limits (2018), with a B that is
//   measured, not the least of all times.
#pragma once

#include <genever/base/clock.hpp>
#include <genever/base/spinlock.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <limits>
#include <optional>

namespace genever::http {

/// One class's. Safe on all threads; it has no clock of its own.
class concurrency_limit {
public:
    /// `fixed`: the limit, for ever.
    explicit concurrency_limit(std::optional<std::size_t> fixed) noexcept;

    struct bounds {
        std::size_t least = 4;    // no limit is below this
        std::size_t initial = 16; // nor the ceiling below this
    };
    enum class turned_away : std::uint8_t {
        full,
        unproven, ///< a place may be found in a moment
    };
    /// One that is being handled; each leaves once.
    struct ticket {
        time_point entered{};
        std::uint64_t cohort = 0;
        std::uint32_t in_hand = 0; // with it
    };
    /// Whether one more may be handled. `share`, from 0 to 1: the last places are for those who have had less than theirs.
    std::expected<ticket, turned_away> enter(time_point now, const bounds& b, double share = 1.0) noexcept;
    /// The same, whatever the limit; how long it takes counts for nothing.
    void enter_anyway() noexcept { in_hand_.fetch_add(1, std::memory_order_relaxed); }
    /// For those who entered anyway.
    void leave() noexcept { in_hand_.fetch_sub(1, std::memory_order_relaxed); }
    /// It was handled until now; or in vain (`counts` false), and how long that took tells nothing.
    void leave(const ticket& t, time_point now, bool counts, const bounds& b) noexcept;

    std::size_t in_hand() const noexcept { return in_hand_.load(std::memory_order_relaxed); }
    /// Whether one has come to the ceiling since there was room below it.
    bool crowded() const noexcept { return crowded_.load(std::memory_order_relaxed); }
    std::optional<std::size_t> limit() const noexcept;

private:
    enum class phase : std::uint8_t { free, halved, limited, probing };
    static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
    static constexpr std::uint32_t cohort_size = 16;
    static constexpr std::uint32_t cohorts_kept = 16;

    struct cohort {
        std::uint64_t number = 0; // 0: none
        time_point began{};
        std::uint32_t entered = 0;
        std::uint32_t ended = 0;
        std::uint32_t in_vain = 0;
        double in_hand = 0; // while its members entered, on the average
        bool full() const noexcept { return entered == cohort_size; }
        std::array<float, cohort_size> times; // nanoseconds, of those that have ended
        double median() noexcept;
    };

    cohort& place_of(std::uint64_t number) noexcept { return cohorts_[number % cohorts_kept]; }
    std::uint64_t join(time_point now) noexcept;
    bool reconsider(time_point now) noexcept;
    bool raise_ceiling(time_point now) noexcept;
    void suspect(double time, double in_hand, double most, time_point now, std::size_t least) noexcept;
    turned_away turn_away(time_point now, std::size_t least) noexcept;
    void note_end(const ticket& t, double time, time_point now) noexcept;
    void forget_cohorts() noexcept { first_valid_ = next_cohort_; }
    void judge(double time, double in_hand, time_point now, const bounds& b) noexcept;
    void be_free() noexcept;
    void begin(phase p, double most, std::size_t least, time_point now) noexcept;
    void follow(double time) noexcept;

    std::atomic<std::uint32_t> in_hand_{0};
    std::atomic<std::uint32_t> limit_{none};
    std::atomic<bool> crowded_{false};
    const bool adaptive_;

    // Under the lock. Times in nanoseconds.
    detail::spinlock lock_;
    phase phase_ = phase::free;
    bool drained_ = true; // no more in hand than the limit says, since the phase began
    std::uint64_t next_cohort_ = 1;
    std::uint64_t first_valid_ = 1;
    std::array<cohort, cohorts_kept> cohorts_{};
    time_point refused_at_{};
    std::uint32_t refused_since_ = 0; // the last cohort was judged
    time_point judged_at_{};
    time_point phase_began_{};
    time_point give_up_{};
    time_point trusted_until_{};
    double base_ = 0; // B
    unsigned base_from_ = 0;
    // Free.
    std::uint32_t ceiling_ = 0;
    std::uint32_t grown_from_ = 0; // the ceiling, when it had last grown
    time_point grew_at_{};
    time_point wanted_from_{}; // since then, or since it grew, it has been wanted without a break
    time_point
        wanted_at_{}; // when one last came to the ceiling; while limited, when more were last asked for than may be
    time_point unusual_at_{}; // when one last took longer than usual
    std::uint8_t unusual_ =
        0; // for each of the last eight that ended at the ceiling, the latest lowest: whether it did
    bool slow_ = false;    // the last cohort did by far
    double last_time_ = 0; // of the last two cohorts
    double last_in_hand_ = 0;
    double suspicion_ = 0;
    double time_ = 0; // T, of late, while limited
    double in_hand_of_time_ = 0;
    double time_before_ = 0;  // T, when half were admitted
    double limit_before_ = 0; // the phase
    double probed_ = 0;       // the sum of the logarithms of T in a probe
    unsigned probes_ = 0;
};

} // namespace genever::http
