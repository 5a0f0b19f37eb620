#include "http/admission/queue_delay.hpp"

#include <gtest/gtest.h>

using namespace genever;
using namespace genever::http;
using namespace std::chrono_literals;

namespace {

struct QueueDelay : testing::Test {
    queue_delay q{5ms, 100ms, 40ms};
    time_point t{1h};

    /// One request each millisecond that has waited for so long; whether the last one met an overload.
    bool wait(duration each, duration length) {
        bool overloaded = false;
        for (const time_point end = t + length; t < end; t += 1ms) overloaded = q.note(t, each);
        return overloaded;
    }
};

} // namespace

TEST_F(QueueDelay, IsCalmWhileSomebodyWaitsForLessThanTheTarget) {
    for (int i = 0; i < 100; ++i) {
        EXPECT_FALSE(wait(30ms, 90ms));
        EXPECT_FALSE(wait(5ms, 1ms));
    }
}

TEST_F(QueueDelay, IsOverloadedAfterAnInterval) {
    EXPECT_FALSE(wait(6ms, 100ms));
    EXPECT_TRUE(wait(6ms, 1ms));
}

TEST_F(QueueDelay, IsOverloadedAtOnceWhenOneHasWaitedForLongerThanTheLimit) {
    EXPECT_FALSE(q.note(t, 40ms));
    EXPECT_TRUE(q.note(t, 41ms));
}

TEST_F(QueueDelay, DoesNotTakeTwoRequestsFarApartForAnInterval) {
    for (int i = 0; i < 10; ++i, t += 200ms) EXPECT_FALSE(q.note(t, 6ms));
}

TEST_F(QueueDelay, EndsAnIntervalAfterTheLastRefusal) {
    wait(20ms, 150ms);
    q.note_refusal(t);
    EXPECT_TRUE(wait(1ms, 100ms));
    EXPECT_FALSE(wait(1ms, 1ms));
    EXPECT_FALSE(wait(6ms, 100ms)) << "an interval is needed again";
}

TEST_F(QueueDelay, ToleratesTheLimitWhenCalmAndTwiceTheTargetUnderOverload) {
    EXPECT_EQ(q.tolerance(false, 1.0), 40ms);
    EXPECT_EQ(q.tolerance(true, 1.0), 10ms);
    EXPECT_EQ(q.tolerance(true, 0.5), 7500us);
    EXPECT_EQ(q.tolerance(true, 0.0), 5ms);
    EXPECT_EQ(q.tolerance(true, 7.0), 10ms) << "whoever has had little does not wait for longer";
}
