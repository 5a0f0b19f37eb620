// Percent-encoding (RFC 3986 section 2.1) and the query's form encoding.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace genever::web::detail {

/// Which escapes to resolve.
enum class decoding {
    /// All but `%2F` and `%25`: what is left still splits at real slashes, and can be decoded again by
    /// `component` without turning a literal percent sign into an escape.
    path,
    /// All.
    component,
    /// All, and `+` means a space (application/x-www-form-urlencoded).
    form,
};

/// Decodes `in` to `out`, which has room for `in.size()` bytes and may be where `in` lies. Gives the number
/// of bytes written; nothing when a `%` is not followed by two hexadecimal digits.
std::optional<std::size_t> decode(std::string_view in, char* out, decoding how) noexcept;

/// Whether `raw` is well formed and decodes to `text`.
bool decodes_to(std::string_view raw, std::string_view text) noexcept;

/// Adds `in`, a part of a raw target, to `out` as it may stand in a `Location`: everything that is not
/// allowed in a URI is escaped, and so is the backslash, which browsers take for a slash.
void append_location(std::string& out, std::string_view in);

} // namespace genever::web::detail
