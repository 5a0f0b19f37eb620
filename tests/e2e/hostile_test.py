"""Clients that send damaged or cut requests and hang up in every way: the service lives on."""

import random
import socket
import struct
import threading
import unittest

from harness import Showcase

REQUESTS = (
    b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /process?panic=1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /hits/1.1.1.1 HTTP/1.1\r\nHost: a\r\n\r\n",
)


class Hostile(unittest.TestCase):
    def client(self, port, seed):
        choose = random.Random(seed)
        for _ in range(150):
            data = b"".join(choose.choice(REQUESTS) for _ in range(choose.randint(1, 6)))
            if choose.random() < 0.6:
                damaged = bytearray(data)
                for _ in range(choose.randint(1, 4)):
                    damaged[choose.randrange(len(damaged))] = choose.randrange(256)
                data = bytes(damaged)
            if choose.random() < 0.5:
                data = data[: choose.randint(1, len(data))]
            with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
                try:
                    s.sendall(data)
                    ending = choose.random()
                    if ending < 0.3:  # a reset, at once or with answers under way
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    elif ending < 0.6:
                        s.shutdown(socket.SHUT_WR)
                    if choose.random() < 0.5:
                        s.settimeout(0.05)
                        s.recv(1000)
                except OSError:
                    pass

    def test_the_service_outlives_damaged_requests_and_resets(self):
        service = Showcase(GENEVER_LOG="off")
        self.addCleanup(service.kill)
        threads = [threading.Thread(target=self.client, args=(service.port, seed)) for seed in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        self.assertEqual(service.get("/ping").status, 200)
        # More than a lingering connection reads: it is cut off, and nothing else happens.
        with socket.create_connection(("127.0.0.1", service.port), timeout=5) as s:
            s.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n")
            try:
                for _ in range(9):
                    s.sendall(b"x" * 1_000_000)
            except OSError:
                pass
        self.assertEqual(service.get("/ping").status, 200)
        service.send_sigterm()
        self.assertEqual(service.wait(), 0, service.log())


if __name__ == "__main__":
    unittest.main()
