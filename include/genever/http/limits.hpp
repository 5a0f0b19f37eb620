// The sizes that a client may not exceed before its request is refused.
#pragma once

#include <cstddef>
#include <cstdint>

namespace genever::http {

/// Limits on what one HTTP/1.1 request may make the server hold or read. Each one that is passed ends the
/// connection after the response that its comment names; each is checked as the bytes come, so that a client
/// which never finishes a line is refused no later than one which does. All sizes are in bytes.
struct limits {
    /// The request line without its CRLF: 414. RFC 9112 section 3 asks for at least 8000.
    std::size_t request_line = 8 * 1024;
    /// All field lines together, with their CRLFs and the empty line that ends them: 431.
    std::size_t header_section = 32 * 1024;
    /// How many field lines a header section, or a trailer section, may have: 431.
    std::size_t fields = 100;
    /// The decoded body, unless the reader of the body names a limit of its own: 413.
    std::uint64_t body = 1024 * 1024;
    /// The extensions of all chunks of one body together: 400. RFC 9112 section 7.1.1 asks for such a limit,
    /// since extensions cost the client nothing and tell this server nothing.
    std::size_t chunk_extensions = 4 * 1024;
    /// The trailer section behind the last chunk, with its CRLFs: 431. Trailers are checked and dropped.
    std::size_t trailers = 8 * 1024;
    /// How many empty lines may stand before a request line (RFC 9112 section 2.2): 400.
    std::size_t leading_empty_lines = 4;
};

} // namespace genever::http
