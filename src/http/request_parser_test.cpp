#include "parse_transcript.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace genever::http {
namespace {

struct good {
    const char* name;
    std::string bytes;
    std::string text;
};

std::vector<good> table() {
    return {
        {"the smallest request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
         "GET / path=/ query= 1.1 keep-alive length=0 [Host=a] body=\n"},
        {"the smallest HTTP/1.0 request", "GET / HTTP/1.0\r\n\r\n",
         "GET / path=/ query= 1.0 close length=0 body=\n"},
        {"a higher minor version is read as 1.1", "GET / HTTP/1.7\r\nHost: a\r\n\r\n",
         "GET / path=/ query= 1.1 keep-alive length=0 [Host=a] body=\n"},
        {"every method",
         "HEAD / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\n\r\nPUT / HTTP/1.1\r\nHost: "
         "a\r\n\r\n"
         "DELETE / HTTP/1.1\r\nHost: a\r\n\r\nTRACE / HTTP/1.1\r\nHost: a\r\n\r\nPATCH / HTTP/1.1\r\nHost: "
         "a\r\n\r\n",
         "HEAD / path=/ query= 1.1 keep-alive length=0 [Host=a] body=\n"
         "POST / path=/ query= 1.1 keep-alive length=0 [Host=a] body=\n"
         "PUT / path=/ query= 1.1 keep-alive length=0 [Host=a] body=\n"
         "DELETE / path=/ query= 1.1 keep-alive length=0 [Host=a] body=\n"
         "TRACE / path=/ query= 1.1 keep-alive length=0 [Host=a] body=\n"
         "PATCH / path=/ query= 1.1 keep-alive length=0 [Host=a] body=\n"},
        {"path and query stay encoded", "GET /a%2Fb/c?x=%20&y?z HTTP/1.1\r\nHost: a\r\n\r\n",
         "GET /a%2Fb/c?x=%20&y?z path=/a%2Fb/c query=x=%20&y?z 1.1 keep-alive length=0 [Host=a] body=\n"},
        {"an empty query", "GET /a? HTTP/1.1\r\nHost: a\r\n\r\n",
         "GET /a? path=/a query= 1.1 keep-alive length=0 [Host=a] body=\n"},
        {"what browsers send unencoded", "GET /a|b?x[]={\"y\"} HTTP/1.1\r\nHost: a\r\n\r\n",
         "GET /a|b?x[]={\"y\"} path=/a|b query=x[]={\"y\"} 1.1 keep-alive length=0 [Host=a] body=\n"},
        {"two slashes are a path", "GET //a HTTP/1.1\r\nHost: a\r\n\r\n",
         "GET //a path=//a query= 1.1 keep-alive length=0 [Host=a] body=\n"},
        {"the absolute form", "GET http://a:80/b?c HTTP/1.1\r\nHost: a:80\r\n\r\n",
         "GET http://a:80/b?c path=/b query=c 1.1 keep-alive length=0 [Host=a:80] body=\n"},
        {"the absolute form without a path", "GET HTTPS://[2001:db8::1]:443 HTTP/1.1\r\nHost: a\r\n\r\n",
         "GET HTTPS://[2001:db8::1]:443 path=/ query= 1.1 keep-alive length=0 [Host=a] body=\n"},
        {"the absolute form with a query alone", "GET http://a?b/c HTTP/1.1\r\nHost: a\r\n\r\n",
         "GET http://a?b/c path=/ query=b/c 1.1 keep-alive length=0 [Host=a] body=\n"},
        {"the asterisk form", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
         "OPTIONS * path=* query= 1.1 keep-alive length=0 [Host=a] body=\n"},
        {"the authority form", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
         "CONNECT a:443 path= query= 1.1 keep-alive length=0 [Host=a:443] body=\n"},
        {"hosts of all kinds",
         "GET / HTTP/1.1\r\nHost:\r\n\r\nGET / HTTP/1.1\r\nHost: a_b-c.d~e:\r\n\r\nGET / HTTP/1.1\r\nHost: "
         "[::1]:80\r\n\r\n"
         "GET / HTTP/1.1\r\nHost: [v1.a:b]\r\n\r\nGET / HTTP/1.1\r\nHost: 127.0.0.1:65535\r\n\r\n"
         "GET / HTTP/1.1\r\nHost: %41!\r\n\r\n",
         "GET / path=/ query= 1.1 keep-alive length=0 [Host=] body=\n"
         "GET / path=/ query= 1.1 keep-alive length=0 [Host=a_b-c.d~e:] body=\n"
         "GET / path=/ query= 1.1 keep-alive length=0 [Host=[::1]:80] body=\n"
         "GET / path=/ query= 1.1 keep-alive length=0 [Host=[v1.a:b]] body=\n"
         "GET / path=/ query= 1.1 keep-alive length=0 [Host=127.0.0.1:65535] body=\n"
         "GET / path=/ query= 1.1 keep-alive length=0 [Host=%41!] body=\n"},
        {"values are trimmed, and may be empty or beyond ASCII",
         "GET / HTTP/1.1\r\nhOST:\t a \t\r\nX:\r\nY: \t \r\nZ: \xc3\xa9\tb  c\r\n\r\n",
         "GET / path=/ query= 1.1 keep-alive length=0 [hOST=a] [X=] [Y=] [Z=\xc3\xa9\tb  c] body=\n"},
        {"fields of one name stay apart", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nx: 2\r\n\r\n",
         "GET / path=/ query= 1.1 keep-alive length=0 [Host=a] [X=1] [x=2] body=\n"},
        {"empty lines before the request",
         "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n",
         "GET / path=/ query= 1.1 keep-alive length=0 [Host=a] body=\n"
         "GET / path=/ query= 1.0 close length=0 body=\n"},
        {"Connection: close", "GET / HTTP/1.1\r\nHost: a\r\nConnection: CLOSE\r\n\r\n",
         "GET / path=/ query= 1.1 close length=0 [Host=a] [Connection=CLOSE] body=\n"},
        {"close in a list, on the second line",
         "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: x,, close\r\n\r\n",
         "GET / path=/ query= 1.1 close length=0 [Host=a] [Connection=keep-alive] [Connection=x,, close] "
         "body=\n"},
        {"another Connection option", "GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n",
         "GET / path=/ query= 1.1 keep-alive length=0 [Host=a] [Connection=closed] body=\n"},
        {"HTTP/1.0 with keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
         "GET / path=/ query= 1.0 keep-alive length=0 [Connection=Keep-Alive] body=\n"},
        {"HTTP/1.0 with both", "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
         "GET / path=/ query= 1.0 close length=0 [Connection=keep-alive, close] body=\n"},
        {"Proxy-Connection is nothing", "GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: close\r\n\r\n",
         "GET / path=/ query= 1.1 keep-alive length=0 [Host=a] [Proxy-Connection=close] body=\n"},
        {"a counted body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
         "POST / path=/ query= 1.1 keep-alive length=5 [Host=a] [Content-Length=5] body=hello\n"},
        {"a length with zeros before it", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0003\r\n\r\nabc",
         "POST / path=/ query= 1.1 keep-alive length=3 [Host=a] [Content-Length=0003] body=abc\n"},
        {"an empty counted body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
         "POST / path=/ query= 1.1 keep-alive length=0 [Host=a] [Content-Length=0] body=\n"},
        {"a body with GET", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
         "GET / path=/ query= 1.1 keep-alive length=2 [Host=a] [Content-Length=2] body=ab\n"},
        {"the longest length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\nab",
         "POST / path=/ query= 1.1 keep-alive length=18446744073709551615 [Host=a] "
         "[Content-Length=18446744073709551615] body=ab"},
        {"a chunked body",
         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
         "chunked\r\n\r\n5\r\nhello\r\n7\r\n\r\nworld\r\n0\r\n\r\n",
         "POST / path=/ query= 1.1 keep-alive chunked [Host=a] [Transfer-Encoding=chunked] "
         "body=hello\r\nworld\n"},
        {"an empty chunked body", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
         "POST / path=/ query= 1.1 keep-alive chunked [Host=a] [Transfer-Encoding=Chunked] body=\n"},
        {"chunk sizes with zeros and letters",
         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
         "chunked\r\n\r\n000a\r\n0123456789\r\n0B\r\n0123456789a\r\n"
         "000\r\n\r\n",
         "POST / path=/ query= 1.1 keep-alive chunked [Host=a] [Transfer-Encoding=chunked] "
         "body=01234567890123456789a\n"},
        {"chunk extensions",
         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\nx\r\n1 ; b = c;d=\"; "
         "\\\"e\"\r\ny\r\n"
         "0;f=g\r\n\r\n",
         "POST / path=/ query= 1.1 keep-alive chunked [Host=a] [Transfer-Encoding=chunked] body=xy\n"},
        {"trailers are dropped, the next request is read",
         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nHost: b\r\nExpect: "
         "c\r\n\r\n"
         "GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
         "POST / path=/ query= 1.1 keep-alive chunked [Host=a] [Transfer-Encoding=chunked] body=x\n"
         "GET /next path=/next query= 1.1 keep-alive length=0 [Host=a] body=\n"},
        {"Expect", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-CONTINUE\r\nContent-Length: 1\r\n\r\nx",
         "POST / path=/ query= 1.1 keep-alive expects length=1 [Host=a] [Expect=100-CONTINUE] "
         "[Content-Length=1] "
         "body=x\n"},
        {"Expect without a body", "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
         "GET / path=/ query= 1.1 keep-alive length=0 [Host=a] [Expect=100-continue] body=\n"},
        {"Expect from an HTTP/1.0 client",
         "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
         "POST / path=/ query= 1.0 close length=1 [Expect=100-continue] [Content-Length=1] body=x\n"},
        {"any expectation of an HTTP/1.0 client", "GET / HTTP/1.0\r\nExpect: wonders\r\n\r\n",
         "GET / path=/ query= 1.0 close length=0 [Expect=wonders] body=\n"},
        {"half a head", "GET / HTTP/1.1\r\nHost: a\r\n", "more"},
        {"half a body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel",
         "POST / path=/ query= 1.1 keep-alive length=5 [Host=a] [Content-Length=5] body=hel"},
        {"half a chunk", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
         "POST / path=/ query= 1.1 keep-alive chunked [Host=a] [Transfer-Encoding=chunked] body=hel"},
        {"a chunked body without its end",
         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n",
         "POST / path=/ query= 1.1 keep-alive chunked [Host=a] [Transfer-Encoding=chunked] body=a"},
    };
}

std::vector<std::size_t> every_position(std::size_t size) {
    std::vector<std::size_t> cuts(size > 0 ? size - 1 : 0);
    std::iota(cuts.begin(), cuts.end(), std::size_t{1});
    return cuts;
}

TEST(RequestParser, ReadsWhatTheRfcsAllow) {
    for (const good& row : table()) {
        const transcript t = transcribe(row.bytes, {});
        EXPECT_EQ(t.text, row.text) << row.name << ": " << t.reason;
    }
}

TEST(RequestParser, ReadsTheSameByteByByteAndWhereverItIsCutInTwo) {
    for (const good& row : table()) {
        EXPECT_EQ(transcribe(row.bytes, every_position(row.bytes.size())).text, row.text) << row.name;
        for (std::size_t cut = 1; cut < row.bytes.size(); ++cut) {
            const std::size_t cuts[] = {cut};
            ASSERT_EQ(transcribe(row.bytes, cuts).text, row.text) << row.name << ", cut at " << cut;
        }
    }
}

// A pipeline of random requests with what must come out of it.
struct pipeline {
    std::string bytes;
    std::string text;
};

class pipeline_maker {
public:
    explicit pipeline_maker(std::uint32_t seed) : random_(seed) {}

    pipeline make() {
        pipeline p;
        for (std::uint32_t n = below(6) + 1; n > 0; --n) add_request(p);
        return p;
    }

    std::vector<std::size_t> cuts(std::size_t size) {
        std::vector<std::size_t> cuts;
        for (std::uint32_t n = below(12); n > 0; --n)
            cuts.push_back(below(static_cast<std::uint32_t>(size) + 1));
        std::sort(cuts.begin(), cuts.end());
        return cuts;
    }

private:
    std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random_() % n); }

    std::string text(std::string_view alphabet, std::uint32_t most) {
        std::string s;
        for (std::uint32_t n = below(most + 1); n > 0; --n) s.push_back(alphabet[below(alphabet.size())]);
        return s;
    }

    void add_request(pipeline& p) {
        const auto m =
            std::vector{method::get, method::head, method::post, method::put, method::patch}[below(5)];
        const bool old = below(4) == 0;
        const std::string path = "/" + text("abc/%41-._~!$&'()*+,;=:@|", 40);
        const std::string query = text("ab=&?/%20", 20);
        const std::string target = query.empty() ? path : path + "?" + query;

        std::string lines = "Host: h" + text("0123.-", 10) + "\r\n";
        std::string fields = " [Host=" + lines.substr(6, lines.size() - 8) + "]";
        const auto add_field = [&](const std::string& name, const std::string& value) {
            lines += name + ":" + text(" \t", 3) + value + text(" \t", 3) + "\r\n";
            fields += " [" + name + "=" + value + "]";
        };
        for (std::uint32_t n = below(8); n > 0; --n) {
            add_field("X-" + text("abcABC019-_", 12), "v" + text("abc \t\",;=()<>\xc3\xa9", 60) + "v");
        }
        const bool asks_close = below(6) == 0;
        const bool asks_keep_alive = !asks_close && below(3) == 0;
        if (asks_close) add_field("Connection", "close");
        if (asks_keep_alive) add_field("connection", "x, Keep-Alive");

        const std::string body = text("abc\r\n\0:", 300);
        std::string framed;
        std::string framing;
        const std::uint32_t kind = below(3);
        if (kind == 0 && !old) {
            add_field("Transfer-Encoding", "chunked");
            framed = chunks(body);
            framing = " chunked";
        } else if (kind == 1 || !body.empty()) {
            add_field("Content-Length", std::to_string(body.size()));
            framed = body;
            framing = " length=" + std::to_string(body.size());
        } else {
            framing = " length=0";
        }

        if (below(8) == 0) p.bytes += "\r\n";
        const std::string start = std::string(to_string(m)) + " " + target;
        p.bytes += start + (old ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n") + lines + "\r\n" + framed;
        p.text += start + " path=" + path + " query=" + query + (old ? " 1.0" : " 1.1");
        p.text += (old ? asks_keep_alive : !asks_close) ? " keep-alive" : " close";
        p.text += framing + fields + " body=" + body + "\n";
    }

    std::string chunks(std::string_view body) {
        std::string framed;
        while (!body.empty()) {
            const std::size_t n = below(static_cast<std::uint32_t>(body.size())) + 1;
            char size[32];
            std::snprintf(size, sizeof size, below(2) == 0 ? "%zx" : "%04zX", n);
            framed += size;
            if (below(4) == 0) framed += ";n=\"v;\"";
            framed.append("\r\n").append(body.substr(0, n)).append("\r\n");
            body.remove_prefix(n);
        }
        framed += "0\r\n";
        if (below(4) == 0) framed += "Trailer-Field: x\r\n";
        return framed + "\r\n";
    }

    std::mt19937 random_;
};

TEST(RequestParser, ReadsRandomPipelinesTheSameHoweverTheyAreCut) {
    for (std::uint32_t seed = 0; seed < 300; ++seed) {
        pipeline_maker maker(seed);
        const pipeline p = maker.make();
        for (int i = 0; i < 8; ++i) {
            ASSERT_EQ(transcribe(p.bytes, maker.cuts(p.bytes.size())).text, p.text) << "seed " << seed;
        }
        ASSERT_EQ(transcribe(p.bytes, every_position(p.bytes.size())).text, p.text) << "seed " << seed;
    }
}

TEST(RequestParser, LeavesTheBytesBehindTheHeadAlone) {
    const limits l;
    request_parser parser(l);
    request r;
    const std::string_view head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const std::string bytes = std::string(head) + "\n\n\n";
    const head_result result = parser.feed(bytes, r);
    EXPECT_EQ(result.state, head_state::complete);
    EXPECT_EQ(result.size, head.size());
    EXPECT_TRUE(parser.body("\n\n\n").done);
    EXPECT_EQ(parser.body("\n\n\n").consumed, 0U);
}

TEST(RequestParser, CountsTheEmptyLinesBeforeARequestAsPartOfItsHead) {
    const limits l;
    request_parser parser(l);
    request r;
    EXPECT_EQ(parser.feed("\r\n\r\nGET / HTTP/1.0\r\n\r\n", r).size, 22U);
}

TEST(RequestParser, FillsTheRequestWithViewsIntoTheLastBuffer) {
    const limits l;
    request_parser parser(l);
    request r;
    std::string first = "GET /a?b HTTP/1.1\r\nHo";
    ASSERT_EQ(parser.feed(first, r).state, head_state::need_more);
    const std::string second = first + "st: a\r\n\r\n";
    first.assign(first.size(), '#'); // what a connection does whose buffer has grown elsewhere
    ASSERT_EQ(parser.feed(second, r).state, head_state::complete);
    EXPECT_EQ(r.path, "/a");
    EXPECT_EQ(r.path.data(), second.data() + 4);
    EXPECT_EQ(r.header("host").data(), second.data() + second.size() - 5);
}

TEST(RequestParser, StandsUpToItsLimitsExactly) {
    limits l;
    l.request_line = 20;
    l.header_section = 40;
    l.fields = 3;
    const auto status = [&](std::string_view bytes) { return transcribe(bytes, {}, l).status; };
    EXPECT_EQ(status("GET /0123456 HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
    EXPECT_EQ(status("GET /012345 HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(25, 'x') + "\r\n\r\n"), 431);
    EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(24, 'x') + "\r\n\r\n"), 0);
    EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: a\r\nB:\r\nC:\r\nD:\r\n\r\n"), 431);
    EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: a\r\nB:\r\nC:\r\n\r\n"), 0);
}

TEST(RequestParser, AnnouncesHowLongTheBodyIsAtLeast) {
    const limits l;
    request_parser parser(l);
    request r;
    ASSERT_EQ(parser.feed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n", r).state,
              head_state::complete);
    EXPECT_EQ(parser.announced_body(), 9000000U);
    EXPECT_EQ(r.content_length, 9000000U);

    parser.reset();
    ASSERT_EQ(parser.feed("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", r).state,
              head_state::complete);
    EXPECT_EQ(parser.announced_body(), 0U);
    EXPECT_FALSE(r.content_length.has_value());
    EXPECT_EQ(parser.body("2\r\nab").piece, "ab");
    EXPECT_EQ(parser.announced_body(), 2U);
    EXPECT_EQ(parser.body("\r\nffffffffffffffff\r\n").consumed, 20U);
    EXPECT_EQ(parser.announced_body(), std::numeric_limits<std::uint64_t>::max());
}

TEST(RequestParser, DoesNotSearchAnIncompleteHeadFromItsStartAgain) {
    // A header section of 30 KiB, a byte at a time: searched from the start each time, it would look at
    // 450 million bytes; the bytes that were looked at are overwritten here, so that a second look fails.
    const limits l;
    request_parser parser(l);
    request r;
    std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    const std::size_t start = bytes.size();
    for (std::size_t i = 0; i < 30 * 1024; ++i) {
        bytes.push_back('x');
        ASSERT_EQ(parser.feed(bytes, r).state, head_state::need_more);
        if (bytes.size() - start > 8) bytes[bytes.size() - 8] = '\n';
    }
    std::replace(bytes.begin() + static_cast<std::ptrdiff_t>(start), bytes.end(), '\n', 'x');
    bytes += "\r\n\r\n";
    ASSERT_EQ(parser.feed(bytes, r).state, head_state::complete);
    EXPECT_EQ(r.header("X").size(), 30U * 1024);
}

} // namespace
} // namespace genever::http
