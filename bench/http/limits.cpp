// How a limit on the handlers in hand should be found: by a gradient (src/http/admission/concurrency_limit.hpp) or by additive increase
// and multiplicative decrease. Both are tried on the same services, in simulated time: the results are the same on any machine.
//
// AIMD as in TCP's congestion avoidance (RFC 5681 section 3.1): the limit
// grows by one for each round that was full, and falls to nine tenths when a request has taken longer than a bound, at most
// once for those who were in hand then. The bound is what somebody has to know: twice what the work takes (nobody can know that
// for all routes), or a second, which is what a client waits for.
#include "http/admission/concurrency_limit.hpp"
#include "http/admission/service_world.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <expected>
#include <iterator>
#include <optional>
#include <random>
#include <vector>

using namespace genever;
using namespace genever::http;
using namespace std::chrono_literals;

namespace {

class aimd {
public:
    explicit aimd(duration bound) : bound_(bound) {}

    std::expected<concurrency_limit::ticket, concurrency_limit::turned_away>
    enter(time_point now, const concurrency_limit::bounds&) {
        if (in_hand_ >= limit_) return std::unexpected(concurrency_limit::turned_away::full);
        ++in_hand_;
        return concurrency_limit::ticket{.entered = now, .in_hand = static_cast<std::uint32_t>(in_hand_)};
    }

    void leave(const concurrency_limit::ticket& t, time_point now, bool, const concurrency_limit::bounds& b) {
        const bool full = 2 * in_hand_ >= limit_;
        --in_hand_;
        if (now - t.entered > bound_) {
            if (t.entered >= fell_at_)
                limit_ = std::max(static_cast<double>(b.least), limit_ * 0.9), fell_at_ = now;
        } else if (full) {
            limit_ += 1 / limit_;
        }
    }

private:
    const duration bound_;
    double limit_ = 16;
    double in_hand_ = 0;
    time_point fell_at_{};
};

struct result {
    double goodput; // served, of what the service can do
    double refused; // of what was offered
    double p99;     // ms, of what was served
};

template <class World>
result measured(World& w, double rate, duration length, double can) {
    auto s = w.run(rate, length);
    const double seconds = std::chrono::duration<double>(length).count();
    return {100 * static_cast<double>(s.served) / (std::min(can, rate) * seconds),
            100 * static_cast<double>(s.refused) / static_cast<double>(s.offered),
            std::chrono::duration<double, std::milli>(s.p99()).count()};
}

constexpr std::size_t unbounded = 1'000'000;

/// What is done to a world, by its number; what came of it.
struct trial {
    const char* what;
    template <class World>
    static result of(int number, World& w) {
        switch (number) {
        case 0: return measured(w, 240, 60s, 400);
        case 1: w.run(100, 500ms); return measured(w, 2000, 5s, 400);
        case 2:
            w.run(300, 5s);
            w.run(2000, 3s);
            return measured(w, 2000, 20s, 400);
        case 3:
            w.run(300, 5s);
            w.run(3000, 10s);
            w.places = 32;
            return measured(w, 3000, 10s, 1600);
        case 4:
            w.run(300, 5s);
            w.run(3000, 10s);
            w.work = [](auto&) { return duration{100ms}; };
            w.run(3000, 5s);
            return measured(w, 3000, 20s, 80);
        case 5:
            w.places = unbounded;
            w.run(1000, 10s);
            w.work = [](auto&) { return duration{400ms}; };
            return measured(w, 1000, 30s, unbounded);
        default:
            w.places = unbounded;
            w.work = [](auto& r) {
                std::lognormal_distribution<double> d{std::log(20e6), 1.2};
                return duration{static_cast<duration::rep>(d(r))};
            };
            return measured(w, 1000, 60s, unbounded);
        }
    }
};

constexpr const char* trials[] = {
    "60 % of what 8 places of 20 ms can do, 60 s",
    "5 times that much, the first 5 s",
    "5 times, 20 s later on",
    "the places become 32: the next 10 s at twice what they can do",
    "the work becomes 100 ms, 8 places: 20 s at 37 times what they can do",
    "no scarce places; the work becomes 400 ms by itself",
    "no scarce places; times of a lognormal distribution (median 20 ms, sigma 1.2)",
};

double median(std::vector<double> v) {
    std::ranges::nth_element(v, v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2));
    return v[v.size() / 2];
}

template <class World, class Argument>
void row(const char* name, int number, Argument argument) {
    std::vector<double> goodput, refused, p99;
    for (std::uint64_t seed = 1; seed <= 41; ++seed) {
        World w{seed, argument};
        const result r = trial::of(number, w);
        goodput.push_back(r.goodput), refused.push_back(r.refused), p99.push_back(r.p99);
    }
    std::printf("| %s | %s | %.1f | %.1f | %.0f |\n", trials[number], name, median(goodput), median(refused),
                median(p99));
}

} // namespace

int main() {
    std::puts("| service | limit | goodput, % of what can be served | refused, % | p99 of what was served, "
              "ms |\n|---|---|---|---|---|");
    for (int number = 0; number < static_cast<int>(std::size(trials)); ++number) {
        row<test::service_world<concurrency_limit>>("gradient", number, std::optional<std::size_t>{});
        row<test::service_world<aimd>>("AIMD, 40 ms", number, duration{40ms});
        row<test::service_world<aimd>>("AIMD, 1 s", number, duration{1s});
    }
    std::puts("\nMedians of 41 seeds.");
}
