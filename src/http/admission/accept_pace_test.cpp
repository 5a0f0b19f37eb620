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
    for (const time_point end = t + 1s; t < end; ++accepted) t += p.pause(t);
    EXPECT_LE(accepted, 1000 + accept_batch);
    EXPECT_GE(accepted, 999 - accept_batch);
}

TEST(AcceptPace, HasABatchAgainAfterACalm) {
    accept_pace p{1000};
    time_point t{1h};
    for (int i = 0; i < accept_batch; ++i) p.pause(t);
    EXPECT_EQ(p.pause(t), 65ms);
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
    EXPECT_EQ(slow.pause(t), 65s);
    accept_pace fast{4'294'967'295};
    for (int i = 0; i < 100'000; ++i) ASSERT_EQ(fast.pause(t), 0s);
}
