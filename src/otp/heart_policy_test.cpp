#include "otp/heart_policy.hpp"

#include <gtest/gtest.h>

#include <vector>

using namespace genever;
using namespace genever::detail;
using namespace std::chrono_literals;

namespace {

constexpr time_point start{1000s};

} // namespace

TEST(RestartPolicy, StartsAServiceThatHadBeenUpForLongAgainAtOnce) {
    restart_policy p{heart_options{}};
    for (int i = 0; i < 1000; ++i) {
        const auto v = p.failed(1s);
        EXPECT_FALSE(v.give_up);
        EXPECT_EQ(v.delay, 0ms);
    }
    EXPECT_EQ(p.quick_failures(), 0U);
}

TEST(RestartPolicy, WaitsTwiceAsLongAfterEachQuickFailureUpToALimitAndGivesUp) {
    heart_options o;
    o.backoff = 100ms;
    o.max_backoff = 1s;
    o.give_up_after = 7;
    restart_policy p{o};
    const std::vector<duration> delays{0ms, 100ms, 200ms, 400ms, 800ms, 1s, 1s};
    bool up = false;
    for (duration expected : delays) {
        up = !up; // never up and up for too short a time are the same
        const auto v = p.failed(up ? std::optional<duration>{999ms} : std::nullopt);
        EXPECT_FALSE(v.give_up);
        EXPECT_EQ(v.delay, expected);
    }
    EXPECT_TRUE(p.failed(std::nullopt).give_up);
    EXPECT_TRUE(p.failed(0s).give_up);
}

TEST(RestartPolicy, ForgetsQuickFailuresAfterOneThatWasNot) {
    restart_policy p{heart_options{}};
    p.failed(0s);
    p.failed(0s);
    EXPECT_EQ(p.failed(0s).delay, 200ms);
    EXPECT_EQ(p.failed(1h).delay, 0ms);
    EXPECT_EQ(p.failed(0s).delay, 0ms);
    EXPECT_EQ(p.failed(0s).delay, 100ms);
    p.forget();
    EXPECT_EQ(p.failed(0s).delay, 0ms);
}

TEST(RestartPolicy, NeverGivesUpWhereItIsToldSo) {
    heart_options o;
    o.give_up_after = 0;
    o.backoff = 1ns;
    o.max_backoff = infinity;
    restart_policy p{o};
    for (int i = 0; i < 10'000; ++i) EXPECT_FALSE(p.failed(std::nullopt).give_up);
    EXPECT_EQ(p.failed(std::nullopt).delay, infinity); // no overflow on the way
}

TEST(RestartPolicy, NeedsNoBackoff) {
    heart_options o;
    o.backoff = 0ms;
    o.give_up_after = 100'000;
    restart_policy p{o};
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(p.failed(std::nullopt).delay, 0ms);
}

TEST(LastChance, OfAnUpgradeHasAlwaysAnEnd) {
    heart_options o;
    o.start_timeout = 3s;
    EXPECT_EQ(last_chance(o), 3s);
    o.start_timeout = infinity;
    EXPECT_EQ(last_chance(o), 60s);
    o.max_backoff = 0s;
    EXPECT_EQ(last_chance(o), 600ms);
    o.max_backoff = infinity;
    EXPECT_EQ(last_chance(o), 1h);
}

TEST(HangWatch, IsLateWhenNoBeatHasComeForTheWholeLimit) {
    hang_watch w{8s, start};
    EXPECT_EQ(w.look_every(), 2s);
    for (auto t = 0s; t <= 8s; t += 2s) EXPECT_FALSE(w.late(start + t));
    EXPECT_TRUE(w.late(start + 8s + 1ns));
}

TEST(HangWatch, IsNotLateAsLongAsBeatsCome) {
    hang_watch w{8s, start};
    for (auto t = 0s; t < 1000s; t += 2s) {
        if (t % 6s == 0s) w.beat(start + t);
        EXPECT_FALSE(w.late(start + t));
    }
}

TEST(HangWatch, DoesNotCountTimeInWhichNobodyLooked) {
    hang_watch w{8s, start};
    w.late(start + 2s);
    EXPECT_FALSE(w.late(start + 1h)); // both were stopped
    EXPECT_FALSE(w.late(start + 1h + 3s));
    EXPECT_FALSE(w.late(start + 1h + 6s));
    EXPECT_TRUE(w.late(start + 1h + 6s + 1ns)); // 2 s before, 6 s after
}

TEST(HangWatch, IsNeverLateWithoutALimit) {
    hang_watch w{infinity, start};
    EXPECT_EQ(w.look_every(), infinity);
    EXPECT_FALSE(w.late(time_point::max()));
}
