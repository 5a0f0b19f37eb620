#include "web/path_scan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace genever::web::detail {
namespace {

/// In memory of exactly its size, so that AddressSanitizer sees whoever reads on.
class exact {
public:
    explicit exact(std::string_view s) : bytes_(s.begin(), s.end()) {}
    std::string_view view() const { return {bytes_.data(), bytes_.size()}; }

private:
    std::vector<char> bytes_;
};

/// Text of that size; about one byte in `sparse` is a slash, and many of the others are nearly one.
std::string random_text(std::mt19937& random, std::size_t size, unsigned sparse) {
    constexpr std::string_view others{".-n\xaf\0\xff\x80xyz", 10};
    std::string path;
    while (path.size() < size) path += random() % sparse == 0 ? '/' : others[random() % others.size()];
    return path;
}

std::uint64_t first_bytes(std::string_view s) {
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < std::min<std::size_t>(s.size(), 8); ++i)
        word |= std::uint64_t{static_cast<unsigned char>(s[i])} << (8 * i);
    return word;
}

TEST(PathScan, FindsTheSlashesOfTheFirst64BytesAndReadsNoOthers) {
    std::mt19937 random{7};
    for (std::size_t size = 0; size <= 140; ++size) {
        for (const unsigned sparse : {1u, 3u, 20u}) {
            const std::string path = random_text(random, size, sparse);
            std::uint64_t expected = 0;
            for (std::size_t i = 0; i < std::min<std::size_t>(size, 64); ++i)
                if (path[i] == '/') expected |= std::uint64_t{1} << i;
            const exact e{path};
            EXPECT_EQ(byte_mask(e.view().data(), size, '/'), expected) << path;
            EXPECT_EQ(portable_byte_mask(e.view().data(), size, '/'), expected) << path;
        }
    }
}

TEST(PathScan, FindsAnEscapeWhereverItIs) {
    for (std::size_t size = 0; size <= 200; ++size) {
        std::string path(size, '/');
        EXPECT_FALSE(has_escapes(exact{path}.view()));
        for (std::size_t i = 0; i < size; ++i) {
            path[i] = '%';
            EXPECT_TRUE(has_escapes(exact{path}.view())) << i << " of " << size;
            path[i] = '$';
            EXPECT_FALSE(has_escapes(exact{path}.view())) << i << " of " << size;
        }
    }
}

TEST(PathScan, LoadsAFewBytesWithZerosAbove) {
    const std::string text = "a\xff\x80g/\x01z";
    for (std::size_t size = 0; size < 8; ++size) {
        const exact e{text.substr(0, size)};
        EXPECT_EQ(load_few(e.view().data(), size), first_bytes(e.view())) << size;
    }
}

/// What is between a path's slashes, an empty segment behind the last one included.
std::vector<std::string_view> segments_of(std::string_view path) {
    std::vector<std::string_view> segments;
    for (std::size_t slash = 0; slash < path.size();) {
        const std::size_t end = std::min(path.find('/', slash + 1), path.size());
        segments.push_back(path.substr(slash + 1, end - slash - 1));
        slash = end;
    }
    return segments;
}

TEST(PathScan, GoesFromSegmentToSegmentAndBack) {
    std::mt19937 random{11};
    for (std::size_t size = 1; size <= 200; ++size) {
        for (const unsigned sparse : {1u, 4u, 15u, 100u}) {
            const exact e{"/" + random_text(random, size - 1, sparse)};
            const auto segments = segments_of(e.view());
            path_scan scan{e.view()};
            for (std::size_t i = 0; i < segments.size(); ++i) {
                ASSERT_FALSE(scan.last());
                scan.advance();
                ASSERT_EQ(scan.text(), segments[i]);
                ASSERT_EQ(
                    scan.rest(),
                    e.view().substr(static_cast<std::size_t>(segments[i].data() - e.view().data()) - 1));
                if (i == 0) continue;
                scan.go_back();
                ASSERT_EQ(scan.text(), segments[i - 1]);
                scan.advance();
                ASSERT_EQ(scan.text(), segments[i]);
            }
            ASSERT_TRUE(scan.last());
        }
    }
}

TEST(PathScan, MakesTheSameOfASegmentWhereverItLies) {
    const std::string text = "abcdefghijklmnopqrstuvwxyz";
    for (std::size_t before = 0; before <= 20; ++before) {
        for (std::size_t size = 0; size <= text.size(); ++size) {
            for (const char* behind : {"", "/", "/more"}) {
                const std::string segment = text.substr(0, size);
                std::string path = "/" + segment + behind;
                if (before != 0) path.insert(0, "/" + std::string(before - 1, '~'));
                const exact e{path};
                path_scan scan{e.view()};
                scan.advance();
                if (before != 0) scan.advance();
                const path_segment s = scan.segment();
                EXPECT_EQ(s.text, segment);
                EXPECT_EQ(s.first, first_bytes(segment));
                EXPECT_EQ(s.last, first_bytes(size > 8 ? segment.substr(size - 8) : segment));
                const exact alone{segment};
                EXPECT_EQ(segment_of(alone.view()).first, s.first);
                EXPECT_EQ(segment_of(alone.view()).last, s.last);
            }
        }
    }
}

} // namespace
} // namespace genever::web::detail
