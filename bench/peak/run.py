#!/usr/bin/env python3
"""make peak: the same scenarios, in turn and interleaved, on every stack that is there; one report.

First all stacks are built, and asked the same questions: unless they answer alike nothing is timed. Then each scenario's
cells are measured, the stacks taking turns in an order that rotates with the round and the cell, each with a fresh server.
What fails is noted in the report and does not stop the rest.

Exit code: 0 a report was written, 1 the stacks do not answer alike or cannot be compared at all, 2 usage.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import shlex
import shutil
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from measuring import ROOT, Invalid, Skipped, alone, ends_when_told, machine, output_of, say, taken_away, write_docs  # noqa: E402
from alike import check_alike  # noqa: E402
from closed_loop import Churn, Idle, Steady  # noqa: E402
from goals import PING, goals  # noqa: E402
from load import ahead_of_others  # noqa: E402
from open_loop import ArrivingHogs, Hogs, OpenLoop, Overload, SlowClients, Soak  # noqa: E402
from plots import headline_plots  # noqa: E402
from report import as_json, markdown, page, readme  # noqa: E402
from results import Results  # noqa: E402
from stacks import BUILT, all_stacks, build_go  # noqa: E402
from storms import CrashStorm, StateCrash  # noqa: E402

LOAD = ROOT / "bench" / "peak" / "load"
SCENARIOS = [Steady(), OpenLoop(), Overload(), CrashStorm(), StateCrash(), Hogs(), ArrivingHogs(), SlowClients(), Churn(), Idle(),
             Soak()]


class Bench:
    """What the scenarios share: the cores, how long, which tools, and what has been found out so far."""

    def __init__(self, options, scratch):
        self.quick = options.quick
        self.seconds = options.seconds
        self.soak_seconds = options.soak_seconds
        self.server_cores, self.load_cores = [options.server_core], [options.load_core]
        self.all_cores = sorted({options.server_core, options.load_core})
        self.scratch = pathlib.Path(scratch)
        self.vegeta = BUILT / "vegeta"
        self.ahead = ahead_of_others()
        self.env = dict(os.environ)
        self.round = 0
        self.capacities = {}
        self.taken = []
        self._number = 0

    def look_at_the_machine(self):
        self.taken += [taken_away(core) for core in self.all_cores]

    def next_number(self):
        self._number += 1
        return self._number


def prepare_stacks(options):
    """Those that can be had, and those that cannot, with why."""
    found, skipped = [], []
    for stack in all_stacks(options):
        if options.stacks and stack.key not in options.stacks:
            continue
        try:
            stack.prepare()
            found.append(stack)
            say(f"{stack.title}: {stack.version}")
        except Skipped as why:
            if stack.key == "genever":
                raise Invalid(str(why)) from None
            skipped.append({"key": stack.key, "title": stack.title, "why": str(why)})
            say(f"{stack.title} is missing: {why}")
    return found, skipped


def measure_all(bench, stacks, scenarios, options, results):
    began = time.monotonic()
    for scenario in scenarios:
        rounds = 1 if scenario.key == "soak" else options.rounds
        for bench.round in range(rounds):
            bench.look_at_the_machine()
            for place, cell in enumerate(scenario.cells(bench)):
                able = [stack for stack in stacks if scenario.takes(stack, cell)]
                shift = (bench.round + place) % max(1, len(able))
                told = []
                for stack in able[shift:] + able[:shift]:
                    told.append(f"{stack.title} {measure(bench, scenario, cell, stack, results)}")
                say(f"[{time.monotonic() - began:5.0f} s] {scenario.title}, round {bench.round + 1}/{rounds}, {cell}: "
                    f"{'; '.join(told)}")
    bench.look_at_the_machine()


def measure(bench, scenario, cell, stack, results):
    """Measures once, and says the first figures."""
    try:
        values, series = scenario.measure(bench, stack, cell)
    except Exception as problem:  # the others' figures are not lost for it
        why = str(problem) if isinstance(problem, Invalid) else repr(problem)
        results.fail(scenario.key, cell, stack.key, bench.round, why)
        return f"FAILED ({why})"
    results.add(scenario.key, cell, stack.key, bench.round, values, series)
    return ", ".join(f"{figure.title} {values[figure.key] * figure.scale:.4g}" for figure in scenario.figures[:5]
                     if isinstance(values.get(figure.key), (int, float)))


def write_report(results, facts, options):
    order = [stack["key"] for stack in facts["stacks"]]
    plots = headline_plots(results, order, PING)
    (options.out / "report.html").write_text(page(results, SCENARIOS, facts, plots))
    for name, svg in plots.items():
        (options.out / f"peak-{name}.svg").write_text(svg)
    if options.write:
        for name, svg in plots.items():
            (ROOT / "docs" / f"peak-{name}.svg").write_text(svg)
        write_docs("peak", markdown(results, facts, plots))
        write_readme(readme(plots, facts))
    for goal in goals(results):
        say(f"{goal.verdict:>12}  {goal.what}: {goal.found} (goal {goal.wanted})" +
            (f"; {goal.peers}" if goal.peers else ""))
    say(f"the report: {options.out / 'report.html'}")


def keep(results, facts, options):
    """What has been measured, before a page is made of it, for it took long. What was ended early does not replace a whole run's."""
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / ("report.json" if facts["whole"] else "report.partial.json")
    path.with_suffix(".new").write_text(json.dumps(as_json(results, facts), indent=1) + "\n")
    path.with_suffix(".new").replace(path)
    if not facts["whole"]:
        say(f"ended early; what was measured until then: {path}")


def write_readme(text):
    path = ROOT / "README.md"
    begin, end = "<!-- peak:begin -->", "<!-- peak:end -->"
    whole = path.read_text()
    if whole.count(begin) != 1 or whole.count(end) != 1:
        raise Invalid(f"{path} needs the markers {begin} and {end}, once each")
    path.write_text(whole.split(begin)[0] + begin + "\n" + text + "\n" + end + whole.split(end)[1])


def gather_facts(stacks, skipped, options):
    wrk = " ".join((output_of("wrk", "-v").splitlines() or ["wrk, unknown"])[0].split()[:2])
    vegeta = re.search(r"tsenart/vegeta/v12 v(\S+)", (LOAD / "go.mod").read_text()).group(1)
    return {**machine(), "wrk": wrk, "vegeta": vegeta, "rounds": options.rounds, "seconds": options.seconds,
            "server_core": options.server_core, "load_core": options.load_core, "quick": options.quick,
            "command": "make peak" + (f" PEAK='{shlex.join(options.said)}'" if options.said else ""),
            "stacks": [{"key": s.key, "title": s.title, "version": s.version, "notes": list(s.notes)} for s in stacks],
            "skipped": skipped}


def arguments():
    parser = argparse.ArgumentParser(description="Compares Genever with its peers, scenario by scenario.")
    parser.add_argument("--showcase", type=pathlib.Path, default=ROOT / "build" / "dev" / "examples" / "showcase")
    parser.add_argument("--bare", type=pathlib.Path, default=ROOT / "build" / "dev" / "bench" / "bare_epoll")
    parser.add_argument("--quick", action="store_true", help="one round of fewer cells: at most 5 minutes")
    parser.add_argument("--rounds", type=int, help="of each cell (3; quick: 1)")
    parser.add_argument("--seconds", type=int, help="of each measurement, about (2; quick: 1)")
    parser.add_argument("--only", help="these scenarios, by comma: " + ", ".join(s.key for s in SCENARIOS))
    parser.add_argument("--stacks", help="these stacks, by comma: genever, bare_epoll, gin, otp, phoenix")
    parser.add_argument("--soak", action="store_true", help="also the soak, 10 minutes for each stack")
    parser.add_argument("--soak-seconds", type=float, default=600)
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, default=BUILT)
    parser.add_argument("--write", action="store_true", help="put plots and goals into docs/ and README.md")
    options = parser.parse_args()
    options.said = [word for word in sys.argv[1:] if word != "--write"]
    for tool, package in (("wrk", "wrk"), ("taskset", "util-linux"), ("go", "golang-go, 1.24 or later")):
        if shutil.which(tool) is None:
            parser.error(f"{tool} is not installed (Debian's {package})")
    if options.server_core == options.load_core or not {options.server_core, options.load_core} <= os.sched_getaffinity(0):
        parser.error("the server's and the load's core must differ, and both be available")
    keys = {s.key for s in SCENARIOS}
    options.only = [name.strip() for name in options.only.split(",")] if options.only else None
    if options.only and not set(options.only) <= keys:
        parser.error(f"--only knows {', '.join(sorted(keys))}")
    options.stacks = {name.strip() for name in options.stacks.split(",")} if options.stacks else None
    if options.stacks and not options.stacks <= {s.key for s in all_stacks(options)}:
        parser.error("--stacks: see --help")
    if options.write and (options.only or options.stacks or options.quick):
        parser.error("--write wants the whole run: no --only, --stacks, --quick")
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (1 if options.quick else 2)
    return options


def chosen(options):
    if options.only:
        return [s for s in SCENARIOS if s.key in options.only]
    return [s for s in SCENARIOS if s.key != "soak" or options.soak]


def main():
    options = arguments()
    results = Results()
    ends_when_told()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        with alone(), tempfile.TemporaryDirectory(prefix="peak-") as scratch:
            stacks, skipped = prepare_stacks(options)
            build_go("vegeta", LOAD, BUILT / "vegeta", "github.com/tsenart/vegeta/v12")
            facts = gather_facts(stacks, skipped, options)
            os.sched_setaffinity(0, {options.load_core})  # the driver's own work is no business of the server's core
            bench = Bench(options, scratch)
            facts["ahead"] = bool(bench.ahead)
            facts["questions"] = check_alike(bench, stacks)
            say(f"all stacks answer alike: {facts['questions']} questions")
            facts["whole"] = False
            try:
                measure_all(bench, stacks, chosen(options), options, results)
                facts["whole"] = True
            finally:
                facts["taken"] = sorted(bench.taken)
                facts["others"] = max((s["values"]["others"] for s in results.samples
                                       if s["scenario"] == "steady" and s["cell"].endswith("one core")), default=0.0)
                keep(results, facts, options)
        write_report(results, facts, options)
    except (Invalid, Skipped) as problem:
        say(f"no comparison: {problem}")
        return 1
    if facts["others"] > 0.05 or statistics.median(facts["taken"]) > 0.02:
        say("warning: other work disturbed this run; repeat it on a quiet machine")
    return 0


if __name__ == "__main__":
    sys.exit(main())
