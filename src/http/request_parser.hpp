// Requests from bytes: HTTP/1.1 message parsing without any input or output (RFC 9112).
//
// One parser serves one connection, request after request:
//
//        +--------- reset ----------+
//        v                          |
//     reading the head --complete--> reading the body --done--> (next request, or an upgrade)
//        |                          |
//        +---------- failed <-------+      the connection must end after the response
//
// The verdict on a request depends on its bytes alone, never on how they were cut into reads: every fault is
// told at the first byte that makes it certain, and of the faults in a complete head the order is fixed.
#pragma once

#include "request_line.hpp"

#include <genever/http/limits.hpp>
#include <genever/http/request.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace genever::http {

enum class head_state : std::uint8_t { need_more, complete, failed };

struct head_result {
    head_state state = head_state::need_more;
    /// How many bytes the head has, with the empty lines before it; 0 unless complete.
    std::size_t size = 0;
    /// Set where failed.
    parse_error error;
};

struct body_result {
    /// How many bytes are done with and need not be kept.
    std::size_t consumed = 0;
    /// Decoded content, a view into the bytes given.
    std::string_view piece;
    /// Whether the request has ended, at `consumed`.
    bool done = false;
    /// Set where the framing is broken.
    parse_error error;
};

/// Used by the connection's process only. Built on Boost.Beast's `basic_parser`, which reads the field lines
/// and the chunks; the request line, the limits and what else RFC 9110 and 9112 demand are checked here.
class request_parser {
public:
    /// `limits` must outlive the parser. Allocates; no request does, once a few have been seen.
    explicit request_parser(const http::limits& limits);
    ~request_parser();
    request_parser(request_parser&&) noexcept;
    request_parser& operator=(request_parser&&) noexcept;

    /// Looks for a head in `buffered`: all bytes from the start of the request on, those given before and
    /// those that have come since; they may have moved. Bytes behind the head are not looked at. Once
    /// `complete`, `out` is filled in: its views are into `buffered`, and its `fields` live in the parser
    /// until `reset`.
    head_result feed(std::string_view buffered, request& out);

    /// Decodes what follows the head. `buffered` begins behind the last byte that was consumed. Call again
    /// with what is left until nothing is consumed, which asks for more bytes, or until `done`, which a
    /// request without a body gives at once. Unconsumed bytes never pass what the limits say of a chunk's
    /// line and of the trailers. Whoever bounds the body counts the pieces, or looks at `announced_body`.
    body_result body(std::string_view buffered);

    /// How long the body is at least: its content-length, or the sizes of all chunks whose first line has
    /// come.
    std::uint64_t announced_body() const noexcept;

    /// Prepares for the next request, keeping the memory.
    void reset() noexcept;

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

} // namespace genever::http
