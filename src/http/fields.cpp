#include <genever/http/fields.hpp>

#include <cstddef>

namespace genever::http {

namespace {

constexpr unsigned char lower(char c) noexcept {
    const auto u = static_cast<unsigned char>(c);
    return u >= 'A' && u <= 'Z' ? static_cast<unsigned char>(u | 0x20) : u;
}

} // namespace

bool iequals(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (a[i] != b[i] && lower(a[i]) != lower(b[i])) return false;
    }
    return true;
}

std::string_view find_field(std::span<const field> fields, std::string_view name) noexcept {
    for (const field& f : fields) {
        if (iequals(f.name, name)) return f.value;
    }
    return {};
}

} // namespace genever::http
