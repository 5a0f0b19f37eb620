#include "response_writer.hpp"

#include <array>
#include <cassert>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <limits>
#include <string>

namespace genever::http {

namespace {

/// Writes where there is room for all of it.
struct pen {
    char* at;

    void put(std::string_view s) noexcept {
        std::char_traits<char>::copy(at, s.data(), s.size()); // of no bytes, too, which may lie nowhere
        at += s.size();
    }
    template <class Integer>
    void put_number(Integer value) noexcept {
        at = std::to_chars(at, at + std::numeric_limits<Integer>::digits10 + 1, value).ptr;
    }
};

// What is written of a head beside the response's own lines: at most a status line with the longest reason, Date,
// Content-Length or Transfer-Encoding, Connection, and the empty line: 147 bytes.
constexpr std::size_t most_of_a_head = 192;

/// Has `f` write at most so much at the end of `out`, which is asked for room once and not for each piece.
template <class F>
void write(std::string& out, std::size_t most, F f) {
    const std::size_t before = out.size();
    out.resize_and_overwrite(before + most, [&](char* p, std::size_t) {
        pen to{p + before};
        f(to);
        const auto size = static_cast<std::size_t>(to.at - p);
        assert(size <= before + most);
        return size;
    });
}

void put_status_line(pen& to, int status) {
    if (status == 200) { // nearly every response
        to.put("HTTP/1.1 200 OK\r\n");
        return;
    }
    // Always 1.1, to HTTP/1.0 clients as well: the version tells what this server speaks (RFC 9110 section
    // 2.5).
    to.put("HTTP/1.1 ");
    to.put_number(status);
    to.put(" ");
    to.put(reason_phrase(status));
    to.put("\r\n");
}

void put_date(pen& to, const date_text& date) {
    to.put("Date: ");
    to.put({date.data(), date.size()});
    to.put("\r\n");
}

void put_content_length(pen& to, std::size_t size) {
    to.put("Content-Length: ");
    to.put_number(size);
    to.put("\r\n");
}

// RFC 9112 section 9.3: staying open is HTTP/1.1's default, and must be told to an HTTP/1.0 client.
void put_connection(pen& to, const http::request* request, bool keep_alive) {
    if (!keep_alive) {
        to.put("Connection: close\r\n");
    } else if (request != nullptr && request->minor_version == 0) {
        to.put("Connection: keep-alive\r\n");
    }
}

int valid_status(int status) noexcept { return status >= 200 && status <= 599 ? status : 500; }

bool is(const http::request* request, method m) noexcept {
    return request != nullptr && request->method == m;
}

// RFC 9110 sections 6.4.1, 9.3.6, 15.3.5, 15.3.6 and 15.4.5.
bool forbids_content(const http::request* request, int status) noexcept {
    return status == 204 || status == 205 || status == 304 ||
           (is(request, method::connect) && status / 100 == 2);
}

// RFC 9110 section 8.6: no length in a 204 or in a 2xx to CONNECT. A 304 tells the length that a 200 would
// have had, which is known only where the handler made that body.
bool tells_length(const http::request* request, const response& res, int status) noexcept {
    if (status == 204 || (is(request, method::connect) && status / 100 == 2)) return false;
    return status != 304 || !res.body.empty();
}

// The size of the UTF-8 sequence at the start of `s` (RFC 3629 section 4), 0 where there is none.
std::size_t utf8_sequence(std::string_view s) noexcept {
    const auto at = [&](std::size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0U; };
    const auto continues = [&](std::size_t i) { return (at(i) & 0xc0) == 0x80; };
    const unsigned lead = at(0);
    if (lead < 0x80) return 1;
    if (lead >= 0xc2 && lead <= 0xdf) return continues(1) ? 2 : 0;
    if (lead >= 0xe0 && lead <= 0xef) {
        // Neither longer than needed nor a surrogate.
        if ((lead == 0xe0 && at(1) < 0xa0) || (lead == 0xed && at(1) > 0x9f)) return 0;
        return continues(1) && continues(2) ? 3 : 0;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        if ((lead == 0xf0 && at(1) < 0x90) || (lead == 0xf4 && at(1) > 0x8f)) return 0;
        return continues(1) && continues(2) && continues(3) ? 4 : 0;
    }
    return 0;
}

// Hands the pieces of the JSON string for `s`, without its quotes, to `f`: once to measure, once to write.
template <class F>
void escape_json(std::string_view s, F f) {
    static constexpr std::string_view hex = "0123456789abcdef";
    while (!s.empty()) {
        const char c = s[0];
        const std::size_t size = utf8_sequence(s);
        if (size == 0) {
            f(std::string_view("\xef\xbf\xbd"));
        } else if (c == '"' || c == '\\') {
            const char escaped[2] = {'\\', c};
            f(std::string_view(escaped, 2));
        } else if (static_cast<unsigned char>(c) < 0x20) {
            const auto u = static_cast<unsigned char>(c);
            const char escaped[6] = {'\\', 'u', '0', '0', hex[u >> 4], hex[u & 15]};
            f(std::string_view(escaped, 6));
        } else {
            f(s.substr(0, size));
        }
        s.remove_prefix(size == 0 ? 1 : size);
    }
}

} // namespace

date_text http_date(std::time_t seconds) noexcept {
    static constexpr std::string_view days = "SunMonTueWedThuFriSat";
    static constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    // The format has four digits for the year.
    constexpr std::time_t last = 253402300799; // 9999-12-31 23:59:59
    if (seconds < 0) seconds = 0;
    if (seconds > last) seconds = last;

    const std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day ymd(day);
    const auto clock = static_cast<unsigned>((time - day).count());

    date_text text;
    char* p = text.data();
    const auto put = [&](std::string_view s) {
        for (char c : s) *p++ = c;
    };
    const auto put_two = [&](unsigned n) {
        *p++ = static_cast<char>('0' + n / 10 % 10);
        *p++ = static_cast<char>('0' + n % 10);
    };
    const auto year = static_cast<unsigned>(static_cast<int>(ymd.year()));
    put(days.substr(std::chrono::weekday(day).c_encoding() * 3, 3));
    put(", ");
    put_two(static_cast<unsigned>(ymd.day()));
    put(" ");
    put(months.substr((static_cast<unsigned>(ymd.month()) - 1) * 3, 3));
    put(" ");
    put_two(year / 100);
    put_two(year % 100);
    put(" ");
    put_two(clock / 3600);
    put(":");
    put_two(clock / 60 % 60);
    put(":");
    put_two(clock % 60);
    put(" GMT");
    return text;
}

void append_response(std::string& out, const http::request* request, const response& res, bool keep_alive,
                     const date_text& date) {
    const int status = valid_status(res.status);
    const bool has_body = !forbids_content(request, status) && !is(request, method::head);
    const std::string_view lines = res.field_lines();
    const std::string_view body = has_body ? std::string_view{res.body} : std::string_view{};
    write(out, most_of_a_head + lines.size() + body.size(), [&](pen& to) {
        put_status_line(to, status);
        put_date(to, date);
        to.put(lines);
        if (tells_length(request, res, status)) put_content_length(to, status == 205 ? 0 : res.body.size());
        put_connection(to, request, keep_alive && !res.close);
        to.put("\r\n");
        to.put(body);
    });
}

streamed_body append_head_chunked(std::string& out, const http::request* request, const response& res,
                                  bool keep_alive, const date_text& date) {
    const int status = valid_status(res.status);
    keep_alive = keep_alive && !res.close;
    const std::string_view lines = res.field_lines();
    auto body = streamed_body::chunked;
    write(out, most_of_a_head + lines.size(), [&](pen& to) {
        put_status_line(to, status);
        put_date(to, date);
        to.put(lines);
        if (forbids_content(request, status)) {
            body = streamed_body::none;
            if (status == 205) put_content_length(to, 0);
        } else if (request == nullptr || request->minor_version == 0) {
            // RFC 9112 section 6.1: no transfer coding to a client that has not shown to be HTTP/1.1's.
            body = is(request, method::head) ? streamed_body::none : streamed_body::until_close;
            if (body == streamed_body::until_close) keep_alive = false;
        } else {
            to.put("Transfer-Encoding: chunked\r\n");
            if (is(request, method::head)) body = streamed_body::none;
        }
        put_connection(to, request, keep_alive);
        to.put("\r\n");
    });
    return body;
}

void append_chunk(std::string& out, std::string_view piece) {
    if (piece.empty()) return;
    std::array<char, 2 * sizeof(std::size_t)> size;
    const auto end = std::to_chars(size.data(), size.data() + size.size(), piece.size(), 16).ptr;
    out.append(size.data(), end).append("\r\n").append(piece).append("\r\n");
}

void append_last_chunk(std::string& out) { out.append("0\r\n\r\n"); }

void append_continue(std::string& out) { out.append("HTTP/1.1 100 Continue\r\n\r\n"); }

void append_simple_error(std::string& out, const http::request* request, int status, std::string_view message,
                         bool close, const date_text& date, std::string_view extra_lines) {
    static constexpr std::string_view content_type = "Content-Type: application/json\r\n";
    static constexpr std::string_view before = R"({"error":{"status":)";
    static constexpr std::string_view between = R"(,"message":")";
    static constexpr std::string_view after = R"("}})";
    status = valid_status(status);
    std::size_t size = before.size() + 3 + between.size() + after.size();
    escape_json(message, [&](std::string_view s) { size += s.size(); });

    const std::size_t most = most_of_a_head + content_type.size() + extra_lines.size() + size;
    write(out, most, [&](pen& to) {
        put_status_line(to, status);
        put_date(to, date);
        to.put(content_type);
        to.put(extra_lines);
        put_content_length(to, size);
        put_connection(to, request, !close);
        to.put("\r\n");
        if (is(request, method::head)) return;
        to.put(before);
        to.put_number(status);
        to.put(between);
        escape_json(message, [&](std::string_view s) { to.put(s); });
        to.put(after);
    });
}

} // namespace genever::http
