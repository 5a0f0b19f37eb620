#include "web/percent.hpp"

namespace genever::web::detail {
namespace {

int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/// The byte that the escape at the beginning of `s` stands for, or -1.
int escaped_byte(std::string_view s) noexcept {
    if (s.size() < 3) return -1;
    const int high = hex_digit(s[1]);
    const int low = hex_digit(s[2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

} // namespace

std::optional<std::size_t> decode(std::string_view in, char* out, decoding how) noexcept {
    std::size_t written = 0;
    for (std::size_t i = 0; i < in.size();) {
        char c = in[i];
        std::size_t used = 1;
        if (c == '%') {
            const int byte = escaped_byte(in.substr(i));
            if (byte < 0) return std::nullopt;
            if (how != decoding::path || (byte != '/' && byte != '%')) {
                c = static_cast<char>(byte);
                used = 3;
            }
        } else if (c == '+' && how == decoding::form) {
            c = ' ';
        }
        out[written++] = c;
        i += used;
    }
    return written;
}

bool decodes_to(std::string_view raw, std::string_view text) noexcept {
    std::size_t matched = 0;
    for (std::size_t i = 0; i < raw.size(); ++matched) {
        char c = raw[i];
        std::size_t used = 1;
        if (c == '%') {
            const int byte = escaped_byte(raw.substr(i));
            if (byte < 0) return false;
            c = static_cast<char>(byte);
            used = 3;
        } else if (c == '+') {
            c = ' ';
        }
        if (matched == text.size() || text[matched] != c) return false;
        i += used;
    }
    return matched == text.size();
}

void append_location(std::string& out, std::string_view in) {
    static constexpr std::string_view allowed =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        "-._~:/?#[]@!$&'()*+,;=%";
    static constexpr char digits[] = "0123456789ABCDEF";
    for (const char c : in) {
        if (allowed.contains(c)) {
            out += c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            out += '%';
            out += digits[byte >> 4];
            out += digits[byte & 15];
        }
    }
}

} // namespace genever::web::detail
