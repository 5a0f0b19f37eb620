// Bytes that a client has chosen, for a line of a log.
#pragma once

#include <string>
#include <string_view>

namespace genever::http {

/// Appends `raw` with everything but visible ASCII as `\xNN`: control bytes, blanks, non-ASCII bytes, and the backslash
/// itself. So a client can neither begin a line of its own nor fake a column, and two inputs never look alike.
void append_log_text(std::string& out, std::string_view raw);

} // namespace genever::http
