#include <genever/http/log_text.hpp>

namespace genever::http {

void append_log_text(std::string& out, std::string_view raw) {
    static constexpr char digits[] = "0123456789abcdef";
    for (const char c : raw) {
        if (c > ' ' && c < 0x7f && c != '\\') {
            out += c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            out += "\\x";
            out += digits[byte >> 4];
            out += digits[byte & 15];
        }
    }
}

} // namespace genever::http
