"""Drives the built showcase binary from outside: starts it, talks HTTP to it, reads its log, ends it.

The binary is named by the environment variable GENEVER_SHOWCASE. Everything is bounded in time, stays on
loopback, and ends only processes that it started. Run all of it with

    GENEVER_SHOWCASE=build/dev/examples/showcase python3 -m unittest discover -s tests/e2e -p '*_test.py'
"""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import unittest

START_LIMIT = 20.0
"""Seconds until the service must answer: generous, since sanitizer builds start slowly."""
STOP_LIMIT = 10.0
"""Seconds from SIGTERM to the exit with code 0."""
WAIT = 5.0
"""Seconds for anything else that happens soon: a restart, a log line, an answer."""

ADDRESS = re.compile(r"http://(\[[^\]]+\]|[0-9A-Za-z.-]+):(\d+)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def eventually(check, what, limit=WAIT):
    """The first truthy result of `check`, asked every 20 ms; an AssertionError after `limit` seconds."""
    deadline = time.monotonic() + limit
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit} s: {what}")
        time.sleep(0.02)


class Answer:
    """A response as it came: `fields` has lower-case names and lists of values."""

    def __init__(self, version, status, reason, fields, body):
        self.version, self.status, self.reason, self.fields, self.body = version, status, reason, fields, body

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.fields} {self.body[:200]!r}>"

    def field(self, name):
        """The value of a field that must not come twice; None without it."""
        values = self.fields.get(name.lower(), [])
        assert len(values) <= 1, f"{name} came {len(values)} times: {self!r}"
        return values[0] if values else None

    def json(self):
        kind = self.field("Content-Type") or ""
        assert kind.split(";")[0].strip() == "application/json", f"not JSON by its Content-Type: {self!r}"
        return json.loads(self.body.decode("utf-8"))

    def closes(self):
        options = ",".join(self.fields.get("connection", [])).lower()
        return "close" in [option.strip() for option in options.split(",")]


class Truncated(Exception):
    """The connection ended inside a response; `got` is what had come of it."""

    def __init__(self, got):
        super().__init__(f"the connection ended inside a response, after {got[:300]!r}")
        self.got = got


class Connection:
    """A raw client: sends any bytes, and reads responses strictly by RFC 9112."""

    def __init__(self, port, timeout=WAIT):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.seen = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_in_background(self, data):
        """For more bytes than the server may want to read: errors are the reader's to see."""
        def run():
            try:
                self.socket.sendall(data)
            except OSError:
                pass
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def get(self, target, fields=""):
        self.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode("latin-1"))
        return self.read()

    def _more(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise Truncated(self.seen + self.buffer)
        self.buffer += piece

    def _line(self):
        while b"\r\n" not in self.buffer:
            self._more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        self.seen += line + b"\r\n"
        return line.decode("latin-1")

    def _exactly(self, size):
        while len(self.buffer) < size:
            self._more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        self.seen += data
        return data

    def read(self, head_only=False):
        """The next response; Truncated if the connection ends too soon, TimeoutError if nothing comes."""
        self.seen = b""
        match = re.fullmatch(r"HTTP/(\d\.\d) (\d{3}) (.*)", line := self._line())
        assert match, f"not a status line: {line!r}"
        fields = {}
        while line := self._line():
            name, colon, value = line.partition(":")
            assert colon and re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name), f"not a field line: {line!r}"
            fields.setdefault(name.lower(), []).append(value.strip(" \t"))
        answer = Answer(match[1], int(match[2]), match[3], fields, b"")
        if head_only or answer.status < 200 or answer.status in (204, 304):
            return answer
        if "transfer-encoding" in fields:
            assert fields["transfer-encoding"] == ["chunked"] and "content-length" not in fields, answer
            answer.body = self._chunks()
        elif "content-length" in fields:
            answer.body = self._exactly(int(answer.field("Content-Length")))
        else:
            answer.body = self.rest()
        return answer

    def _chunks(self):
        body = b""
        while size := int(self._line().split(";")[0], 16):
            body += self._exactly(size)
            assert self._line() == "", "a chunk is longer than its size"
        while self._line():
            pass
        return body

    def rest(self):
        """What comes until the server closes. A reset counts as an end; TimeoutError if it stays open."""
        data = self.buffer
        self.buffer = b""
        deadline = time.monotonic() + self.socket.gettimeout()
        try:
            while piece := self.socket.recv(65536):
                data += piece
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no end after {data[-300:]!r}")
        except ConnectionError:
            pass
        return data


# A machine that is slow, or a sanitizer's program, is no overload. Tests of overload say USUAL_QUEUE.
PATIENT_QUEUE = {"GENEVER_QUEUE_TARGET_MS": 2000}
USUAL_QUEUE = {"GENEVER_QUEUE_TARGET_MS": ""}


class Showcase:
    """One running showcase service. `command` starts another program, or the same in another way; `pass_fds` are the
    descriptors that it inherits."""

    def __init__(self, port=0, command=None, pass_fds=(), **settings):
        binary = os.environ.get("GENEVER_SHOWCASE")
        if not binary:
            raise unittest.SkipTest("GENEVER_SHOWCASE does not name the binary to test")
        own = {"GENEVER_WORKERS": 2, "GENEVER_LOG": "error", "GENEVER_LOG_FORMAT": "text", **PATIENT_QUEUE, **settings, "PORT": port}
        env = {**os.environ, **{name: str(value) for name, value in own.items()}}
        self.process = subprocess.Popen(command or [binary], env=env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=pass_fds)
        self._text = []
        self._lock = threading.Lock()
        self._readers = [threading.Thread(target=self._collect, args=(stream,), daemon=True)
                         for stream in (self.process.stdout, self.process.stderr)]
        for reader in self._readers:
            reader.start()
        try:
            self.port = eventually(self._find_port, "the service prints its address", START_LIMIT)
            eventually(self._answers, "the service answers /ping", START_LIMIT)
        except BaseException:
            self.kill()
            print(self.log())
            raise

    def _collect(self, stream):
        with stream:
            for line in stream:
                with self._lock:
                    self._text.append(line.decode("utf-8", "replace"))

    def _find_port(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the service ended at its start with exit code {self.process.returncode}")
        found = ADDRESS.search(self.log())
        return int(found[2]) if found else None

    def _answers(self):
        try:
            return self.get("/ping").status == 200
        except OSError:
            return False

    def log(self, since=0):
        """What it printed on both streams from the line number `since` on, without colours."""
        with self._lock:
            return COLOUR.sub("", "".join(self._text[since:]))

    def log_lines(self):
        """How many lines it has printed: a mark for `log`."""
        with self._lock:
            return len(self._text)

    def wait_for_log(self, pattern, since=0):
        return eventually(lambda: re.search(pattern, self.log(since)), f"a log line like {pattern!r}")

    def request(self, method, target, body=None, headers=None, timeout=WAIT):
        """One request on its own connection, by Python's client."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            client.request(method, target, body=body, headers=headers or {})
            response = client.getresponse()
            fields = {}
            for name, value in response.getheaders():
                fields.setdefault(name.lower(), []).append(value)
            version = f"{response.version // 10}.{response.version % 10}"
            return Answer(version, response.status, response.reason, fields, response.read())
        finally:
            client.close()

    def get(self, target, **more):
        return self.request("GET", target, **more)

    def connect(self, timeout=WAIT):
        return Connection(self.port, timeout)

    def tree(self):
        """The supervision tree as a dictionary from name to node, in order, parents first."""
        nodes = {}

        def walk(node):
            assert node["name"] not in nodes, f"two nodes named {node['name']}"
            nodes[node["name"]] = node
            for child in node.get("children", []):
                walk(child)

        answer = self.get("/tree")
        assert answer.status == 200, answer
        walk(answer.json())
        return nodes

    def answers_until(self, done, target, least=20):
        """Asks for one target over one connection, until `done` is set, but `least` times: each time the answer is 200."""
        answered = 0
        with self.connect(timeout=15) as connection:
            while not done.is_set() or answered < least:
                answer = connection.get(target)
                if answer.status != 200:
                    raise AssertionError(answer)
                answered += 1
        return answered

    def refuses(self):
        """Whether a new connection gets no answer."""
        try:
            with self.connect(timeout=1) as connection:
                connection.get("/ping")
                return False
        except (OSError, Truncated):
            return True

    def send_sigterm(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, limit=STOP_LIMIT):
        """Its exit code, once it has ended and its output has been read; an AssertionError after `limit`."""
        try:
            code = self.process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the service still runs after {limit} s") from None
        for reader in self._readers:
            reader.join(timeout=WAIT)
        return code

    def kill(self):
        """Ends it at once, whatever its state: for clean-up."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()


class ServiceTest(unittest.TestCase):
    """A test class with one service, `self.service`, which must survive all its tests and then end with 0."""

    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.service = Showcase(**cls.settings)
        cls.addClassCleanup(cls.service.kill)

    @classmethod
    def tearDownClass(cls):
        cls.service.send_sigterm()
        code = cls.service.wait()
        if code != 0:
            print(cls.service.log())
        assert code == 0, f"exit code {code} after SIGTERM"

    def tearDown(self):
        self.assertIsNone(self.service.process.poll(), "the service has ended")
