// The request line (RFC 9112 section 3): method, the four forms of the target, version.
#pragma once

#include <genever/http/method.hpp>

#include <cstdint>
#include <string_view>

namespace genever::http {

/// Why a request is refused. The connection must end after the response: behind a request that could not be
/// understood, nothing tells where the next one begins.
struct parse_error {
    /// The response's status; 0 for no error.
    int status = 0;
    /// What is wrong, for the log and the response: a literal, never the client's bytes.
    std::string_view reason;

    explicit operator bool() const noexcept { return status != 0; }
};

/// What a valid request line says; the views are into the line, or literals.
struct request_line {
    http::method method = method::get;
    std::uint8_t minor_version = 1;
    std::string_view target;
    /// Empty for the authority form.
    std::string_view path;
    std::string_view query;
};

/// Parses a line without its CRLF. Of several faults the first of these is told: a malformed line (400), an
/// unsupported version (505), an unknown method (501), a target of the wrong form (400).
parse_error parse_request_line(std::string_view line, request_line& out) noexcept;

} // namespace genever::http
