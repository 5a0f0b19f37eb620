#include "crash_kinds.hpp"

#include <gtest/gtest.h>

#include <limits>

using genever::detail::crash_kinds;

namespace {
constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
} // namespace

TEST(CrashKinds, TheFirstOfAKindIsToldAndTheRestCounted) {
    crash_kinds k;
    EXPECT_EQ(k.note(7, 0), 0U);
    for (int i = 1; i <= 1000; ++i) EXPECT_EQ(k.note(7, i), std::nullopt);
    EXPECT_EQ(k.note(8, 500), 0U) << "another kind";
    EXPECT_EQ(k.note(7, second), 1000U) << "the next one brings the count";
    EXPECT_EQ(k.note(7, second + 1), std::nullopt);
}

TEST(CrashKinds, ACountIsToldWhenNoFurtherOneComes) {
    crash_kinds k;
    EXPECT_EQ(k.next_overdue(), never);
    k.note(7, 0);
    k.name(7, "a kind");
    EXPECT_EQ(k.next_overdue(), never) << "nothing has been held back";
    k.note(7, 10);
    k.note(7, 20);
    EXPECT_EQ(k.next_overdue(), second);
    EXPECT_FALSE(k.take_overdue(second - 1));
    const auto told = k.take_overdue(second);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->count, 2U);
    EXPECT_EQ(told->headline, "a kind");
    EXPECT_FALSE(k.take_overdue(2 * second));
    EXPECT_EQ(k.note(7, second + 5), std::nullopt) << "the storm goes on: once a second is enough";
}

TEST(CrashKinds, ManyKindsDoNotTakeMoreThanTheirPlaces) {
    crash_kinds k;
    for (std::uint64_t key = 1; key <= crash_kinds::most; ++key) EXPECT_EQ(k.note(key, 0), 0U);
    EXPECT_EQ(k.note(1000, 1), std::nullopt) << "none is quiet yet";
    EXPECT_EQ(k.note(1001, 2), std::nullopt);
    EXPECT_EQ(k.note(1002, second), 0U) << "a quiet one has made room";
    const auto others = k.take_overdue(second + 1);
    ASSERT_TRUE(others);
    EXPECT_EQ(others->count, 2U);
    EXPECT_EQ(others->headline, "");
}

TEST(CrashKinds, AKindWithACountKeepsItsPlace) {
    crash_kinds k;
    for (std::uint64_t key = 1; key <= crash_kinds::most; ++key) {
        k.note(key, 0);
        k.note(key, 1);
    }
    EXPECT_EQ(k.note(1000, 2 * second), std::nullopt);
    for (std::uint64_t key = 1; key <= crash_kinds::most; ++key) EXPECT_TRUE(k.take_overdue(2 * second));
    EXPECT_EQ(k.note(1001, 3 * second), 0U);
}
