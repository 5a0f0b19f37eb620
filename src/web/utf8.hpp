// Validity of UTF-8 (RFC 3629).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace genever::web::detail {

/// Whether all bytes are ASCII.
bool is_ascii(std::string_view s) noexcept;

/// Replaces each byte of `s` from `from` on that is not part of well-formed UTF-8 with U+FFFD.
void repair_utf8(std::string& s, std::size_t from);

} // namespace genever::web::detail
