// The request methods of RFC 9110 section 9.3 and RFC 5789 (PATCH).
#pragma once

#include <cstdint>
#include <string_view>

namespace genever::http {

/// A request method. Other methods that the wire may carry are answered with 501 before any handler runs.
enum class method : std::uint8_t { get, head, post, put, delete_, connect, options, trace, patch };

/// How many methods there are: for tables indexed by method.
inline constexpr std::size_t method_count = 9;

/// The method's token as it stands on the wire (`GET`).
std::string_view to_string(method m) noexcept;

} // namespace genever::http
