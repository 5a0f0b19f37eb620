#include "request_parser.hpp"

#include "syntax.hpp"

#include <genever/base/pool.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

namespace genever::http {

namespace {

namespace beast = boost::beast::http;
using boost::beast::error_code;

std::string_view view(boost::beast::string_view s) noexcept { return {s.data(), s.size()}; }

// What the framing and connection fields of one head say, gathered while Beast walks through them.
struct head_facts {
    std::string_view host;
    std::size_t hosts = 0;
    std::size_t content_lengths = 0;
    bool content_length_is_list = false;
    std::size_t transfer_encodings = 0;
    bool coding_is_chunked = false; // some coding so far was `chunked`
    bool coding_unknown = false;
    bool coding_malformed = false; // includes anything behind `chunked`
    bool connection_close = false;
    bool connection_keep_alive = false;
    bool expect_continue = false;
    bool expect_unknown = false;
};

void note_transfer_encoding(head_facts& facts, std::string_view value) noexcept {
    ++facts.transfer_encodings;
    for_each_element(value, [&](std::string_view coding) {
        // RFC 9112 section 7: `chunked` has no parameters, comes last and comes once.
        if (facts.coding_is_chunked) facts.coding_malformed = true;
        const std::string_view name = trim(coding.substr(0, coding.find(';')));
        if (!is_token(name)) {
            facts.coding_malformed = true;
        } else if (!iequals(name, "chunked")) {
            facts.coding_unknown = true;
        } else {
            facts.coding_is_chunked = true;
            if (name.size() != coding.size()) facts.coding_malformed = true;
        }
    });
}

void note_connection(head_facts& facts, std::string_view value) noexcept {
    for_each_element(value, [&](std::string_view option) {
        if (iequals(option, "close")) facts.connection_close = true;
        if (iequals(option, "keep-alive")) facts.connection_keep_alive = true;
    });
}

void note_expect(head_facts& facts, std::string_view value) noexcept {
    for_each_element(value, [&](std::string_view expectation) {
        if (iequals(expectation, "100-continue")) {
            facts.expect_continue = true;
        } else if (!expectation.empty()) {
            facts.expect_unknown = true;
        }
    });
}

// Beast's parser with its events gathered: fields of the head, and the last piece or chunk size of the body.
class field_parser final : public beast::basic_parser<true> {
public:
    explicit field_parser(std::vector<field>& fields) : fields_(fields) {
        // Both are bounded before Beast sees the bytes; its own limits would answer for the whole connection.
        header_limit(std::numeric_limits<std::uint32_t>::max());
        body_limit(boost::none);
    }

    head_facts facts;
    std::uint64_t chunk_size = 0;
    std::string_view piece;

private:
    void on_request_impl(beast::verb, boost::beast::string_view, boost::beast::string_view, int,
                         error_code&) override {}
    void on_response_impl(int, boost::beast::string_view, int, error_code&) override {}

    void on_field_impl(beast::field which, boost::beast::string_view name, boost::beast::string_view value,
                       error_code&) override {
        if (is_header_done()) return; // a trailer: dropped (RFC 9110 section 6.5.1)
        fields_.push_back({view(name), view(value)});
        switch (which) {
        case beast::field::host:
            facts.host = view(value);
            ++facts.hosts;
            break;
        case beast::field::content_length:
            ++facts.content_lengths;
            if (view(value).find(',') != std::string_view::npos) facts.content_length_is_list = true;
            break;
        case beast::field::transfer_encoding: note_transfer_encoding(facts, view(value)); break;
        case beast::field::connection: note_connection(facts, view(value)); break;
        case beast::field::expect: note_expect(facts, view(value)); break;
        default: break;
        }
    }

    void on_header_impl(error_code&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
    std::size_t on_body_impl(boost::beast::string_view body, error_code&) override { return body.size(); }
    void on_chunk_header_impl(std::uint64_t size, boost::beast::string_view, error_code&) override {
        chunk_size = size;
    }
    std::size_t on_chunk_body_impl(std::uint64_t, boost::beast::string_view body, error_code&) override {
        piece = view(body);
        return body.size();
    }
    void on_finish_impl(error_code&) override {}

    std::vector<field>& fields_;
};

std::size_t put(field_parser& parser, std::string_view bytes, error_code& ec) {
    return parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), ec);
}

parse_error field_error(const error_code& ec) noexcept {
    if (ec == beast::error::bad_field) return {400, "a field name is malformed"};
    if (ec == beast::error::bad_value) return {400, "a field value is malformed"};
    if (ec == beast::error::bad_content_length)
        return {400, "Content-Length is malformed or stands beside Transfer-Encoding"};
    if (ec == beast::error::multiple_content_length) return {400, "Content-Length is given twice"};
    if (ec == beast::error::bad_transfer_encoding)
        return {400, "Transfer-Encoding is given twice or stands beside Content-Length"};
    return {400, "the header section is malformed"};
}

// Everything that is wrong with a head as a whole, malformed framing before what is merely not supported.
parse_error judge(const head_facts& facts, std::uint8_t minor_version) noexcept {
    // RFC 9112 section 3.2.
    if (facts.hosts > 1) return {400, "Host is given twice"};
    if (facts.hosts == 0 && minor_version >= 1) return {400, "Host is missing"};
    if (!is_host_and_port(facts.host, port_rule::optional)) return {400, "Host is malformed"};

    // RFC 9110 section 8.6 lets a server take one of several equal lengths. Somebody else on the way may have
    // taken another one of them, and who sends such a thing is looking for exactly that: refused.
    if (facts.content_lengths > 1 || facts.content_length_is_list)
        return {400, "Content-Length is given twice"};

    if (facts.transfer_encodings != 0) { // RFC 9112 sections 6.1 and 6.3
        if (minor_version == 0) return {400, "HTTP/1.0 has no Transfer-Encoding"};
        if (facts.content_lengths != 0) return {400, "Transfer-Encoding together with Content-Length"};
        if (facts.coding_malformed) return {400, "Transfer-Encoding does not end with chunked"};
        if (facts.coding_unknown) return {501, "this server knows no transfer coding but chunked"};
    }
    // RFC 9110 section 10.1.1: expectations of HTTP/1.0 clients are ignored.
    if (facts.expect_unknown && minor_version >= 1) return {417, "this server meets 100-continue only"};
    return {};
}

enum class line_state : std::uint8_t { need_more, complete, failed };

// Finds the end of the next line from `at` on: complete, it leaves `at` on the CR. Whatever byte below 0x20
// is neither a tab nor the CR of a CRLF fails the request (RFC 9112 section 2.2, RFC 9110 section 5.5).
line_state find_line_end(std::string_view bytes, std::size_t& at, parse_error& error) noexcept {
    const char* const begin = bytes.data();
    const char* const end = begin + bytes.size();
    for (const char* p = begin + at;; ++p) {
        p = find_control(p, end);
        at = static_cast<std::size_t>(p - begin);
        if (p == end) return line_state::need_more;
        if (*p == '\t') continue;
        if (*p == '\r') {
            if (p + 1 == end) return line_state::need_more;
            if (p[1] == '\n') return line_state::complete;
            error = {400, "a CR without LF"};
        } else if (*p == '\n') {
            error = {400, "an LF without CR"};
        } else {
            error = {400, "a control byte"};
        }
        return line_state::failed;
    }
}

bool is_space(char c) noexcept { return c == ' ' || c == '\t'; }

} // namespace

struct request_parser::impl : detail::pooled {
    explicit impl(const http::limits& l) : limits(l) {}

    head_result feed(std::string_view buffered, request& out);
    parse_error end_of_section_line(std::string_view line);
    head_result finish_head(std::string_view buffered, std::size_t end, request& out);
    body_result counted_body(std::string_view buffered);
    body_result chunked_body(std::string_view buffered);
    parse_error chunk_line(std::string_view buffered, std::size_t& end, bool& last);
    parse_error trailers(std::string_view buffered, std::size_t& end);
    body_result fail(parse_error e) {
        error = e;
        body_result r;
        r.error = e;
        return r;
    }
    void reset() noexcept;

    const http::limits& limits;
    parse_error error; // sticky: a failed request stays failed

    // The head. All positions are relative to the start of the request, since the bytes may move.
    std::size_t at = 0;         // where the search for a line's end goes on
    std::size_t line_start = 0; // of the line being searched
    std::size_t section = 0;    // where the field lines begin; 0 while the request line is missing
    std::size_t request_line_start = 0;
    std::size_t empty_lines = 0;
    std::size_t field_lines = 0;
    request_line line;
    std::vector<field> fields;
    std::optional<field_parser> parser;

    // The body.
    enum class framing : std::uint8_t { none, counted, chunked } body_framing = framing::none;
    enum class chunk_part : std::uint8_t { line, data, trailers } part = chunk_part::line;
    bool first_chunk = true;
    std::uint64_t remaining = 0; // of a counted body, or of the chunk
    std::uint64_t announced = 0;
    std::size_t extensions = 0; // bytes of chunk extensions so far
};

// `at` and `line_start` walk through the lines; each fault is tied to one byte, so that the verdict is the
// same however the bytes are cut.
head_result request_parser::impl::feed(std::string_view buffered, request& out) {
    if (error) return {head_state::failed, 0, error};
    bool line_is_current = false; // `line` holds views into this very buffer
    for (;;) {
        const line_state found = find_line_end(buffered, at, error);
        // Before the fault itself: bytes beyond a limit are not looked at.
        if (section == 0) {
            if (at - line_start > limits.request_line) error = {414, "the request line is too long"};
        } else if (at + (found == line_state::complete ? 2 : 0) - section > limits.header_section) {
            error = {431, "the header section is too long"};
        }
        if (error) return {head_state::failed, 0, error};
        if (found == line_state::need_more) return {};

        const std::string_view text = buffered.substr(line_start, at - line_start);
        const std::size_t begin = line_start;
        at += 2;
        line_start = at;
        if (section == 0) {
            if (text.empty()) { // RFC 9112 section 2.2
                if (++empty_lines > limits.leading_empty_lines)
                    error = {400, "empty lines instead of a request"};
            } else {
                error = parse_request_line(text, line);
                request_line_start = begin;
                section = at;
                line_is_current = true;
            }
        } else if (text.empty()) {
            if (!line_is_current) {
                // The bytes may have moved since the line was judged; it is known to be sound.
                parse_request_line(buffered.substr(request_line_start, section - 2 - request_line_start),
                                   line);
            }
            return finish_head(buffered, at, out);
        } else {
            error = end_of_section_line(text);
        }
        if (error) return {head_state::failed, 0, error};
    }
}

// What can be said of a field line before Beast reads it, in the head and among the trailers.
parse_error request_parser::impl::end_of_section_line(std::string_view text) {
    // RFC 9112 sections 5.2 (obs-fold) and 2.2 (white space before the first field line).
    if (is_space(text[0])) return {400, "a field line begins with white space"};
    if (++field_lines > limits.fields) return {431, "too many field lines"};
    return {};
}

head_result request_parser::impl::finish_head(std::string_view buffered, std::size_t end, request& out) {
    // Beast gets a request line of ours: it refuses HTTP/1.2, and the real one has been judged.
    static constexpr std::string_view stand_in = "GET / HTTP/1.1\r\n";
    parser.emplace(fields);
    error_code ec;
    put(*parser, stand_in, ec);
    const std::string_view section_bytes = buffered.substr(section, end - section);
    const std::size_t parsed = put(*parser, section_bytes, ec);
    if (ec) {
        error = field_error(ec);
    } else if (parsed != section_bytes.size()) {
        error = {400, "the header section is malformed"};
    } else {
        error = judge(parser->facts, line.minor_version);
    }
    const head_facts& facts = parser->facts;
    const bool chunked = facts.coding_is_chunked;
    // Two readings of one field must not differ, or the body would be read with the wrong one.
    if (!error && chunked != parser->chunked()) error = {400, "Transfer-Encoding is malformed"};
    if (error) return {head_state::failed, 0, error};

    const std::uint64_t length = chunked ? 0 : parser->content_length().value_or(0);
    body_framing = chunked ? framing::chunked : length != 0 ? framing::counted : framing::none;
    remaining = announced = length;
    at = line_start = 0; // from here on relative to the bytes that the body has not consumed
    field_lines = 0;

    out.method = line.method;
    out.minor_version = line.minor_version;
    out.target = line.target;
    out.path = line.path;
    out.query = line.query;
    out.fields = fields;
    out.chunked = chunked;
    out.content_length = chunked ? std::nullopt : std::optional<std::uint64_t>(length);
    // RFC 9112 section 9.3, in its order.
    out.keep_alive = !facts.connection_close && (line.minor_version >= 1 || facts.connection_keep_alive);
    // RFC 9110 section 10.1.1: a client that sends no content does not wait either.
    out.expect_continue = facts.expect_continue && line.minor_version >= 1 && body_framing != framing::none;
    return {head_state::complete, end, {}};
}

body_result request_parser::impl::counted_body(std::string_view buffered) {
    body_result r;
    r.consumed = static_cast<std::size_t>(std::min<std::uint64_t>(remaining, buffered.size()));
    r.piece = buffered.substr(0, r.consumed);
    remaining -= r.consumed;
    r.done = remaining == 0;
    return r;
}

// Finds and checks a chunk's first line, with the CRLF that ends the chunk before. `end` is 0 while the line
// is incomplete.
parse_error request_parser::impl::chunk_line(std::string_view buffered, std::size_t& end, bool& last) {
    constexpr std::size_t most_digits = 16; // what 64 bits hold
    end = 0;
    const std::size_t start = first_chunk ? 0 : 2;
    if (at < start) {
        static constexpr std::string_view crlf = "\r\n";
        const std::string_view seen = buffered.substr(0, 2);
        if (seen != crlf.substr(0, seen.size())) return {400, "a chunk is longer than its size says"};
        if (seen.size() < 2) return {};
        at = start;
    }
    parse_error e;
    const line_state found = find_line_end(buffered, at, e);
    const std::string_view text = buffered.substr(start, at - start);
    const auto not_hex = [](char c) {
        return !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'));
    };
    const auto size_end = std::find_if(text.begin(), text.end(), not_hex);
    const auto digits = static_cast<std::size_t>(size_end - text.begin());
    const bool size_ends = digits < text.size();
    if (digits > most_digits || (size_ends && digits == 0)) return {400, "a chunk size is malformed"};
    if (size_ends && *size_end != ';' && !is_space(*size_end)) return {400, "a chunk size is malformed"};
    if (extensions + text.size() - digits > limits.chunk_extensions)
        return {400, "too many chunk extensions"};
    if (found != line_state::complete) return e;
    if (digits == 0) return {400, "a chunk size is missing"};
    extensions += text.size() - digits;
    last = std::all_of(text.begin(), size_end, [](char c) { return c == '0'; });
    end = at + 2;
    return {};
}

// Looks for the end of the trailer section; `end` is 0 while it is incomplete.
parse_error request_parser::impl::trailers(std::string_view buffered, std::size_t& end) {
    end = 0;
    for (;;) {
        parse_error e;
        const line_state found = find_line_end(buffered, at, e);
        if (at + (found == line_state::complete ? 2 : 0) - section > limits.trailers) {
            return {431, "the trailer section is too long"};
        }
        if (found != line_state::complete) return e;
        const std::string_view text = buffered.substr(line_start, at - line_start);
        at += 2;
        line_start = at;
        if (text.empty()) {
            end = at;
            return {};
        }
        e = end_of_section_line(text);
        if (e) return e;
    }
}

// Beast decodes; a line is shown to it only once it is whole and within the limits. The bytes of the last
// chunk's line stay unconsumed until the trailers are whole too, as Beast reads them in one go.
body_result request_parser::impl::chunked_body(std::string_view buffered) {
    body_result r;
    error_code ec;
    for (;;) {
        const std::string_view rest = buffered.substr(r.consumed);
        switch (part) {
        case chunk_part::line: {
            std::size_t end = 0;
            bool last = false;
            if (const parse_error e = chunk_line(rest, end, last)) return fail(e);
            if (end == 0) return r;
            if (last) {
                part = chunk_part::trailers;
                section = at = line_start = end;
                break;
            }
            if (put(*parser, rest.substr(0, end), ec) != end || ec)
                return fail({400, "a chunk is malformed"});
            r.consumed += end;
            remaining = parser->chunk_size;
            const std::uint64_t room = std::numeric_limits<std::uint64_t>::max() - announced;
            announced += std::min(room, remaining);
            part = chunk_part::data;
            first_chunk = false;
            at = 0;
            break;
        }
        case chunk_part::data: {
            if (rest.empty()) return r;
            const std::size_t taken = put(*parser, rest, ec);
            if (ec) return fail({400, "a chunk is malformed"});
            r.consumed += taken;
            r.piece = parser->piece;
            remaining -= taken;
            if (remaining == 0) part = chunk_part::line;
            return r;
        }
        case chunk_part::trailers: {
            std::size_t end = 0;
            if (const parse_error e = trailers(rest, end)) return fail(e);
            if (end == 0) return r;
            if (put(*parser, rest.substr(0, end), ec) != end || ec) {
                return fail({400, "the last chunk or its trailers are malformed"});
            }
            r.consumed += end;
            r.done = true;
            body_framing = framing::none;
            return r;
        }
        }
    }
}

void request_parser::impl::reset() noexcept {
    error = {};
    at = line_start = section = request_line_start = 0;
    empty_lines = field_lines = 0;
    fields.clear();
    parser.reset();
    body_framing = framing::none;
    part = chunk_part::line;
    first_chunk = true;
    remaining = announced = 0;
    extensions = 0;
}

request_parser::request_parser(const http::limits& limits) : impl_(std::make_unique<impl>(limits)) {}
request_parser::~request_parser() = default;
request_parser::request_parser(request_parser&&) noexcept = default;
request_parser& request_parser::operator=(request_parser&&) noexcept = default;

head_result request_parser::feed(std::string_view buffered, request& out) {
    return impl_->feed(buffered, out);
}

body_result request_parser::body(std::string_view buffered) {
    body_result r;
    if (impl_->error) {
        r.error = impl_->error;
        return r;
    }
    switch (impl_->body_framing) {
    case impl::framing::none: r.done = true; return r;
    case impl::framing::counted: return impl_->counted_body(buffered);
    case impl::framing::chunked: return impl_->chunked_body(buffered);
    }
    return r;
}

std::uint64_t request_parser::announced_body() const noexcept { return impl_->announced; }

void request_parser::reset() noexcept { impl_->reset(); }

} // namespace genever::http
