#include "http/admission/concurrency_limit.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace genever::http {

using namespace std::chrono_literals;

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
// The median is taken when so many of a cohort have ended.
constexpr double enough = 0.6;
// The cumulative sum: what each cohort has to exceed, the most that one adds, and where it is alarming.
constexpr double usual_excess = 0.7;
constexpr double most_of_one = 1.5;
constexpr double alarming = 4.0;
// The part of a limit that whoever has had far more than its share leaves to the others.
constexpr double kept_for_the_modest = 0.25;
// T - B that does no harm whatever their ratio.
constexpr double harmless = 5e6;
// T over B, from which it may have grown, up to which it is as usual, and from which it is far too long.
constexpr double noticeable = 1.25;
constexpr double usual = 1.5;
constexpr double far_too_long = 2.0;
constexpr std::uint8_t all_of_them = 0xFF; // the last eight
// The ceiling. It doubles when it has been wanted for so long without word that it is too high.
constexpr duration without_word = 50ms;
// It is a suspicion when it has been wanted for so long (or 3 B) without having grown by a quarter.
constexpr duration without_growth = 100ms;
// It is wanted without a break as long as somebody comes to it so often (or in B / 2); and grows for so long after one has come.
constexpr duration a_moment = 10ms;
constexpr duration still_wanted = 100ms;
// It halves in so long as far as it is more than so many times what is in hand.
constexpr duration half_life = 10s;
// There is room below it when less than this part of it is in hand, and nobody has come to it for a moment.
constexpr double room = 0.75;
constexpr double roomy = 4;
// Handlers that take longer than this by nature are none that a queue would show in.
constexpr double long_wait = 2e9;
constexpr duration longest_cohort = 4s;
// A limited class of which no cohort ends for so long: its handlers hang, or have become ones that a limit is not for.
constexpr duration longest_silence = 10s;
// Where it is a queue, half as many take at most so much of the time before.
constexpr double falls_to = 0.75;
// T over B, where the limit holds it.
constexpr double headroom = 1.6;
// How much of what can be done without a queue is admitted while B is measured.
constexpr double probe_load = 0.75;
constexpr unsigned cohorts_of_a_probe = 2;
constexpr duration probe_every = 5s;
constexpr duration first_probe = 1s;
constexpr duration refused_lately = 500ms;
constexpr duration free_after = 2s;
// So many refused between two cohorts show that more is asked for than can be done.
constexpr std::uint32_t many_refused = 4;
// After a false suspicion none is raised for this time.
constexpr duration trust = 10s;
// How fast B follows T up and down, at last.
constexpr double up = 0.002;
constexpr double down = 0.01;

// Of so many places, those for one who has had so much of its share.
std::uint32_t part_for(std::uint32_t places, double share) noexcept {
    if (places == std::numeric_limits<std::uint32_t>::max() || share >= 1.0) [[likely]]
        return places;
    const double part = places * (1.0 - kept_for_the_modest * (1.0 - share));
    return places == 0 ? 0 : std::max(1U, static_cast<std::uint32_t>(part));
}

duration nanoseconds(double n) noexcept { return duration{static_cast<duration::rep>(n)}; }

} // namespace

concurrency_limit::concurrency_limit(std::optional<std::size_t> fixed) noexcept : adaptive_(!fixed) {
    if (fixed) limit_ = static_cast<std::uint32_t>(std::min<std::size_t>(*fixed, none - 1));
}

std::optional<std::size_t> concurrency_limit::limit() const noexcept {
    const std::uint32_t l = limit_.load(relaxed);
    if (l == none) return std::nullopt;
    return l;
}

std::expected<concurrency_limit::ticket, concurrency_limit::turned_away>
concurrency_limit::enter(time_point now, const bounds& b, double share) noexcept {
    const auto most = [&] { return part_for(limit_.load(relaxed), share); };
    if (!adaptive_) {
        if (in_hand_.fetch_add(1, relaxed) < most()) return ticket{now};
        in_hand_.fetch_sub(1, relaxed);
        return std::unexpected(turned_away::full);
    }
    detail::spin_guard g{lock_};
    if (in_hand() >= most() && !reconsider(now)) [[unlikely]] {
        refused_at_ = now;
        ++refused_since_;
        return std::unexpected(turned_away::full);
    }
    if (phase_ == phase::free) {
        const auto ceiling = std::max(ceiling_, static_cast<std::uint32_t>(b.initial));
        if (in_hand() >= part_for(ceiling, share)) [[unlikely]] {
            ceiling_ = ceiling;
            if (!raise_ceiling(now)) return std::unexpected(turn_away(now, b.least));
        }
    }
    const std::uint64_t cohort = join(now);
    return ticket{now, cohort, in_hand_.fetch_add(1, relaxed) + 1};
}

// Under the lock, in a free class: one has come to the ceiling. Whether it may enter.
bool concurrency_limit::raise_ceiling(time_point now) noexcept {
    const bool anew = !crowded_.exchange(true, relaxed);
    const bool with_breaks = now - wanted_at_ > std::max<duration>(a_moment, nanoseconds(base_ / 2));
    wanted_at_ = now;
    const bool no_word = !anew && now - std::max(grew_at_, unusual_at_) >= without_word;
    if (no_word) ceiling_ = std::min(2 * ceiling_, none / 4);
    if (anew || no_word) unusual_ = 0;
    const bool grown = ceiling_ >= grown_from_ + grown_from_ / 4;
    if (anew || grown) {
        grew_at_ = now;
        grown_from_ = ceiling_;
    }
    if (anew || grown || with_breaks) wanted_from_ = now;
    return no_word;
}

// Under the lock, in a free class, at its ceiling.
concurrency_limit::turned_away concurrency_limit::turn_away(time_point now, std::size_t least) noexcept {
    const duration wanted = now - wanted_from_;
    const bool grown = judged_at_ > wanted_from_ && last_time_ > noticeable * base_;
    const bool short_ones = base_ < long_wait && last_time_ < long_wait;
    if (wanted > std::max<duration>(without_growth, nanoseconds(3 * base_)) && grown && short_ones &&
        now >= trusted_until_) {
        suspect(last_time_, last_in_hand_, last_in_hand_ / 3, now, least);
        refused_at_ = now;
        return turned_away::full;
    }
    const bool told_so = unusual_ == all_of_them && short_ones && wanted > nanoseconds(base_);
    return told_so || (slow_ && wanted > without_word) ? turned_away::full : turned_away::unproven;
}

// Under the lock, in a free class: of one that has ended.
void concurrency_limit::note_end(const ticket& t, double time, time_point now) noexcept {
    // Trusted, there is no queue, whatever the time.
    const bool as_usual =
        time - base_ < harmless || time < usual * base_ || time >= long_wait || now < trusted_until_;
    if (base_from_ == 0 || !as_usual) unusual_at_ = now;
    if (base_from_ != 0) unusual_ = static_cast<std::uint8_t>(unusual_ << 1 | !as_usual);
    if (now - wanted_at_ <= still_wanted && (base_from_ == 0 || as_usual))
        ceiling_ = std::max(ceiling_, std::min({ceiling_ + 1, 2 * t.in_hand, none / 4}));
}

// Under the lock, before somebody is refused: whether there is no reason for it any more. (Those who are in hand may take very
// long, or never end: what they would tell at their end must not be waited for.)
bool concurrency_limit::reconsider(time_point now) noexcept {
    const bool told_nothing = (phase_ == phase::halved || phase_ == phase::probing) && now > give_up_;
    const bool long_ago =
        phase_ == phase::limited && (now - refused_at_ > free_after || now - judged_at_ > longest_silence);
    if (!told_nothing && !long_ago) return false;
    if (told_nothing && phase_ == phase::probing) { // the work takes longer than before: as before, then
        begin(phase::limited, limit_before_, 1, now);
        return in_hand() < limit_.load(relaxed);
    }
    if (told_nothing) base_ = time_before_; // what it takes now, as far as is known
    trusted_until_ = now + trust;
    be_free();
    return true;
}

// Under the lock. The number of the cohort, or 0.
std::uint64_t concurrency_limit::join(time_point now) noexcept {
    if (!drained_) return 0;
    cohort* c = &place_of(next_cohort_ - 1);
    if (next_cohort_ == first_valid_ || c->number != next_cohort_ - 1 || c->full()) {
        c = &place_of(next_cohort_);
        // A few that take very long must not hold their place for ever.
        if (c->number >= first_valid_ && c->number != 0 && now - c->began < longest_cohort) return 0;
        c->began = now;
        c->number = next_cohort_++;
        c->entered = c->ended = c->in_vain = 0;
        c->in_hand = 0;
    }
    ++c->entered;
    c->in_hand += static_cast<double>(in_hand() + 1) / cohort_size;
    return c->number;
}

double concurrency_limit::cohort::median() noexcept {
    const std::uint32_t known = ended - in_vain;
    const std::uint32_t middle = std::min((cohort_size - in_vain) / 2, known - 1);
    std::nth_element(times.begin(), times.begin() + middle, times.begin() + known);
    return std::max(1.0, static_cast<double>(times[middle]));
}

void concurrency_limit::leave(const ticket& t, time_point now, bool counts, const bounds& b) noexcept {
    in_hand_.fetch_sub(1, relaxed);
    if (!adaptive_) return;
    detail::spin_guard g{lock_};
    if (phase_ == phase::halved || phase_ == phase::probing) {
        if (now > give_up_) { // too few come to tell
            reconsider(now);
            return;
        }
        if (!drained_ && in_hand() <= limit_.load(relaxed)) {
            drained_ = true;
            forget_cohorts();
        }
    }
    const double time = static_cast<double>((now - t.entered).count());
    if (phase_ == phase::free) {
        const bool left_alone = now - wanted_at_ > std::max<duration>(a_moment, nanoseconds(base_ / 2));
        if (crowded() && left_alone && in_hand() < ceiling_ * room) crowded_.store(false, relaxed);
        if (counts) note_end(t, time, now);
    }
    if (t.cohort < first_valid_) return;
    cohort& c = place_of(t.cohort);
    if (c.number != t.cohort) return; // judged
    if (counts)
        c.times[c.ended++ - c.in_vain] = static_cast<float>(time);
    else
        ++c.ended, ++c.in_vain;
    const std::uint32_t known = c.ended - c.in_vain;
    if (!c.full() || known < enough * (cohort_size - c.in_vain)) return;
    c.number = 0;
    if (known < cohort_size / 4) { // most were in vain, which tells nothing: a limit must not stay for that
        if (phase_ == phase::limited && now - refused_at_ < free_after)
            limit_.store(std::min(limit_.load(relaxed) + limit_.load(relaxed) / 4 + 1, none - 1), relaxed);
        return;
    }
    judge(c.median(), c.in_hand, now, b);
}

// Under the lock: B, in a free class.
void concurrency_limit::follow(double time) noexcept {
    if (base_from_ == 0) base_ = time;
    if (base_from_ < 1000) ++base_from_;
    const double pace =
        time > base_ ? std::max(up, 0.2 / base_from_) : std::max(down, 1.0 / (base_from_ + 1));
    base_ *= std::exp(pace * std::log(time / base_));
}

// Under the lock: of a cohort.
void concurrency_limit::judge(double time, double in_hand, time_point now, const bounds& b) noexcept {
    const duration since = now - std::exchange(judged_at_, now);
    switch (phase_) {
    case phase::free: {
        last_time_ = last_time_ == 0 ? time : std::sqrt(last_time_ * time);
        last_in_hand_ = in_hand;
        if (base_from_ == 0) return follow(time);
        if (ceiling_ > roomy * in_hand)
            ceiling_ = static_cast<std::uint32_t>(std::max(
                roomy * in_hand, ceiling_ * std::exp2(-std::chrono::duration<double>(since) / half_life)));
        const bool harms = time - base_ > harmless && time < long_wait && now >= trusted_until_;
        slow_ = harms && time > far_too_long * base_;
        if (slow_ && crowded()) ceiling_ -= ceiling_ / 4; // not below the initial one: see enter
        const double excess = harms ? std::log(time / base_) : 0.0;
        suspicion_ = std::max(0.0, suspicion_ + std::min(excess - usual_excess, most_of_one));
        follow(time);
        if (suspicion_ >= alarming) suspect(time, in_hand, in_hand / 2, now, b.least);
        return;
    }
    case phase::halved:
        if (time > falls_to * time_before_) {
            base_ = time;
            trusted_until_ = now + trust;
            be_free();
            return;
        }
        begin(phase::limited, in_hand * headroom * base_ / time, b.least, now);
        phase_began_ -= probe_every - first_probe; // B may be from a time in which there was a queue already
        return;
    case phase::limited: {
        const double present = limit_.load(relaxed);
        // Of a load that it can take a few come to the limit all the same: they must not hold it for ever.
        const bool wanted = std::exchange(refused_since_, 0) >= many_refused || in_hand >= room * present;
        if (wanted) wanted_at_ = now;
        if (now - refused_at_ > free_after || now - wanted_at_ > free_after) return be_free();
        time_ *= std::exp(0.3 * std::log(time / time_));
        if (now - phase_began_ > probe_every && now - refused_at_ < refused_lately && wanted)
            return begin(phase::probing, probe_load * in_hand * std::min(1.0, base_ / time_), b.least, now);
        const double least = static_cast<double>(std::max<std::size_t>(b.least, 1));
        // With so few there is no queue that fewer would shorten: B was too little.
        if (present <= least) base_ *= std::exp(0.3 * std::log(time_ / base_));
        double most = in_hand * headroom * base_ / time_;
        // Where fewer were in hand than may be, little was asked for, which says nothing of what can be done.
        if (in_hand < 0.9 * present) most = std::max(most, present);
        most = std::clamp(most, present * 0.7, present * 1.5 + 1);
        limit_.store(static_cast<std::uint32_t>(std::max(least, std::round(most))), relaxed);
        return;
    }
    case phase::probing:
        probed_ += std::log(time);
        if (++probes_ < cohorts_of_a_probe) return;
        base_ = std::exp(probed_ / probes_);
        // No less than before: how many there were now was the probe's doing.
        begin(phase::limited, std::max(limit_before_, in_hand * headroom * base_ / time), b.least, now);
        return;
    }
}

// Under the lock: may there be a queue? T and N of a cohort, and as many are to be admitted for a moment. (Of few, a third: where a
// handful of requests hold a handful of places, half as many may still wait for each other.)
void concurrency_limit::suspect(double time, double in_hand, double most, time_point now,
                                std::size_t least) noexcept {
    time_before_ = time;
    in_hand_of_time_ = in_hand;
    begin(phase::halved, most, least, now);
}

void concurrency_limit::be_free() noexcept {
    ceiling_ = static_cast<std::uint32_t>(2 * std::max(in_hand_of_time_, static_cast<double>(in_hand())));
    unusual_ = 0;
    slow_ = false;
    last_time_ = 0;
    crowded_.store(false, relaxed);
    phase_ = phase::free;
    suspicion_ = 0;
    drained_ = true;
    limit_.store(none, relaxed);
    forget_cohorts();
}

void concurrency_limit::begin(phase p, double most, std::size_t least, time_point now) noexcept {
    limit_before_ = limit_.load(relaxed);
    phase_ = p;
    phase_began_ = now;
    suspicion_ = 0;
    probed_ = 0;
    probes_ = 0;
    most = std::max(static_cast<double>(std::max<std::size_t>(least, 1)), std::min(std::round(most), 1e9));
    limit_.store(static_cast<std::uint32_t>(most), relaxed);
    drained_ = p == phase::limited;
    forget_cohorts();
    if (p == phase::limited) {
        time_ = headroom * base_; // from now on
        judged_at_ = now;
        refused_at_ = now;
        refused_since_ = 0;
        wanted_at_ = now;
        return;
    }
    // Those that are too many go at the present rate (Little's law: N / T); then the cohorts. Half of them may take longer by far.
    const double before = p == phase::halved ? time_before_ : time_;
    const double draining = in_hand() * before / std::max(in_hand_of_time_, 1.0);
    const double cohorts = (p == phase::halved ? 1 : cohorts_of_a_probe) * (cohort_size / most + 1);
    const double measuring = std::min(std::max(8.0, 2 * cohorts) * before, std::max(8 * before, 1e9));
    give_up_ = now + 100ms + nanoseconds(2 * draining + measuring);
}

} // namespace genever::http
