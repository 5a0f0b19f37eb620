#include <genever/base/pool.hpp>

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

namespace genever::detail {
namespace {

/// Filled with a byte of its own, which is found wanting where another block lies over it.
class block {
public:
    block(std::size_t size, unsigned char mark)
        : at_(static_cast<unsigned char*>(pool_allocate(size))), size_(size), mark_(mark) {
        std::memset(at_, mark, size);
    }
    bool intact() const {
        for (std::size_t i = 0; i < size_; ++i)
            if (at_[i] != mark_) return false;
        return true;
    }
    void free() { pool_free(at_, size_); }
    const void* address() const { return at_; }

private:
    unsigned char* at_;
    std::size_t size_;
    unsigned char mark_;
};

// More than what a thread keeps at once, so that batches go to the depot and come back.
constexpr std::size_t many = 500;

TEST(Pool, GivesBlocksThatDoNotOverlap) {
    for (const std::size_t size : {1u, 32u, 33u, 255u, 256u, 257u, 720u, 2048u, 2049u, 10'000u}) {
        for (int round = 0; round < 3; ++round) {
            std::vector<block> blocks;
            std::set<const void*> places;
            for (std::size_t i = 0; i < many; ++i) {
                blocks.emplace_back(size, static_cast<unsigned char>(i));
                places.insert(blocks.back().address());
            }
            EXPECT_EQ(places.size(), many) << size;
            for (block& b : blocks) {
                EXPECT_TRUE(b.intact()) << size;
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
                EXPECT_TRUE(b.intact());
                b.free();
            }
            blocks.clear();
        }}.join();
    }
}

} // namespace
} // namespace genever::detail
