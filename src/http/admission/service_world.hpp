// A service in simulated time, on which limits of concurrency are tried: by the tests, and by bench/http/limits.cpp.
#pragma once

#include "http/admission/concurrency_limit.hpp"

#include <genever/base/clock.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <queue>
#include <random>
#include <utility>
#include <vector>

namespace genever::http::test {

using namespace std::chrono_literals;

/// Requests that come at random, on the average `rate` a second; a service with so many places, each of which a request
/// holds for as long as `work` says. Those without a place wait in line. Who is told that a place may be found in a moment
/// asks again every 4 ms for a tenth of a second; that counts among the time it takes.
template <class Limit>
class service_world {
public:
    /// The other arguments are the limit's.
    template <class... Args>
    explicit service_world(std::uint64_t seed, Args&&... args)
        : limit(std::forward<Args>(args)...), random_(seed) {}

    Limit limit;
    std::size_t places = 8;
    std::function<duration(std::mt19937_64&)> work = [](auto&) { return duration{20ms}; };

    struct seen {
        std::size_t offered = 0, refused = 0, served = 0;
        std::vector<duration> times;
        duration p99() {
            if (times.empty()) return 0ms;
            const std::size_t at = times.size() * 99 / 100;
            std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(at));
            return times[at];
        }
    };

    /// What happens in `length` from now on.
    seen run(double rate, duration length) {
        seen s;
        const time_point end = now_ + length;
        std::exponential_distribution<double> gap{rate};
        time_point next = now_ + seconds(gap(random_));
        for (;;) {
            const time_point ends = busy_.empty() ? end + 1s : busy_.top().ends;
            const time_point asks = asking_.empty() ? end + 1s : asking_.top().at;
            const time_point at = std::min({ends, asks, next});
            if (at > end) break;
            now_ = at;
            if (at == ends) {
                const job done = busy_.top();
                busy_.pop();
                limit.leave(done.ticket, now_, true, {});
                ++s.served;
                s.times.push_back(now_ - done.came);
                if (!line_.empty()) {
                    begin(line_.front());
                    line_.pop_front();
                }
            } else if (at == asks) {
                const asker again = asking_.top();
                asking_.pop();
                ask(again.came, s);
            } else {
                next = now_ + seconds(gap(random_));
                ++s.offered;
                ask(now_, s);
            }
        }
        now_ = end;
        return s;
    }

private:
    struct admitted {
        concurrency_limit::ticket ticket;
        time_point came;
    };
    struct job : admitted {
        time_point ends;
        bool operator<(const job& o) const { return ends > o.ends; }
    };
    struct asker {
        time_point at, came;
        bool operator<(const asker& o) const { return at > o.at; }
    };
    static duration seconds(double s) { return duration{static_cast<duration::rep>(s * 1e9)}; }
    void begin(const admitted& a) { busy_.push({a, now_ + work(random_)}); }
    void ask(time_point came, seen& s) {
        const auto t = limit.enter(now_, {});
        if (!t && t.error() == concurrency_limit::turned_away::unproven && now_ - came < 100ms)
            asking_.push({now_ + 4ms, came});
        else if (!t)
            ++s.refused;
        else if (busy_.size() < places)
            begin({*t, came});
        else
            line_.push_back({*t, came});
    }

    std::mt19937_64 random_;
    time_point now_{1h};
    std::priority_queue<job> busy_;
    std::priority_queue<asker> asking_;
    std::deque<admitted> line_;
};

} // namespace genever::http::test
