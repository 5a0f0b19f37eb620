#!/usr/bin/env python3
"""Holds many connections to a server, as a program of its own: idle ones, or slow ones.

  holder.py PORT idle N         each has asked for /ping once, and then does nothing
  holder.py PORT slow N         nine in ten send a byte of a request each second, the others read a byte of 400 answers

Prints `ready` once all are open, then waits for a line on standard input, at which it prints how many the server has
closed meanwhile, and ends.
"""

import itertools
import json
import resource
import select
import socket
import sys
import time

REQUEST = b"GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
SLOW_REQUEST = b"GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: " + b"x" * 200 + b"\r\n\r\n"
ANSWERS_UNREAD = 400


ADDRESSES = itertools.cycle(range(2, 34))


def connect(port, slow_reader=False):
    s = socket.socket()
    if slow_reader:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    s.settimeout(10)
    # As from many clients: a server may keep one address from taking all connections.
    s.bind((f"127.0.0.{next(ADDRESSES)}", 0))
    s.connect(("127.0.0.1", port))
    return s


def read_answer(s):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(4096)
        if not piece:
            raise OSError("closed before it answered")
        data += piece


def idle(port, count):
    held = []
    for _ in range(count):
        s = connect(port)
        s.sendall(REQUEST)
        read_answer(s)
        held.append(s)
    print("ready", flush=True)
    sys.stdin.readline()
    watch = select.poll()
    for s in held:
        watch.register(s, select.POLLIN)
    return len(watch.poll(0))


def slow(port, count):
    senders = [connect(port) for _ in range(count - count // 10)]
    readers = [connect(port, slow_reader=True) for _ in range(count // 10)]
    for s in senders + readers:
        s.setblocking(False)
    for s in readers:
        try:
            s.send(REQUEST * ANSWERS_UNREAD)
        except BlockingIOError:
            pass
    print("ready", flush=True)
    closed, turn = 0, 0
    stop = select.poll()
    stop.register(sys.stdin, select.POLLIN)
    began = time.monotonic()
    while True:
        # A tenth of them every tenth of a second, so that they do not come in one burst.
        for group, is_sender in ((senders, True), (readers, False)):
            for place in range(turn % 10, len(group), 10):
                s = group[place]
                if s is None:
                    continue
                try:
                    if is_sender:
                        byte = SLOW_REQUEST[turn // 10 % len(SLOW_REQUEST)]
                        s.send(bytes([byte]))
                    elif s.recv(1) == b"":
                        raise ConnectionError
                except BlockingIOError:
                    pass
                except OSError:
                    s.close()
                    group[place] = None
                    closed += 1
        turn += 1
        if stop.poll(max(0.0, began + turn * 0.1 - time.monotonic()) * 1000):
            return closed


def main():
    port, what, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    closed = {"idle": idle, "slow": slow}[what](port, count)
    print(json.dumps({"closed": closed}), flush=True)


if __name__ == "__main__":
    main()
