#!/usr/bin/env python3
"""What an idle keep-alive connection costs a server in resident memory, by how many there are.

  idle.py PROGRAM [--pause MS] [COUNT...]      1,000, 5,000 and 10,000 unless said otherwise

Each count gets a fresh server with one worker, which 64 connections have warmed up. Then so many connect, ask for `/ping` once
and do nothing: MS milliseconds apart, or as fast as it goes, so that many are warm at once. Three seconds later the anonymous
memory that the server has resident more than before is divided by their number.
"""

import argparse
import itertools
import os
import pathlib
import re
import resource
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from measuring import free_port  # noqa: E402

REQUEST = b"GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
ADDRESSES = itertools.cycle(range(2, 34))  # as from many clients: one address may not take all connections


def resident(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as memory:
        return int(re.search(r"^Anonymous:\s*(\d+) kB", memory.read(), re.MULTILINE).group(1)) * 1024


def connect(port):
    s = socket.socket()
    s.settimeout(10)
    s.bind((f"127.0.0.{next(ADDRESSES)}", 0))
    s.connect(("127.0.0.1", port))
    return s


def ask(s):
    s.sendall(REQUEST)
    answer = b""
    while b"pong" not in answer:
        answer += s.recv(4096)
        if b"HTTP/1.1 503" in answer:  # the machine stood still for a moment, and the request has waited for too long
            s.sendall(REQUEST)
            answer = b""


def start(program, port):
    env = {**os.environ, "PORT": str(port), "GENEVER_WORKERS": "1", "GENEVER_LOG": "warning"}
    server = subprocess.Popen([program], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(1000):
        try:
            connect(port).close()
            return server
        except OSError:
            time.sleep(0.01)
    sys.exit("the server does not accept")


def measure(program, count, pause):
    port = free_port()
    server = start(program, port)
    try:
        warm = [connect(port) for _ in range(64)]
        for s in warm * 100:
            ask(s)
        for s in warm:
            s.close()
        time.sleep(1)
        before = resident(server.pid)
        held = []
        for _ in range(count):
            held.append(connect(port))
            ask(held[-1])
            time.sleep(pause)
        time.sleep(3)
        return (resident(server.pid) - before) / count
    finally:
        server.kill()
        server.wait()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("program")
    options.add_argument("--pause", type=float, default=0, metavar="MS")
    options.add_argument("counts", type=int, nargs="*", metavar="COUNT")
    o = options.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for count in o.counts or [1_000, 5_000, 10_000]:
        print(f"{count:,} connections: {measure(o.program, count, o.pause / 1000):,.0f} bytes each", flush=True)


if __name__ == "__main__":
    main()
