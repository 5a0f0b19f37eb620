"""Raw requests that test a server's reading of RFC 9110 and RFC 9112, and what each must get.

`statuses`: the final statuses allowed: one, unless the RFCs leave a choice.

`closes`: True if the connection must end after the answer (the framing is lost, so what follows cannot be
trusted), False if it must go on, None where both are right; then it must at least not answer what follows
wrongly.

Sections are those of RFC 9112 unless they say 9110.
"""

import typing

HOST = b"Host: localhost\r\n"


class Case(typing.NamedTuple):
    name: str
    data: bytes
    statuses: set
    closes: typing.Optional[bool]
    section: str


def line(name, request_line, statuses, section, closes=True):
    return Case(name, request_line + b"\r\n" + HOST + b"\r\n", statuses, closes, section)


def fields(name, field_lines, statuses, section, closes=True, version=b"1.1"):
    data = b"GET /ping HTTP/" + version + b"\r\n" + field_lines + b"\r\n"
    return Case(name, data, statuses, closes, section)


def post(name, field_lines, body, statuses, section, closes=True, version=b"1.1"):
    head = b"POST /echo HTTP/" + version + b"\r\n" + HOST + field_lines + b"\r\n"
    return Case(name, head + body, statuses, closes, section)


def chunks(name, body, statuses, section="7.1", closes=True):
    return post(name, b"Transfer-Encoding: chunked\r\n", body, statuses, section, closes)


def many(count, value):
    return b"".join(b"X-%d: %s\r\n" % (number, value) for number in range(count))


REQUEST_LINES = [
    line("method alone", b"GET", {400}, "3"),
    line("no version (HTTP/0.9)", b"GET /ping", {400}, "3"),
    line("a fourth word", b"GET /ping HTTP/1.1 now", {400}, "3"),
    line("two spaces before the target", b"GET  /ping HTTP/1.1", {400}, "3"),
    line("two spaces before the version", b"GET /ping  HTTP/1.1", {400}, "3"),
    line("space in the target", b"GET /pi ng HTTP/1.1", {400}, "3.2"),
    line("tabs for spaces", b"GET\t/ping\tHTTP/1.1", {400}, "3"),
    line("leading space", b" GET /ping HTTP/1.1", {400}, "3"),
    line("trailing space", b"GET /ping HTTP/1.1 ", {400}, "3"),
    line("method is no token", b"GE(T /ping HTTP/1.1", {400}, "9110 5.6.2"),
    line("NUL in the method", b"G\0T /ping HTTP/1.1", {400}, "3"),
    line("NUL in the target", b"GET /pi\0ng HTTP/1.1", {400}, "3.2"),
    line("DEL in the target", b"GET /pi\x7fng HTTP/1.1", {400}, "3.2"),
    line("raw UTF-8 in the target", b"GET /p\xc3\xafng HTTP/1.1", {400}, "3.2"),
    line("fragment in the target", b"GET /ping#top HTTP/1.1", {400}, "3.2"),
    line("relative target", b"GET ping HTTP/1.1", {400}, "3.2.1"),
    line("asterisk for GET", b"GET * HTTP/1.1", {400}, "3.2.4", None),
    line("absolute form without authority", b"GET http:// HTTP/1.1", {400}, "9110 4.2.1", None),
    line("broken percent-encoding", b"GET /users/%zz/posts/1 HTTP/1.1", {400}, "9110 4.1", None),
    line("cut percent-encoding", b"GET /users/1/posts/%4 HTTP/1.1", {400}, "9110 4.1", None),
    Case("bare LF line ends", b"GET /ping HTTP/1.1\nHost: localhost\n\n", {400}, True, "2.2"),
    Case("bare LF ends the request line", b"GET /ping HTTP/1.1\n" + HOST + b"\r\n", {400}, True, "2.2"),
    Case("bare CR in the request line", b"GET /ping\rHTTP/1.1\r\n" + HOST + b"\r\n", {400}, True, "2.2"),
    Case("a TLS hello", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(range(32)) + b"\r\n\r\n",
         {400}, True, "3"),
    Case("empty lines first", b"\r\n\r\nGET /ping HTTP/1.1\r\n" + HOST + b"\r\n", {200}, False, "2.2"),
]

VERSIONS = [
    line("HTTP/2.0", b"GET /ping HTTP/2.0", {505}, "9110 15.6.6"),
    line("HTTP/3.7", b"GET /ping HTTP/3.7", {505}, "9110 15.6.6"),
    line("HTTP/0.9 spelled out", b"GET /ping HTTP/0.9", {400, 505}, "9110 15.6.6"),
    line("a later minor version", b"GET /ping HTTP/1.2", {200, 505}, "9110 2.5", None),
    Case("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 501, 505}, True, "9113 3.4"),
    line("version without minor", b"GET /ping HTTP/1", {400}, "2.3"),
    line("two digits major", b"GET /ping HTTP/11.1", {400}, "2.3"),
    line("two digits minor", b"GET /ping HTTP/1.10", {400}, "2.3"),
    line("letters for digits", b"GET /ping HTTP/x.y", {400}, "2.3"),
    line("lower-case name", b"GET /ping http/1.1", {400}, "2.3"),
    line("another protocol", b"GET /ping HTTQ/1.1", {400}, "2.3"),
    line("comma for dot", b"GET /ping HTTP/1,1", {400}, "2.3"),
]

METHODS = [
    line("unknown method", b"FROB /ping HTTP/1.1", {501}, "9110 9.1", None),
    line("methods are case-sensitive", b"get /ping HTTP/1.1", {501}, "9110 9.1", None),
    line("OPTIONS for the whole server", b"OPTIONS * HTTP/1.1", {200, 204}, "9110 9.3.7", None),
    line("absolute form", b"GET http://localhost/ping HTTP/1.1", {200}, "3.2.2", False),
    line("absolute form with a query", b"GET http://localhost:80/work?us=1 HTTP/1.1", {200}, "3.2.2", False),
    line("CONNECT to an origin server", b"CONNECT localhost:80 HTTP/1.1", {400, 404, 405, 501}, "9110 9.3.6",
         None),
    line("TRACE", b"TRACE /ping HTTP/1.1", {405, 501}, "9110 9.3.8", None),
]

FIELDS = [
    fields("space before the colon", b"Host : localhost\r\n", {400}, "5.1"),
    fields("tab before the colon", HOST + b"X-A\t: 1\r\n", {400}, "5.1"),
    fields("no colon", HOST + b"X-A 1\r\n", {400}, "5"),
    fields("no name", HOST + b": 1\r\n", {400}, "5"),
    fields("space in the name", HOST + b"X A: 1\r\n", {400}, "5"),
    fields("bracket in the name", HOST + b"X[A]: 1\r\n", {400}, "9110 5.1"),
    fields("8-bit name", HOST + b"X-\xe9: 1\r\n", {400}, "9110 5.1"),
    fields("folded line", HOST + b"X-A: 1\r\n 2\r\n", {400}, "5.2"),
    fields("folded by a tab", HOST + b"X-A: 1\r\n\t2\r\n", {400}, "5.2"),
    fields("space before the first field", b" Host: localhost\r\nX-A: 1\r\n", {400}, "2.2"),
    fields("bare LF ends a field line", HOST + b"X-A: 1\nX-B: 2\r\n", {400}, "2.2"),
    fields("bare CR in a value", HOST + b"X-A: 1\r2\r\n", {400}, "2.2"),
    fields("NUL in a value", HOST + b"X-A: 1\x002\r\n", {400}, "9110 5.5"),
    fields("NUL in a name", HOST + b"X-\0A: 1\r\n", {400}, "9110 5.1"),
    fields("control byte in a value", HOST + b"X-A: 1\x012\r\n", {400}, "9110 5.5"),
    fields("DEL in a value", HOST + b"X-A: 1\x7f2\r\n", {400}, "9110 5.5"),
    fields("an expectation nobody meets", HOST + b"Expect: a-miracle\r\n", {417}, "9110 10.1.1", None),
    fields("8-bit value, which is allowed", HOST + b"X-A: \xe9t\xe9\r\n", {200}, "9110 5.5", False),
    fields("tab in a value, which is allowed", HOST + b"X-A: 1\t2\r\n", {200}, "9110 5.5", False),
    fields("empty value, which is allowed", HOST + b"X-A:\r\n", {200}, "9110 5.5", False),
]

HOSTS = [
    fields("no Host", b"", {400}, "3.2", None),
    Case("no Host but an absolute form", b"GET http://localhost/ping HTTP/1.1\r\n\r\n", {400}, None, "3.2"),
    fields("two Hosts", HOST + b"Host: example.org\r\n", {400}, "3.2", None),
    fields("the same Host twice", HOST + HOST, {400}, "3.2", None),
    fields("space in Host", b"Host: local host\r\n", {400}, "3.2", None),
    fields("path in Host", b"Host: localhost/ping\r\n", {400}, "3.2", None),
    fields("user in Host", b"Host: me@localhost\r\n", {400}, "3.2", None),
    fields("letters for the port", b"Host: localhost:http\r\n", {400}, "3.2", None),
    fields("open bracket in Host", b"Host: [::1\r\n", {400}, "3.2", None),
    fields("empty Host, which is allowed", b"Host:\r\n", {200}, "3.2", False),
    fields("an IPv6 Host", b"Host: [::1]:4000\r\n", {200}, "3.2", False),
    fields("HTTP/1.0 without Host", b"", {200}, "3.2", True, b"1.0"),
]

CONTENT_LENGTHS = [
    post("conflicting lengths", b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!", {400}, "6.3"),
    post("conflicting lengths in a list", b"Content-Length: 5, 6\r\n", b"hello!", {400}, "6.3"),
    post("the same length twice", b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello", {200, 400},
         "9110 8.6", None),
    post("the same length in a list", b"Content-Length: 5, 5\r\n", b"hello", {200, 400}, "9110 8.6", None),
    post("negative length", b"Content-Length: -5\r\n", b"hello", {400}, "6.3"),
    post("length with plus", b"Content-Length: +5\r\n", b"hello", {400}, "6.3"),
    post("hexadecimal length", b"Content-Length: 0x5\r\n", b"hello", {400}, "6.3"),
    post("fractional length", b"Content-Length: 5.0\r\n", b"hello", {400}, "6.3"),
    post("length followed by letters", b"Content-Length: 5b\r\n", b"hello", {400}, "6.3"),
    post("two numbers for a length", b"Content-Length: 5 5\r\n", b"hello", {400}, "6.3"),
    post("empty length", b"Content-Length:\r\n", b"hello", {400}, "6.3"),
    post("length beyond 64 bits", b"Content-Length: 18446744073709551621\r\n", b"hello", {400, 413},
         "9110 8.6"),
    post("length of many digits", b"Content-Length: " + b"9" * 400 + b"\r\n", b"hello", {400, 413},
         "9110 8.6"),
    post("greatest length of 64 bits", b"Content-Length: 18446744073709551615\r\n", b"hello", {400, 413},
         "9110 8.6"),
    post("length far above the limit", b"Content-Length: 9000000000000000000\r\n", b"hello", {413},
         "9110 15.5.14"),
]

TRANSFER_ENCODINGS = [
    post("Content-Length and chunked", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
         b"0\r\n\r\n", {400}, "6.3"),
    post("chunked and Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
         b"0\r\n\r\n", {400}, "6.3"),
    post("chunked in HTTP/1.0", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", {400}, "6.1", True, b"1.0"),
    post("chunked not last", b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n", {400}, "6.3"),
    post("chunked not last, in two fields", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n",
         b"0\r\n\r\n", {400}, "6.3"),
    post("chunked twice", b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n", {400}, "6.1"),
    post("unknown coding", b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n", {501}, "6.1"),
    post("unknown coding alone", b"Transfer-Encoding: frob\r\n", b"0\r\n\r\n", {400, 501}, "6.1, 6.3"),
    post("almost chunked", b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n", {400, 501}, "6.1, 6.3"),
    post("empty coding", b"Transfer-Encoding:\r\n", b"0\r\n\r\n", {400, 501}, "6.1, 6.3"),
    post("vertical tab before the coding", b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n", {400},
         "9110 5.5"),
    post("codings are case-insensitive", b"Transfer-Encoding: Chunked\r\n", b"0\r\n\r\n", {200}, "7", False),
]

CHUNKS = [
    chunks("size is no number", b"xyz\r\nhello\r\n0\r\n\r\n", {400}),
    chunks("no size", b"\r\nhello\r\n0\r\n\r\n", {400}),
    chunks("negative size", b"-5\r\nhello\r\n0\r\n\r\n", {400}),
    chunks("size with plus", b"+5\r\nhello\r\n0\r\n\r\n", {400}),
    chunks("size with 0x", b"0x5\r\nhello\r\n0\r\n\r\n", {400}),
    chunks("space before the size", b" 5\r\nhello\r\n0\r\n\r\n", {400}),
    chunks("size beyond 64 bits", b"10000000000000005\r\nhello\r\n0\r\n\r\n", {400, 413}),
    chunks("greatest size of 64 bits", b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n", {400, 413}),
    chunks("size above the limit", b"7fffffff\r\nhello\r\n0\r\n\r\n", {413}),
    chunks("data longer than its size", b"5\r\nhello!\r\n0\r\n\r\n", {400}),
    chunks("data without CRLF", b"5\r\nhello0\r\n\r\n", {400}),
    chunks("bare LF after the size", b"5\nhello\r\n0\r\n\r\n", {400}),
    chunks("bare LF after the data", b"5\r\nhello\n0\r\n\r\n", {400}),
    chunks("extension without a name", b"5;=1\r\nhello\r\n0\r\n\r\n", {400}, "7.1.1"),
    chunks("control byte in an extension", b"5;a=\x01\r\nhello\r\n0\r\n\r\n", {400}, "7.1.1"),
    chunks("open quote in an extension", b"5;a=\"b\r\nhello\r\n0\r\n\r\n", {400}, "7.1.1"),
    chunks("space in a trailer's name", b"0\r\nX A: 1\r\n\r\n", {400}, "7.1.2"),
    chunks("trailers without end", b"0\r\n" + b"X-A: 1\r\n" * 6000 + b"\r\n", {400, 413, 431}, "7.1.2"),
    chunks("extensions without end", b"5" + b";a=1" * 12000 + b"\r\nhello\r\n0\r\n\r\n", {400, 413, 431},
           "7.1.1"),
]

OVERSIZE = [
    line("request line above 8 KiB", b"GET /" + b"a" * 8179 + b" HTTP/1.1", {414}, "3"),
    line("request line of 8 KiB, which is allowed", b"GET /" + b"a" * 8178 + b" HTTP/1.1", {404}, "3", False),
    line("query above 8 KiB", b"GET /ping?" + b"a" * 9000 + b" HTTP/1.1", {414}, "3"),
    Case("a target without end", b"GET /" + b"a" * 100_000, {414}, True, "3"),
    Case("a method without end", b"A" * 100_000, {400, 414, 501}, True, "3"),
    fields("a field of 40 KiB", HOST + b"X-A: " + b"a" * 40960 + b"\r\n", {431}, "9110 5.4"),
    fields("a field name of 40 KiB", HOST + b"X" * 40960 + b": 1\r\n", {431}, "9110 5.4"),
    fields("fields of 40 KiB together", HOST + many(40, b"a" * 1000), {431}, "9110 5.4"),
    fields("101 fields", HOST + many(100, b"1"), {431}, "9110 5.4"),
    fields("100 fields, which is allowed", HOST + many(99, b"1"), {200}, "9110 5.4", False),
    fields("20 KiB of fields, which is allowed", HOST + many(20, b"a" * 1000), {200}, "9110 5.4", False),
]

CASES = (REQUEST_LINES + VERSIONS + METHODS + FIELDS + HOSTS + CONTENT_LENGTHS + TRANSFER_ENCODINGS + CHUNKS +
         OVERSIZE)
