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
    """`met` is None where it has not been measured."""

    def __init__(self, what, wanted, found, met, peers=""):
        self.what, self.wanted, self.found, self.met, self.peers = what, wanted, found, met, peers

    @property
    def verdict(self):
        return {True: "met", False: "missed", None: "not measured"}[self.met]


def goals(results):
    parts = (per_cpu_second, overload, ten_times, recovery, storm, heavy_storm, hogs, arriving_hogs, idle, memory)
    return [goal for part in parts for goal in part(results)]


def known(*values):
    return all(not math.isnan(value) for value in values)


def peers_figures(results, scenario, cell, figure, unit=""):
    told = [(NAMES[peer], results.median(scenario, cell, peer, figure)) for peer in PEERS]
    return ", ".join(f"{name} {number(value)}{unit}" for name, value in told if known(value))


def in_time(results, what, most_ms, scenario, cell, figure, failed=0):
    """Whether a latency is at most so many ms, and nothing has failed."""
    found, wanted = results.median(scenario, cell, "genever", figure), f"≤ {most_ms} ms"
    if not known(found):
        if not results.measured(scenario, cell, "genever"):
            return unmeasured(what, wanted)
        return Goal(what, wanted, "none served", False, peers_figures(results, scenario, cell, figure, " ms"))
    return Goal(what, wanted, f"{number(found)} ms" + (f", {failed} failed" if failed else ""), found <= most_ms and not failed,
                peers_figures(results, scenario, cell, figure, " ms"))


def unmeasured(what, wanted):
    return Goal(what, wanted, "–", None)


def per_cpu_second(results):
    own = results.median("steady", PING, "genever", "per_cpu_s")
    for peer, least in (("gin", 2.4), ("otp", 4), ("phoenix", 10)):
        what, wanted = f"`/ping`: requests a CPU second, one core, beside {NAMES[peer]}", f"≥ {least}×"
        theirs = results.median("steady", PING, peer, "per_cpu_s")
        if not known(own, theirs):
            yield unmeasured(what, wanted)
            continue
        yield Goal(what, wanted, f"{own / theirs:.2f}×", own / theirs >= least,
                   f"{number(own)} to {number(theirs)}")


def overload(results):
    for name in ("work", "pool"):
        cell = f"{name} × 5"
        served = results.median("overload", cell, "genever", "goodput")
        share, p99 = f"`{name}`, 5 times overload: goodput", f"`{name}`, 5 times overload: p99 of what was served"
        health = f"`{name}`, 5 times overload: the critical route's p99, none of them failed"
        if not known(served):
            yield from (unmeasured(share, "≥ 95 % of peak"), unmeasured(p99, "≤ 50 ms"), unmeasured(health, "≤ 50 ms"))
            continue
        peak = peak_of(results, name, "genever")
        peers = [(NAMES[p], results.median("overload", cell, p, "goodput"), peak_of(results, name, p)) for p in PEERS]
        yield Goal(share, "≥ 95 % of peak", f"{100 * served / peak:.1f} %", served >= 0.95 * peak,
                   ", ".join(f"{peer} {100 * good / best:.1f} %" for peer, good, best in peers if known(good)))
        yield in_time(results, p99, 50, "overload", cell, "p99_ms")
        yield in_time(results, health, 50, "overload", cell, "health_ms",
                      sum(results.values("overload", cell, "genever", "health_failed")))


def ten_times(results):
    for name in ("work", "pool"):
        cell = f"{name} × 10"
        goal = in_time(results, f"`{name}`, 10 times overload: the critical route's p99, none of them failed", 50,
                       "overload", cell, "health_ms", sum(results.values("overload", cell, "genever", "health_failed")))
        if known(late := results.median("overload", cell, "genever", "lag_ms")):
            goal.peers = "; ".join(filter(None, [goal.peers, f"the load's generator late by {number(late)} ms"]))
        yield goal


def recovery(results):
    what, wanted = "after an overload: until latency is as before, at most", f"≤ {MOST_RECOVERY_S} s"

    def slowest(stack):
        found = [results.median("overload", cell, stack, "recovery_s") for cell in results.all_cells("overload")]
        return max(filter(known, found), default=math.nan)

    own = slowest("genever")
    failed = sum(len(results.failed("overload", cell, "genever")) for cell in results.all_cells("overload"))
    if not known(own):
        yield unmeasured(what, wanted)
    else:
        yield Goal(what, wanted, f"{number(own)} s" + (f", {failed} measurements failed" if failed else ""),
                   own <= MOST_RECOVERY_S and not failed,
                   ", ".join(f"{NAMES[p]} {number(slowest(p))} s" for p in PEERS if known(slowest(p))))


def peak_of(results, name, stack):
    """The most that a stack has served a second, in the closed loop or in any of the open ones."""
    medians = [results.median("overload", cell, stack, "goodput") for cell in results.cells("overload")
               if cell.startswith(name + " ")]
    medians.append(results.median("overload", f"{name} × 5", stack, "capacity"))
    return max((m for m in medians if known(m)), default=math.nan)


def storm(results):
    for cell in STORMS:
        what, wanted = f"crash storm, {cell}: failed good requests", "0"
        failed = results.total("crash storm", cell, "genever", "failed")
        if not known(failed):
            yield unmeasured(what, wanted)
            continue
        yield Goal(what, wanted, number(failed), failed == 0,
                   peers_figures(results, "crash storm", cell, "failed"))


def heavy_storm(results):
    cell = "20,000 crashes a second"

    def peers(figure, unit=""):
        return peers_figures(results, "crash storm", cell, figure, unit)

    rows = [("crashes", "≥ 18,000 a second", "crashes_per_s", lambda v: v >= 18_000, ""),
            ("good requests served", "≥ 50 %", "kept", lambda v: v >= 50, " %"),
            ("p99 of the good ones", "≤ 5 ms", "p99_ms", lambda v: v <= 5, " ms"),
            ("connections dropped", "0", "dropped", lambda v: v == 0, ""),
            ("crash reports written", "> 0", "reported_kib", lambda v: v > 0, " KiB")]
    for title, wanted, figure, holds, unit in rows:
        rounds_together = results.total if figure == "dropped" else results.median
        value = rounds_together("crash storm", cell, "genever", figure)
        if not known(value):
            yield unmeasured(f"{cell}: {title}", wanted)
            continue
        beside = [peers(figure, unit)]
        if figure == "p99_ms" and known(instead := results.median("crash storm", NO_CRASHES, "genever", figure)):
            beside.append(f"Genever, with pings in their place: {number(instead)} ms")
        yield Goal(f"{cell}: {title}", wanted, number(value) + unit, holds(value), "; ".join(filter(None, beside)))


def hogs(results):
    for how in ("burn", "block"):
        yield in_time(results, f"among 8 hogs that {how}: p99 of `/ping`", 5, "hogs", how, "p99_ms")


def arriving_hogs(results):
    for how in ("burn", "block"):
        yield in_time(results, f"among 20 new hogs a second that {how} for 0.4 s, two workers: p99 of `/ping`", 5,
                      "arriving hogs", f"20 a second {how}", "p99_ms")


def idle(results):
    cell = (results.cells("idle") or [""])[0]
    own = results.median("idle", cell, "genever", "bytes")
    for peer in PEERS:
        what, wanted = f"an idle connection's memory, beside {NAMES[peer]}", "≤ a tenth"
        theirs = results.median("idle", cell, peer, "bytes")
        if not known(own, theirs):
            yield unmeasured(what, wanted)
            continue
        yield Goal(what, wanted, f"1/{theirs / own:.1f}" if own > 0 else "nothing", own <= theirs / 10,
                   f"{number(own)} to {number(theirs)} bytes")


def memory(results):
    what, wanted = "resident memory in every measurement", f"≤ {MOST_RESIDENT_MIB} MiB"
    most = results.most("genever", "resident_mib")
    if not most:
        yield unmeasured(what, wanted)
    else:
        theirs = [(NAMES[peer], results.most(peer, "resident_mib")) for peer in PEERS]
        yield Goal(what, wanted, f"{number(most[0])} MiB ({most[1]}, {most[2]})", most[0] <= MOST_RESIDENT_MIB,
                   ", ".join(f"{name} {number(found[0])} MiB ({found[1]}, {found[2]})" for name, found in theirs if found))
    cell = (results.cells("soak") or [""])[0]
    what, wanted = "soak: memory's slope", f"≤ {MOST_SLOPE_KIB} KiB a minute"
    found = results.median("soak", cell, "genever", "slope_kib")
    if not known(found):
        yield unmeasured(what, wanted)
    else:
        yield Goal(what, wanted, f"{number(found)} KiB a minute", found <= MOST_SLOPE_KIB,
                   peers_figures(results, "soak", cell, "slope_kib"))


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
