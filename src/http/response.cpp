#include "syntax.hpp"

#include <genever/http/response.hpp>

#include <algorithm>

#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string_view>

namespace genever::http {

using namespace std::string_view_literals;

namespace {

// The server writes these on its own: a handler's idea of them would desynchronise the connection.
bool is_written_by_the_server(std::string_view name) noexcept {
    switch (name.size()) {
    case 4: return iequals(name, "Date");
    case 10: return iequals(name, "Connection");
    case 14: return iequals(name, "Content-Length");
    case 17: return iequals(name, "Transfer-Encoding");
    default: return false;
    }
}

void check(std::string_view name, std::string_view value) {
    if (!is_token(name)) throw std::invalid_argument("http::response: a field name must be a token");
    const char* const end = value.data() + value.size();
    for (const char* p = find_control(value.data(), end); p != end; p = find_control(p + 1, end)) {
        if (*p == '\r' || *p == '\n' || *p == '\0')
            throw std::invalid_argument("http::response: a field value must not hold CR, LF or NUL");
    }
}

// One line of `lines` from `at` on.
struct line {
    std::size_t size; // with its CRLF
    std::string_view name;
    std::string_view value;
};

line line_at(std::string_view lines, std::size_t at) noexcept {
    // Neither names nor values hold a CR, so the first one ends the line; names hold no colon.
    const std::string_view rest = lines.substr(at);
    const std::size_t end = rest.find('\r');
    const std::size_t colon = rest.find(':');
    return {end + 2, rest.substr(0, colon), rest.substr(colon + 2, end - colon - 2)};
}

bool overlaps(std::string_view view, const std::string& s) noexcept {
    const std::less<const char*> before;
    return !view.empty() && !before(view.data(), s.data()) && before(view.data(), s.data() + s.size());
}

void append_line(std::string& lines, std::string_view name, std::string_view value) {
    const std::size_t at = lines.size();
    const std::size_t size = name.size() + 2 + value.size() + 2;
    if (lines.capacity() - at < size) lines.reserve(std::max(at + size, 2 * lines.capacity()));
    lines.resize_and_overwrite(at + size, [&](char* p, std::size_t n) {
        p += at;
        for (const std::string_view piece : {name, ": "sv, value, "\r\n"sv}) p += piece.copy(p, piece.size());
        return n;
    });
}

} // namespace

void response::set(std::string_view name, std::string_view value) {
    const std::size_t old_size = lines_.size();
    add(name, value);
    // The new line is in before the old ones go, so that running out of memory changes nothing; its copy of
    // the name is used from here on, since the caller's may be a view into the lines that go.
    if (lines_.size() == old_size || old_size == 0) return;
    const std::size_t added = lines_.size() - old_size;
    const std::size_t name_size = name.size();
    std::size_t at = 0;
    while (at < lines_.size() - added) {
        const line l = line_at(lines_, at);
        const std::string_view new_name(lines_.data() + lines_.size() - added, name_size);
        if (iequals(l.name, new_name)) {
            lines_.erase(at, l.size);
        } else {
            at += l.size;
        }
    }
}

void response::add(std::string_view name, std::string_view value) {
    check(name, value);
    if (is_written_by_the_server(name)) return;
    if (overlaps(name, lines_) || overlaps(value, lines_)) {
        // Growing the lines would move what the views show: `add("B", header("A"))`.
        append_line(lines_, std::string(name), std::string(value));
        return;
    }
    append_line(lines_, name, value);
}

std::string_view response::header(std::string_view name) const noexcept {
    for (std::size_t at = 0; at < lines_.size();) {
        const line l = line_at(lines_, at);
        if (iequals(l.name, name)) return l.value;
        at += l.size;
    }
    return {};
}

void response::remove(std::string_view name) noexcept {
    for (std::size_t at = 0; at < lines_.size();) {
        const line l = line_at(lines_, at);
        if (iequals(l.name, name)) {
            lines_.erase(at, l.size);
        } else {
            at += l.size;
        }
    }
}

void response::clear() noexcept {
    status = 200;
    body.clear();
    lines_.clear();
    close = false;
}

std::string_view reason_phrase(int status) noexcept {
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 207: return "Multi-Status";
    case 208: return "Already Reported";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 305: return "Use Proxy";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 423: return "Locked";
    case 424: return "Failed Dependency";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 451: return "Unavailable For Legal Reasons";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    case 511: return "Network Authentication Required";
    default: return "Unknown";
    }
}

} // namespace genever::http
