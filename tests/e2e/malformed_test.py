"""Malformed, hostile and merely unusual requests: each gets its status, and nothing harms the service."""

import select
import time
import unittest

from harness import ServiceTest, Truncated
from malformed_cases import CASES

ECHO = b"POST /echo HTTP/1.1\r\nHost: localhost\r\n"
PING = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"


TIMEOUT = 3
ENOUGH = 10
"""So many failed cases, and the rest is not tried: a server that hangs would cost a timeout for each."""


class Malformed(ServiceTest):
    def each(self, cases, check):
        failed = 0
        for case in cases:
            if failed == ENOUGH:
                self.fail(f"{ENOUGH} cases have failed; the rest is left out")
            with self.subTest(case.name, section=case.section):
                failed += 1
                check(case)
                failed -= 1

    def check(self, case):
        with self.service.connect(TIMEOUT) as connection:
            sender = connection.send_in_background(case.data)
            answer = connection.read()
            self.assertIn(answer.status, case.statuses, answer)
            if case.closes is True:
                # At the end, and before it no second answer: the bytes after an error are not a request.
                self.assertEqual(connection.rest(), b"")
            sender.join(TIMEOUT)
            if case.closes is False:
                self.assertFalse(answer.closes(), answer)
                self.assertEqual(connection.get("/plaintext").body, b"Hello, World!")
            elif case.closes is None:
                try:
                    connection.send(PING)
                    following = connection.read()
                except (ConnectionError, Truncated):
                    self.assertFalse(connection.seen + connection.buffer, "half an answer")
                else:
                    self.assertFalse(answer.closes(), "went on after having said that it would close")
                    self.assertEqual((following.status, following.body), (200, b'{"message":"pong"}'))
        self.assertEqual(self.service.get("/ping").status, 200)

    def check_in_pieces(self, case):
        with self.service.connect(TIMEOUT) as connection:
            for at in range(0, len(case.data), 7):
                try:
                    connection.send(case.data[at:at + 7])
                except ConnectionError:
                    break  # it has answered and closed already
            self.assertIn(connection.read().status, case.statuses)

    def test_each_gets_the_right_status_and_leaves_the_service_well(self):
        self.assertGreaterEqual(len(CASES), 45)
        self.assertEqual(len({case.name for case in CASES}), len(CASES))
        pids = {name: node["pid"] for name, node in self.service.tree().items()}
        self.each(CASES, self.check)
        self.assertEqual({name: node["pid"] for name, node in self.service.tree().items()}, pids)

    def test_each_gets_the_same_status_when_it_comes_in_pieces(self):
        self.each([case for case in CASES if len(case.data) <= 1000], self.check_in_pieces)

    def test_an_answer_to_a_bad_request_does_not_repeat_it(self):
        with self.service.connect() as connection:
            connection.send(b"GET /<script>alert(1)</script> HTTP/1.1\r\nX-<b>: 1\r\n\r\n")
            self.assertNotIn(b"<script>", connection.rest())

    def test_connections_that_vanish_midway_leave_nothing_behind(self):
        for case in CASES:
            with self.service.connect() as connection:
                connection.send(case.data[:max(1, min(len(case.data), 5000) // 2)])
        self.assertEqual(self.service.get("/ping").status, 200)


class Timeouts(ServiceTest):
    settings = {"GENEVER_READ_TIMEOUT_MS": 300}

    def test_half_a_request_times_out_with_408(self):
        for name, data in (("request line", b"GET /pi"),
                           ("fields", b"GET /ping HTTP/1.1\r\nHost: local"),
                           ("empty line", b"GET /ping HTTP/1.1\r\nHost: localhost\r\n"),
                           ("body", ECHO + b"Content-Length: 10\r\n\r\nabc"),
                           ("chunk", ECHO + b"Transfer-Encoding: chunked\r\n\r\na\r\nabc"),
                           ("last chunk", ECHO + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n")):
            with self.subTest(name), self.service.connect() as connection:
                started = time.monotonic()
                connection.send(data)
                self.assertEqual(connection.read().status, 408)
                self.assertEqual(connection.rest(), b"")
                self.assertGreater(time.monotonic() - started, 0.25)

    def test_a_request_that_drips_in_times_out_too(self):
        with self.service.connect() as connection:
            for byte in PING.replace(b"\r\n\r\n", b"\r\nX-Slow: " + b"a" * 100):
                connection.send(bytes([byte]))
                if select.select([connection.socket], [], [], 0.03)[0]:
                    break
            else:
                self.fail("one byte now and then keeps a request alive")
            self.assertEqual(connection.read().status, 408)

    def test_a_handler_may_take_longer_than_the_read_timeout(self):
        self.assertEqual(self.service.get("/work?us=600000").status, 200)

    def test_a_second_request_has_its_own_time(self):
        with self.service.connect() as connection:
            for _ in range(5):
                self.assertEqual(connection.get("/work?us=100000").status, 200)


if __name__ == "__main__":
    unittest.main()
