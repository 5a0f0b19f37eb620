// What RFC 9110 and 9112 want refused, with the status it is refused with. Each row is fed whole, byte by
// byte, and cut in two at every position: how TCP cuts a request must never change what becomes of it.
#include "parse_transcript.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <string_view>
#include <vector>

namespace genever::http {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

struct malformed {
    const char* name;
    std::string bytes;
    int status;
    const char* source;
};

std::string get(std::string_view fields) {
    return "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n";
}

std::string chunked(std::string_view body) {
    return "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(body);
}

std::string repeat(std::string_view s, std::size_t times) {
    std::string all;
    for (std::size_t i = 0; i < times; ++i) all.append(s);
    return all;
}

std::vector<malformed> table() {
    const limits l;
    std::vector<malformed> rows{
        // The request line.
        {"no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3"},
        {"an empty target", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3"},
        {"no version (HTTP/0.9)", "GET /\r\n\r\n", 400, "RFC 9112 2.3"},
        {"method alone", "GET\r\n\r\n", 400, "RFC 9112 3"},
        {"a single space", " \r\n\r\n", 400, "RFC 9112 3"},
        {"a leading space", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3"},
        {"two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3"},
        {"two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3"},
        {"a trailing space", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "RFC 9112 3"},
        {"a tab as separator", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3"},
        {"a tab before the version", "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3"},
        {"a fourth word", "GET / HTTP/1.1 now\r\nHost: a\r\n\r\n", 400, "RFC 9112 3"},
        {"a method that is no token", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9110 9.1"},
        {"a method with a non-ASCII byte", "G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9110 9.1"},
        {"a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"s, 400, "RFC 9112 3"},
        {"an SSH client", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", 400, "RFC 9112 3"},
        {"a SOCKS client", "\x05\x01\x00"s, 400, "RFC 9112 3"},
        {"an unknown method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "RFC 9110 9.1"},
        {"a method in lower case", "get / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "RFC 9110 9.1"},
        {"a known method with a letter more", "GETS / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "RFC 9110 9.1"},
        {"a WebDAV method", "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "RFC 9110 9.1"},

        // The target.
        {"a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2"},
        {"a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2"},
        {"a non-ASCII byte in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2"},
        {"a DEL in the target", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2"},
        {"a NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"s, 400, "RFC 9112 3.2"},
        {"a control byte in the target", "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2"},
        {"a relative target", "GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2"},
        {"only a query", "GET ?a=b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2.1"},
        {"* for another method than OPTIONS", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2.4"},
        {"more than *", "OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2.4"},
        {"the authority form for GET", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2.3"},
        {"CONNECT with a path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2.3"},
        {"CONNECT without a port", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2.3"},
        {"CONNECT with a URI", "CONNECT http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2.3"},
        {"CONNECT without a host", "CONNECT :80 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2.3"},
        {"a URI without a host", "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9110 4.2.1"},
        {"a URI with a port alone", "GET http://:80/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9110 4.2.1"},
        {"a URI with user information", "GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400,
         "RFC 9110 4.2.4"},
        {"a URI with a bad port", "GET http://a:8x/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2.2"},
        {"a URI of another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2.2"},
        {"a URI with one slash", "GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2.2"},
        {"a URI in place of Host", "GET http://a/ HTTP/1.1\r\n\r\n", 400, "RFC 9112 3.2.2"},

        // The version.
        {"a version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 2.3"},
        {"a version without minor", "GET / HTTP/1\r\nHost: a\r\n\r\n", 400, "RFC 9112 2.3"},
        {"two digits in the minor version", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400, "RFC 9112 2.3"},
        {"two digits in the major version", "GET / HTTP/11.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 2.3"},
        {"letters in the version", "GET / HTTP/1.x\r\nHost: a\r\n\r\n", 400, "RFC 9112 2.3"},
        {"another protocol", "GET / ICAP/1.0\r\nHost: a\r\n\r\n", 400, "RFC 9112 2.3"},
        {"a comma for the point", "GET / HTTP/1,1\r\nHost: a\r\n\r\n", 400, "RFC 9112 2.3"},
        {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "RFC 9110 15.6.6"},
        {"HTTP/0.9 spelled out", "GET / HTTP/0.9\r\n\r\n", 505, "RFC 9110 15.6.6"},
        {"HTTP/9.9", "GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505, "RFC 9110 15.6.6"},
        {"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "RFC 9113 3.4"},

        // Line endings and control bytes.
        {"a bare LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "RFC 9112 2.2"},
        {"a bare LF behind a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "RFC 9112 2.2"},
        {"a bare LF for the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "RFC 9112 2.2"},
        {"a bare LF before the request", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 2.2"},
        {"bare LFs throughout", "GET / HTTP/1.1\nHost: a\n\n", 400, "RFC 9112 2.2"},
        {"a bare CR behind the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", 400, "RFC 9112 2.2"},
        {"a bare CR in a value", get("X: a\rb\r\n"), 400, "RFC 9112 2.2"},
        {"a CR before the CRLF", get("X: a\r\r\n"), 400, "RFC 9112 2.2"},
        {"a CR for the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\rX", 400, "RFC 9112 2.2"},
        {"a NUL in a value", get("X: a\0b\r\n"sv), 400, "RFC 9110 5.5"},
        {"a control byte in a value",
         get("X: a\x01"
             "b\r\n"),
         400, "RFC 9110 5.5"},
        {"a DEL in a value",
         get("X: a\x7f"
             "b\r\n"),
         400, "RFC 9110 5.5"},
        {"an escape sequence in a value", get("X: \x1b[31m\r\n"), 400, "RFC 9110 5.5"},
        {"nothing but empty lines", repeat("\r\n", l.leading_empty_lines + 1), 400, "RFC 9112 2.2"},

        // Field lines.
        {"a folded field", get("X: a\r\n b\r\n"), 400, "RFC 9112 5.2"},
        {"a field folded with a tab", get("X: a\r\n\tb\r\n"), 400, "RFC 9112 5.2"},
        {"a folded empty field", get("X:\r\n \r\n"), 400, "RFC 9112 5.2"},
        {"white space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "RFC 9112 2.2"},
        {"white space before the colon", get("X : a\r\n"), 400, "RFC 9112 5.1"},
        {"a tab before the colon", get("X\t: a\r\n"), 400, "RFC 9112 5.1"},
        {"an empty field name", get(": a\r\n"), 400, "RFC 9110 5.1"},
        {"a field without a colon", get("X\r\n"), 400, "RFC 9112 5"},
        {"a space in a field name", get("X Y: a\r\n"), 400, "RFC 9110 5.1"},
        {"a non-ASCII byte in a field name", get("X\xe9: a\r\n"), 400, "RFC 9110 5.1"},
        {"a bracket in a field name", get("X[0]: a\r\n"), 400, "RFC 9110 5.1"},
        {"a NUL in a field name", get("X\0Y: a\r\n"sv), 400, "RFC 9110 5.1"},
        {"a Connection that is no list", get("Connection: @\r\n"), 400, "RFC 9110 7.6.1"},

        // Host.
        {"no Host", "GET / HTTP/1.1\r\n\r\n", 400, "RFC 9112 3.2"},
        {"no Host but others", "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", 400, "RFC 9112 3.2"},
        {"two Hosts", get("Host: b\r\n"), 400, "RFC 9112 3.2"},
        {"two equal Hosts", get("Host: a\r\n"), 400, "RFC 9112 3.2"},
        {"two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, "RFC 9112 3.2"},
        {"two words as Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "RFC 9110 7.2"},
        {"a URI as Host", "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", 400, "RFC 9110 7.2"},
        {"a path in Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "RFC 9110 7.2"},
        {"user information in Host", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, "RFC 9110 7.2"},
        {"a port of letters", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400, "RFC 9110 7.2"},
        {"a port out of range", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400, "RFC 9110 7.2"},
        {"two ports", "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", 400, "RFC 9110 7.2"},
        {"an IPv6 address without brackets", "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", 400, "RFC 3986 3.2.2"},
        {"an unfinished bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400, "RFC 3986 3.2.2"},
        {"brackets around nonsense", "GET / HTTP/1.1\r\nHost: [1:2:z]\r\n\r\n", 400, "RFC 3986 3.2.2"},
        {"text behind the bracket", "GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n", 400, "RFC 3986 3.2.2"},
        {"half a percent-encoding in Host", "GET / HTTP/1.1\r\nHost: a%4\r\n\r\n", 400, "RFC 3986 3.2.2"},

        // Content-Length.
        {"two different lengths", get("Content-Length: 1\r\nContent-Length: 2\r\n"), 400, "RFC 9112 6.3"},
        {"two equal lengths", get("Content-Length: 1\r\nContent-Length: 1\r\n"), 400, "RFC 9110 8.6"},
        {"a list of equal lengths", get("Content-Length: 1, 1\r\n"), 400, "RFC 9110 8.6"},
        {"a list of different lengths", get("Content-Length: 1, 2\r\n"), 400, "RFC 9112 6.3"},
        {"a length and a comma", get("Content-Length: 1,\r\n"), 400, "RFC 9112 6.3"},
        {"a negative length", get("Content-Length: -1\r\n"), 400, "RFC 9110 8.6"},
        {"a length with a sign", get("Content-Length: +1\r\n"), 400, "RFC 9110 8.6"},
        {"a hexadecimal length", get("Content-Length: 0x10\r\n"), 400, "RFC 9110 8.6"},
        {"a length with a fraction", get("Content-Length: 1.0\r\n"), 400, "RFC 9110 8.6"},
        {"a quoted length", get("Content-Length: \"1\"\r\n"), 400, "RFC 9110 8.6"},
        {"two words as length", get("Content-Length: 1 1\r\n"), 400, "RFC 9110 8.6"},
        {"an empty length", get("Content-Length:\r\n"), 400, "RFC 9110 8.6"},
        {"a length of 2^64", get("Content-Length: 18446744073709551616\r\n"), 400, "RFC 9110 8.6"},
        {"a length of many digits", get("Content-Length: " + repeat("9", 200) + "\r\n"), 400, "RFC 9110 8.6"},

        // Transfer-Encoding.
        {"a coding and then a length", get("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"), 400,
         "RFC 9112 6.1"},
        {"a length and then a coding", get("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), 400,
         "RFC 9112 6.1"},
        {"an unknown coding beside a length", get("Content-Length: 3\r\nTransfer-Encoding: gzip\r\n"), 400,
         "RFC 9112 6.1"},
        {"a coding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
         "RFC 9112 6.1"},
        {"chunked twice", get("Transfer-Encoding: chunked, chunked\r\n"), 400, "RFC 9112 6.1"},
        {"chunked on two lines", get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400,
         "RFC 9112 6.1"},
        {"chunked not last", get("Transfer-Encoding: chunked, gzip\r\n"), 400, "RFC 9112 6.3"},
        {"chunked not last on two lines", get("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n"),
         400, "RFC 9112 6.3"},
        {"chunked with a parameter", get("Transfer-Encoding: chunked;q=1\r\n"), 400, "RFC 9112 7.1"},
        {"chunked behind an empty element", get("Transfer-Encoding: ,chunked\r\n"), 400, "RFC 9112 6.1"},
        {"chunked before an empty element", get("Transfer-Encoding: chunked,\r\n"), 400, "RFC 9112 6.1"},
        {"an empty coding", get("Transfer-Encoding:\r\n"), 400, "RFC 9112 6.1"},
        {"a coding in quotes", get("Transfer-Encoding: \"chunked\"\r\n"), 400, "RFC 9112 6.1"},
        {"two words as coding", get("Transfer-Encoding: x chunked\r\n"), 400, "RFC 9112 6.1"},
        {"a vertical tab before chunked", get("Transfer-Encoding: \vchunked\r\n"), 400, "RFC 9110 5.5"},
        {"an unknown coding", get("Transfer-Encoding: gzip\r\n"), 501, "RFC 9112 6.1"},
        {"an unknown coding before chunked", get("Transfer-Encoding: gzip, chunked\r\n"), 501,
         "RFC 9112 6.1"},
        {"identity", get("Transfer-Encoding: identity\r\n"), 501, "RFC 9112 6.1"},
        {"a coding that resembles chunked", get("Transfer-Encoding: xchunked\r\n"), 501, "RFC 9112 6.1"},

        // Expect.
        {"an unknown expectation", get("Expect: a-miracle\r\n"), 417, "RFC 9110 10.1.1"},
        {"a known and an unknown expectation", get("Expect: 100-continue, more\r\n"), 417, "RFC 9110 10.1.1"},

        // Chunks.
        {"a chunk size that is no number", chunked("x\r\n"), 400, "RFC 9112 7.1"},
        {"a negative chunk size", chunked("-1\r\n"), 400, "RFC 9112 7.1"},
        {"a chunk size with a sign", chunked("+1\r\na\r\n"), 400, "RFC 9112 7.1"},
        {"a chunk size with 0x", chunked("0x1\r\na\r\n"), 400, "RFC 9112 7.1"},
        {"no chunk size", chunked("\r\n"), 400, "RFC 9112 7.1"},
        {"an extension without a chunk size", chunked(";a\r\n"), 400, "RFC 9112 7.1"},
        {"a space before the chunk size", chunked(" 1\r\na\r\n"), 400, "RFC 9112 7.1"},
        {"a space behind the chunk size", chunked("1 \r\na\r\n0\r\n\r\n"), 400, "RFC 9112 7.1.1"},
        {"a chunk size of 2^64", chunked("10000000000000000\r\n"), 400, "RFC 9112 7.1"},
        {"a chunk size of many digits", chunked(repeat("f", 40) + "\r\n"), 400, "RFC 9112 7.1"},
        {"a chunk size of many zeros", chunked(repeat("0", 5000)), 400, "RFC 9112 7.1"},
        {"a chunk longer than its size", chunked("1\r\nab\r\n0\r\n\r\n"), 400, "RFC 9112 7.1"},
        {"a chunk that ends with LF", chunked("1\r\na\n0\r\n\r\n"), 400, "RFC 9112 7.1"},
        {"a chunk that ends with CR", chunked("1\r\na\r0\r\n\r\n"), 400, "RFC 9112 7.1"},
        {"a chunk line that ends with LF", chunked("1\na\r\n0\r\n\r\n"), 400, "RFC 9112 7.1"},
        {"a last chunk line that ends with LF", chunked("0\n\r\n"), 400, "RFC 9112 7.1"},
        {"an LF for the end of the trailers", chunked("0\r\n\n"), 400, "RFC 9112 7.1"},
        {"a chunk line with a NUL", chunked("1\0\r\na\r\n"sv), 400, "RFC 9112 7.1"},
        {"an extension without a name", chunked("1;\r\na\r\n"), 400, "RFC 9112 7.1.1"},
        {"an extension without its value", chunked("1;a=\r\na\r\n"), 400, "RFC 9112 7.1.1"},
        {"an extension with an open quote", chunked("1;a=\"\r\na\r\n"), 400, "RFC 9112 7.1.1"},
        {"an extension with an LF in quotes", chunked("1;a=\"\n\"\r\na\r\n"), 400, "RFC 9112 7.1.1"},
        {"an open quote in the last chunk", chunked("0;a=\"\r\n\r\n"), 400, "RFC 9112 7.1.1"},
        {"too many extensions in one chunk", chunked("1;a=" + repeat("x", l.chunk_extensions) + "\r\n"), 400,
         "RFC 9112 7.1.1"},
        {"too many extensions together",
         chunked(repeat("1;a=" + repeat("x", 500) + "\r\na\r\n", l.chunk_extensions / 500 + 1)), 400,
         "RFC 9112 7.1.1"},
        {"a trailer without a colon", chunked("0\r\nX\r\n\r\n"), 400, "RFC 9112 7.1.2"},
        {"a folded trailer", chunked("0\r\nX: a\r\n b\r\n\r\n"), 400, "RFC 9112 5.2"},
        {"a Content-Length among the trailers", chunked("0\r\nContent-Length: 3\r\n\r\n"), 400,
         "RFC 9110 6.5.1"},
        {"a Transfer-Encoding among the trailers", chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400,
         "RFC 9110 6.5.1"},
        {"too many trailers", chunked("0\r\n" + repeat("X: a\r\n", l.fields + 1)), 431, "RFC 6585 5"},
        {"trailers that are too long", chunked("0\r\nX: " + std::string(l.trailers, 'x')), 431, "RFC 6585 5"},

        // Oversize heads: refused without waiting for their end.
        {"a target that is too long", "GET /" + std::string(l.request_line, 'a'), 414, "RFC 9110 15.5.15"},
        {"a long target with its end", "GET /" + std::string(l.request_line, 'a') + " HTTP/1.1\r\n", 414,
         "RFC 9110 15.5.15"},
        {"a method that never ends", std::string(l.request_line + 1, 'A'), 414, "RFC 9112 3"},
        {"a field that never ends", "GET / HTTP/1.1\r\nX: " + std::string(l.header_section, 'a'), 431,
         "RFC 6585 5"},
        {"a name that never ends", "GET / HTTP/1.1\r\n" + std::string(l.header_section + 1, 'a'), 431,
         "RFC 6585 5"},
        {"a cookie that is too long", get("Cookie: " + std::string(l.header_section, 'c') + "\r\n"), 431,
         "RFC 6585 5"},
        {"too many fields", get(repeat("X: a\r\n", l.fields)), 431, "RFC 6585 5"},
        {"many long fields", get(repeat("X: " + std::string(1000, 'a') + "\r\n", 40)), 431, "RFC 6585 5"},

        // A good request first: the fault behind it is found all the same.
        {"a fault in the second request", get("") + "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501,
         "RFC 9112 9.3.2"},
        {"bytes behind a counted body",
         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nabc / HTTP/2.1\r\n\r\n", 505,
         "RFC 9112 9.3.2"},
    };
    return rows;
}

std::vector<std::size_t> every_position(std::size_t size) {
    std::vector<std::size_t> cuts(size > 0 ? size - 1 : 0);
    std::iota(cuts.begin(), cuts.end(), std::size_t{1});
    return cuts;
}

TEST(MalformedRequest, GetsItsStatus) {
    const auto rows = table();
    EXPECT_GE(rows.size(), 60U);
    for (const malformed& row : rows) {
        const transcript t = transcribe(row.bytes, {});
        EXPECT_EQ(t.status, row.status) << row.name << " (" << row.source << "): " << t.text.substr(0, 200);
        EXPECT_FALSE(t.reason.empty()) << row.name;
    }
}

TEST(MalformedRequest, GetsTheSameByteByByte) {
    for (const malformed& row : table()) {
        // A copy for each byte of the oversize rows would take most of the suite's time.
        if (row.bytes.size() > 4096) continue;
        EXPECT_EQ(transcribe(row.bytes, every_position(row.bytes.size())), transcribe(row.bytes, {}))
            << row.name;
    }
}

TEST(MalformedRequest, GetsTheSameWhereverItIsCutInTwo) {
    for (const malformed& row : table()) {
        const transcript whole = transcribe(row.bytes, {});
        const std::size_t size = row.bytes.size();
        const std::size_t step = size > 4096 ? 41 : 1;
        for (std::size_t cut = 1; cut < size; cut += (cut < 64 || size - cut <= 64) ? 1 : step) {
            const std::size_t cuts[] = {cut};
            ASSERT_EQ(transcribe(row.bytes, cuts), whole) << row.name << ", cut at " << cut;
        }
    }
}

TEST(MalformedRequest, IsRefusedAtTheFirstByteBeyondALimit) {
    const limits l;
    const auto refused_after = [&](std::string_view bytes, int status) {
        request_parser parser(l);
        for (std::size_t n = 1; n <= bytes.size(); ++n) {
            request r;
            const head_result head = parser.feed(bytes.substr(0, n), r);
            if (head.state == head_state::need_more) continue;
            EXPECT_EQ(head.error.status, status);
            return n;
        }
        return std::size_t{0};
    };
    const std::string line = "GET /" + std::string(l.request_line * 2, 'a');
    EXPECT_EQ(refused_after(line, 414), l.request_line + 1);
    const std::string start = "GET / HTTP/1.1\r\n";
    EXPECT_EQ(refused_after(start + std::string(l.header_section * 2, 'a'), 431),
              start.size() + l.header_section + 1);
}

TEST(MalformedRequest, LeavesTheParserRefusingUntilItIsReset) {
    const limits l;
    request_parser parser(l);
    request r;
    ASSERT_EQ(parser.feed("GET / HTTP/3.0\r\n", r).error.status, 505);
    EXPECT_EQ(parser.feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n", r).error.status, 505);
    EXPECT_EQ(parser.body("").error.status, 505);
    parser.reset();
    EXPECT_EQ(parser.feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n", r).state, head_state::complete);
}

} // namespace
} // namespace genever::http
