"""The scenarios of open loops: open loop, overload, hogs, arriving hogs, slow clients, soak."""

import contextlib
import http.client
import pathlib
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from measuring import Invalid  # noqa: E402
from alike import ORDER  # noqa: E402
from closed_loop import MIB, Holder  # noqa: E402
from figures import curve, quantiles, slope  # noqa: E402
from load import MOST_WORKERS, WORKERS, Attack, attack, wrk  # noqa: E402
from scenario import Figure, Scenario  # noqa: E402
from serving import MemoryWatch, serving  # noqa: E402

MS = 1e3
ENOUGH = {"/pool": 9}  # connections: one more than it has workers
ENOUGH_TO_COMPUTE = 4
PATIENCE = 1.0  # seconds after which a client gives up


def capacity(bench, stack, path):
    """What a stack serves of a path in a closed loop, a second; measured once a round. The connections are enough to keep a
    core or the pool busy, and few enough that a server which turns requests away has no reason to."""
    connections = ENOUGH.get(path, ENOUGH_TO_COMPUTE)
    known = bench.capacities.setdefault((bench.round, stack.key), {})
    if path not in known:
        with serving(bench, stack) as server:
            wrk(bench, server, path, 1, connections)
            result = wrk(bench, server, path, bench.seconds, connections)
        if result["requests"] == 0 or result["errors"]:
            raise Invalid(f"{stack.title}: {result['requests']} requests of {path}, errors {result['errors']}")
        known[path] = result["requests_per_s"]
    return known[path]


def latencies(shots):
    return [shot.latency * MS for shot in shots]


def told_to(shots, patience):
    """Latencies where all ought to be served: whoever is not, however quickly that was said, might as well have waited for
    as long as its patience lasted, if not longer. Those for whom the end came before they could be sent would have waited for as
    long as the last one that was, at least."""
    told = [(shot.latency if shot.status == 200 else max(patience, shot.latency)) * MS for shot in shots]
    return told + [max([shots.behind * MS, *told[-1:]])] * shots.unsent


def not_served(shots, patience):
    return sum(shot.status != 200 for shot in shots) + shots.given_up(patience)


def lag_p99(shots):
    return quantiles(shots.lag(), p99=0.99)["p99"] * MS


class OpenLoop(Scenario):
    key, title = "open loop", "Open loop"
    WORK, PATIENCE = "/work?us=100", 5
    about = ("Requests of `/work?us=100` (100 µs of CPU each, so that one core of load can offer what one core of server can "
             "serve) at a constant rate, whether or not earlier ones have been answered: 50, 80 and 95 % of what each stack "
             "serves itself in a closed loop. Latency counts from the moment at which a request was due, so that a "
             "server that stalls is charged for all who wait (no coordinated omission). One that was not served (refused, or not answered "
             f"within {PATIENCE} s) counts as {PATIENCE} s. The generator's own lateness "
             "is in these figures, and shown beside them.")
    figures = (Figure("offered", "offered/s"), Figure("failed", "not served", "less"), Figure("p50_ms", "p50, ms", "less"), Figure("p99_ms", "p99, ms", "less"),
               Figure("p999_ms", "p99.9, ms", "less"), Figure("max_ms", "max, ms", "less"),
               Figure("resident_mib", "resident at most, MiB", "less"),
               Figure("lag_ms", "generator late, p99, ms"))

    def cells(self, bench):
        return ["80 % of capacity"] if bench.quick else ["50 % of capacity", "80 % of capacity", "95 % of capacity"]

    def measure(self, bench, stack, cell):
        rate = capacity(bench, stack, self.WORK) * int(cell.split()[0]) / 100
        with serving(bench, stack) as server, MemoryWatch(server) as memory:
            attack(bench, server, [("GET", self.WORK)], rate / 2, 0.5)
            shots = attack(bench, server, [("GET", self.WORK)], rate, bench.seconds + 2, timeout=self.PATIENCE)
        all_ms = told_to(shots, self.PATIENCE)
        return {
            "offered": rate,
            **quantiles(all_ms, p50_ms=0.5, p99_ms=0.99, p999_ms=0.999, max_ms=1),
            "failed": not_served(shots, self.PATIENCE),
            "resident_mib": memory.most() / MIB,
            "lag_ms": lag_p99(shots),
        }, {"latency_ms": curve(all_ms)}


class Overload(Scenario):
    key, title = "overload", "Overload"
    PATHS = {"work": "/work?us=1000", "pool": "/pool"}
    IN_A_ROW, LEAST_MS = 5, 10
    about = ("More than a stack can serve: 1, 2, 5 and 10 times what it serves itself in a closed loop, of `/work?us=1000` (a "
             "millisecond of CPU) and of `/pool` (which waits for one of 8 places in a pool and holds it for 20 ms, as if for "
             "a database connection: a handler that merely waited would have no capacity). Clients give up after a "
             "second; goodput counts the 200s that came before that (each from the moment at which its request was due; "
             f"at most {MOST_WORKERS:,} are under way at once, the others wait in the generator), from the second second on; `health` is a route "
             "that has to answer at any load, asked 50 times a second meanwhile (of Genever `/health`, `/tree` and `/admission` in turn); "
             f"the recovery is the time from the last request offered until {IN_A_ROW} of the same kind in a row, on connections of "
             f"their own, are answered within twice the p99 from before the load, or within {LEAST_MS} ms.")
    figures = (Figure("offered", "offered/s"), Figure("goodput", "goodput/s", "more"),
               Figure("goodput_share", "of its capacity", "more"),
               Figure("p50_ms", "served: p50, ms", "less"), Figure("p99_ms", "served: p99, ms", "less"),
               Figure("refused", "refused, % of offered"), Figure("refusal_ms", "time to a refusal, p99, ms", "less"),
               Figure("lost", "no answer in time, % of offered", "less"),
               Figure("health_ms", "health: p99, ms", "less"), Figure("health_failed", "health: failed", "less"),
               Figure("resident_mib", "resident at most, MiB", "less"), Figure("recovery_s", "recovery, s", "less"),
               Figure("lag_ms", "generator late, p99, ms"))
    RECOVERY_LIMIT, RECOVERY_LIMIT_QUICK = 10.0, 5.0

    def cells(self, bench):
        return [f"{name} × {times}" for name in self.PATHS for times in ((1, 5) if bench.quick else (1, 2, 5, 10))]

    def measure(self, bench, stack, cell):
        name, times = cell.split(" × ")
        path = self.PATHS[name]
        full = capacity(bench, stack, path)
        seconds = bench.seconds + 2
        with serving(bench, stack) as server, MemoryWatch(server) as memory:
            warm = attack(bench, server, [("GET", path)], full / 4, 0.5)
            if any(shot.status != 200 for shot in warm):
                raise Invalid(f"{stack.title}: {path} fails at a quarter of its capacity")
            # So many wait at once where nobody is answered within the clients' patience.
            workers = min(MOST_WORKERS, max(WORKERS, round(full * int(times) * PATIENCE)))
            load = Attack(bench, server.port, [("GET", path)], full * int(times), seconds, timeout=PATIENCE,
                          workers=workers)
            health = Attack(bench, server.port, [("GET", route) for route in stack.critical], 50, seconds, timeout=PATIENCE,
                            ahead=True)
            try:
                load_ends = time.time() + seconds
                # The clients' last second of patience is not waited for: whoever comes now wants to be served.
                time.sleep(max(0.0, load_ends - time.time()))
                limit = self.RECOVERY_LIMIT_QUICK if bench.quick else self.RECOVERY_LIMIT
                usual = max(self.LEAST_MS, 2 * quantiles(latencies(warm), p99=0.99)["p99"]) / MS
                recovered = recovery(lambda: ask(server, path), self.IN_A_ROW, usual, limit)
                shots, probes = load.shots(), health.shots()
            finally:
                load.kill()
                health.kill()
        # What was not even sent in time has no shot, but a client whom it would have been for.
        offered = load.rate * seconds
        served = [shot for shot in shots if shot.status == 200 and shot.latency <= PATIENCE]
        refused = [shot for shot in shots if shot.status in (429, 503)]
        window = (1.0, seconds)
        goodput = sum(window[0] <= shot.end < window[1] for shot in served) / (window[1] - window[0])
        return {
            "capacity": full,
            "offered": full * int(times),
            "goodput": goodput,
            "goodput_share": goodput / full,
            **quantiles(latencies(served), p50_ms=0.5, p99_ms=0.99),
            "refused": 100 * len(refused) / offered,
            "refusal_ms": quantiles(latencies(refused), p99=0.99)["p99"],
            "lost": 100 * max(0, offered - len(served) - len(refused)) / offered,
            "health_ms": quantiles(told_to(probes, PATIENCE), p99=0.99)["p99"],
            "health_failed": not_served(probes, PATIENCE),
            "resident_mib": memory.most() / MIB,
            "recovery_s": recovered,
            "lag_ms": lag_p99(shots),
        }, {"latency_ms": curve(latencies(served))}


def ask(server, path):
    """The status of one request on a connection of its own; None where there is none within half a second."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=0.5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def recovery(status_of_one_more, in_a_row, usual, limit, clock=time.monotonic, pause=time.sleep):
    """Seconds until answers come within `usual`, so many in a row; `limit` where they do not."""
    began = since = clock()
    good = 0
    while clock() - began < limit:
        asked = clock()
        if good == 0:
            since = asked
        good = good + 1 if status_of_one_more() == 200 and clock() - asked <= usual else 0
        if good == in_a_row:
            return since - began
        pause(0.01)
    return limit


class Hogs(Scenario):
    key, title = "hogs", "Hogs"
    about = ("8 requests that keep their thread for 5 seconds each, by computing (`burn`) or by a call that blocks (`block`), on a "
             "server of one worker on one core; `/ping` meanwhile, 500 times a second. While 8 of them compute, a "
             "ninth of the core is what fairness has to give.")
    figures = (Figure("p50_ms", "/ping: p50, ms", "less"), Figure("p99_ms", "p99, ms", "less"),
               Figure("max_ms", "max, ms", "less"), Figure("failed", "failed", "less"),
               Figure("resident_mib", "resident at most, MiB", "less"))
    RATE, HOGS, PATIENCE = 500, 8, 10

    def cells(self, bench):
        return ["burn", "block"]

    def measure(self, bench, stack, cell):
        with serving(bench, stack) as server, MemoryWatch(server) as memory, contextlib.ExitStack() as hogs:
            attack(bench, server, [("GET", "/ping")], self.RATE, 0.5)
            for _ in range(self.HOGS):
                hog = socket.create_connection(("127.0.0.1", server.port), timeout=5)
                hogs.enter_context(hog)
                hog.sendall(f"GET /hog?ms=5000&how={cell} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            time.sleep(0.3)
            shots = attack(bench, server, [("GET", "/ping")], self.RATE, min(4.0, bench.seconds + 1), timeout=self.PATIENCE)
        ms = told_to(shots, self.PATIENCE)
        return {**quantiles(ms, p50_ms=0.5, p99_ms=0.99, max_ms=1),
                "failed": not_served(shots, self.PATIENCE),
                "resident_mib": memory.most() / MIB}, {"latency_ms": curve(ms)}


class ArrivingHogs(Scenario):
    key, title = "arriving hogs", "Arriving hogs"
    RATE, HOGS_RATE, HOG_MS, PATIENCE, PINGS_PATIENCE, CORES = 500, 20, 400, 5.0, 10, 2
    CELLS = {"20 a second burn": "burn", "20 a second block": "block"}
    about = (f"New hogs keep coming, so that the time until one is found counts as well: {HOGS_RATE} requests a second, each of "
             f"which keeps its thread for {HOG_MS / 1e3:g} s, by computing (`burn`: of CPU time) or by a call that blocks (`block`), "
             f"on a server of {CORES} workers on {CORES} cores, which the load shares; `/ping` {RATE} times a second, in the calm before and then "
             f"among them. With a core for each, {HOGS_RATE * HOG_MS // 1000} of them would be under way at once. Those that burn want "
             f"{HOGS_RATE * HOG_MS / 1e3:g} s of CPU a second and there are {CORES}: an overload of {HOGS_RATE * HOG_MS // 1000 // CORES} "
             "times by the hogs alone: no stack can serve them as fast as they come. It may refuse hogs, or serve "
             f"them late; their clients give up after {PATIENCE:g} s. As many hogs come as the measurement has seconds for, and no more.")
    figures = (Figure("calm_p99_ms", "/ping before: p99, ms", "less"), Figure("p50_ms", "among them: p50, ms", "less"),
               Figure("p99_ms", "p99, ms", "less"), Figure("max_ms", "max, ms", "less"), Figure("failed", "failed", "less"),
               Figure("hogs", "hogs offered"), Figure("hogs_served", "hogs served"), Figure("hogs_refused", "hogs refused"),
               Figure("hogs_given_up", "hogs given up"), Figure("at_once", "hogs at once, at most"),
               Figure("calm_max_ms", "/ping before: max, ms", "less"), Figure("calm_p50_ms", "/ping before: p50, ms", "less"),
               Figure("lag_ms", "generator late, p99, ms"), Figure("resident_mib", "resident at most, MiB", "less"))

    def cells(self, bench):
        return list(self.CELLS)[:1] if bench.quick else list(self.CELLS)

    def measure(self, bench, stack, cell):
        seconds = bench.seconds + 2
        path = f"/hog?ms={self.HOG_MS}&how={self.CELLS[cell]}"
        with serving(bench, stack, workers=self.CORES) as server, MemoryWatch(server) as memory:
            attack(bench, server, [("GET", "/ping")], self.RATE, 0.5)
            calm = attack(bench, server, [("GET", "/ping")], self.RATE, bench.seconds, timeout=self.PINGS_PATIENCE)
            hogs = Attack(bench, server.port, [("GET", path)], self.HOGS_RATE, seconds, timeout=self.PATIENCE)
            pings = None
            try:
                time.sleep(0.3)
                pings = Attack(bench, server.port, [("GET", "/ping")], self.RATE, seconds - 0.5, timeout=self.PINGS_PATIENCE)
                shots, hog_shots = pings.shots(), hogs.shots()
            finally:
                hogs.kill()
                if pings:
                    pings.kill()
            if not server.runs():
                raise Invalid(f"{stack.title}: has ended with {server.process.returncode}: {server.tail()}")
        ms = told_to(shots, self.PINGS_PATIENCE)
        return {**quantiles(told_to(calm, self.PINGS_PATIENCE), calm_p50_ms=0.5, calm_p99_ms=0.99, calm_max_ms=1),
                **quantiles(ms, p50_ms=0.5, p99_ms=0.99, max_ms=1),
                "failed": sum(not_served(of, self.PINGS_PATIENCE) for of in (calm, shots)),
                **fates(hog_shots), "lag_ms": lag_p99(shots), "resident_mib": memory.most() / MIB}, {
                    "latency_ms": curve(ms)}


def fates(hogs):
    """What has become of them, and how many were under way at once; those that were refused are not counted among these."""
    served = sum(hog.status == 200 for hog in hogs)
    taken = [hog for hog in hogs if hog.status not in (429, 503)]
    changes = sorted([(hog.sent, 1) for hog in taken] + [(hog.end, -1) for hog in taken])
    at_once = most = 0
    for _, change in changes:
        at_once += change
        most = max(most, at_once)
    return {"hogs": len(hogs), "hogs_served": served, "hogs_refused": len(hogs) - len(taken),
            "hogs_given_up": len(taken) - served, "at_once": most}


class SlowClients(Scenario):
    key, title = "slow clients", "Slow clients"
    COUNT, RATE, PATIENCE = 5_000, 2_000, 5
    about = (f"{COUNT:,} connections: nine in ten of them send a byte of a request each second, the others have asked for 400 answers, more than "
             f"the kernel takes off the server's hands, and read a byte each second. Once the server has answered what it "
             f"can of these, their neighbours ask for `/ping` {RATE:,} times a second.")
    figures = (Figure("p50_ms", "neighbours: p50, ms", "less"), Figure("p99_ms", "p99, ms", "less"),
               Figure("failed", "failed", "less"), Figure("resident_mib", "resident at most, MiB", "less"),
               Figure("closed", "closed by the server"))

    def cells(self, bench):
        return [f"{self.COUNT:,} connections"]

    def measure(self, bench, stack, cell):
        with serving(bench, stack) as server, MemoryWatch(server) as memory:
            with Holder(bench, server, "slow", self.COUNT) as holder:
                self.settle(server)
                shots = attack(bench, server, [("GET", "/ping")], self.RATE, bench.seconds + 1, timeout=self.PATIENCE)
                closed = holder.closed()
        ms = told_to(shots, self.PATIENCE)
        return {**quantiles(ms, p50_ms=0.5, p99_ms=0.99), "failed": not_served(shots, self.PATIENCE),
                "resident_mib": memory.most() / MIB, "closed": closed}, {}

    @staticmethod
    def settle(server):
        """Waits until the server leaves most of its core alone, for half a minute at most."""
        for _ in range(60):
            before = server.cpu_ns()
            time.sleep(0.5)
            if server.cpu_ns() - before < 0.3 * 0.5e9:
                return


class Soak(Scenario):
    key, title = "soak", "Soak"
    RATE, PATIENCE = 1_000, 5
    TARGETS = [("GET", "/ping"), ("GET", "/users/42/posts/first-post"), ("POST", "/orders"), ("GET", "/work?us=100"),
               ("GET", "/plaintext"), ("GET", "/limited"), ("GET", "/ping"), ("GET", "/wait?ms=20"),
               ("GET", "/ping"), ("GET", "/panic")]
    about = (f"{RATE:,} requests a second of everything, one in ten of them a handler that crashes, for 10 minutes (`--soak`). The "
             "slope is the least-squares line through the resident memory of the last three quarters.")
    figures = (Figure("slope_kib", "memory's slope, KiB a minute", "less"),
               Figure("resident_mib", "resident at most, MiB", "less"), Figure("failed", "wrong answers", "less"),
               Figure("p99_ms", "p99, ms", "less"))

    def cells(self, bench):
        return [f"{bench.soak_seconds:,.0f} s"]

    def measure(self, bench, stack, cell):
        bench.look_at_the_machine()
        with serving(bench, stack) as server, MemoryWatch(server) as memory:
            shots = attack(bench, server, self.TARGETS, self.RATE, bench.soak_seconds, timeout=self.PATIENCE, body=ORDER)
            runs = server.runs()
        wrong = sum(shot.status != (500 if shot.path == "/panic" else 200) for shot in shots)
        wrong += shots.given_up(self.PATIENCE)
        if not runs:
            raise Invalid(f"{stack.title} has ended during the soak")
        points = [(t / 60, size / 1024) for t, size in memory.points if bench.soak_seconds / 4 < t <= bench.soak_seconds]
        return {"slope_kib": slope(points), "resident_mib": memory.most() / MIB, "failed": wrong,
                "p99_ms": quantiles(latencies(shots), p99=0.99)["p99"]}, {
                    "resident_mib": [[round(t, 1), size / MIB] for t, size in memory.points[::max(
                        1, len(memory.points) // 300)]]}


