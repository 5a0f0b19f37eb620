// What a connection would make of some bytes, as text: for the parser's tests and its fuzz target.
#pragma once

#include "request_parser.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace genever::http {

struct transcript {
    /// One line for each request that was read in full, then `error STATUS` or, for what is left, a line that
    /// says how far it came.
    std::string text;
    /// The status of the error, 0 for none.
    int status = 0;
    /// Why, for the error.
    std::string reason;

    bool operator==(const transcript&) const = default;
};

inline void describe_head(std::string& text, const request& r) {
    text.append(to_string(r.method)).append(" ").append(r.target);
    text.append(" path=").append(r.path).append(" query=").append(r.query);
    text.append(" 1.").append(std::to_string(r.minor_version));
    text.append(r.keep_alive ? " keep-alive" : " close");
    if (r.expect_continue) text.append(" expects");
    text.append(r.chunked ? " chunked" : " length=" + std::to_string(r.content_length.value()));
    for (const field& f : r.fields) text.append(" [").append(f.name).append("=").append(f.value).append("]");
}

/// Gives `bytes` to a parser in the pieces that `cuts` (ascending positions) make, as a connection does: all
/// unconsumed bytes at a time, each time in a fresh allocation of exactly their size, so that a parser which
/// keeps a view, or reads beyond the end, is found by the address sanitizer.
inline transcript transcribe(std::string_view bytes, std::span<const std::size_t> cuts,
                             const limits& limits = http::limits{}) {
    transcript result;
    request_parser parser(limits);
    std::string unconsumed;
    std::string line;
    bool in_body = false;
    std::size_t given = 0;
    for (std::size_t i = 0; i <= cuts.size(); ++i) {
        const std::size_t end = i < cuts.size() ? cuts[i] : bytes.size();
        unconsumed.append(bytes.substr(given, end - given));
        given = end;
        for (bool more = true; more;) {
            const std::vector<char> exact(unconsumed.begin(), unconsumed.end());
            const std::string_view buffered(exact.data(), exact.size());
            std::size_t consumed = 0;
            parse_error error;
            more = false;
            if (!in_body) {
                request r;
                const head_result head = parser.feed(buffered, r);
                error = head.error;
                consumed = head.size;
                if (head.state == head_state::complete) {
                    describe_head(line, r);
                    line.append(" body=");
                    in_body = more = true;
                }
            } else {
                const body_result body = parser.body(buffered);
                error = body.error;
                consumed = body.consumed;
                line.append(body.piece);
                more = body.consumed != 0;
                if (body.done) {
                    result.text.append(line).append("\n");
                    line.clear();
                    in_body = false;
                    parser.reset();
                    more = consumed != unconsumed.size();
                }
            }
            unconsumed.erase(0, consumed);
            if (error) {
                result.text.append(line).append("error ").append(std::to_string(error.status));
                result.status = error.status;
                result.reason = error.reason;
                return result;
            }
        }
    }
    result.text.append(line);
    if (!in_body && !unconsumed.empty()) result.text.append("more");
    return result;
}

} // namespace genever::http
