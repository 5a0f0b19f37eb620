#include "http/admission/admission_control.hpp"

#include <algorithm>

namespace genever::http {

namespace {
constexpr auto relaxed = std::memory_order_relaxed;
// What is more than this is without a limit; so it can be doubled.
constexpr std::size_t most_at_once = 1'000'000'000;
} // namespace

// ---- what is public

traffic_class::traffic_class(traffic t) : settings(t), state_(std::make_unique<state>(settings)) {}
traffic_class::~traffic_class() = default;

std::size_t traffic_class::in_hand() const noexcept { return state_->concurrency.in_hand(); }
std::optional<std::size_t> traffic_class::limit() const noexcept { return state_->concurrency.limit(); }

const char* to_string(refusal r) noexcept {
    switch (r) {
    case refusal::none: return "none";
    case refusal::queue_delay: return "queue_delay";
    case refusal::sheddable: return "sheddable";
    case refusal::share: return "share";
    case refusal::concurrency: return "concurrency";
    case refusal::reserved: return "reserved";
    case refusal::connections: return "connections";
    case refusal::client_connections: return "client_connections";
    case refusal::handler_timeout: return "handler_timeout";
    case refusal::client_gone: return "client_gone";
    case refusal::header_timeout: return "header_timeout";
    case refusal::body_timeout: return "body_timeout";
    case refusal::write_timeout: return "write_timeout";
    case refusal::idle_timeout: return "idle_timeout";
    }
    return "unknown";
}

server_stats::place& server_stats::mine() noexcept {
    static std::atomic<unsigned> threads{0};
    thread_local const unsigned number = threads.fetch_add(1, relaxed);
    return places_[number % places];
}

std::uint64_t server_stats::admitted() const noexcept {
    std::uint64_t n = 0;
    for (const place& p : places_) n += p.admitted.load(relaxed);
    return n;
}

std::uint64_t server_stats::accepted() const noexcept {
    std::uint64_t n = 0;
    for (const place& p : places_) n += p.accepted.load(relaxed);
    return n;
}

std::uint64_t server_stats::refused(refusal why) const noexcept {
    std::uint64_t n = 0;
    for (const place& p : places_) n += p.refused[static_cast<std::size_t>(why)].load(relaxed);
    return n;
}

std::uint64_t server_stats::refused() const noexcept {
    std::uint64_t n = 0;
    for (std::size_t why = 1; why < static_cast<std::size_t>(refusal::handler_timeout); ++why)
        n += refused(static_cast<refusal>(why));
    return n;
}

// ---- the control

admission_control::admission_control(const admission_options& o, std::shared_ptr<server_stats> stats,
                                     std::uint64_t seed)
    : connections(connection_limits::of(o)), options_(o), stats_(std::move(stats)),
      delay_(o.queue_target, o.queue_interval, o.queue_limit), shares_(seed),
      pace_(o.refusal_rate, o.refusal_patience), text_(o.retry_after),
      bounds_{.least = std::min(o.least_concurrency, most_at_once),
              .initial = std::clamp(std::max(o.least_concurrency, o.initial_concurrency), std::size_t{1},
                                    most_at_once)} {}

std::optional<refusal> admission_control::admit(traffic_class& c, const asker& a, time_point now,
                                                permit& p) noexcept {
    const std::optional<refusal> why = decide(c, a, now, p);
    if (why != refusal::none) {
        if (why) count(*why);
        return why;
    }
    stats_->mine().admitted.fetch_add(1, relaxed);
    p.control_ = this;
    p.class_ = &c;
    return why;
}

std::optional<refusal> admission_control::decide(const traffic_class& c, const asker& a, time_point now,
                                                 permit& p) noexcept {
    concurrency_limit& concurrency = c.state_->concurrency;
    const traffic& rules = c.settings;
    bool overloaded = false;
    if (options_.enabled) overloaded = a.measured ? delay_.note(now, a.waited) : delay_.overloaded(now);
    if (rules.priority == priority::critical) {
        p.place_.reset();
        if (!rules.max_concurrency)
            concurrency.enter_anyway();
        else if (const auto place = concurrency.enter(now, bounds_))
            p.place_ = *place;
        else
            return refusal::concurrency;
        return refusal::none;
    }
    if (a.in_reserve) return refusal::reserved;

    const bool adaptive = options_.enabled && options_.adaptive_concurrency;
    const bool limited =
        rules.max_concurrency || (adaptive && (concurrency.limit() || concurrency.crowded()));
    // Those who give way first get what the others leave: the queue that is short for them is there for nobody else.
    const bool sheddable = rules.priority == priority::sheddable;
    const bool sharing = options_.enabled && options_.fair_shares && (overloaded || limited);
    double share = 1.0;
    if (sharing) [[unlikely]]
        share = std::min(1.0, shares_.share(a.client, now));
    if (overloaded && a.waited > delay_.tolerance(true, sheddable ? 0 : share)) [[unlikely]] {
        // One that was not measured says nothing about now: it must not prolong what it was refused for.
        if (a.measured) delay_.note_refusal(now);
        stats_->overloaded_until_.store(later(now, options_.queue_interval).time_since_epoch().count(),
                                        relaxed);
        if (a.waited > delay_.tolerance(true, 1.0)) return refusal::queue_delay;
        return sheddable ? refusal::sheddable : refusal::share;
    }
    p.place_.reset();
    if (!rules.max_concurrency && !adaptive) {
        concurrency.enter_anyway();
    } else if (const auto place = concurrency.enter(now, bounds_, share)) {
        p.place_ = *place;
    } else {
        const bool in_a_moment = place.error() == concurrency_limit::turned_away::unproven;
        const bool waits = in_a_moment && a.may_wait && a.asking < options_.surge_patience;
        const bool is_one = a.asking > duration::zero(); // of those that wait already
        if (waits && (is_one || c.state_->waiting.load(relaxed) < most_waiting)) return std::nullopt;
        return refusal::concurrency;
    }
    if (sharing) shares_.note(a.client, now);
    return refusal::none;
}

void admission_control::count(refusal why) noexcept {
    stats_->mine().refused[static_cast<std::size_t>(why)].fetch_add(1, relaxed);
}

void admission_control::count_accepted() noexcept { stats_->mine().accepted.fetch_add(1, relaxed); }

void admission_control::connections_are(std::size_t n) noexcept {
    open_.store(n, relaxed);
    stats_->connections_.store(n, relaxed);
}

void admission_control::permit::give_back(time_point now, bool counts) noexcept {
    if (!control_) return;
    concurrency_limit& concurrency = class_->state_->concurrency;
    if (place_)
        concurrency.leave(*place_, now, counts, control_->bounds_);
    else
        concurrency.leave();
    control_ = nullptr;
}

} // namespace genever::http
