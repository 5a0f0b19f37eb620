// The small grammars that requests and responses share: tokens, lists, authorities (RFC 9110 section 5.6,
// RFC 3986 section 3.2).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace genever::http {

/// tchar of RFC 9110 section 5.6.2.
bool is_token_char(char c) noexcept;
/// One or more tchars.
bool is_token(std::string_view s) noexcept;

/// The first byte below 0x20 in [p, end), or `end`.
inline const char* find_control(const char* p, const char* end) noexcept {
    // Eight bytes at a time. Subtracting 0x20 from each byte borrows into its top bit where the byte was
    // below 0x20; bytes that had the bit set before are masked out. A borrow may spoil the bytes above the
    // first hit, never those below it, and only the first hit counts.
    constexpr std::uint64_t ones = 0x0101010101010101;
    static_assert(std::endian::native == std::endian::little);
    while (end - p >= 8) {
        std::uint64_t word;
        std::memcpy(&word, p, 8);
        const std::uint64_t hits = (word - ones * 0x20) & ~word & (ones * 0x80);
        if (hits != 0) return p + std::countr_zero(hits) / 8;
        p += 8;
    }
    while (p != end && static_cast<unsigned char>(*p) >= 0x20) ++p;
    return p;
}

/// Without spaces and tabs at either end (OWS, RFC 9110 section 5.6.3).
std::string_view trim(std::string_view s) noexcept;

/// Calls `f` with each element of a comma-separated list, trimmed, empty ones too. Quoted strings are not
/// honoured: for lists of tokens only.
template <class F>
void for_each_element(std::string_view list, F f) {
    for (;;) {
        const std::size_t comma = list.find(',');
        f(trim(list.substr(0, comma)));
        if (comma == std::string_view::npos) return;
        list.remove_prefix(comma + 1);
    }
}

enum class port_rule : bool { optional, required };

/// uri-host [ ":" port ], as the Host field (RFC 9110 section 7.2) and the authority form of a request target
/// (RFC 9112 section 3.2.3) have it: no user information, a port of at most 65535. The host may be empty.
bool is_host_and_port(std::string_view s, port_rule rule) noexcept;

} // namespace genever::http
