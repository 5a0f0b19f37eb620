#!/usr/bin/env python3
"""Compares Genever's router with Gin's over the 203 routes of GitHub's API: nanoseconds and allocations.

Both programs run pinned to one core, in turn; each first checks that every path leads to its own route with its own
values. A run is valid only if both ended with exit code 0.

Exit code: 0 valid, 1 invalid (nothing is written to the docs), 2 usage.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from measuring import (ROOT, Invalid, Skipped, alone, build, compilers, machine, need, run_pinned, say,  # noqa: E402
                       spread, publish)

PEER = ROOT / "bench" / "peers" / "router" / "gin"
GIN = ROOT / "build" / "bench" / "peers" / "router-gin"
ROUTES = ROOT / "bench" / "router" / "github_routes.txt"
PATHS = [  # key, what, how many paths are in a pass; 0: all
    ("all", "all 203, a path", 0),
    ("static", "`/user/repos`", 1),
    ("1_param", "`/users/:user/repos`", 1),
    ("3_params", "`/repos/:owner/:repo/issues/:number/comments`", 1),
]
KINDS = [("lookup", "lookup"), ("dispatch", "dispatch")]
GOAL = 0.5  # of Gin's time


def arguments():
    parser = argparse.ArgumentParser(description="Compares Genever's router with Gin's.")
    parser.add_argument("--genever", type=pathlib.Path, default=ROOT / "build" / "dev" / "bench" / "bench_router")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1, help="a row in a round")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "build" / "bench" / "router.json")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("rounds is at least 1, seconds more than 0")
    if not options.genever.exists():
        parser.error(f"not a program: {options.genever} (make bench-router builds it)")
    return options


def programs(options):
    """{title: command}, and why Gin is left out."""
    found = {"Genever": [options.genever.resolve()]}
    try:
        need("go", "golang-go")
        GIN.parent.mkdir(parents=True, exist_ok=True)
        build("the Gin peer", "go", "build", "-o", str(GIN), ".", cwd=PEER)
        found["Gin"] = [GIN]
    except Skipped as why:
        say(f"Gin is left out: {why}")
    return found


def measured(stacks, options):
    """The samples of each stack, which take turns, and the most that others took of the core."""
    samples = {title: [] for title in stacks}
    worst = 0.0
    for number in range(options.rounds):
        order = list(stacks) if number % 2 == 0 else list(reversed(stacks))
        for title in order:
            output, others = run_pinned([*stacks[title], ROUTES, options.seconds], {"GOMAXPROCS": "1"},
                                        [options.core], title)
            sample = json.loads(output)
            samples[title].append(sample)
            worst = max(worst, others)
            say(f"round {number + 1}/{options.rounds}  {title}: lookup "
                f"{sample['lookup_all']['ns'] / sample['routes']:.1f} ns, dispatch "
                f"{sample['dispatch_all']['ns'] / sample['routes']:.1f} ns a path; others {others:.1%}")
    return samples, worst


def main():
    options = arguments()
    try:
        stacks = programs(options)
        with alone():
            samples, worst = measured(stacks, options)
        lines = [f"| | path | {' | '.join(stacks)} |{' of Gin |' if 'Gin' in stacks else ''}",
                 "|" + "---|" * (2 + len(stacks) + ("Gin" in stacks))]
        allocated = {title: 0.0 for title in stacks}
        for kind, name in KINDS:
            for key, what, count in PATHS:
                medians, cells = {}, []
                for title, taken in samples.items():
                    values = [s[f"{kind}_{key}"]["ns"] / (count or s["routes"]) for s in taken]
                    medians[title] = statistics.median(values)
                    # A whole pass takes less than one: the program's own start and report.
                    allocated[title] = max([allocated[title]] + [s[f"{kind}_{key}"]["allocations"] for s in taken])
                    cells.append(spread(values))
                if "Gin" in stacks:
                    ratio = medians["Genever"] / medians["Gin"]
                    cells.append(f"{ratio:.2f}" + ("" if ratio <= GOAL else " ↓"))
                lines.append(f"| {name} | {what} | {' | '.join(cells)} |")
        facts = machine()
        versions = [f"Genever {facts['commit']} ({compilers(options.genever)})"]
        if "Gin" in stacks:
            versions.append(samples["Gin"][0]["version"])
        blocks = ", ".join(f"{title} {value:.3f}" for title, value in allocated.items())
        lines += ["", f"Nanoseconds: median (min–max) of {options.rounds} interleaved rounds; ↓ marks what takes more than "
                      f"half of Gin's time. Blocks taken from the heap in a pass, at most: {blocks}. Measured {facts['date']}.",
                  "", "- Command: `make bench-router`.",
                  f"- Machine: {facts['cpu']}, {facts['cores']} cores, {facts['kernel']}.",
                  f"- Versions: {'; '.join(versions)}.",
                  f"- Disturbance: other work took at most {worst:.1%} of the core in any measurement."]
        text = "\n".join(lines)
        publish(options, "bench-router", text, worst, facts, samples)
    except (Invalid, subprocess.SubprocessError, OSError, ValueError, KeyError) as problem:
        say(f"invalid run: {problem!r}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
