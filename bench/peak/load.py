"""The load: wrk for closed loops, vegeta for open ones, and what their outputs mean."""

import contextlib
import csv
import io
import json
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from measuring import ERROR_KINDS, WRK_DONE, Invalid  # noqa: E402

PIPELINE_DEPTH = 16


def ahead_of_others():
    """What starts a program that goes before all others on its core; nothing where that is not permitted."""
    command = ("chrt", "--fifo", "1")
    if not shutil.which(command[0]):
        return ()
    return command if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0 else ()


def lua_string(text):
    """A Lua string of exactly these bytes."""
    return '"' + "".join(f"\\{byte:03d}" for byte in text.encode()) + '"'


def wrk_script(method="GET", body=None, fields=None, pipeline=1, delay_ms=None):
    """The script that makes wrk send these requests, `pipeline` at once, each connection pausing after each answer."""
    lines = []
    if method != "GET":
        lines.append(f"wrk.method = {lua_string(method)}")
    if body is not None:
        lines.append(f"wrk.body = {lua_string(body)}")
    for name, value in (fields or {}).items():
        lines.append(f"wrk.headers[{lua_string(name)}] = {lua_string(value)}")
    if pipeline > 1:
        lines += ["init = function(args)", f"  batch = string.rep(wrk.format(), {pipeline})", "end",
                  "request = function() return batch end"]
    if delay_ms is not None:
        lines.append(f"delay = function() return {delay_ms} end")
    return "\n".join(lines) + WRK_DONE


def read_wrk(output):
    found = re.search(r"^RESULT (\{.*\})$", output, re.MULTILINE)
    if not found:
        raise Invalid(f"wrk told no result: {output[-500:]}")
    result = json.loads(found.group(1))
    result["requests_per_s"] = result["requests"] * 1e6 / result["us"]
    result["errors"] = {kind: result[kind] for kind in ERROR_KINDS if result[kind]}
    return result


class Wrk:
    """One run of wrk that has been started."""

    def __init__(self, bench, port, path, seconds, connections, cores=None, **script):
        self.seconds = seconds
        file = bench.scratch / f"wrk-{bench.next_number()}.lua"
        file.write_text(wrk_script(**script))
        cores = bench.load_cores if cores is None else cores
        self.process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, cores)), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s",
             "--timeout", "10s", "-s", str(file), f"http://127.0.0.1:{port}{path}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def result(self):
        output = finish(self.process, self.seconds + 30, "wrk")
        return read_wrk(output)


def finish(process, limit, what):
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Invalid(f"{what} has not ended after {limit} s") from None
    except BaseException:  # this program is told to end
        process.kill()
        process.wait()
        raise
    if process.returncode != 0:
        raise Invalid(f"{what} failed with {process.returncode}: {output[-500:]}")
    return output


def wrk(bench, server, path, seconds, connections, cores=None, **script):
    """Runs wrk and gives what it has found."""
    return Wrk(bench, server.port, path, seconds, connections, cores, **script).result()


class Shot:
    """One request of an open loop. Times are seconds: `due` and `end` from the first one's due time."""
    __slots__ = ("due", "sent", "end", "status", "path", "error")

    def __init__(self, due, sent, end, status, path, error):
        self.due, self.sent, self.end, self.status, self.path, self.error = due, sent, end, status, path, error

    @property
    def latency(self):
        """From when it was due, not from when it could be sent: corrected for coordinated omission."""
        return self.end - self.due


class Shots(list):
    """The requests of an open loop in their order; at which moment of the wall clock the first was due; how many could not be sent
    before the end, since all that may be under way were, and for how long the first of those was due by then."""
    began = 0.0
    unsent = 0
    behind = 0.0

    def lag(self):
        """How late the load generator itself was."""
        return [shot.sent - shot.due for shot in self]

    def given_up(self, patience):
        """How many were not sent for so long that their clients were gone."""
        return self.unsent if self.behind >= patience else 0

    def of(self, *paths):
        return [shot for shot in self if shot.path in paths]


def read_shots(text, rate):
    """What `vegeta encode --to csv` has written of an attack at a constant rate."""
    rows = []
    for row in csv.reader(io.StringIO(text)):
        # timestamp, code, latency, bytes out, bytes in, error, body, attack, sequence, method, url, headers
        rows.append((int(row[8]), int(row[0]), int(row[2]), int(row[1]), row[10], row[5]))
    shots = Shots()
    if not rows:
        return shots
    rows.sort()
    interval = 1e9 / rate
    # The schedule begins where no request has been sent before it was due.
    began = min(sent - number * interval for number, sent, _, _, _, _ in rows)
    shots.began = began / 1e9
    for number, sent, latency, status, url, error in rows:
        path = re.sub(r"^https?://[^/]*", "", url)
        shots.append(Shot(number * interval / 1e9, (sent - began) / 1e9, (sent + latency - began) / 1e9, status, path,
                          error))
    return shots


def unsent(sent, rate, seconds):
    """How many of an attack's requests are missing at its end; the last moments' are no stall."""
    missing = int(rate * seconds) - sent
    return missing if missing > 0.02 * rate + 1 else 0


# The generator collects no garbage before it has a lot: each time it looks through the stacks of its thousands of goroutines, and
# the answers wait for that.
GO = {"GOMAXPROCS": "1", "GOGC": "off", "GOMEMLIMIT": "1GiB"}
WORKERS = 256
# More at once than a listener's backlog holds would measure how often SYNs are sent again.
MOST_WORKERS = 4096


class Attack:
    """An open loop that has been started: `targets` are (method, path), taken in turn. At most `workers` requests are under way
    at once; where those do not suffice a request is sent late, which its latency counts. One that is measured while other load
    shares its core goes `ahead` of that: what it waits for its own core is no server's latency."""

    def __init__(self, bench, port, targets, rate, seconds, timeout=1.0, body=None, workers=WORKERS, ahead=False):
        self.bench, self.rate, self.seconds, self.timeout = bench, max(1, round(rate)), seconds, timeout
        number = bench.next_number()
        self.output = bench.scratch / f"attack-{number}.bin"
        file = bench.scratch / f"targets-{number}.txt"
        lines = []
        for method, path in targets:
            lines.append(f"{method} http://127.0.0.1:{port}{path}")
            if method == "POST" and body is not None:
                body_file = bench.scratch / f"body-{number}.json"
                body_file.write_text(body)
                lines += ["Content-Type: application/json", f"@{body_file}"]
            lines.append("")
        file.write_text("\n".join(lines) + "\n")
        self.process = subprocess.Popen(
            [*(bench.ahead if ahead else ()), "taskset", "-c", ",".join(map(str, bench.load_cores)),
             str(bench.vegeta), "attack", f"-targets={file}", f"-rate={self.rate}/1s", f"-duration={round(seconds * 1000)}ms", f"-timeout={round(timeout * 1000)}ms",
             f"-workers={workers}", f"-max-workers={workers}", f"-connections={workers}", "-max-body=0", "-http2=false", f"-output={self.output}"],
            env={**bench.env, **GO}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)

    def shots(self):
        """Waits for its end; all requests, those without an answer too (status 0)."""
        finish(self.process, self.seconds + self.timeout + 60, "vegeta")
        done = subprocess.run([str(self.bench.vegeta), "encode", "--to=csv", str(self.output)], capture_output=True,
                              text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise Invalid(f"vegeta encode failed: {done.stderr[-500:]}")
        self.output.unlink()
        shots = read_shots(done.stdout, self.rate)
        shots.unsent = unsent(len(shots), self.rate, self.seconds)
        shots.behind = shots.unsent / self.rate
        return shots

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()


def attack(bench, server, targets, rate, seconds, **more):
    return Attack(bench, server.port, targets, rate, seconds, **more).shots()
