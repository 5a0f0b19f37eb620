#include "restart_intensity.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <random>

using namespace genever;
using namespace genever::detail;
using namespace std::chrono_literals;

namespace {

time_point at(duration d) { return time_point{} + d; }

} // namespace

TEST(RestartIntensity, CountsARestartExactlyThePeriodAgo) {
    restart_intensity i(1, 5s);
    EXPECT_TRUE(i.add(at(1s)));
    EXPECT_FALSE(i.add(at(6s)));
    EXPECT_TRUE(i.add(at(6s + 1ns)));
}

TEST(RestartIntensity, AllowsNoneWhereNoneIsAllowed) {
    restart_intensity i(0, 5s);
    EXPECT_FALSE(i.add(at(1h)));
}

TEST(RestartIntensity, AgreesWithAPlainCount) {
    std::mt19937_64 random{1};
    for (const unsigned max : {1U, 3U, 100U, 1024U}) {
        restart_intensity i(max, 5s);
        std::deque<time_point> all;
        time_point t;
        for (int n = 0; n < 20'000; ++n) {
            t += duration{static_cast<duration::rep>(random() % 20'000'000'000 / max)};
            while (!all.empty() && t - all.front() > 5s) all.pop_front();
            const bool may = all.size() < max;
            if (may) all.push_back(t);
            ASSERT_EQ(i.add(t), may) << max << ' ' << n;
            ASSERT_EQ(i.recent(), all.size());
        }
    }
}

TEST(RestartIntensity, RemembersABoundedNumberHoweverManyAreAllowed) {
    restart_intensity i(5'000'000, 5s);
    time_point t;
    int allowed = 0;
    for (; i.add(t); t += 500ns) ++allowed; // ten million in 5 s
    EXPECT_EQ(allowed, 5'000'000);
    EXPECT_LE(i.kept(), restart_intensity::most_kept + 1);
    // As many again as fall out of the period; what was counted together falls out together, at most a 1,024th too early.
    int again = 0;
    for (t += 5s - 2500ms; t <= at(7500ms); t += 500ns)
        if (i.add(t)) ++again;
    EXPECT_GE(again, 4'990'000);
    EXPECT_LE(again, 5'000'000 + 10'000);
    EXPECT_LE(i.kept(), restart_intensity::most_kept + 1);
}
