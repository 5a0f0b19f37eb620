// The small grammars that requests and responses share: tokens, lists, authorities (RFC 9110 section 5.6,
// RFC 3986 section 3.2).
#pragma once

#include <cstddef>
#include <string_view>

namespace genever::http {

/// tchar of RFC 9110 section 5.6.2.
bool is_token_char(char c) noexcept;
/// One or more tchars.
bool is_token(std::string_view s) noexcept;

/// The first byte below 0x20 in [p, end), or `end`.
const char* find_control(const char* p, const char* end) noexcept;

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
