"""The scenarios of crashes: crash storm, state crash."""

import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from measuring import Invalid  # noqa: E402
from closed_loop import MIB  # noqa: E402
from figures import over_time, quantiles  # noqa: E402
from goals import NO_CRASHES  # noqa: E402
from load import Attack, Wrk, attack  # noqa: E402
from open_loop import MS, latencies  # noqa: E402
from scenario import Figure, Scenario  # noqa: E402
from serving import MemoryWatch, serving  # noqa: E402

STEP = 0.1  # seconds, of the rate over time


RESTART_AFTER = 0.1  # seconds: systemd's default (RestartSec=)


class Restarter:
    """What a process manager does for a program that ends: starts it again, after a moment."""

    def __init__(self, server):
        self.server = server
        self.restarts = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def _watch(self):
        while not self._done.wait(0.001):
            if not self.server.runs():
                self.restarts += 1
                time.sleep(RESTART_AFTER)
                try:
                    self.server.start()
                except Invalid:
                    return

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()


def paced(rate):
    """wrk's connections, and the pause of each after an answer in ms, that make about so many requests a second. Few
    connections: each is a timer that wrk looks at whenever anything happens; but five, for the rate not to be too coarse."""
    pause_ms = max(2, round(4_000 / rate))
    # A connection is back after its pause, an answer's time, and what wrk's timers are late.
    return max(1, round(rate * (pause_ms + 1.5) / 1e3)), pause_ms


class CrashStorm(Scenario):
    key, title = "crash storm", "Crash storm"
    TOTAL = 4_000
    # good requests a second, crashes a second, what crashes
    CELLS = {
        "10 % of the traffic": (3_600, 400, "/panic"),
        "50 % of the traffic": (2_000, 2_000, "/panic"),
        "100 % of the traffic": (200, 4_000, "/panic"),
        "20,000 crashes a second": (3_000, 20_000, "/panic"),
        NO_CRASHES: (3_000, 20_000, "/ping"),
        "null dereference": (3_000, 1_000, "/panic/segv"),
        "panic in a goroutine": (3_000, 1, "/panic/goroutine"),
    }
    about = (f"Handlers crash at 10, 50 and 100 % of {TOTAL:,} requests a second (beside the last, 200 good ones, to see what "
             "becomes of them), and 20,000 times a second beside 3,000 good requests; once more, to tell the crashes from the mere load, "
             "with `/ping` in place of those 20,000. The good ones are `/ping` in an open "
             "loop, before, during and after the storm; the crashes come over connections of their own, paced, and may fall "
             "short of what was asked for where a stack does not manage them; what a stack turns away is no crash, and counted apart. Each stack reports its crashes "
             "as it does by default, into a file. For Genever also a null dereference, 1,000 times a second; for Gin also "
             "a panic in a bare goroutine, once a second, which ends the program: it is started again after 100 ms, "
             "as systemd does by default.")
    figures = (Figure("crashes_per_s", "the storm's requests/s"), Figure("refused", "and refused ones"), Figure("good_offered", "good requests offered/s"),
               Figure("failed", "good: failed", "less"), Figure("kept", "good: served, %", "more"),
               Figure("calm_p99_ms", "p99 before, ms", "less"), Figure("p99_ms", "p99 in the storm, ms", "less"),
               Figure("max_ms", "max, ms", "less"), Figure("dropped", "connections dropped", "less"),
               Figure("reported_kib", "reported, KiB"), Figure("resident_mib", "resident at most, MiB", "less"),
               Figure("restarts", "program restarts", "less"))

    def cells(self, bench):
        return [cell for cell in self.CELLS if not bench.quick or cell != "10 % of the traffic"]

    def takes(self, stack, cell):
        if cell == "null dereference":
            return stack.key == "genever"
        if cell == "panic in a goroutine":
            return stack.key == "gin"
        return stack.routes is None

    def measure(self, bench, stack, cell):
        good_rate, crash_rate, crash_path = self.CELLS[cell]
        storm = max(2, bench.seconds)
        begin = 1.5
        seconds = begin + storm + 1.5
        with serving(bench, stack) as server, MemoryWatch(server) as memory, Restarter(server) as restarter:
            attack(bench, server, [("GET", "/ping")], good_rate, 0.5)
            good = Attack(bench, server.port, [("GET", "/ping")], good_rate, seconds, timeout=2, ahead=True)
            try:
                time.sleep(begin)
                refused = -stack.refused(server.port)
                began = time.time()
                if crash_path == "/panic/goroutine":
                    result = self.bare_panics(bench, server, storm)
                else:
                    connections, pause_ms = paced(crash_rate)
                    result = Wrk(bench, server.port, crash_path, storm, connections, delay_ms=pause_ms).result()
                ended = time.time()
                refused += stack.refused(server.port) if crash_path != "/panic/goroutine" else 0
                shots = good.shots()
            finally:
                good.kill()
            reported = server.log.stat().st_size
            runs = server.runs()
        if not runs and crash_path != "/panic/goroutine":
            raise Invalid(f"{stack.title}: ended in the storm with {server.process.returncode}: {server.tail()}")
        first, last = began - shots.began, ended - shots.began
        before = [shot for shot in shots if shot.due < first]
        during = [shot for shot in shots if first <= shot.due < last]
        served = [shot for shot in during if shot.status == 200]
        # Those that were due in the storm and have not been sent at all.
        unsent = max(0, int(last * good_rate) - len(shots)) if shots.unsent else 0
        failed = len(during) - len(served) + unsent
        refused_crashes = max(0, refused - sum(shot.status == 503 for shot in during))
        # wrk counts as errors what it could not read or write, or had to connect for; a 500 is what was asked for.
        dropped = sum(result[kind] for kind in ("connect", "read", "write")) + sum(shot.status == 0 for shot in during)
        return {
            "crashes_per_s": result["requests_per_s"] * (1 - refused_crashes / max(1, result["requests"])),
            "refused": refused_crashes,
            "good_offered": good_rate,
            "failed": failed,
            "kept": 100 * len(served) / max(1, len(during) + unsent),
            "calm_p99_ms": quantiles(latencies(before), p99=0.99)["p99"],
            **quantiles(latencies(served), p99_ms=0.99, max_ms=1),
            "dropped": dropped,
            "reported_kib": reported / 1024,
            "resident_mib": memory.most() / MIB,
            "restarts": restarter.restarts,
        }, {"good_per_s": over_time([shot.end for shot in shots if shot.status == 200], 0, seconds, STEP),
            "storm": [[round(first, 3), 1], [round(last, 3), 0]]}

    def bare_panics(self, bench, server, seconds):
        """One a second: each ends the program."""
        shots = attack(bench, server, [("GET", "/panic/goroutine")], 1, seconds, timeout=1)
        return {"requests": len(shots), "requests_per_s": len(shots) / seconds, "connect": 0, "read": 0, "write": 0}


class StateCrash(Scenario):
    key, title = "state crash", "State crash"
    RATE, KILLS, PATIENCE = 2_000, 100, 2
    about = (f"The rate limiter, a process (in Gin a goroutine under a loop that recovers it) that every request of `/limited` asks, "
             f"is killed {KILLS} times a second under {RATE:,} requests a second. Lost are those that were not answered "
             "with 200; the next right answer is counted from the kill, among the requests that came after it.")
    figures = (Figure("kills", "kills"), Figure("lost", "requests lost", "less"), Figure("lost_share", "of all, %", "less"),
               Figure("next_p50_ms", "next right answer: p50, ms", "less"), Figure("next_max_ms", "max, ms", "less"),
               Figure("p99_ms", "p99 of right ones, ms", "less"), Figure("resident_mib", "resident at most, MiB", "less"))

    def cells(self, bench):
        return [f"{self.KILLS} kills a second"]

    def measure(self, bench, stack, cell):
        seconds = bench.seconds + 1
        with serving(bench, stack) as server, MemoryWatch(server) as memory:
            attack(bench, server, [("GET", "/limited")], self.RATE, 0.5)
            load = Attack(bench, server.port, [("GET", "/limited")], self.RATE, seconds + 1, timeout=self.PATIENCE, ahead=True)
            try:
                time.sleep(0.5)
                kills = attack(bench, server, [("POST", "/limited/kill")], self.KILLS, seconds, timeout=2)
                shots = load.shots()
            finally:
                load.kill()
            if not server.runs():
                raise Invalid(f"{stack.title}: has ended with {server.process.returncode}: {server.tail()}")
        done = [kill for kill in kills if kill.status == 204]
        if len(done) < len(kills) * 0.9:
            raise Invalid(f"{stack.title}: {len(kills) - len(done)} of {len(kills)} kills failed")
        offset = kills.began - shots.began
        waits = next_right([(kill.sent + offset) for kill in done], shots)
        lost = [shot for shot in shots if shot.status != 200]
        right = [shot for shot in shots if shot.status == 200]
        given_up = shots.given_up(self.PATIENCE)
        missed = len(lost) + given_up
        return {"kills": len(done), "lost": missed, "lost_share": 100 * missed / (len(shots) + given_up),
                **quantiles([wait * MS for wait in waits], next_p50_ms=0.5, next_max_ms=1),
                **quantiles(latencies(right), p99_ms=0.99), "resident_mib": memory.most() / MIB}, {}


def next_right(moments, shots):
    """For each moment, how long until the first right answer to a request that was sent after it."""
    right = sorted((shot.sent, shot.end) for shot in shots if shot.status == 200)
    # From the back: the earliest end among all that were sent from here on.
    earliest, ends = float("inf"), [0.0] * len(right)
    for place in range(len(right) - 1, -1, -1):
        earliest = min(earliest, right[place][1])
        ends[place] = earliest
    waits, place = [], 0
    for moment in sorted(moments):
        while place < len(right) and right[place][0] < moment:
            place += 1
        if place < len(right):
            waits.append(ends[place] - moment)
    return waits
