#!/usr/bin/env python3
"""Compares the showcase's /ping with bare_epoll's: requests/s, latency, and server CPU time a request.

Each server runs pinned to one core with one worker, wrk to another. A run is valid only if both servers gave
the same answer before anything was timed, every timed request succeeded, and every server ended with exit
code 0. Rounds are interleaved and the order rotates, so that drift of the machine falls on all rows alike.

Exit code: 0 valid, 1 invalid (nothing is written to the docs), 2 usage.
"""

import argparse
import contextlib
import email.utils
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from measuring import ERROR_KINDS, ROOT, WRK_DONE, Invalid, alone, compilers, ends_when_told, free_port, machine, output_of, write_docs  # noqa: E402


class Row:
    def __init__(self, key, title, binary, env):
        self.key, self.title, self.binary, self.env = key, title, binary, env
        self.samples = []

    def series(self, name):
        return [sample[name] for sample in self.samples]


@contextlib.contextmanager
def serving(row, core):
    """Starts a row's server on a free port and yields (pid, port); ends it and demands exit code 0."""
    port = free_port()
    env = {**os.environ, **row.env, "PORT": str(port), "GENEVER_WORKERS": "1"}
    server = subprocess.Popen(["taskset", "-c", str(core), str(row.binary)], env=env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while True:
            if server.poll() is not None:
                raise Invalid(f"{row.title}: ended at its start with exit code {server.returncode}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise Invalid(f"{row.title}: does not accept connections on port {port}") from None
                time.sleep(0.02)
        yield server.pid, port
        if server.poll() is not None:
            raise Invalid(f"{row.title}: ended during the run with exit code {server.returncode}")
        server.send_signal(signal.SIGTERM)
        try:
            code = server.wait(timeout=15)
        except subprocess.TimeoutExpired:
            raise Invalid(f"{row.title}: still runs 15 s after SIGTERM") from None
        if code != 0:
            raise Invalid(f"{row.title}: exit code {code} after SIGTERM")
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()


def ask(stream, connection):
    """One GET /ping on an open connection: (status line, fields, body, size in bytes)."""
    connection.sendall(b"GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    size = 0
    lines = []
    while True:
        line = stream.readline()
        size += len(line)
        if not line.endswith(b"\r\n"):
            raise Invalid(f"the connection ended inside a response head: {lines + [line]}")
        if line == b"\r\n":
            break
        lines.append(line[:-2].decode("latin-1"))
    split = (line.partition(":") for line in lines[1:])
    fields = sorted((name.lower(), value.strip()) for name, _, value in split)
    length = int(dict(fields).get("content-length", "0"))
    body = stream.read(length)
    return lines[0], fields, body, size + len(body)


def ping(row, core):
    """What a server answers to /ping, after a check of its Date and of keep-alive."""
    with serving(row, core) as (_, port):
        connection = socket.create_connection(("127.0.0.1", port), timeout=5)
        with connection, connection.makefile("rb") as stream:
            answers = [ask(stream, connection) for _ in range(3)]
    line, fields, body, size = answers[0]
    date = dict(fields).get("date")
    if date is None or abs(time.time() - email.utils.parsedate_to_datetime(date).timestamp()) > 30:
        raise Invalid(f"{row.title}: Date is missing or wrong: {date}")
    timeless = [(l, [f for f in fs if f[0] != "date"], b, s) for l, fs, b, s in answers]
    if any(answer != timeless[0] for answer in timeless):
        raise Invalid(f"{row.title}: three requests on one connection got different answers: {timeless}")
    if not line.startswith("HTTP/1.1 200 ") or body != b'{"message":"pong"}':
        raise Invalid(f"{row.title}: not the /ping of the showcase: {line!r} {body!r}")
    return timeless[0]


def check_alike(rows, core):
    answers = [(row, ping(row, core)) for row in rows]
    reference = answers[0][1]
    for row, answer in answers[1:]:
        if answer != reference:
            raise Invalid(f"{row.title} and {rows[0].title} answer differently:\n  {answer}\n  {reference}")
    return reference[3]


def cpu_ns(pid):
    """CPU time of a process so far (user + system, all threads, ended ones too), in nanoseconds."""
    return time.clock_gettime_ns((~pid << 3) | 2)  # what clock_getcpuclockid(3) answers on Linux


def core_busy_ns(core):
    """How long this core has run anything, or was taken away by the hypervisor."""
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        fields = line.split()
        if fields[0] == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[1:9])
            return (user + nice + system + irq + softirq + steal) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    raise Invalid(f"no such core: {core}")


def wrk(options, script, port, seconds):
    command = wrk_command(options, seconds, port, script)
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    found = re.search(r"^RESULT (\{.*\})$", done.stdout, re.MULTILINE)
    if done.returncode != 0 or not found:
        raise Invalid(f"wrk failed with {done.returncode}: {done.stdout}{done.stderr}")
    return json.loads(found.group(1))


def wrk_command(options, seconds, port, script=None):
    pinned = ["taskset", "-c", str(options.client_core)]
    load = ["wrk", "-t1", f"-c{options.connections}", f"-d{seconds}s"]
    return pinned + load + (["-s", script] if script else []) + [f"http://127.0.0.1:{port}/ping"]


def measure(row, options, script):
    with serving(row, options.server_core) as (pid, port):
        warm = wrk(options, script, port, 1)
        cpu_before, busy_before = cpu_ns(pid), core_busy_ns(options.server_core)
        started = time.monotonic()
        result = wrk(options, script, port, options.seconds)
        elapsed = time.monotonic() - started
        cpu_after, busy_after = cpu_ns(pid), core_busy_ns(options.server_core)
    errors = {kind: warm[kind] + result[kind] for kind in ERROR_KINDS if warm[kind] + result[kind]}
    if errors or result["requests"] == 0:
        raise Invalid(f"{row.title}: {result['requests']} requests, errors {errors}")
    cpu = cpu_after - cpu_before
    row.samples.append({
        "requests": result["requests"],
        "requests_per_s": result["requests"] * 1e6 / result["us"],
        "cpu_us_per_request": cpu / 1e3 / result["requests"],
        "p50_us": result["p50_us"],
        "p99_us": result["p99_us"],
        "others_share": max(0.0, (busy_after - busy_before - cpu) / 1e9 / elapsed),
    })


def spread(values, form):
    return f"{form % statistics.median(values)} ({form % min(values)}–{form % max(values)})"


def table(rows):
    bare = rows[0]

    def ratio(row, name):
        return f"{statistics.median(row.series(name)) / statistics.median(bare.series(name)):.3f}"

    lines = ["| server | requests/s | of bare | server CPU, us/request | of bare | p50, us | p99, us |",
             "|---|---|---|---|---|---|---|"]
    for row in rows:
        cells = [row.title,
                 spread(row.series("requests_per_s"), "%.0f"), ratio(row, "requests_per_s"),
                 spread(row.series("cpu_us_per_request"), "%.2f"), ratio(row, "cpu_us_per_request"),
                 spread(row.series("p50_us"), "%.0f"), spread(row.series("p99_us"), "%.0f")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def machine_for_http(options):
    wrk_version = (output_of("wrk", "-v").splitlines() or ["unknown"])[0]
    return {
        **machine(),
        "wrk": " ".join(wrk_version.split()[:2]),
        "compiler_showcase": compilers(options.showcase),
        "compiler_bare": compilers(options.bare),
    }


def report(rows, facts, options, size):
    worst = max(share for row in rows for share in row.series("others_share"))
    command = shlex.join(wrk_command(options, options.seconds, "PORT"))
    return "\n".join([
        table(rows),
        "",
        f"Median (min–max) of {options.rounds} interleaved rounds of {options.seconds} s after a warm-up, "
        f"{options.connections} connections, {size} bytes a response, no errors; measured {facts['date']}.",
        "",
        f"- Command: `make bench-http`; each round is `{command}` against a server started with "
        f"`GENEVER_WORKERS=1 taskset -c {options.server_core}`.",
        f"- Machine: {facts['cpu']}, {facts['cores']} cores, {facts['kernel']}, {facts['wrk']}.",
        f"- Built from {facts['commit']}; showcase: {facts['compiler_showcase']}; "
        f"bare: {facts['compiler_bare']}.",
        f"- Disturbance: other work took at most {worst:.1%} of the server's core in any round.",
    ])


def arguments():
    parser = argparse.ArgumentParser(description="Compares the showcase's /ping with bare_epoll's.")
    parser.add_argument("--showcase", required=True, type=pathlib.Path)
    parser.add_argument("--bare", required=True, type=pathlib.Path)
    parser.add_argument("--io-uring", type=pathlib.Path, help="bare_io_uring, for its rows (left out where it was not built)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--client-core", type=int, default=1)
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "build" / "bench" / "http.json")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    for tool in ("wrk", "taskset"):
        if shutil.which(tool) is None:
            parser.error(f"{tool} is not installed")
    for binary in (options.showcase, options.bare):
        if not os.access(binary, os.X_OK):
            parser.error(f"not a program: {binary}")
    if not {options.server_core, options.client_core} <= os.sched_getaffinity(0):
        parser.error("the server's and the client's core must both be available")
    if min(options.rounds, options.seconds, options.connections) < 1:
        parser.error("rounds, seconds and connections are at least 1")
    options.showcase, options.bare = options.showcase.resolve(), options.bare.resolve()
    return options


def main():
    options = arguments()
    ends_when_told()
    showcase = options.showcase
    rows = [Row("bare_epoll", "bare_epoll", options.bare, {}),
            Row("showcase_log_off", "showcase, no access log", showcase, {"GENEVER_LOG": "off"}),
            Row("showcase_one_by_one", "the same, each answer sent by itself", showcase,
                {"GENEVER_LOG": "off", "GENEVER_IO_URING": "0"}),
            Row("showcase_log_info", "showcase, access log to /dev/null", showcase, {"GENEVER_LOG": "info"})]
    if options.io_uring and os.access(options.io_uring, os.X_OK):
        rows += [Row(f"io_uring_{way}", title, options.io_uring.resolve(), {"BARE_IO": way})
                 for way, title in (("poll", "bare, io_uring as the poller"), ("send", "bare, the same and sends together"),
                                    ("all", "bare, io_uring receives and sends"))]
    facts = machine_for_http(options)
    try:
        size = check_alike(rows, options.server_core)
        with alone(), tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(WRK_DONE)
            script.flush()
            for number in range(options.rounds):
                shift = number % len(rows)
                for row in rows[shift:] + rows[:shift]:
                    measure(row, options, script.name)
                    last = row.samples[-1]
                    print(f"round {number + 1}/{options.rounds}  {row.title}: "
                          f"{last['requests_per_s']:.0f} requests/s, "
                          f"{last['cpu_us_per_request']:.2f} us CPU a request", file=sys.stderr, flush=True)
        text = report(rows, facts, options, size)
        print(text)
        if max(share for row in rows for share in row.series("others_share")) > 0.05:
            print("warning: other work disturbed this run; repeat it on a quiet machine", file=sys.stderr)
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({
            "machine": facts,
            "command": shlex.join(sys.argv),
            "connections": options.connections,
            "seconds": options.seconds,
            "response_bytes": size,
            "rows": {row.key: row.samples for row in rows},
        }, indent=2) + "\n")
        if options.write:
            write_docs("bench-http", text)
    except (Invalid, subprocess.TimeoutExpired, OSError) as problem:
        print(f"invalid run: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
