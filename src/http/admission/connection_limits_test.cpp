#include "http/admission/connection_limits.hpp"

#include <gtest/gtest.h>

using namespace genever::http;
using enum connection_limits::verdict;

TEST(ConnectionLimits, CountAll) {
    connection_limits l{3, 3, 16};
    for (client_key c : {1, 2, 3}) EXPECT_EQ(l.enter(c), admitted);
    EXPECT_EQ(l.enter(4), too_many);
    l.leave(2, false);
    EXPECT_EQ(l.enter(4), admitted);
    EXPECT_EQ(l.count(), 3U);
}

TEST(ConnectionLimits, CountThoseOfEachClient) {
    connection_limits l{100, 2, 16};
    EXPECT_EQ(l.enter(1), admitted);
    EXPECT_EQ(l.enter(1), admitted);
    EXPECT_EQ(l.enter(1), too_many_of_client);
    EXPECT_EQ(l.enter(2), admitted);
    l.leave(1, false);
    EXPECT_EQ(l.enter(1), admitted);
    EXPECT_EQ(l.count(), 3U);
}

TEST(ConnectionLimits, KeepTheLastForCriticalRequests) {
    connection_limits l{16, 16, 16}; // an eighth of them
    for (int i = 0; i < 14; ++i) EXPECT_EQ(l.enter(1), admitted);
    EXPECT_EQ(l.enter(1), admitted_in_reserve);
    EXPECT_EQ(l.enter(1), admitted_in_reserve);
    EXPECT_EQ(l.enter(1), too_many);
    // Who comes for one that leaves takes its kind of place, however often.
    for (int i = 0; i < 100; ++i) {
        l.leave(1, false);
        EXPECT_EQ(l.enter(1), admitted);
        l.leave(1, true);
        EXPECT_EQ(l.enter(1), admitted_in_reserve);
    }
}

TEST(ConnectionLimits, AreTakenFromTheFileDescriptorsAndNeverNone) {
    const connection_limits l = connection_limits::of({});
    EXPECT_GE(l.most(), 1U);
    EXPECT_EQ(l.most_of_a_client(), l.most() - l.most() / 2);
    const connection_limits given =
        connection_limits::of({.max_connections = 1000, .max_connections_per_client = 7});
    EXPECT_EQ(given.most(), 1000U);
    EXPECT_EQ(given.most_of_a_client(), 7U);
}
