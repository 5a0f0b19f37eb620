// A server of one worker in simulated time: requests wait in line, each takes a millisecond, a refusal costs a hundredth of
// that, and whoever is refused is gone.
#include "http/admission/admission_control.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <vector>

using namespace genever;
using namespace genever::http;
using namespace std::chrono_literals;

namespace {

struct client {
    client_key key;
    double rate; // a second
    priority asks_for = priority::normal;
};

struct outcome {
    std::size_t asked = 0;
    std::size_t served = 0;
    std::vector<duration> times;
    duration p99() {
        if (times.empty()) return 0ms;
        const std::size_t at = times.size() * 99 / 100;
        std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(at));
        return times[at];
    }
};

class line {
public:
    explicit line(std::uint64_t seed, admission_options o = {})
        : stats{std::make_shared<server_stats>()}, random_(seed), control_(o, stats, seed) {}

    std::shared_ptr<server_stats> stats;
    bool overloaded() const { return stats->overloaded(now_); }
    std::size_t waiting() const { return waiting_.size(); }

    std::map<client_key, outcome> run(const std::vector<client>& clients, duration length) {
        std::map<client_key, outcome> all;
        const time_point end = now_ + length;
        std::vector<time_point> next;
        for (const client& c : clients) next.push_back(now_ + gap(c));
        while (now_ < end) {
            const auto first = static_cast<std::size_t>(std::ranges::min_element(next) - next.begin());
            if (waiting_.empty() || next[first] <= now_) {
                const time_point t = next[first];
                now_ = std::max(now_, t);
                waiting_.push_back({t, clients[first].key, clients[first].asks_for});
                ++all[clients[first].key].asked;
                next[first] = t + gap(clients[first]);
                continue;
            }
            const request r = waiting_.front();
            waiting_.pop_front();
            admission_control::permit p;
            traffic_class& c = *classes_[static_cast<std::size_t>(r.asks_for)];
            const auto why = control_.admit(c, {.client = r.from, .waited = now_ - r.came}, now_, p);
            if (why != refusal::none) {
                now_ += 10us;
                continue;
            }
            now_ += 1ms;
            p.finish(now_);
            outcome& o = all[r.from];
            ++o.served;
            o.times.push_back(now_ - r.came);
        }
        return all;
    }

private:
    struct request {
        time_point came;
        client_key from;
        priority asks_for;
    };
    duration gap(const client& c) {
        return duration{
            static_cast<duration::rep>(std::exponential_distribution<double>{c.rate}(random_) * 1e9)};
    }

    std::mt19937_64 random_;
    admission_control control_;
    std::unique_ptr<traffic_class> classes_[3] = {
        std::make_unique<traffic_class>(traffic{.priority = priority::critical}),
        std::make_unique<traffic_class>(traffic{.priority = priority::normal}),
        std::make_unique<traffic_class>(traffic{.priority = priority::sheddable})};
    std::deque<request> waiting_;
    time_point now_{1h};
};

class Admission : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, Admission, testing::Range<std::uint64_t>(1, 21));

} // namespace

TEST_P(Admission, RefusesNobodyWhoCanBeServed) {
    line l{GetParam()};
    l.run({{1, 500}}, 30s);
    EXPECT_EQ(l.stats->refused(), 0U);
    EXPECT_FALSE(l.overloaded());
}

TEST_P(Admission, LetsABurstPass) {
    line l{GetParam()};
    l.run({{1, 5000}}, 5ms); // some 25 at once
    l.run({{1, 100}}, 1s);
    EXPECT_EQ(l.stats->refused(), 0U);
}

TEST_P(Admission, KeepsGoodputAndLatencyAtFiveTimesTheLoad) {
    line l{GetParam()};
    auto seen = l.run({{1, 5000}}, 10s);
    EXPECT_GT(seen[1].served, 10'000U * 95 / 100);
    EXPECT_LT(seen[1].p99(), 50ms); // the first tenth of a second included
    EXPECT_EQ(l.stats->admitted() + l.stats->refused() + l.waiting(), seen[1].asked)
        << "every decision is counted";
}

TEST_P(Admission, IsItselfAgainSoonAfterTheLoadHasFallen) {
    line l{GetParam()};
    l.run({{1, 10'000}}, 5s);
    l.run({{1, 500}}, 300ms);
    const auto before = l.stats->refused();
    auto seen = l.run({{1, 500}}, 10s);
    EXPECT_EQ(l.stats->refused(), before);
    EXPECT_LT(seen[1].p99(), 15ms);
    EXPECT_FALSE(l.overloaded());
}

TEST_P(Admission, AnswersCriticalRequestsAndShedsTheSheddableFirst) {
    line l{GetParam()};
    const std::vector<client> mix{{1, 700}, {2, 50, priority::critical}, {3, 4000, priority::sheddable}};
    l.run(mix, 1s);
    auto seen = l.run(mix, 20s);
    EXPECT_NEAR(static_cast<double>(seen[2].served), static_cast<double>(seen[2].asked), 5)
        << "but for who waits";
    EXPECT_LT(seen[2].p99(), 50ms);
    EXPECT_GT(seen[1].served, seen[1].asked * 90 / 100);
    EXPECT_LT(seen[3].served, seen[3].asked * 20 / 100);
}

TEST_P(Admission, DoesNotLetOneClientTakeTheSharesOfOthers) {
    line l{GetParam()};
    std::vector<client> clients{{100, 1000}}; // ten times the share of each
    for (client_key k = 1; k <= 9; ++k) clients.push_back({k, 85});
    l.run(clients, 1s);
    auto seen = l.run(clients, 20s);
    std::size_t asked = 0, served = 0;
    for (client_key k = 1; k <= 9; ++k) {
        asked += seen[k].asked;
        served += seen[k].served;
        EXPECT_GT(seen[k].served, seen[k].asked * 88 / 100) << "client " << k;
    }
    EXPECT_GT(served, asked * 93 / 100);
    // What the others leave is the greedy one's, and the service is not idle for it.
    EXPECT_GT(served + seen[100].served, 20'000U * 93 / 100);
}

TEST_P(Admission, SharesEvenlyAmongMany) {
    line l{GetParam()};
    std::vector<client> clients;
    for (client_key k = 1; k <= 100; ++k) clients.push_back({k, 40}); // four times what there is
    for (client_key k = 101; k <= 105; ++k) clients.push_back({k, 400});
    l.run(clients, 1s);
    auto seen = l.run(clients, 30s);
    std::size_t modest = 0, greedy = 0;
    for (client_key k = 1; k <= 100; ++k) modest += seen[k].served;
    for (client_key k = 101; k <= 105; ++k) greedy += seen[k].served;
    EXPECT_LT(static_cast<double>(greedy) / 5, static_cast<double>(modest) / 100 * 2.0);
}

// "As many as can be" is no other number: a limit must not come out of it as none at all.
TEST(AdmissionOptions, TakeAnyNumberForALimit) {
    for (const std::size_t many : {std::size_t(-1), std::size_t{1} << 32, std::size_t{1} << 33}) {
        for (const std::size_t least : {std::size_t{4}, many}) {
            admission_control control{{.least_concurrency = least, .initial_concurrency = many},
                                      std::make_shared<server_stats>(),
                                      1};
            traffic_class c{{}};
            std::vector<admission_control::permit> permits(100);
            time_point t{1h};
            // Handlers that take ever longer, so that a limit is tried; where it may be a small one, only before it is.
            for (duration time = 1ms; time < (least == many ? 2s : 2ms); time *= 2) {
                for (int again = 0; again < 10; ++again) {
                    for (auto& p : permits)
                        ASSERT_EQ(control.admit(c, {.client = 1}, t, p), refusal::none)
                            << least << ", " << time;
                    t += time;
                    for (auto& p : permits) p.finish(t);
                }
            }
        }
    }
}

TEST(AdmissionOptions, AnIntervalMayBeForEver) {
    line l{1, {.queue_interval = infinity}};
    l.run({{1, 5000}}, 1s); // more waits than queue_limit
    EXPECT_TRUE(l.overloaded());
}

TEST(AdmissionOptions, WithoutAdmissionNobodyIsRefusedForHisShare) {
    admission_control control{{.enabled = false}, std::make_shared<server_stats>(), 1};
    traffic_class c{{.max_concurrency = 8}};
    time_point t{1h};
    // The only one for a second, then there are two of them: who has had it all is offered as much as before.
    for (int i = 0; i < 1000; ++i) {
        admission_control::permit p;
        ASSERT_EQ(control.admit(c, {.client = 1}, t, p), refusal::none);
        t += 1ms;
        p.finish(t);
    }
    admission_control::permit other;
    ASSERT_EQ(control.admit(c, {.client = 2}, t, other), refusal::none);
    std::vector<admission_control::permit> permits(7);
    for (auto& p : permits) EXPECT_EQ(control.admit(c, {.client = 1}, t, p), refusal::none);
    admission_control::permit ninth;
    EXPECT_EQ(control.admit(c, {.client = 1}, t, ninth), refusal::concurrency);
}
