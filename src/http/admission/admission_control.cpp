#include "http/admission/admission_control.hpp"

#include <algorithm>
#include <thread>

namespace genever::http {

namespace {
constexpr auto relaxed = std::memory_order_relaxed;
// Of the time that others may have waited for under overload.
constexpr double sheddable_share = 0.1;
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
    for (std::size_t why = 1; why < refusal_count; ++why) n += refused(static_cast<refusal>(why));
    return n;
}

// ---- the control

admission_control::admission_control(const admission_options& o, std::shared_ptr<server_stats> stats,
                                     unsigned workers, std::uint64_t seed)
    : connections(connection_limits::of(o)), options_(o), stats_(std::move(stats)),
      delay_(o.queue_target, o.queue_interval), shares_(seed),
      pace_(std::uint64_t{o.refusal_rate} * workers, o.refusal_patience), text_(o.retry_after) {}

refusal admission_control::admit(traffic_class& c, const asker& a, time_point now, permit& p) noexcept {
    concurrency_limit& concurrency = c.state_->concurrency;
    const duration waited = std::max(duration{0}, now - a.waits_since);
    const bool overloaded = options_.enabled && delay_.note(now, waited);
    std::optional<concurrency_limit::ticket> place;
    if (c.settings.priority == priority::critical) {
        concurrency.enter_anyway();
    } else {
        if (a.in_reserve) return refusal::reserved;
        if (overloaded) [[unlikely]] {
            // Those who give way first get what the others leave: a line that is short for them is there for nobody else.
            const bool sheddable = c.settings.priority == priority::sheddable;
            double share = options_.fair_shares ? std::min(1.0, shares_.share(a.client, now)) : 1.0;
            if (sheddable) share *= sheddable_share;
            if (waited > delay_.tolerance(true, share)) {
                delay_.note_refusal(now);
                if (waited > delay_.tolerance(true, 1.0)) return refusal::queue_delay;
                return sheddable ? refusal::sheddable : refusal::share;
            }
        }
        const bool limited =
            c.settings.max_concurrency || (options_.enabled && options_.adaptive_concurrency);
        if (!limited) {
            concurrency.enter_anyway();
        } else {
            place = concurrency.enter(now);
            if (!place) return refusal::concurrency;
        }
        if (overloaded && options_.fair_shares) shares_.note(a.client, now);
    }
    stats_->mine().admitted.fetch_add(1, relaxed);
    if (stats_->overloaded_.load(relaxed) != overloaded) stats_->overloaded_.store(overloaded, relaxed);
    p.control_ = this;
    p.class_ = &c;
    p.place_ = place;
    return refusal::none;
}

void admission_control::count(refusal why) noexcept {
    stats_->mine().refused[static_cast<std::size_t>(why)].fetch_add(1, relaxed);
    if (why == refusal::queue_delay || why == refusal::share || why == refusal::sheddable)
        stats_->overloaded_.store(true, relaxed);
}

void admission_control::count_accepted() noexcept { stats_->mine().accepted.fetch_add(1, relaxed); }

void admission_control::connections_are(std::size_t n) noexcept { stats_->connections_.store(n, relaxed); }

void admission_control::permit::give_back(time_point now, bool counts) noexcept {
    if (!control_) return;
    concurrency_limit& concurrency = class_->state_->concurrency;
    if (place_)
        concurrency.leave(*place_, now, counts, control_->options_.least_concurrency);
    else
        concurrency.leave();
    control_ = nullptr;
}

} // namespace genever::http
