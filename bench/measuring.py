"""What the comparing benchmarks share: pinned runs, what others took of the cores, versions, and the page."""

import contextlib
import datetime
import fcntl
import json
import os
import pathlib
import platform
import random
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

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs" / "performance.md"
RUN_TIMEOUT = 180


class Invalid(Exception):
    """The measurement does not count, and why."""


class Skipped(Exception):
    """A stack cannot be measured here, and why."""


def free_port():
    """A port to listen on at any address. Not one of those that the system gives to clients: with thousands of their connections
    open, or just closed, such a one may be taken at another address."""
    for port in random.sample(range(20_000, 30_000), 200):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise Invalid("no port between 20000 and 30000 is free")


# wrk's own report rounds its figures; this prints them exactly. Defining only `done` costs nothing a request.
WRK_DONE = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"us":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,' ..
    '"p50_us":%.1f,"p99_us":%.1f,"p999_us":%.1f}\\n',
    summary.requests, summary.duration, e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""
ERROR_KINDS = ("connect", "read", "write", "status", "timeout")


def say(text):
    print(text, file=sys.stderr, flush=True)


def build(what, *command, cwd=None):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        last = (done.stderr + done.stdout).strip().splitlines()[-1:]
        raise Skipped(f"{what} does not build here: {' '.join(last)}")


def need(tool, package):
    if shutil.which(tool) is None:
        raise Skipped(f"{tool} not found (Debian's {package})")


@contextlib.contextmanager
def alone(path=None):
    """Holds the machine for one comparison at a time: two would measure each other."""
    path = path or pathlib.Path(tempfile.gettempdir()) / f"genever-measures-{os.getuid()}"
    with open(path, "a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Invalid(f"another comparison is running (process {file.read().strip() or 'unknown'}): wait for its end, or end it") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def ends_when_told():
    """SIGINT and SIGTERM end this program as an exception does, so that what it has started ends with it; also where it was
    started in the background, which ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


GAP = 0.0003  # seconds; what an interrupt takes is shorter


def taken_away(core, seconds=0.3, clock=time.perf_counter):
    """Which share of a core's time a program does not get that has it for itself and does nothing but look at the clock:
    other programs have it, or the host's other guests, which the system's own accounts (busy_ns) need not tell."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        gone, began = 0.0, clock()
        last = began
        while last - began < seconds:
            now = clock()
            if now - last > GAP:
                gone += now - last
            last = now
    finally:
        os.sched_setaffinity(0, before)
    return gone / (last - began)


def busy_ns(cores):
    """How long these cores together have run anything, or were taken away by the hypervisor."""
    total = 0
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        fields = line.split()
        if re.fullmatch(r"cpu\d+", fields[0]) and int(fields[0][3:]) in cores:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[1:9])
            total += user + nice + system + irq + softirq + steal
    return total * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def run_pinned(command, env, cores, what):
    """Runs a program on the given cores: what it printed, and which share of the cores others took meanwhile."""
    pinned = ["taskset", "-c", ",".join(map(str, cores)), *map(str, command)]
    busy, begin = busy_ns(cores), time.monotonic()
    usage = os.times()
    try:
        done = subprocess.run(pinned, env={**os.environ, **env}, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=RUN_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise Invalid(f"{what}: not finished after {RUN_TIMEOUT} s") from None
    after = os.times()
    cpu = (after.children_user + after.children_system - usage.children_user - usage.children_system) * 1e9
    others = (busy_ns(cores) - busy - cpu) / 1e9 / (time.monotonic() - begin) / len(cores)
    if done.returncode != 0:
        raise Invalid(f"{what}: exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout, max(0.0, others)


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def spread(values):
    return f"{number(statistics.median(values))} ({number(min(values))}–{number(max(values))})"


def output_of(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)
        return done.stdout.strip()
    except OSError:
        return ""


def compilers(binary):
    """The compilers that a binary's .comment section names."""
    image = pathlib.Path(binary).read_bytes()
    found = re.findall(rb"(GCC: \([^)\0]*\) [0-9.]+|clang version [0-9.]+)", image)
    return ", ".join(sorted({name.decode() for name in found})) or "unknown"


def machine():
    cpus = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", cpus, re.MULTILINE)
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "cpu": model.group(1) if model else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "commit": output_of("git", "describe", "--always", "--dirty", "--abbrev=12") or "unknown",
        "gxx": (output_of("g++", "--version").splitlines() or ["unknown"])[0],
        "load_average_at_start": os.getloadavg()[0],
    }


def write_docs(name, text):
    """Puts the text between the page's markers of this name."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    page = DOCS.read_text()
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise Invalid(f"{DOCS} needs the markers {begin} and {end}, once each and in this order")
    head, rest = page.split(begin)
    tail = rest.split(end)[1]
    DOCS.write_text(f"{head}{begin}\n{text}\n{end}{tail}")


def publish(options, name, text, worst, facts, samples):
    """Prints the table, keeps the raw samples, and puts it into docs/performance.md where that was asked for. `worst` is the
    largest share of the cores that other work took."""
    print(text)
    if worst > 0.05:
        say("warning: other work disturbed this run; repeat it on a quiet machine")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"machine": facts, "command": shlex.join(sys.argv), "samples": samples}, indent=2)
                            + "\n")
    if options.write:
        write_docs(name, text)
