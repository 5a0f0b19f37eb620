"""The scenarios of closed loops and of connections: steady, churn, idle."""

import json
import math
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from measuring import Invalid  # noqa: E402
from alike import ORDER  # noqa: E402
from load import PIPELINE_DEPTH, wrk  # noqa: E402
from scenario import Figure, Scenario  # noqa: E402
from serving import CpuWatch, MemoryWatch, serving  # noqa: E402

MIB = 1024 * 1024
WORKLOADS = {
    "ping": ("/ping", {}),
    "parameters": ("/users/42/posts/first-post", {}),
    "orders": ("/orders", {"method": "POST", "body": ORDER, "fields": {"Content-Type": "application/json"}}),
    "plaintext": ("/plaintext", {"pipeline": PIPELINE_DEPTH}),
}


def closed_loop(bench, stack, path, connections, workers, script, orderly=True):
    """wrk against a fresh server, after a warm-up."""
    with serving(bench, stack, workers, orderly=orderly) as server:
        cores = bench.load_cores if workers == 1 else bench.all_cores
        wrk(bench, server, path, 1, connections, cores, **script)
        # With thousands of connections each waits long for its turn, and wrk counts what it has an answer for.
        seconds = bench.seconds + (connections > 1000)
        with MemoryWatch(server) as memory, CpuWatch(server) as cpu:
            result = wrk(bench, server, path, seconds, connections, cores, **script)
    refused = result["errors"].pop("status", 0)
    served = result["requests"] - refused
    if served <= 0:
        raise Invalid(f"{stack.title}: {result['requests']} requests of {path}, {refused} refused, errors {result['errors']}")
    # wrk takes a pipeline's answers for so many laps of its closed loop, and so knows no latency of them.
    timed = "pipeline" not in script
    return {
        "requests_per_s": result["requests_per_s"] * served / result["requests"],
        "cpu_us": cpu.ns / 1e3 / served,
        "per_cpu_s": served / (cpu.ns / 1e9),
        "refused": 100 * refused / result["requests"],
        "p50_us": result["p50_us"] if timed else math.nan,
        "p99_us": result["p99_us"] if timed else math.nan,
        "p999_us": result["p999_us"] if timed else math.nan,
        "resident_mib": memory.most() / MIB,
        "failed": sum(result["errors"].values()),
        "others": cpu.others,
    }


class Steady(Scenario):
    key, title = "steady", "Steady"
    about = ("Closed loops: as many requests as the server and one core of wrk manage, keep-alive. `parameters` is a route with "
             "two path parameters; `orders` takes 4 KB of JSON, binds it to structs and renders them back; `plaintext` comes "
             f"in pipelines of {PIPELINE_DEPTH}. On one core the server has a core to itself and wrk the other; on two "
             "the server has both and shares them with wrk, so that its requests a second say little and its CPU time a "
             "request says much. The latencies are those of a closed loop at saturation: mostly waiting behind the "
             "other connections (wrk has none for pipelines). The open loop below has the ones that a client would see. "
             "What is refused (any status above 399) counts as a cost of what is served, and in the latencies.")
    figures = (Figure("requests_per_s", "requests/s", "more"),
               Figure("cpu_us", "server CPU, µs a request", "less"),
               Figure("per_cpu_s", "requests a CPU second", "more"),
               Figure("p50_us", "p50, ms", "less", 1e-3), Figure("p99_us", "p99, ms", "less", 1e-3),
               Figure("p999_us", "p99.9, ms", "less", 1e-3), Figure("resident_mib", "resident, MiB", "less"),
               Figure("refused", "refused, %", "less"), Figure("failed", "failed", "less"))

    def cells(self, bench):
        if bench.quick:
            return [f"{name}, 64 connections, one core" for name in WORKLOADS] + ["ping, 512 connections, one core"]
        return [f"{name}, {n:,} connections, {cores}" for cores in ("one core", "two cores") for name in WORKLOADS
                for n in (64, 512, 4096)]

    def takes(self, stack, cell):
        name = cell.split(",")[0]
        if stack.routes is not None:
            return WORKLOADS[name][0] in stack.routes and cell.endswith("one core")
        return True

    def measure(self, bench, stack, cell):
        name, connections, cores = cell.rsplit(", ", 2)
        path, script = WORKLOADS[name]
        count = int(connections.split()[0].replace(",", ""))
        return closed_loop(bench, stack, path, count, 1 if cores == "one core" else 2, script), {}


class Churn(Scenario):
    key, title = "churn", "Churn"
    about = "A connection for every request of `/ping`: 64 clients, `Connection: close`."
    figures = (Figure("requests_per_s", "requests/s", "more"), Figure("cpu_us", "server CPU, µs a request", "less"),
               Figure("p99_us", "p99, ms", "less", 1e-3), Figure("resident_mib", "resident, MiB", "less"),
               Figure("refused", "refused, %", "less"), Figure("failed", "failed", "less"))

    def cells(self, bench):
        return ["64 clients"]

    def measure(self, bench, stack, cell):
        return closed_loop(bench, stack, "/ping", 64, 1, {"fields": {"Connection": "close"}}), {}


class Holder:
    """holder.py, running."""

    def __init__(self, bench, server, what, count):
        script = pathlib.Path(__file__).resolve().parent / "holder.py"
        self.process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, bench.load_cores)), sys.executable, "-B", str(script), str(server.port),
             what, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        line = self.process.stdout.readline().strip()
        if line != "ready":
            raise Invalid(f"the connections could not be held: {self.process.stderr.read()[-300:]}")
        return self

    def closed(self):
        """How many connections the server has closed; ends the holder."""
        output, _ = self.process.communicate("end\n", timeout=30)
        return json.loads(output)["closed"]

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class Idle(Scenario):
    key, title = "idle", "Idle connections"
    about = ("10,000 keep-alive connections, each of which has asked for `/ping` once: what the server has resident more than "
             "before, 3 seconds later, by connection. What the kernel keeps for a socket is not counted: it is the same "
             "for all.")
    figures = (Figure("bytes", "bytes a connection", "less"), Figure("resident_mib", "resident in all, MiB", "less"),
               Figure("closed", "closed by the server", "less"))
    COUNT = 10_000

    def cells(self, bench):
        return [f"{self.COUNT:,} connections"]

    def takes(self, stack, cell):
        return True

    def measure(self, bench, stack, cell):
        with serving(bench, stack) as server:
            wrk(bench, server, "/ping", 1, 1)
            before = server.resident()
            with Holder(bench, server, "idle", self.COUNT) as holder:
                time.sleep(3)
                after = server.resident()
                closed = holder.closed()
        return {"bytes": (after - before) / self.COUNT, "resident_mib": after / MIB, "closed": closed}, {}
