#include "http/admission/refusal_pace.hpp"
#include "http/admission/refusal_text.hpp"

#include <gtest/gtest.h>

using namespace genever;
using namespace genever::http;
using namespace std::chrono_literals;

TEST(RefusalPace, AnswersSomeAtOnceAndTheOthersEvenly) {
    refusal_pace p{1000, 1s};
    const time_point t{1h};
    for (int i = 0; i <= 10; ++i) EXPECT_EQ(p.next(t), t); // 10 ms ahead
    EXPECT_EQ(p.next(t), t + 11ms);
    EXPECT_EQ(p.next(t + 1ms), t + 12ms);
    EXPECT_EQ(p.next(t + 5s), t + 5s);
}

TEST(RefusalPace, NeverWaitsForLongerThanItsPatience) {
    refusal_pace p{1000, 100ms};
    const time_point t{1h};
    for (int i = 0; i < 1000; ++i) EXPECT_LE(p.next(t), t + 100ms);
    // Those beyond have taken no moment from those to come.
    EXPECT_LE(p.next(t + 101ms), t + 101ms);
}

TEST(RefusalPace, CanBeNone) {
    refusal_pace p{0, 1s};
    const time_point t{1h};
    for (int i = 0; i < 100'000; ++i) ASSERT_EQ(p.next(t), t);
}

TEST(RefusalText, TellsWhenToTryAgainInWholeSeconds) {
    EXPECT_NE(refusal_text{1200ms}.get(false, false, false).find("\r\nRetry-After: 2\r\n"),
              std::string_view::npos);
    EXPECT_NE(refusal_text{0ms}.get(false, false, false).find("\r\nRetry-After: 1\r\n"),
              std::string_view::npos);
}

TEST(RefusalText, HasTheLengthOfItsBodyAndNoBodyForHead) {
    const refusal_text t{1s};
    const std::string_view whole = t.get(false, false, false);
    const std::string_view body = whole.substr(whole.find("\r\n\r\n") + 4);
    EXPECT_NE(whole.find("Content-Length: " + std::to_string(body.size()) + "\r\n"), std::string_view::npos);
    EXPECT_EQ(whole.find("Connection:"), std::string_view::npos);
    EXPECT_EQ(t.get(false, true, false), whole.substr(0, whole.size() - body.size()));
    EXPECT_NE(t.get(true, false, true).find("\r\nConnection: close\r\n"), std::string_view::npos);
    EXPECT_NE(t.get(false, false, true).find("\r\nConnection: keep-alive\r\n"), std::string_view::npos);
}
