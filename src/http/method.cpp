#include <genever/http/method.hpp>

#include <array>
#include <cstddef>

namespace genever::http {

std::string_view to_string(method m) noexcept {
    static constexpr std::array<std::string_view, method_count> names{
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    const auto i = static_cast<std::size_t>(m);
    return i < names.size() ? names[i] : std::string_view{};
}

} // namespace genever::http
