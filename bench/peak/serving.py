"""A stack's server while it is measured: started on its cores, watched from outside, ended."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from measuring import Invalid, busy_ns, free_port  # noqa: E402
from stacks import COMMON  # noqa: E402

START_LIMIT = 30
STOP_LIMIT = 15
MEMORY_EVERY = 0.05


def resident(pid):
    """Resident bytes of a process now, or 0 when it has gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            found = re.search(r"^VmRSS:\s*(\d+) kB", status.read(), re.MULTILINE)
    except OSError:
        return 0
    return int(found.group(1)) * 1024 if found else 0


class Server:
    """One running server. What it prints goes to `log`, a file."""

    def __init__(self, stack, workers, cores, log):
        self.stack, self.cores, self.log = stack, cores, log
        self.port = free_port()
        command, env = stack.command(workers)
        self.command = ["taskset", "-c", ",".join(map(str, cores)), *map(str, command)]
        self.env = {**os.environ, **COMMON, **env, "PORT": str(self.port)}
        self.starts = 0
        self.process = None
        self.started_in = self.start()

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        """Starts it and waits until it accepts connections; how long that took, in seconds."""
        began = time.monotonic()
        self.starts += 1
        with open(self.log, "ab") as log:
            # A group of its own: a runtime's helpers end with it.
            self.process = subprocess.Popen(self.command, env=self.env, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True)
        try:
            self.wait_for_its_port(began)
        except BaseException:  # also where this program is told to end
            self.kill()
            raise
        return time.monotonic() - began

    def wait_for_its_port(self, began):
        while True:
            if self.process.poll() is not None:
                raise Invalid(f"{self.stack.title}: ended at its start with {self.process.returncode}: {self.tail()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() - began > START_LIMIT:
                    raise Invalid(f"{self.stack.title}: does not accept on port {self.port}: {self.tail()}") from None
                time.sleep(0.005)

    def tail(self):
        return self.log.read_text(errors="replace").strip()[-300:]

    def cpu_ns(self):
        """CPU time so far (user and system, all threads, ended ones too)."""
        return time.clock_gettime_ns((~self.pid << 3) | 2)  # what clock_getcpuclockid(3) answers on Linux

    def resident(self):
        return resident(self.pid)

    def runs(self):
        return self.process.poll() is None

    def end(self):
        """Asks it to end; its exit code, or None when it had to be killed."""
        code = None
        if self.runs():
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=STOP_LIMIT)
        except subprocess.TimeoutExpired:
            pass
        self.kill()
        return code

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class MemoryWatch:
    """The most that a server had resident, looked at 20 times a second in between."""

    def __init__(self, server):
        self.server = server
        self.points = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._began = time.monotonic()
        self._thread.start()
        return self

    def _watch(self):
        while True:
            self.points.append((time.monotonic() - self._began, self.server.resident()))
            if self._done.wait(MEMORY_EVERY):
                return

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def most(self):
        return max(size for _, size in self.points)


class CpuWatch:
    """The CPU time that a server used in between, and which share of its cores others took."""

    def __init__(self, server):
        self.server = server

    def __enter__(self):
        self._cpu, self._busy, self._began = self.server.cpu_ns(), busy_ns(self.server.cores), time.monotonic()
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            return
        elapsed = time.monotonic() - self._began
        self.ns = self.server.cpu_ns() - self._cpu
        spent = busy_ns(self.server.cores) - self._busy
        self.others = max(0.0, (spent - self.ns) / 1e9 / elapsed / len(self.server.cores))


@contextlib.contextmanager
def serving(bench, stack, workers=1, orderly=False):
    """A server of that stack, on the server's core (two workers: on both). Ended at the end: `orderly` demands that it
    stops by itself with exit code 0; otherwise it is killed, since what it is left with may take long."""
    cores = bench.server_cores if workers == 1 else bench.all_cores
    log = bench.scratch / f"{stack.key}.log"
    log.write_bytes(b"")
    server = Server(stack, workers, cores, log)
    try:
        yield server
        if orderly:
            if not server.runs():
                raise Invalid(f"{stack.title}: ended during the run with {server.process.returncode}: {server.tail()}")
            code = server.end()
            if code != 0:
                raise Invalid(f"{stack.title}: exit code {code} after SIGTERM: {server.tail()}")
    finally:
        server.kill()
