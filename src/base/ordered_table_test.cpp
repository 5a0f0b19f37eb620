#include <genever/base/ordered_table.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <utility>
#include <vector>

using genever::detail::ordered_table;

namespace {

struct nothing {};
using plain = std::vector<std::pair<std::uint64_t, int>>;

plain entries_of(const ordered_table<std::uint64_t, int>& t) {
    plain all;
    for (const auto& [key, value] : t) all.emplace_back(key, value);
    return all;
}

} // namespace

// Few keys and many, in a table that grows and shrinks through each of its forms.
TEST(OrderedTable, DoesWhatAPlainListWouldDoInItsOrder) {
    for (const std::uint64_t keys : {1U, 2U, 5U, 40U, 3000U}) {
        std::mt19937_64 random{keys};
        ordered_table<std::uint64_t, int> table;
        plain model;
        for (int step = 0; step < 20'000; ++step) {
            // Multiples: their lower bits, which a hash of numbers keeps, are all the same.
            const std::uint64_t key = random() % keys * 4096;
            const auto at = std::ranges::find(model, key, &plain::value_type::first);
            const bool there = at != model.end();
            const bool growing = step / 5000 % 2 == 0;
            if (random() % 4 < (growing ? 3 : 1)) {
                ASSERT_EQ(table.insert(key, step), !there);
                if (!there) model.emplace_back(key, step);
            } else {
                ASSERT_EQ(table.erase(key), there);
                if (there) {
                    *at = model.back();
                    model.pop_back();
                }
            }
            const int* const found = table.find(key);
            const auto now = std::ranges::find(model, key, &plain::value_type::first);
            ASSERT_EQ(found != nullptr, now != model.end());
            if (found) {
                ASSERT_EQ(*found, now->second);
            }
            ASSERT_EQ(table.size(), model.size());
            if (step % 500 == 0) {
                ASSERT_EQ(entries_of(table), model);
            }
        }
    }
}

TEST(OrderedTable, LetsGoOfWhatItErases) {
    ordered_table<int, std::shared_ptr<int>> table;
    const auto value = std::make_shared<int>(1);
    for (const int entries : {1, 2, 50}) {
        for (int i = 0; i < entries; ++i) table.insert(i, value);
        EXPECT_EQ(value.use_count(), 1 + entries);
        for (int i = 0; i < entries; ++i) table.erase(i);
        EXPECT_EQ(value.use_count(), 1);
        EXPECT_TRUE(table.empty());
        EXPECT_EQ(table.begin(), table.end());
    }
}

// A connection has one, to its server.
TEST(OrderedTable, TakesThreeWordsForASetOfWords) {
    EXPECT_EQ(sizeof(ordered_table<std::uint64_t, nothing>), 3 * sizeof(std::uint64_t));
}
