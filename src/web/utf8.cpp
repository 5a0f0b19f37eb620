#include "web/utf8.hpp"

#include <cstdint>
#include <cstring>

namespace genever::web::detail {
namespace {

/// The length of the well-formed sequence at the beginning of `s` (RFC 3629 section 4), or 0.
std::size_t sequence_length(std::string_view s) noexcept {
    const auto at = [&](std::size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
    const auto continues = [&](std::size_t i) { return (at(i) & 0xC0u) == 0x80u; };
    const unsigned first = at(0);
    if (first < 0x80) return 1;
    if (first < 0xC2) return 0;
    if (first < 0xE0) return continues(1) ? 2 : 0;
    if (first < 0xF0) {
        if (first == 0xE0 && at(1) < 0xA0) return 0; // overlong
        if (first == 0xED && at(1) > 0x9F) return 0; // surrogates
        return continues(1) && continues(2) ? 3 : 0;
    }
    if (first > 0xF4) return 0;
    if (first == 0xF0 && at(1) < 0x90) return 0; // overlong
    if (first == 0xF4 && at(1) > 0x8F) return 0; // beyond U+10FFFF
    return continues(1) && continues(2) && continues(3) ? 4 : 0;
}

} // namespace

bool is_ascii(std::string_view s) noexcept {
    std::uint64_t seen = 0;
    while (s.size() >= sizeof seen) {
        std::uint64_t word;
        std::memcpy(&word, s.data(), sizeof word);
        seen |= word;
        s.remove_prefix(sizeof word);
    }
    for (const char c : s) seen |= static_cast<unsigned char>(c);
    return (seen & 0x8080808080808080u) == 0;
}

void repair_utf8(std::string& s, std::size_t from) {
    for (std::size_t i = from; i < s.size();) {
        const std::size_t length = sequence_length(std::string_view{s}.substr(i));
        if (length != 0) {
            i += length;
            continue;
        }
        // The first fault: from here on into a new string, so that many faults do not cost their square.
        std::string repaired = s.substr(0, i);
        while (i < s.size()) {
            const std::size_t n = sequence_length(std::string_view{s}.substr(i));
            if (n == 0) {
                repaired += "\xEF\xBF\xBD";
                ++i;
            } else {
                repaired.append(s, i, n);
                i += n;
            }
        }
        s = std::move(repaired);
        return;
    }
}

} // namespace genever::web::detail
