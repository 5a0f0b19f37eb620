"""What the report has to show of Genever, and whether it does."""

import math

from figures import number

PING = "ping, 64 connections, one core"
NO_CRASHES = "20,000 pings a second instead"
STORMS = ("10 % of the traffic", "50 % of the traffic", "100 % of the traffic")
MOST_RESIDENT_MIB = 512
MOST_SLOPE_KIB = 64
MOST_RECOVERY_S = 2
NAMES = {"gin": "Gin", "otp": "OTP alone", "phoenix": "Phoenix", "bare_epoll": "bare epoll", "genever": "Genever"}
PEERS = ("gin", "otp", "phoenix")


class Goal:
    """`met` is None where it has not been measured. `scenario` and `cells`: of what it tells (None: of all); a measurement of
    Genever that failed there is not left out, but a goal missed."""

    def __init__(self, what, wanted, scenario, cells, found="–", met=None, peers=""):
        self.what, self.wanted, self.scenario, self.cells = what, wanted, scenario, cells
        self.found, self.met, self.peers = found, met, peers

    def count_failures(self, results):
        failed = sum(f["stack"] == "genever" and (self.scenario is None or (f["scenario"] == self.scenario and f["cell"] in self.cells))
                     for f in results.failures)
        if failed:
            self.found += f", {failed} measurement{'s' if failed > 1 else ''} failed"
            self.met = False

    @property
    def verdict(self):
        return {True: "met", False: "missed", None: "not measured"}[self.met]


def goals(results):
    parts = (per_cpu_second, overload, ten_times, recovery, storm, heavy_storm, hogs, arriving_hogs, idle, memory, soak)
    found = [goal for part in parts for goal in part(results)]
    for goal in found:
        goal.count_failures(results)
    return found


def known(*values):
    return all(not math.isnan(value) for value in values)


def peers_figures(results, scenario, cell, figure, unit=""):
    told = [(NAMES[peer], results.median(scenario, cell, peer, figure)) for peer in PEERS]
    return ", ".join(f"{name} {number(value)}{unit}" for name, value in told if known(value))


def together(results, wanted):
    """How the rounds are put together: what must not happen must not in any of them."""
    return results.total if wanted == "0" else results.median


def in_time(results, what, most_ms, scenario, cell, figure, failed=0):
    """Whether a latency is at most so many ms, and nothing has failed."""
    goal = Goal(what, f"≤ {most_ms} ms", scenario, [cell])
    if not results.measured(scenario, cell, "genever"):
        return goal
    found = results.median(scenario, cell, "genever", figure)
    goal.peers = peers_figures(results, scenario, cell, figure, " ms")
    if known(found):
        goal.found, goal.met = f"{number(found)} ms" + (f", {failed} failed" if failed else ""), found <= most_ms and not failed
    else:
        goal.found, goal.met = "none served", False
    return goal


def per_cpu_second(results):
    own = results.median("steady", PING, "genever", "per_cpu_s")
    for peer, least in (("gin", 2.4), ("otp", 4), ("phoenix", 10)):
        goal = Goal(f"`/ping`: requests a CPU second, one core, beside {NAMES[peer]}", f"≥ {least}×", "steady", [PING])
        theirs = results.median("steady", PING, peer, "per_cpu_s")
        if known(own, theirs):
            goal.found, goal.met = f"{own / theirs:.2f}×", own / theirs >= least
            goal.peers = f"{number(own)} to {number(theirs)}"
        yield goal


def overload(results):
    for name in ("work", "pool"):
        cell = f"{name} × 5"
        goal = Goal(f"`{name}`, 5 times overload: goodput", "≥ 95 % of peak", "overload", [cell])
        served = results.median("overload", cell, "genever", "goodput")
        if known(served):
            peak = peak_of(results, name, "genever")
            peers = [(NAMES[p], results.median("overload", cell, p, "goodput"), peak_of(results, name, p)) for p in PEERS]
            goal.found, goal.met = f"{100 * served / peak:.1f} %", served >= 0.95 * peak
            goal.peers = ", ".join(f"{peer} {100 * good / best:.1f} %" for peer, good, best in peers if known(good))
        yield goal
        yield in_time(results, f"`{name}`, 5 times overload: p99 of what was served", 50, "overload", cell, "p99_ms")
        yield critical_route(results, name, 5)


def ten_times(results):
    for name in ("work", "pool"):
        goal = critical_route(results, name, 10)
        if known(late := results.median("overload", f"{name} × 10", "genever", "lag_ms")):
            goal.peers = "; ".join(filter(None, [goal.peers, f"the load's generator late by {number(late)} ms"]))
        yield goal


def critical_route(results, name, times):
    cell = f"{name} × {times}"
    return in_time(results, f"`{name}`, {times} times overload: the critical route's p99, none of them failed", 50,
                   "overload", cell, "health_ms", sum(results.values("overload", cell, "genever", "health_failed")))


def recovery(results):
    cells = results.all_cells("overload")
    goal = Goal("after an overload: until latency is as before, at most", f"≤ {MOST_RECOVERY_S} s", "overload", cells)

    def slowest(stack):
        return max((s for cell in cells for s in results.values("overload", cell, stack, "recovery_s")), default=math.nan)

    if known(own := slowest("genever")):
        goal.found, goal.met = f"{number(own)} s", own <= MOST_RECOVERY_S
        goal.peers = ", ".join(f"{NAMES[p]} {number(slowest(p))} s" for p in PEERS if known(slowest(p)))
    yield goal


def peak_of(results, name, stack):
    """The most that a stack has served a second, in the closed loop or in any of the open ones."""
    medians = [results.median("overload", cell, stack, "goodput") for cell in results.cells("overload")
               if cell.startswith(name + " ")]
    medians.append(results.median("overload", f"{name} × 5", stack, "capacity"))
    return max((m for m in medians if known(m)), default=math.nan)


def storm(results):
    for cell in STORMS:
        goal = Goal(f"crash storm, {cell}: failed good requests, and restarts of the program", "0", "crash storm", [cell])
        own = failed_and_restarts(results, cell, "genever")
        if known(*own):
            goal.found, goal.met = ", ".join(map(number, own)), not any(own)
            theirs = [(NAMES[p], failed_and_restarts(results, cell, p)) for p in PEERS]
            goal.peers = "; ".join(f"{name} {', '.join(map(number, both))}" for name, both in theirs if known(*both))
        yield goal


def failed_and_restarts(results, cell, stack):
    return [results.total("crash storm", cell, stack, figure) for figure in ("failed", "restarts")]


def heavy_storm(results):
    cell = "20,000 crashes a second"

    def peers(figure, unit=""):
        return peers_figures(results, "crash storm", cell, figure, unit)

    rows = [("crashes", "≥ 18,000 a second", "crashes_per_s", lambda v: v >= 18_000, ""),
            ("good requests served", "≥ 50 %", "kept", lambda v: v >= 50, " %"),
            ("p99 of the good ones", "≤ 5 ms", "p99_ms", lambda v: v <= 5, " ms"),
            ("connections dropped", "0", "dropped", lambda v: v == 0, ""),
            ("restarts of the program", "0", "restarts", lambda v: v == 0, ""),
            ("crash reports written", "> 0", "reported_kib", lambda v: v > 0, " KiB")]
    for title, wanted, figure, holds, unit in rows:
        goal = Goal(f"{cell}: {title}", wanted, "crash storm", [cell])
        value = together(results, wanted)("crash storm", cell, "genever", figure)
        if known(value):
            beside = [peers(figure, unit)]
            if figure == "p99_ms" and known(instead := results.median("crash storm", NO_CRASHES, "genever", figure)):
                beside.append(f"Genever, with pings in their place: {number(instead)} ms")
            goal.found, goal.met = number(value) + unit, holds(value)
            goal.peers = "; ".join(filter(None, beside))
        yield goal


def hogs(results):
    for how in ("burn", "block"):
        yield in_time(results, f"among 8 hogs that {how}: p99 of `/ping`", 5, "hogs", how, "p99_ms")


def arriving_hogs(results):
    for how in ("burn", "block"):
        yield in_time(results, f"among 20 new hogs a second that {how} for 0.4 s, two workers: p99 of `/ping`", 5,
                      "arriving hogs", f"20 a second {how}", "p99_ms")


def idle(results):
    cells = results.all_cells("idle")
    cell = (cells or [""])[0]
    own = results.median("idle", cell, "genever", "bytes")
    for peer in PEERS:
        goal = Goal(f"an idle connection's memory, beside {NAMES[peer]}", "≤ a tenth", "idle", cells)
        theirs = results.median("idle", cell, peer, "bytes")
        if known(own, theirs):
            goal.found, goal.met = f"1/{theirs / own:.1f}" if own > 0 else "nothing", own <= theirs / 10
            goal.peers = f"{number(own)} to {number(theirs)} bytes"
        yield goal


def memory(results):
    goal = Goal("resident memory in every measurement", f"≤ {MOST_RESIDENT_MIB} MiB", None, [])
    if most := results.most("genever", "resident_mib"):
        theirs = [(NAMES[peer], results.most(peer, "resident_mib")) for peer in PEERS]
        goal.found, goal.met = f"{number(most[0])} MiB ({most[1]}, {most[2]})", most[0] <= MOST_RESIDENT_MIB
        goal.peers = ", ".join(f"{name} {number(found[0])} MiB ({found[1]}, {found[2]})" for name, found in theirs if found)
    yield goal


def soak(results):
    cells = results.all_cells("soak")
    cell = (cells or [""])[0]
    rows = (("memory's slope", f"≤ {MOST_SLOPE_KIB} KiB a minute", "slope_kib", MOST_SLOPE_KIB, " KiB a minute"),
            ("wrong answers", "0", "failed", 0, ""))
    for title, wanted, figure, most, unit in rows:
        goal = Goal(f"soak: {title}", wanted, "soak", cells)
        found = together(results, wanted)("soak", cell, "genever", figure)
        if known(found):
            goal.found, goal.met = f"{number(found)}{unit}", found <= most
            goal.peers = peers_figures(results, "soak", cell, figure)
        yield goal


def behind(results, scenarios, tolerance=0.05):
    """Where a peer does better than Genever by more than the tolerance: (scenario, cell, figure, peer, own, theirs)."""
    found = []
    for scenario in scenarios:
        for cell in results.all_cells(scenario.key):
            if results.failed(scenario.key, cell, "genever"):
                found.append((scenario, cell, scenario.figures[0], "", math.nan, math.nan))
            for figure in scenario.figures:
                own = results.median(scenario.key, cell, "genever", figure.key)
                if not figure.better or not known(own):
                    continue
                rivals = [(results.median(scenario.key, cell, peer, figure.key), peer) for peer in PEERS]
                rivals = [(value, peer) for value, peer in rivals if known(value)]
                if not rivals:
                    continue
                best, peer = max(rivals) if figure.better == "more" else min(rivals)
                worse = own < best * (1 - tolerance) if figure.better == "more" else own > best * (1 + tolerance)
                if worse:
                    found.append((scenario, cell, figure, peer, own, best))
    return found
