// A string as JSON spells it.
#pragma once

#include <string>
#include <string_view>

namespace genever {

/// Appends `text` as a JSON string with its quotes (RFC 8259, section 7). What is not UTF-8 becomes U+FFFD, byte by byte,
/// so that the line stays JSON whatever a client sent.
void append_json_string(std::string& out, std::string_view text);

} // namespace genever
