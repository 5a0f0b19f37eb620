// Responses as bytes (RFC 9112 sections 4, 6 and 7). Everything is appended to the connection's output
// buffer, and nothing is allocated where that has the capacity.
#pragma once

#include <genever/http/request.hpp>
#include <genever/http/response.hpp>

#include <array>
#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>

namespace genever::http {

/// An IMF-fixdate (RFC 9110 section 5.6.7), `Sun, 06 Nov 1994 08:49:37 GMT`, whatever the locale says.
using date_text = std::array<char, 29>;
date_text http_date(std::time_t seconds) noexcept;

/// How the end of a streamed body is told.
enum class streamed_body : std::uint8_t {
    none,        ///< no body may follow: a response to HEAD, or a status without content
    chunked,     ///< `append_chunk` for each piece, then `append_last_chunk`
    until_close, ///< the pieces as they are, then the connection's end: HTTP/1.0 knows no chunks
};

// In all of these `request` is what is answered, null where not even its head could be read.
// A status outside 200 to 599 is sent as 500.

/// The whole response. Content is left out, its length told all the same, in a response to HEAD; 204, 205 and
/// 304 never have content (RFC 9110 section 6.4.1). `Connection: close` is added where the connection ends
/// (not `keep_alive`, or `response.close`), `Connection: keep-alive` where an HTTP/1.0 client may go on.
void append_response(std::string& out, const http::request* request, const response& response,
                     bool keep_alive, const date_text& date);

/// The head of a response whose body comes in pieces. With `until_close` the caller must end the connection
/// whatever `keep_alive` said; the head says so too.
[[nodiscard]] streamed_body append_head_chunked(std::string& out, const http::request* request,
                                                const response& response, bool keep_alive,
                                                const date_text& date);

/// One chunk; nothing for an empty piece, since an empty chunk would end the body.
void append_chunk(std::string& out, std::string_view piece);
/// The end of a chunked body, without trailers.
void append_last_chunk(std::string& out);

/// `100 Continue`, before the client sends its body (RFC 9110 section 15.2.1).
void append_continue(std::string& out);

/// A complete error response that needs no `response`: `{"error":{"status":400,"message":"..."}}`. Bytes of
/// `message` that are not UTF-8 come out as U+FFFD. `extra_lines` are further field lines, each with its
/// CRLF.
void append_simple_error(std::string& out, const http::request* request, int status, std::string_view message,
                         bool close, const date_text& date, std::string_view extra_lines = {});

} // namespace genever::http
