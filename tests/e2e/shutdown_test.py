"""SIGTERM drains: nothing that was asked before it is lost, and the exit code is 0.

The rule these tests hold, from a client's side:

1. A request whose last byte had been sent before SIGTERM was is answered completely. (On loopback those bytes
   are in the server's socket by then. Whether it had read them yet is its own affair, not the client's.)
2. A request sent after that is answered completely, or its connection is ended before the first byte of an
   answer: the client then knows that it may ask another instance. Half an answer is never sent.
3. The process ends with exit code 0 within the deadline.
"""

import concurrent.futures
import threading
import time
import unittest

from harness import STOP_LIMIT, Showcase, Truncated, eventually


class ShutdownTest(unittest.TestCase):
    def start(self, **settings):
        service = Showcase(**settings)
        self.addCleanup(service.kill)
        return service

    def assert_ends(self, service, within=STOP_LIMIT):
        self.assertEqual(service.wait(within), 0, service.log())


class UnderLoad(ShutdownTest):
    def client(self, service, request, signalled):
        """Asks on one keep-alive connection until it ends: (answers, violations of the rule)."""
        answers = 0
        with service.connect(timeout=STOP_LIMIT) as connection:
            while True:
                try:
                    connection.send(request)
                except OSError:
                    return answers, None  # it cannot have been read completely
                sent_before = not signalled.is_set()
                try:
                    answer = connection.read()
                except (OSError, Truncated) as end:
                    got = connection.seen + connection.buffer
                    if got:
                        return answers, f"half an answer: {got[:200]!r}"
                    if sent_before:
                        return answers, f"sent before SIGTERM and not answered: {request[:60]!r} {end!r}"
                    return answers, None
                if answer.status != 200:
                    return answers, f"status {answer.status}: {answer!r}"
                answers += 1
                if answer.closes():
                    rest = connection.rest()
                    return answers, f"bytes after a closing answer: {rest[:200]!r}" if rest else None

    def test_no_request_is_lost_under_load(self):
        def get(target):
            return b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"

        upload = b"x" * 200_000
        echo = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(upload) + upload
        requests = [get(b"/ping")] * 9 + [get(b"/work?us=2000"), get(b"/hits/10.0.0.1")] * 3 + [echo]
        for number in range(5):
            with self.subTest(round=number):
                service = self.start()
                signalled = threading.Event()
                with concurrent.futures.ThreadPoolExecutor(len(requests)) as pool:
                    clients = [pool.submit(self.client, service, request, signalled) for request in requests]
                    time.sleep(0.3 + 0.037 * number)
                    # Set first: a client that sees it unset had sent its request before the signal.
                    signalled.set()
                    service.send_sigterm()
                    results = [client.result(timeout=STOP_LIMIT + 5) for client in clients]
                self.assert_ends(service)
                self.assertEqual([violation for _, violation in results if violation], [])
                self.assertGreater(min(answers for answers, _ in results), 0, "a client never got an answer")


class InFlight(ShutdownTest):
    def in_flight(self, service, *targets):
        """A connection for each target, whose request is being handled, or has at least arrived."""
        connections = [service.connect(timeout=STOP_LIMIT) for _ in targets]
        for connection, target in zip(connections, targets):
            self.addCleanup(connection.socket.close)
            connection.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        time.sleep(0.05)
        return connections

    def test_a_request_that_burns_cpu_is_answered(self):
        service = self.start()
        connections = self.in_flight(service, *["/work?us=300000"] * 4)
        service.send_sigterm()
        for connection in connections:
            answer = connection.read()
            self.assertEqual(answer.status, 200)
            self.assertTrue(answer.closes(), "a draining server says that the connection ends")
            self.assertEqual(connection.rest(), b"")
        self.assert_ends(service)

    def test_a_request_that_waits_for_background_work_is_answered(self):
        service = self.start()
        connections = self.in_flight(service, "/process", "/process?panic=1")
        service.send_sigterm()
        for connection in connections:
            answer = connection.read()
            self.assertEqual((answer.status, answer.json()), (200, {"message": "Processing initiated"}))
        self.assert_ends(service)

    def test_pipelined_requests_that_had_arrived_are_answered(self):
        service = self.start()
        [connection] = self.in_flight(service, "/work?us=300000")
        connection.send(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
        service.send_sigterm()
        for _ in range(4):
            self.assertEqual(connection.read().status, 200)
        self.assert_ends(service)

    def test_nobody_new_is_accepted_while_draining(self):
        service = self.start()
        [slow] = self.in_flight(service, "/work?us=1500000")
        service.send_sigterm()

        eventually(service.refuses, "a new connection is refused", 1.2)
        self.assertIsNone(service.process.poll(), "ended while a request was in flight")
        self.assertEqual(slow.read().status, 200)
        self.assert_ends(service)


class Quiet(ShutdownTest):
    def test_a_service_without_clients_ends_at_once(self):
        service = self.start()
        service.send_sigterm()
        self.assert_ends(service, within=3)

    def test_idle_connections_are_closed_and_hold_nothing_up(self):
        service = self.start()
        used = [service.connect() for _ in range(25)]
        unused = [service.connect() for _ in range(25)]
        for connection in used + unused:
            self.addCleanup(connection.socket.close)
        for connection in used:
            self.assertEqual(connection.get("/ping").status, 200)
        service.send_sigterm()
        for connection in used + unused:
            self.assertEqual(connection.rest(), b"")
        self.assert_ends(service, within=5)

    def test_half_a_request_does_not_hold_the_end_up(self):
        service = self.start()
        connections = [service.connect(timeout=STOP_LIMIT) for _ in range(2)]
        for connection in connections:
            self.addCleanup(connection.socket.close)
        connections[0].send(b"GET /ping HTTP/1.1\r\nHos")
        connections[1].send(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
        time.sleep(0.05)
        service.send_sigterm()
        for connection in connections:
            answer = connection.rest()  # nothing, or an error: never the success of something half received
            self.assertNotIn(b" 200 ", answer)
        self.assert_ends(service)

    def test_a_second_sigterm_changes_nothing(self):
        service = self.start()
        connection = service.connect(timeout=STOP_LIMIT)
        self.addCleanup(connection.socket.close)
        connection.send(b"GET /work?us=500000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.05)
        service.send_sigterm()
        time.sleep(0.05)
        service.send_sigterm()
        self.assertEqual(connection.read().status, 200)
        self.assert_ends(service)


if __name__ == "__main__":
    unittest.main()
