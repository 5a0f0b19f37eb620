// A path taken apart at its slashes, a machine word at a time, without reading a byte that is not the path's.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace genever::web::detail {

/// The first byte is the lowest, on every machine.
template <std::unsigned_integral Word>
Word load(const char* p) noexcept {
    Word word;
    std::memcpy(&word, p, sizeof word);
    if constexpr (std::endian::native == std::endian::big) word = std::byteswap(word);
    return word;
}
inline std::uint64_t load_word(const char* p) noexcept { return load<std::uint64_t>(p); }

/// `n < 8` bytes as the low ones of a word, zeros above.
inline std::uint64_t load_few(const char* p, std::size_t n) noexcept {
    // Pieces that overlap instead of one for each length.
    if (n >= 4)
        return load<std::uint32_t>(p) | std::uint64_t{load<std::uint32_t>(p + n - 4)} << (8 * (n - 4));
    const auto byte = [p](std::size_t i) { return std::uint64_t{load<std::uint8_t>(p + i)} << (8 * i); };
    return n == 0 ? 0 : byte(0) | byte(n / 2) | byte(n - 1);
}

/// Which of a word's bytes are `wanted`, a bit each.
constexpr std::uint64_t bytes_in(std::uint64_t word, char wanted) noexcept {
    constexpr std::uint64_t ones = 0x0101'0101'0101'0101;
    constexpr std::uint64_t low_bits = 0x7f * ones;
    const std::uint64_t other = word ^ (static_cast<unsigned char>(wanted) * ones);    // 0 where one is
    const std::uint64_t zeros = ~(((other & low_bits) + low_bits) | other | low_bits); // 0x80 there
    return ((zeros >> 7) * 0x0102'0408'1020'4080) >> 56;
}

/// Which of the first 64 bytes, or of all `n` if they are fewer, are `wanted`: the first one's bit is the lowest. Never
/// a zero byte, which those that a short path lacks would count as.
inline std::uint64_t portable_byte_mask(const char* p, std::size_t n, char wanted) noexcept {
    if (n < 8) return bytes_in(load_few(p, n), wanted);
    const std::size_t last = std::min<std::size_t>(n, 64) - 8;
    std::uint64_t mask = bytes_in(load_word(p + last), wanted) << last;
    for (std::size_t i = 0; i < last; i += 8) mask |= bytes_in(load_word(p + i), wanted) << i;
    return mask;
}

/// The same, by vectors where the machine has them. What is left at the end is read together with bytes before it, which
/// have been seen already, instead of alone: so there are few lengths to tell apart.
inline std::uint64_t byte_mask(const char* p, std::size_t n, char wanted) noexcept {
#ifdef __SSE2__
    const auto found = [wanted](__m128i bytes) {
        const int bits = _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(wanted)));
        return std::uint64_t{static_cast<unsigned>(bits)};
    };
    const auto at = [&](std::size_t i) {
        return found(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i))) << i;
    };
    const auto half_at = [&](std::size_t i) {
        return found(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + i))) << i;
    };
    if (n > 32) {
        const std::size_t last = n - 16;
        return at(0) | at(16) | at(std::min<std::size_t>(last, 32)) | at(std::min<std::size_t>(last, 48));
    }
    if (n >= 16) return at(0) | at(n - 16);
    if (n >= 8) return half_at(0) | half_at(n - 8);
#endif
    return portable_byte_mask(p, n, wanted);
}

/// Whether there is a `%`: most paths are short, for which calling memchr would take longer than the look.
inline bool has_escapes(std::string_view path) noexcept {
    for (; path.size() > 64; path.remove_prefix(64))
        if (byte_mask(path.data(), 64, '%') != 0) return true;
    return byte_mask(path.data(), path.size(), '%') != 0;
}

/// What lies between two slashes, with what tells it from others fast.
struct path_segment {
    std::string_view text;
    std::uint64_t first; // eight bytes, or all that there are with zeros above
    std::uint64_t last;  // the same where there are no more than eight
};

inline path_segment segment_of(std::string_view text) noexcept {
    const char* const p = text.data();
    if (text.size() > 8) return {text, load_word(p), load_word(p + text.size() - 8)};
    const std::uint64_t all = text.size() == 8 ? load_word(p) : load_few(p, text.size());
    return {text, all, all};
}

/// Goes along a path that begins with a slash, segment by segment; at first it stands on that slash. Copies go on from
/// the same place.
class path_scan {
public:
    explicit path_scan(std::string_view path) noexcept
        : segment_end_(path.data()), end_(path.data() + path.size()) {
        look_from(path.data());
        slashes_ &= slashes_ - 1;
    }

    /// Whether the segment is the last.
    bool last() const noexcept { return segment_end_ == end_; }
    /// Goes on to the next segment, where there is one.
    void advance() noexcept {
        begin_ = segment_end_ + 1;
        while (slashes_ == 0) [[unlikely]]
            look_from(block_ + 64);
        segment_end_ = block_ + static_cast<unsigned>(std::countr_zero(slashes_));
        slashes_ &= slashes_ - 1;
    }
    /// Goes back to the segment before, where there is one; slower than going on.
    void go_back() noexcept {
        segment_end_ = --begin_;
        while (begin_[-1] != '/') --begin_;
        look_from(segment_end_);
        slashes_ &= slashes_ - 1;
    }

    std::string_view text() const noexcept { return {begin_, segment_end_}; }
    /// From the slash before the segment to the path's end.
    std::string_view rest() const noexcept { return {begin_ - 1, end_}; }
    path_segment segment() const noexcept {
        if (segment_end_ - block_ < 8) return segment_of(text());
        // A word that ends with the segment, and reaches no farther back than the block: what came before the segment is
        // shifted out, in two halves, as a shift by all of the word's bits, for an empty one, is not defined.
        const auto size = static_cast<std::size_t>(segment_end_ - begin_);
        const std::size_t half = 32 - 4 * std::min<std::size_t>(size, 8);
        const std::uint64_t last = load_word(segment_end_ - 8) >> half >> half;
        return {text(), size > 8 ? load_word(begin_) : last, last};
    }

private:
    /// The path's end counts as a slash: it ends a segment, too.
    void look_from(const char* block) noexcept {
        const auto size = static_cast<std::size_t>(end_ - block);
        block_ = block;
        slashes_ = byte_mask(block, size, '/');
        if (size < 64) slashes_ |= std::uint64_t{1} << size;
    }

    const char* begin_ = nullptr;
    const char* segment_end_;
    const char* end_;
    const char* block_ = nullptr; // what `slashes_` is about: 64 bytes from here
    std::uint64_t slashes_ = 0;   // those of them that are behind `segment_end_`
};

} // namespace genever::web::detail
