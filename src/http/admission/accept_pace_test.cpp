#include "http/admission/accept_pace.hpp"

#include <gtest/gtest.h>

using namespace genever;
using namespace genever::http;
using namespace std::chrono_literals;

TEST(AcceptPace, AcceptsABatchAtOnceAndThenAsManyASecondAsItIsTold) {
    accept_pace p{1000};
    time_point t{1h};
    for (int i = 0; i < accept_batch; ++i) EXPECT_EQ(p.pause(t), 0s);
    int accepted = 0;
    for (const time_point end = t + 1s; t < end; ++accepted) {
        const duration pause = p.pause(t);
        EXPECT_LE(pause, 1ms) << "nobody waits for a batch";
        t += pause;
    }
    EXPECT_EQ(accepted, 1000);
}

TEST(AcceptPace, KeepsARateWhoseStepsAreShorterThanATimersGrain) {
    accept_pace p{100'000};
    time_point t{1h};
    for (int i = 0; i < accept_batch; ++i) EXPECT_EQ(p.pause(t), 0s);
    int accepted = 0, pauses = 0;
    for (const time_point end = t + 1s; t < end; ++accepted) {
        const duration pause = p.pause(t);
        t += pause;
        pauses += pause != 0s;
    }
    EXPECT_NEAR(accepted, 100'000, 100);
    EXPECT_LE(pauses, 100'000 / (accept_batch / 2));
}

TEST(AcceptPace, HasABatchAgainAfterACalm) {
    accept_pace p{1000};
    time_point t{1h};
    for (int i = 0; i < accept_batch; ++i) p.pause(t);
    EXPECT_EQ(p.pause(t), 1ms);
    t += 1s;
    for (int i = 0; i < accept_batch; ++i) EXPECT_EQ(p.pause(t), 0s);
}

TEST(AcceptPace, IsNoneForZero) {
    accept_pace p{0};
    const time_point t{1h};
    for (int i = 0; i < 100'000; ++i) ASSERT_EQ(p.pause(t), 0s);
}

// The slowest that can be asked for, and the fastest.
TEST(AcceptPace, TakesAnyRate) {
    accept_pace slow{1};
    const time_point t{1h};
    for (int i = 0; i < accept_batch; ++i) EXPECT_EQ(slow.pause(t), 0s);
    EXPECT_EQ(slow.pause(t), 1s);
    accept_pace fast{4'294'967'295};
    for (int i = 0; i < 100'000; ++i) ASSERT_EQ(fast.pause(t), 0s);
}
