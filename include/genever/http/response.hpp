// The response that a handler fills in: status, fields and a whole body.
#pragma once

#include <genever/http/fields.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace genever::http {

/// The reason phrase that RFC 9110 gives for `status`, or `Unknown`.
std::string_view reason_phrase(int status) noexcept;

/// A response in the making. One belongs to each connection and is cleared, not rebuilt, for each request, so
/// that its memory is reused. Used by the connection's process only.
///
/// The server adds `Date`, `Content-Length` or `Transfer-Encoding`, and `Connection` on its own; setting those
/// three framing fields by hand is ignored, since a wrong value would desynchronise the connection.
class response {
public:
    /// The status code, 200 to 599.
    int status = 200;
    /// The whole body.
    std::string body;

    /// Sets a field, replacing all that have this name (any case).
    /// Throws std::invalid_argument when the name is not a token or the value holds CR, LF or NUL: such a value
    /// would let its author write fields, or responses, of their own (RFC 9110 section 5.5).
    void set(std::string_view name, std::string_view value);
    /// Adds a field, keeping others of the same name (`Set-Cookie`). Throws as `set` does.
    void add(std::string_view name, std::string_view value);
    /// The first value under `name`, or an empty view, valid until the fields change.
    std::string_view header(std::string_view name) const noexcept;
    void remove(std::string_view name) noexcept;

    /// The field lines as they go on the wire, each ended with CRLF.
    std::string_view field_lines() const noexcept { return lines_; }

    /// Whether the connection shall end after this response (sends `Connection: close`).
    bool close = false;

    /// Back to an empty 200, keeping the memory.
    void clear() noexcept;

private:
    std::string lines_;
};

} // namespace genever::http
