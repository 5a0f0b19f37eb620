#include <genever/base/pool.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <random>
#include <set>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace genever::detail;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool from_the_heap = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool from_the_heap = true;
#else
constexpr bool from_the_heap = false;
#endif
#else
constexpr bool from_the_heap = false;
#endif

std::size_t resident() {
    std::size_t size = 0;
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> size >> pages;
    return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

/// More than once: what goes has been empty from one look to the next.
void tidy() {
    for (int i = 0; i < 1000 && pool_untidy(); ++i) pool_tidy();
}

/// A block whose bytes all say whose it is.
struct block {
    unsigned char* at;
    std::size_t size;
    unsigned char whose;

    block(std::size_t s, unsigned char w)
        : at(static_cast<unsigned char*>(pool_allocate(s))), size(s), whose(w) {
        std::memset(at, whose, size);
    }
    bool is_whole() const {
        return std::all_of(at, at + size, [this](unsigned char c) { return c == whose; });
    }
    void free() const { pool_free(at, size); }
};

// More than what a thread keeps at once, so that batches go to the depot and come back.
constexpr std::size_t many = 500;

} // namespace

TEST(Pool, GivesBlocksThatDoNotOverlap) {
    for (const std::size_t size : {1u, 32u, 33u, 255u, 256u, 257u, 720u, 2048u, 2049u, 10'000u}) {
        for (int round = 0; round < 3; ++round) {
            std::vector<block> blocks;
            std::set<const void*> places;
            for (std::size_t i = 0; i < many; ++i) {
                blocks.emplace_back(size, static_cast<unsigned char>(i));
                places.insert(blocks.back().at);
            }
            EXPECT_EQ(places.size(), many) << size;
            for (block& b : blocks) {
                EXPECT_TRUE(b.is_whole()) << size;
                b.free();
            }
        }
    }
}

TEST(Pool, TakesBackOnOneThreadWhatAnotherHasTaken) {
    std::vector<block> blocks;
    for (int round = 0; round < 5; ++round) {
        std::thread{[&] {
            for (std::size_t i = 0; i < many; ++i) blocks.emplace_back(64, static_cast<unsigned char>(i));
        }}.join();
        std::thread{[&] {
            for (block& b : blocks) {
                EXPECT_TRUE(b.is_whole());
                b.free();
            }
            blocks.clear();
        }}.join();
    }
}

// Threads take, give and tidy in turns, and each frees what another one has taken: a chunk that went back to the system
// with a block in use would read as zeros.
TEST(Pool, GivesNothingBackThatIsInUse) {
    constexpr int rounds = 60;
    std::vector<std::vector<block>> left(4);
    for (int round = 0; round < rounds; ++round) {
        std::vector<std::thread> threads;
        for (unsigned t = 0; t < left.size(); ++t) {
            threads.emplace_back([&mine = left[t], round, t] {
                std::mt19937 random(static_cast<unsigned>(round) * 16 + t);
                std::shuffle(mine.begin(), mine.end(), random);
                const std::size_t keep = round + 1 == rounds ? 0 : mine.size() / 4;
                for (; mine.size() > keep; mine.pop_back()) {
                    EXPECT_TRUE(mine.back().is_whole());
                    mine.back().free();
                }
                while (pool_untidy() && pool_tidy()) {
                }
                if (round + 1 == rounds) return;
                for (const std::size_t size : {24U, 256U, 257U, 760U, 2048U})
                    for (int i = 0; i < 300; ++i)
                        mine.emplace_back(size, static_cast<unsigned char>(1 + random() % 255));
            });
        }
        for (auto& t : threads) t.join();
        std::ranges::rotate(left, left.begin() + 1);
    }
}

TEST(Pool, ReturnsTheMemoryOfAPeakOfLargeBlocks) {
    if (from_the_heap) GTEST_SKIP() << "under a sanitizer all blocks come from the heap";
    tidy(); // what other tests have left
    const std::size_t before = resident();
    std::vector<block> all;
    all.reserve(20'000);
    for (int i = 0; i < 20'000; ++i) all.emplace_back(760, static_cast<unsigned char>(1));
    EXPECT_GE(resident(), before + 20'000 * 760);
    std::ranges::shuffle(all, std::mt19937{1});
    for (const block& b : all) b.free();
    EXPECT_TRUE(pool_untidy());
    tidy();
    EXPECT_FALSE(pool_untidy()) << "nothing is left to do";
    EXPECT_LE(resident(), before + 1024 * 1024);
}
