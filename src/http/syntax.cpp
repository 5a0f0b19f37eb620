#include "syntax.hpp"

#include <arpa/inet.h>

#include <array>
#include <cstring>

namespace genever::http {

namespace {

using byte_set = std::array<bool, 256>;

constexpr byte_set make_set(std::string_view punctuation) {
    byte_set set{};
    for (int c = '0'; c <= '9'; ++c) set[static_cast<std::size_t>(c)] = true;
    for (int c = 'A'; c <= 'Z'; ++c) set[static_cast<std::size_t>(c)] = true;
    for (int c = 'a'; c <= 'z'; ++c) set[static_cast<std::size_t>(c)] = true;
    for (char c : punctuation) set[static_cast<unsigned char>(c)] = true;
    return set;
}

constexpr byte_set token_chars = make_set("!#$%&'*+-.^_`|~");
// unreserved and sub-delims of RFC 3986 section 2; `%` is checked with its two digits.
constexpr byte_set reg_name_chars = make_set("-._~!$&'()*+,;=");

bool in(const byte_set& set, char c) noexcept { return set[static_cast<unsigned char>(c)]; }

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

bool is_hex_digit(char c) noexcept { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

// What stands between the brackets of an IP-literal (RFC 3986 section 3.2.2).
bool is_ip_literal(std::string_view s) noexcept {
    if (!s.empty() && (s[0] == 'v' || s[0] == 'V')) {
        std::size_t i = 1;
        while (i < s.size() && is_hex_digit(s[i])) ++i;
        if (i == 1 || i + 1 >= s.size() || s[i] != '.') return false;
        for (char c : s.substr(i + 1)) {
            if (c != ':' && !in(reg_name_chars, c)) return false;
        }
        return true;
    }
    std::array<char, INET6_ADDRSTRLEN> text;
    if (s.empty() || s.size() >= text.size()) return false;
    std::memcpy(text.data(), s.data(), s.size());
    text[s.size()] = '\0';
    in6_addr address;
    // A NUL inside cannot shorten the text: no field value and no target comes this far with one.
    return inet_pton(AF_INET6, text.data(), &address) == 1;
}

bool is_reg_name(std::string_view s) noexcept {
    for (std::size_t i = 0; i < s.size(); ++i) {
        if (in(reg_name_chars, s[i])) continue;
        if (s[i] != '%' || s.size() - i < 3 || !is_hex_digit(s[i + 1]) || !is_hex_digit(s[i + 2]))
            return false;
        i += 2;
    }
    return true;
}

bool is_port(std::string_view s) noexcept {
    unsigned value = 0;
    for (char c : s) {
        if (!is_digit(c)) return false;
        value = value * 10 + static_cast<unsigned>(c - '0');
        if (value > 65535) return false;
    }
    return true;
}

} // namespace

bool is_token_char(char c) noexcept { return in(token_chars, c); }

bool is_token(std::string_view s) noexcept {
    for (char c : s) {
        if (!is_token_char(c)) return false;
    }
    return !s.empty();
}

std::string_view trim(std::string_view s) noexcept {
    while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
    while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
    return s;
}

bool is_host_and_port(std::string_view s, port_rule rule) noexcept {
    std::string_view host = s;
    std::string_view port;
    bool has_port = false;
    const std::size_t host_end = s.starts_with('[') ? s.find(']') : s.find(':');
    if (s.starts_with('[')) {
        if (host_end == std::string_view::npos) return false;
        if (!is_ip_literal(s.substr(1, host_end - 1))) return false;
        const std::string_view rest = s.substr(host_end + 1);
        if (!rest.empty() && rest[0] != ':') return false;
        has_port = !rest.empty();
        port = rest.substr(has_port ? 1 : 0);
    } else {
        has_port = host_end != std::string_view::npos;
        host = s.substr(0, host_end);
        if (has_port) port = s.substr(host_end + 1);
        if (!is_reg_name(host)) return false;
    }
    if (rule == port_rule::required && port.empty()) return false;
    return is_port(port);
}

} // namespace genever::http
