#include "request_line.hpp"

#include "syntax.hpp"

#include <genever/http/fields.hpp>

#include <cstddef>
#include <optional>

namespace genever::http {

namespace {

std::optional<method> known_method(std::string_view s) noexcept {
    if (s == "GET") return method::get; // most are, and the others' names need not be looked at
    for (std::size_t i = 0; i < method_count; ++i) {
        const auto m = static_cast<method>(i);
        if (to_string(m) == s) return m;
    }
    return std::nullopt;
}

// Visible ASCII but `#`: a fragment is never sent (RFC 9112 section 3.2). This is wider than the grammar of
// RFC 3986, since browsers send some of what it reserves (`|`, `[`, `{`) as it is; none of it is ambiguous
// here.
bool is_target(std::string_view s) noexcept {
    for (char c : s) {
        const auto u = static_cast<unsigned char>(c);
        if (u <= 0x20 || u >= 0x7f || c == '#') return false;
    }
    return !s.empty();
}

void split_query(std::string_view s, request_line& out) noexcept {
    const std::size_t mark = s.find('?');
    out.path = s.substr(0, mark);
    out.query = mark == std::string_view::npos ? std::string_view{} : s.substr(mark + 1);
}

// RFC 9112 section 3.2.2. The host must not be empty and user information is an error: RFC 9110 sections
// 4.2.1 and 4.2.4.
parse_error parse_absolute_form(std::string_view target, request_line& out) noexcept {
    const std::size_t colon = target.find(':');
    const std::string_view scheme = target.substr(0, colon);
    if (colon == std::string_view::npos || !target.substr(colon).starts_with("://") ||
        !(iequals(scheme, "http") || iequals(scheme, "https"))) {
        return {400, "the request target has no valid form"};
    }
    const std::string_view rest = target.substr(colon + 3);
    const std::size_t end = rest.find_first_of("/?");
    const std::string_view authority = rest.substr(0, end);
    if (authority.empty() || authority[0] == ':' || !is_host_and_port(authority, port_rule::optional)) {
        return {400, "the request target's authority is malformed"};
    }
    split_query(end == std::string_view::npos ? std::string_view{} : rest.substr(end), out);
    if (out.path.empty()) out.path = "/";
    return {};
}

parse_error parse_target(std::string_view target, request_line& out) noexcept {
    if (out.method == method::connect) { // RFC 9112 section 3.2.3: the authority form, and no other
        out.path = out.query = {};
        if (target[0] == ':' || !is_host_and_port(target, port_rule::required)) {
            return {400, "CONNECT needs host:port as its target"};
        }
        return {};
    }
    if (target[0] == '/') {
        split_query(target, out);
        return {};
    }
    if (target == "*") { // RFC 9112 section 3.2.4
        if (out.method != method::options) return {400, "the target * is for OPTIONS only"};
        out.path = target;
        out.query = {};
        return {};
    }
    return parse_absolute_form(target, out);
}

} // namespace

parse_error parse_request_line(std::string_view line, request_line& out) noexcept {
    // method SP request-target SP HTTP-version, each SP a single one: RFC 9112 section 3 allows a lenient
    // reading of other white space, which has served request smuggling better than any client.
    const std::size_t method_end = line.find(' ');
    if (method_end == std::string_view::npos) return {400, "the request line is malformed"};
    const std::string_view name = line.substr(0, method_end);
    const std::optional<method> m = known_method(name);
    if (!m && !is_token(name)) return {400, "the method is no token"};

    constexpr std::size_t version_size = 8; // HTTP/d.d
    const std::string_view rest = line.substr(method_end + 1);
    if (rest.size() < version_size + 2 || rest[rest.size() - version_size - 1] != ' ') {
        return {400, "the request line is malformed"};
    }
    const std::string_view version = rest.substr(rest.size() - version_size);
    const char major = version[5];
    const char minor = version[7];
    if (!version.starts_with("HTTP/") || version[6] != '.' || major < '0' || major > '9' || minor < '0' ||
        minor > '9') {
        return {400, "the HTTP version is malformed"};
    }
    out.target = rest.substr(0, rest.size() - version_size - 1);
    if (!is_target(out.target)) return {400, "the request target holds a byte that it may not hold"};

    if (major != '1') return {505, "this server speaks HTTP/1.1 and HTTP/1.0"};
    // A higher minor version is read as the highest this server knows (RFC 9110 section 2.5).
    out.minor_version = minor == '0' ? 0 : 1;
    if (!m) return {501, "this server does not know the method"};
    out.method = *m;
    return parse_target(out.target, out);
}

} // namespace genever::http
