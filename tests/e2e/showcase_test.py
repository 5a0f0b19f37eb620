"""Every route of the showcase, as its clients see it."""

import concurrent.futures
import email.utils
import math
import os
import socket
import time
import unittest

from harness import USUAL_QUEUE, Connection, ServiceTest, eventually

SANITIZED = bool(os.environ.get("GENEVER_SANITIZERS"))

MIB = 1024 * 1024


class Routes(ServiceTest):
    def test_ping_answers_pong(self):
        answer = self.service.get("/ping")
        self.assertEqual((answer.version, answer.status, answer.reason), ("1.1", 200, "OK"))
        self.assertEqual(answer.body, b'{"message":"pong"}')
        self.assertEqual(answer.field("Content-Type"), "application/json; charset=utf-8")
        self.assertEqual(answer.field("Content-Length"), "18")

    def test_every_response_has_the_current_date(self):
        for target in ("/ping", "/no-such-page"):
            date = self.service.get(target).field("Date")
            self.assertRegex(date, r"^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$")
            self.assertLess(abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time()), 5)

    def test_plaintext_greets(self):
        answer = self.service.get("/plaintext")
        self.assertEqual((answer.status, answer.body), (200, b"Hello, World!"))
        self.assertEqual(answer.field("Content-Type").split(";")[0], "text/plain")

    def test_path_parameters_come_back_as_json(self):
        answer = self.service.get("/users/42/posts/first-post")
        self.assertEqual((answer.status, answer.json()), (200, {"id": "42", "pid": "first-post"}))

    def test_path_parameters_are_percent_decoded_once(self):
        for sent, meant in (("a%20b", "a b"), ("%2541", "%41"), ("a%2Fb", "a/b"), ("a+b", "a+b"),
                            ("%C3%A9t%C3%A9", "\u00e9t\u00e9"), ("%F0%9F%8D%B8", "\U0001f378")):
            with self.subTest(sent):
                answer = self.service.get(f"/users/{sent}/posts/{sent}")
                self.assertEqual((answer.status, answer.json()), (200, {"id": meant, "pid": meant}))

    def test_parameters_are_escaped_in_json(self):
        for sent, meant in (("%22", '"'), ("%5C", "\\"), ("%0A%0D%09", "\n\r\t"), ("%01", "\x01"),
                            ("%22%2C%22admin%22%3A%22", '","admin":"'), ("%7F", "\x7f"),
                            ("%E2%80%A8", "\u2028")):
            with self.subTest(sent):
                answer = self.service.get(f"/users/{sent}/posts/x")
                self.assertEqual((answer.status, answer.json()), (200, {"id": meant, "pid": "x"}))

    def test_a_parameter_that_is_not_utf8_never_makes_invalid_json(self):
        answer = self.service.get("/users/%ff%fe/posts/x")
        self.assertIn(answer.status, (200, 400))
        if answer.status == 200:
            self.assertEqual(answer.json()["pid"], "x")  # json() decodes UTF-8 strictly

    def test_hits_counts_each_address_on_its_own(self):
        for count in (1, 2, 3):
            answer = self.service.get("/hits/10.0.0.1")
            self.assertEqual((answer.status, answer.json()), (200, {"ip": "10.0.0.1", "count": count}))
        self.assertEqual(self.service.get("/hits/10.0.0.2").json(), {"ip": "10.0.0.2", "count": 1})

    def test_hits_knows_an_address_however_it_is_written(self):
        for count, sent in enumerate(("2001:db8::1", "2001:DB8::1", "2001:0db8:0:0:0:0:0:1",
                                      "2001%3Adb8%3A%3A1"), 1):
            answer = self.service.get(f"/hits/{sent}")
            self.assertEqual((answer.status, answer.json()), (200, {"ip": "2001:db8::1", "count": count}))

    def test_hits_refuses_what_is_no_address(self):
        for sent in ("x", "localhost", "10.0.0", "10.0.0.256", "10.0.0.1%00", "10.0.0.1%00.example", "%00", "%20",
                     "10.0.0.1%20", "10.0.0.1:80", "[::1]", "fe80::1%25eth0", "1" * 4000, ":" * 4000):
            with self.subTest(sent[:40]):
                answer = self.service.get(f"/hits/{sent}")
                self.assertEqual((answer.status, answer.json()["error"]["status"]), (400, 400))

    def test_hits_loses_no_count_under_concurrency(self):
        def client(_):
            with self.service.connect() as connection:
                return [connection.get("/hits/10.0.0.3").json()["count"] for _ in range(50)]

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for counts in pool.map(client, range(8)):
                self.assertEqual(counts, sorted(set(counts)), "a client saw a count that did not grow")
        self.assertEqual(self.service.get("/hits/10.0.0.3").json()["count"], 401)

    def test_process_waits_for_its_background_task(self):
        answer = self.service.get("/process", timeout=15)
        self.assertEqual((answer.status, answer.json()), (200, {"message": "Processing initiated"}))

    def test_process_survives_a_panic_in_the_background_task(self):
        before = self.service.log_lines()
        answer = self.service.get("/process?panic=1", timeout=15)
        self.assertEqual((answer.status, answer.json()), (200, {"message": "Processing initiated"}))
        self.assert_crash_report(before)

    def test_panic_gives_500_and_the_connection_goes_on(self):
        before = self.service.log_lines()
        with self.service.connect() as connection:
            for _ in range(3):
                answer = connection.get("/panic")
                self.assertEqual((answer.status, answer.json()["error"]["status"]), (500, 500))
                self.assertFalse(answer.closes())
                self.assertEqual(connection.get("/ping").status, 200)
        self.assert_crash_report(before)

    def assert_crash_report(self, since):
        """A crash report has the exception's type, its message, and a stack trace."""
        self.service.wait_for_log(r"(?i)crash", since)
        self.service.wait_for_log(r"(?i)\w*(error|exception)\b", since)
        self.service.wait_for_log(r"(?i)stack|#\d+\s", since)

    def test_work_burns_what_it_is_asked_to(self):
        started = time.monotonic()
        answer = self.service.get("/work?us=50000")
        self.assertEqual(answer.status, 200)
        self.assertGreaterEqual(time.monotonic() - started, 0.045)
        self.assertEqual(self.service.get("/work?us=0").status, 200)

    def test_work_refuses_what_is_too_much_or_no_number(self):
        for query in ("?us=10000001", "?us=99999999999999999999999", "?us=-1", "?us=abc", "?us=1x", "?us=",
                      "?us=1.5", "?us=0x10", "?us=%00", "?us=1%20", ""):
            with self.subTest(query):
                self.assertEqual(self.service.get("/work" + query).status, 400)

    def test_tree_shows_every_child_in_its_place(self):
        tree = self.service.get("/tree").json()
        self.assertEqual(tree["type"], "supervisor")
        self.assertEqual([child["name"] for child in tree["children"]],
                         ["rate_limiter", "hit_counter", "heartbeat", "endpoint"])
        endpoint = tree["children"][-1]
        self.assertEqual(endpoint["type"], "supervisor")
        self.assertEqual([child["name"] for child in endpoint["children"]],
                         ["endpoint.connections", "endpoint.listener"])
        nodes = self.service.tree()
        for name, node in nodes.items():
            with self.subTest(name):
                self.assertIn(node["type"], ("worker", "supervisor"))
                self.assertEqual(node["status"], "running")
                self.assertEqual(node["restarts"], 0)
                for figure in ("mailbox", "uptime_ms"):
                    self.assertIsInstance(node[figure], int)
                    self.assertGreaterEqual(node[figure], 0)
                self.assertLess(node["uptime_ms"], 600_000)
        pids = [str(node["pid"]) for node in nodes.values()]
        self.assertEqual(len(set(pids)), len(pids), "two processes with one pid")

    def test_tree_shows_the_state_of_the_stateful_children(self):
        hits = self.service.tree()["hit_counter"]["state"]["hits"]
        for _ in range(5):
            self.service.get("/hits/10.0.0.4")
        eventually(lambda: self.service.tree()["hit_counter"]["state"]["hits"] >= hits + 5,
                   "the hit counter has counted five hits more")
        beat = self.service.tree()["heartbeat"]["state"]
        eventually(lambda: self.service.tree()["heartbeat"]["state"] != beat, "the heart beats")


class Methods(ServiceTest):
    def test_head_is_get_without_the_body(self):
        with self.service.connect() as connection:
            for target in ("/ping", "/plaintext", "/no-such-page"):
                got = connection.get(target)
                connection.send(f"HEAD {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                head = connection.read(head_only=True)
                self.assertEqual(head.status, got.status)
                for name in ("content-type", "content-length"):
                    self.assertEqual(head.fields.get(name), got.fields.get(name))
            self.assertEqual(connection.get("/ping").body, b'{"message":"pong"}')

    def test_unknown_path_is_404(self):
        for target in ("/", "/no-such-page", "/pin", "/ping/x", "/users", "/users/1", "/users/1/posts"):
            with self.subTest(target):
                answer = self.service.get(target)
                self.assertEqual((answer.status, answer.json()["error"]["status"]), (404, 404))
                self.assertEqual(self.service.request("DELETE", target).status, 404)

    def test_wrong_method_is_405_with_allow(self):
        reads = {"GET", "HEAD"}
        for method, target, allowed in (("POST", "/ping", reads), ("DELETE", "/users/1/posts/2", reads),
                                        ("GET", "/echo", {"POST"}), ("PUT", "/crash/heartbeat", {"POST"}),
                                        ("GET", "/crash/heartbeat", {"POST"})):
            with self.subTest(f"{method} {target}"):
                answer = self.service.request(method, target)
                self.assertEqual((answer.status, answer.json()["error"]["status"]), (405, 405))
                listed = {token.strip() for token in answer.field("Allow").split(",")}
                self.assertEqual(listed - {"OPTIONS"}, allowed)


class Echo(ServiceTest):
    def chunked(self, data, piece):
        parts = (data[at:at + piece] for at in range(0, len(data), piece))
        return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"

    def post(self, connection, body, size=None, fields=b""):
        framing = b"Transfer-Encoding: chunked" if size is None else b"Content-Length: %d" % size
        return connection.send_in_background(
            b"POST /echo HTTP/1.1\r\nHost: localhost\r\n" + fields + framing + b"\r\n\r\n" + body)

    def test_returns_the_body_of_both_framings(self):
        with self.service.connect() as connection:
            for data in (b"", b"x", bytes(range(256)) * 3, b"\r\n\r\n0\r\n\r\n", b"a" * 70_001):
                self.post(connection, data, len(data))
                answer = connection.read()
                self.assertEqual((answer.status, answer.body), (200, data))
                for piece in (1000, 65536):
                    self.post(connection, self.chunked(data, piece))
                    answer = connection.read()
                    self.assertEqual((answer.status, answer.body), (200, data))

    def test_returns_one_mebibyte_and_refuses_a_byte_more(self):
        limit = bytes(i * 7 % 251 for i in range(4096)) * (MIB // 4096)
        self.assertEqual(len(limit), MIB)
        for piece in (None, 16384, MIB + 1):
            for data, status in ((limit, 200), (limit + b"x", 413)):
                with self.subTest(framing=piece, size=len(data)), self.service.connect() as connection:
                    if piece is None:
                        sender = self.post(connection, data, len(data))
                    else:
                        sender = self.post(connection, self.chunked(data, piece))
                    answer = connection.read()
                    self.assertEqual(answer.status, status)
                    if status == 200:
                        self.assertEqual(answer.body, limit)
                        sender.join(5)
                        self.assertEqual(connection.get("/ping").status, 200)

    def test_chunk_extensions_and_trailers_are_read_over(self):
        with self.service.connect() as connection:
            self.post(connection, b'5;name=value;other="quoted;\\" text"\r\nhello\r\n'
                                  b'0;last\r\nX-Sum: 1\r\n\r\n')
            self.assertEqual(connection.read().body, b"hello")
            self.assertEqual(connection.get("/ping").status, 200)

    def test_a_body_may_come_in_single_bytes(self):
        with self.service.connect() as connection:
            for byte in (b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                         b"3\r\nabc\r\n0\r\n\r\n"):
                connection.send(bytes([byte]))
            self.assertEqual(connection.read().body, b"abc")

    def test_a_waiting_client_is_told_to_continue(self):
        with self.service.connect() as connection:
            for size in (5, None):
                self.post(connection, b"", size, b"Expect: 100-continue\r\n")
                self.assertEqual(connection.read().status, 100)
                connection.send(b"hello" if size else self.chunked(b"hello", 5))
                answer = connection.read()
                self.assertEqual((answer.status, answer.body), (200, b"hello"))

    def test_a_waiting_client_is_refused_what_is_too_large(self):
        with self.service.connect() as connection:
            self.post(connection, b"", MIB + 1, b"Expect: 100-continue\r\n")
            self.assertEqual(connection.read().status, 413)  # not 100 first

    def test_a_client_that_sends_its_body_at_once_gets_one_final_answer(self):
        with self.service.connect() as connection:
            self.post(connection, b"hello", 5, b"Expect: 100-continue\r\n")
            answer = connection.read()
            if answer.status == 100:  # RFC 9110 section 10.1.1 lets the server omit it once the body comes
                answer = connection.read()
            self.assertEqual((answer.status, answer.body), (200, b"hello"))
            self.assertEqual(connection.get("/ping").status, 200)


class Connections(ServiceTest):
    def test_fifty_requests_in_one_write_are_answered_in_order(self):
        targets = [f"/users/{number}/posts/{'x' * (number % 7)}y" for number in range(50)]
        with self.service.connect() as connection:
            connection.send("".join(f"GET {t} HTTP/1.1\r\nHost: localhost\r\n\r\n" for t in targets).encode())
            for number in range(50):
                self.assertEqual(connection.read().json()["id"], str(number))

    def test_pipelined_bodies_stay_in_their_requests(self):
        with self.service.connect() as connection:
            connection.send(b"".join(
                b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nbody%02d" % number +
                b"GET /panic HTTP/1.1\r\nHost: localhost\r\n\r\n" for number in range(20)))
            for number in range(20):
                self.assertEqual(connection.read().body, b"body%02d" % number)
                self.assertEqual(connection.read().status, 500)

    def test_an_unread_body_does_not_become_the_next_request(self):
        with self.service.connect() as connection:
            smuggled = b"GET /panic HTTP/1.1\r\nHost: localhost\r\n\r\n"
            connection.send(
                b"GET /ping HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(smuggled) +
                smuggled + b"GET /plaintext HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            first = connection.read()
            self.assertEqual(first.status, 200)
            rest = connection.rest()  # the second answer, or nothing if the first one closed
            self.assertNotIn(b" 500 ", rest)
            self.assertTrue(rest.endswith(b"Hello, World!") or (rest == b"" and first.closes()), rest)

    def test_close_is_honoured_and_http_1_0_closes(self):
        for version, fields, stays in (("1.1", "", True), ("1.0", "", False),
                                       ("1.1", "Connection: close\r\n", False),
                                       ("1.1", "Connection: foo, Close\r\n", False)):
            with self.subTest(version + fields), self.service.connect() as connection:
                connection.send(f"GET /ping HTTP/{version}\r\nHost: localhost\r\n{fields}\r\n".encode())
                answer = connection.read()
                self.assertEqual((answer.status, answer.version), (200, "1.1"))
                self.assertEqual(answer.closes(), not stays)
                if stays:
                    self.assertEqual(connection.get("/ping").status, 200)
                else:
                    self.assertEqual(connection.rest(), b"")

    def test_http_1_0_may_ask_to_stay(self):
        with self.service.connect() as connection:
            request = b"GET /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
            connection.send(request)
            answer = connection.read()
            self.assertEqual(answer.status, 200)
            if (answer.field("Connection") or "").lower() == "keep-alive":
                connection.send(request)
                self.assertEqual(connection.read().status, 200)
            else:
                self.assertEqual(connection.rest(), b"")

    def test_a_client_that_ends_its_side_still_gets_its_answers(self):
        with self.service.connect() as connection:
            connection.send(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
            connection.socket.shutdown(socket.SHUT_WR)
            for _ in range(3):
                self.assertEqual(connection.read().status, 200)
            self.assertEqual(connection.rest(), b"")


class Surge(ServiceTest):
    """With a service of its own: one that was overloaded is strict for a moment, also with who comes next."""

    settings = USUAL_QUEUE

    def test_five_hundred_connections_at_once(self):
        connections = [Connection(self.service.port) for _ in range(500)]
        try:
            for connection in connections:
                connection.send(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
            statuses = {connection.read().status for connection in connections}
            # Where everything takes ten times as long, some have waited for too long.
            self.assertLessEqual(statuses, {200, 503} if SANITIZED else {200})
            self.assertIn(200, statuses)
        finally:
            for connection in connections:
                connection.socket.close()


class Limited(ServiceTest):
    settings = {"LIMIT": 5, "WINDOW_MS": 700}

    def number(self, answer, name):
        self.assertRegex(answer.field(name) or "", r"^\d+$", name)
        return int(answer.field(name))

    def fresh_window(self, connection):
        """Exhausts the window, waits for the next, and returns its first answer."""
        for _ in range(20):
            if connection.get("/limited").status == 429:
                break
        else:
            self.fail("twenty requests in a row were all let through")
        return eventually(lambda: (answer := connection.get("/limited")).status == 200 and answer,
                          "a fresh window")

    def test_answers_as_many_as_the_limit_then_429(self):
        with self.service.connect() as connection:
            first = self.fresh_window(connection)
            answers = [first] + [connection.get("/limited") for _ in range(5)]
            self.assertEqual([answer.status for answer in answers], [200] * 5 + [429])
            for place, answer in enumerate(answers):
                if place == 5 or answer.field("X-RateLimit-Limit") is not None:
                    self.assertEqual(self.number(answer, "X-RateLimit-Limit"), 5)
                    self.assertEqual(self.number(answer, "X-RateLimit-Remaining"), max(0, 4 - place))
                    self.number(answer, "X-RateLimit-Reset")
            self.assertIsInstance(answers[-1].json(), dict)

    def test_retry_after_tells_the_truth(self):
        with self.service.connect() as connection:
            self.fresh_window(connection)
            while (answer := connection.get("/limited")).status == 200:
                pass
            seconds = self.number(answer, "Retry-After")
            self.assertIn(seconds, (0, math.ceil(0.7)))
            time.sleep(seconds + 0.1)
            self.assertEqual(connection.get("/limited").status, 200)

    def test_other_routes_are_not_limited(self):
        for _ in range(20):
            self.assertEqual(self.service.get("/ping").status, 200)

    def test_hits_start_again_with_the_window(self):
        self.service.get("/hits/10.9.9.9")
        def count():
            return self.service.get("/hits/10.9.9.9").json()["count"]

        eventually(lambda: count() >= 3, "three hits in one window")
        eventually(lambda: count() == 1, "the reset")


class CountedApart(ServiceTest):
    settings = {"LIMIT": 5, "WINDOW_MS": 3_600_000}

    def test_hits_and_the_limit_are_counted_apart(self):
        with self.service.connect() as connection:
            for number in range(10):
                self.assertEqual(connection.get("/hits/127.0.0.1").json()["count"], number + 1)
            for number in range(3):
                answer = connection.get("/limited")
                self.assertEqual((answer.status, answer.field("X-RateLimit-Remaining")), (200, str(4 - number)))
            self.assertEqual(connection.get("/hits/127.0.0.1").json()["count"], 11)


if __name__ == "__main__":
    unittest.main()
