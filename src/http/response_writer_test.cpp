#include "response_writer.hpp"

#include <gtest/gtest.h>

#include <ctime>
#include <string>
#include <string_view>

namespace genever::http {
namespace {

const date_text date = http_date(784111777); // Sun, 06 Nov 1994 08:49:37 GMT

request asking(method m, std::uint8_t minor_version = 1) {
    request r;
    r.method = m;
    r.minor_version = minor_version;
    return r;
}

response hello(int status = 200) {
    response r;
    r.status = status;
    r.set("Content-Type", "text/plain");
    r.body = "hello";
    return r;
}

std::string written(const request& q, const response& r, bool keep_alive = true) {
    std::string out;
    append_response(out, &q, r, keep_alive, date);
    return out;
}

TEST(ResponseWriter, WritesAResponse) {
    EXPECT_EQ(written(asking(method::get), hello()), "HTTP/1.1 200 OK\r\n"
                                                     "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                                                     "Content-Type: text/plain\r\n"
                                                     "Content-Length: 5\r\n"
                                                     "\r\n"
                                                     "hello");
}

TEST(ResponseWriter, AppendsToWhatIsThere) {
    const request q = asking(method::get);
    std::string out = "before";
    append_response(out, &q, response{}, true, date);
    EXPECT_EQ(out,
              "beforeHTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n");
}

TEST(ResponseWriter, TellsAHeadRequestTheLengthButSendsNoContent) {
    EXPECT_EQ(written(asking(method::head), hello(404)), "HTTP/1.1 404 Not Found\r\n"
                                                         "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                                                         "Content-Type: text/plain\r\n"
                                                         "Content-Length: 5\r\n"
                                                         "\r\n");
}

TEST(ResponseWriter, SendsNoContentWhereTheStatusHasNone) {
    const auto end = [](int status) {
        const std::string all = written(asking(method::get), hello(status));
        return all.substr(all.find("Content-Type"));
    };
    EXPECT_EQ(end(204), "Content-Type: text/plain\r\n\r\n");
    EXPECT_EQ(end(205), "Content-Type: text/plain\r\nContent-Length: 0\r\n\r\n");
    EXPECT_EQ(end(304), "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\n");
    response unmodified;
    unmodified.status = 304;
    EXPECT_EQ(written(asking(method::get), unmodified),
              "HTTP/1.1 304 Not Modified\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
    EXPECT_EQ(written(asking(method::connect), response{}),
              "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
}

TEST(ResponseWriter, SaysWhetherTheConnectionGoesOn) {
    const std::string_view start =
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n";
    const auto connection = [&](const request& q, const response& r, bool keep_alive) {
        return written(q, r, keep_alive).substr(start.size());
    };
    response closing;
    closing.close = true;
    EXPECT_EQ(connection(asking(method::get), response{}, true), "\r\n");
    EXPECT_EQ(connection(asking(method::get), response{}, false), "Connection: close\r\n\r\n");
    EXPECT_EQ(connection(asking(method::get), closing, true), "Connection: close\r\n\r\n");
    EXPECT_EQ(connection(asking(method::get, 0), response{}, true), "Connection: keep-alive\r\n\r\n");
    EXPECT_EQ(connection(asking(method::get, 0), response{}, false), "Connection: close\r\n\r\n");
}

TEST(ResponseWriter, SendsAnImpossibleStatusAs500) {
    for (int status : {0, -1, 99, 100, 101, 199, 600, 1000}) {
        EXPECT_TRUE(
            written(asking(method::get), hello(status)).starts_with("HTTP/1.1 500 Internal Server Error\r\n"))
            << status;
    }
    EXPECT_TRUE(written(asking(method::get), hello(599)).starts_with("HTTP/1.1 599 Unknown\r\n"));
}

TEST(ResponseWriter, WritesChunks) {
    std::string out;
    append_chunk(out, "hello");
    append_chunk(out, "");
    append_chunk(out, std::string(0x1af, 'x'));
    append_last_chunk(out);
    EXPECT_EQ(out, "5\r\nhello\r\n1af\r\n" + std::string(0x1af, 'x') + "\r\n0\r\n\r\n");
}

TEST(ResponseWriter, BeginsAStreamedResponse) {
    response r;
    r.set("X", "y");
    const auto begin = [&](const request& q, streamed_body expected, bool keep_alive = true) {
        std::string out;
        EXPECT_EQ(append_head_chunked(out, &q, r, keep_alive, date), expected);
        return out.substr(out.find("X: y\r\n") + 6);
    };
    EXPECT_EQ(begin(asking(method::get), streamed_body::chunked), "Transfer-Encoding: chunked\r\n\r\n");
    EXPECT_EQ(begin(asking(method::get), streamed_body::chunked, false),
              "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(begin(asking(method::head), streamed_body::none), "Transfer-Encoding: chunked\r\n\r\n");
    // HTTP/1.0 knows the end of the connection as the only end of such a body.
    EXPECT_EQ(begin(asking(method::get, 0), streamed_body::until_close), "Connection: close\r\n\r\n");
    EXPECT_EQ(begin(asking(method::head, 0), streamed_body::none), "Connection: keep-alive\r\n\r\n");
    r.status = 204;
    EXPECT_EQ(begin(asking(method::get), streamed_body::none), "\r\n");
    r.status = 304;
    EXPECT_EQ(begin(asking(method::get), streamed_body::none), "\r\n");
}

TEST(ResponseWriter, WritesContinue) {
    std::string out;
    append_continue(out);
    EXPECT_EQ(out, "HTTP/1.1 100 Continue\r\n\r\n");
}

TEST(ResponseWriter, WritesAnErrorWithoutAResponse) {
    std::string out;
    append_simple_error(out, nullptr, 400, "Host is missing", true, date);
    EXPECT_EQ(out, "HTTP/1.1 400 Bad Request\r\n"
                   "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                   "Content-Type: application/json\r\n"
                   "Content-Length: 52\r\n"
                   "Connection: close\r\n"
                   "\r\n"
                   R"({"error":{"status":400,"message":"Host is missing"}})");
    const request q = asking(method::head);
    out.clear();
    append_simple_error(out, &q, 503, "busy", false, date, "Retry-After: 1\r\n");
    EXPECT_EQ(out, "HTTP/1.1 503 Service Unavailable\r\n"
                   "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                   "Content-Type: application/json\r\n"
                   "Retry-After: 1\r\n"
                   "Content-Length: 41\r\n"
                   "\r\n");
}

TEST(ResponseWriter, EscapesTheMessageOfAnError) {
    const auto message = [](std::string_view text) {
        std::string out;
        append_simple_error(out, nullptr, 400, text, true, date);
        const std::size_t head = out.find("\r\n\r\n") + 4;
        EXPECT_NE(out.find("Content-Length: " + std::to_string(out.size() - head) + "\r\n"),
                  std::string::npos);
        const std::size_t start = out.find("\"message\":\"") + 11;
        return out.substr(start, out.size() - start - 3);
    };
    EXPECT_EQ(message("a\"b\\c/"), R"(a\"b\\c/)");
    EXPECT_EQ(message(std::string_view("\0\n\x1f\x7f", 4)), "\\u0000\\u000a\\u001f\x7f");
    EXPECT_EQ(message("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8d\xb8"), "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8d\xb8");
    // Stray, cut, overlong, surrogate, too high.
    EXPECT_EQ(message("\x80"), "\xef\xbf\xbd");
    EXPECT_EQ(message("a\xe2\x82"), "a\xef\xbf\xbd\xef\xbf\xbd");
    EXPECT_EQ(message("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd");
    EXPECT_EQ(message("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    EXPECT_EQ(message("\xf5\x80\x80\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(ResponseWriter, AllocatesNothingWhereTheBufferHasTheCapacity) {
    std::string out;
    out.reserve(4096);
    const char* const memory = out.data();
    const request q = asking(method::get);
    append_response(out, &q, hello(404), false, date);
    append_simple_error(out, &q, 503, "busy", true, date);
    (void)append_head_chunked(out, &q, hello(), true, date);
    append_chunk(out, "hello");
    append_last_chunk(out);
    append_continue(out);
    EXPECT_EQ(out.data(), memory);
}

std::string date_of(std::time_t t) {
    const date_text text = http_date(t);
    return {text.data(), text.size()};
}

TEST(HttpDate, IsAnImfFixdate) {
    EXPECT_EQ(date_of(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
    EXPECT_EQ(date_of(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    EXPECT_EQ(date_of(951782400), "Tue, 29 Feb 2000 00:00:00 GMT");
    EXPECT_EQ(date_of(4107542399), "Sun, 28 Feb 2100 23:59:59 GMT");
    EXPECT_EQ(date_of(4107542400), "Mon, 01 Mar 2100 00:00:00 GMT");
}

TEST(HttpDate, KeepsItsShapeOutsideTheYearsItCanTell) {
    EXPECT_EQ(date_of(-1), "Thu, 01 Jan 1970 00:00:00 GMT");
    EXPECT_EQ(date_of(253402300799), "Fri, 31 Dec 9999 23:59:59 GMT");
    EXPECT_EQ(date_of(253402300800), "Fri, 31 Dec 9999 23:59:59 GMT");
}

TEST(HttpDate, AgreesWithTheCLibraryOnManyDays) {
    for (std::time_t t = 3723; t < 4200000000; t += 86400 * 13 + 3671) {
        std::tm broken_down{};
        gmtime_r(&t, &broken_down);
        char expected[64];
        std::strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &broken_down);
        ASSERT_EQ(date_of(t), expected);
    }
}

} // namespace
} // namespace genever::http
