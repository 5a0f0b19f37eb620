// A request's head as the handler sees it: views into the connection's input buffer.
#pragma once

#include <genever/http/fields.hpp>
#include <genever/http/method.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace genever::http {

/// The head of one request. All views stay valid until the exchange that carries them ends; copy what must
/// live longer. Read by the connection's process only.
struct request {
    http::method method = method::get;
    /// The minor version of HTTP/1: 0 or 1.
    std::uint8_t minor_version = 1;
    /// Whether the client allows a further request on this connection (RFC 9112 section 9.3).
    bool keep_alive = true;
    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 section 10.1.1).
    bool expect_continue = false;
    /// Whether the body comes in chunks (RFC 9112 section 7.1).
    bool chunked = false;
    /// The request target as it stands on the wire, percent-encoding untouched.
    std::string_view target;
    /// The target's path, percent-encoding untouched; `/` for an absolute-form target without one, `*` for
    /// `OPTIONS *`.
    std::string_view path;
    /// What stands behind the first `?` of the target; empty without one.
    std::string_view query;
    /// The field lines in the order in which they came.
    std::span<const field> fields;
    /// The body's length where the head tells it; 0 for a request without a body, nothing for chunks.
    std::optional<std::uint64_t> content_length = 0;

    /// The value of the first field called `name` (any case), or an empty view.
    std::string_view header(std::string_view name) const noexcept { return find_field(fields, name); }
    /// Whether a body, possibly an empty one, follows the head.
    bool has_body() const noexcept { return chunked || content_length.value_or(1) != 0; }
};

} // namespace genever::http
