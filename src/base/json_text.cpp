#include <genever/base/json_text.hpp>

#include <cstddef>

namespace genever {

namespace {

/// The length of the UTF-8 sequence at `i` (RFC 3629, section 4), or 0.
std::size_t sequence_at(std::string_view s, std::size_t i) {
    const auto byte = [s](std::size_t at) { return at < s.size() ? static_cast<unsigned char>(s[at]) : 0U; };
    const auto continues = [&](std::size_t at) { return (byte(at) & 0xC0U) == 0x80U; };
    const unsigned b = byte(i);
    const unsigned second = byte(i + 1);
    if (b < 0x80) return 1;
    if (b >= 0xC2 && b <= 0xDF) return continues(i + 1) ? 2 : 0;
    if (b >= 0xE0 && b <= 0xEF) {
        const bool right = !(b == 0xE0 && second < 0xA0) && !(b == 0xED && second > 0x9F);
        return right && continues(i + 1) && continues(i + 2) ? 3 : 0;
    }
    if (b >= 0xF0 && b <= 0xF4) {
        const bool right = !(b == 0xF0 && second < 0x90) && !(b == 0xF4 && second > 0x8F);
        return right && continues(i + 1) && continues(i + 2) && continues(i + 3) ? 4 : 0;
    }
    return 0;
}

} // namespace

void append_json_string(std::string& out, std::string_view text) {
    static constexpr char digits[] = "0123456789abcdef";
    const auto plain = [](char c) {
        const auto b = static_cast<unsigned char>(c);
        return b >= 0x20 && b < 0x7f && b != '"' && b != '\\';
    };
    out += '"';
    for (std::size_t i = 0; i < text.size();) {
        std::size_t end = i; // most texts are plain as a whole
        while (end < text.size() && plain(text[end])) ++end;
        out.append(text, i, end - i);
        i = end;
        if (i == text.size()) break;
        const auto b = static_cast<unsigned char>(text[i]);
        if (b == '"' || b == '\\') {
            (out += '\\') += text[i++];
        } else if (b == '\n') {
            out += "\\n";
            ++i;
        } else if (b == '\t') {
            out += "\\t";
            ++i;
        } else if (b < 0x20 || b == 0x7f) {
            out += "\\u00";
            out += digits[b >> 4];
            out += digits[b & 15];
            ++i;
        } else if (const std::size_t n = sequence_at(text, i); n != 0) {
            out.append(text, i, n);
            i += n;
        } else {
            out += "\xEF\xBF\xBD";
            ++i;
        }
    }
    out += '"';
}

} // namespace genever
