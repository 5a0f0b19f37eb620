// Header fields (RFC 9110 section 5) as views into the bytes that hold them.
#pragma once

#include <span>
#include <string_view>

namespace genever::http {

/// One header field line. The views' lifetime is that of the request or response that hands them out.
struct field {
    std::string_view name;
    std::string_view value;
};

/// Compares two field names, or other tokens, without regard to the case of ASCII letters.
bool iequals(std::string_view a, std::string_view b) noexcept;

/// The value of the first field called `name` (any case), or an empty view.
std::string_view find_field(std::span<const field> fields, std::string_view name) noexcept;

} // namespace genever::http
