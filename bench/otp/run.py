#!/usr/bin/env python3
"""Compares what a supervised crash costs, and what a neighbour notices of a storm of them, with Erlang's.

Both programs run pinned, one worker on one core, two on two, in turn. A run is valid only if every program checked its
own results and ended with exit code 0.

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

PEER = ROOT / "bench" / "peers" / "otp" / "erlang"
FOLDER = ROOT / "build" / "bench" / "peers" / "otp-erlang"
ROWS = [  # name, what, nanoseconds of its budget
    ("kill_ns", "kill one, until it is up again, ns; few restarts in the period", 2000),
    ("raise_ns", "the same, by an exception", 5000),
    ("kill_sustained_ns", "by kill, all restarts in the period", None),
    ("raise_sustained_ns", "by an exception, all in the period", None),
    ("throw_ns", "of that, the exception itself: thrown and caught in a coroutine, ns", None),
    ("storm_ns_a_crash", "a crash in the storm (half by kill), ns", None),
    ("quiet_p50_us", "a call to the neighbour without a storm, p50, us", None),
    ("quiet_p99_us", "p99", None),
    ("storm_p50_us", "the same in the storm, p50, us", None),
    ("storm_p99_us", "p99", None),
]


def arguments():
    parser = argparse.ArgumentParser(description="Compares supervised crashes with Erlang's.")
    parser.add_argument("--genever", type=pathlib.Path, default=ROOT / "build" / "dev" / "bench" / "crash_storm")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--crashes", type=int, default=100_000)
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "build" / "bench" / "crash-storm.json")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    if options.rounds < 1 or options.crashes < 1000:
        parser.error("rounds is at least 1, crashes at least 1000")
    if not options.genever.exists():
        parser.error(f"not a program: {options.genever} (make bench-otp builds it)")
    return options


def commands(options):
    """{title: workers -> command}, and why a peer is left out."""
    genever = options.genever.resolve()
    found = {"Genever": lambda w: [genever, "--workers", w, "--crashes", options.crashes]}
    try:
        need("erlc", "erlang-base")
        FOLDER.mkdir(parents=True, exist_ok=True)
        build("the Erlang peer", "erlc", "-Werror", "-o", FOLDER, *sorted(PEER.glob("*.erl")))
        found["Erlang"] = lambda w: ["erl", "+S", f"{w}:{w}", "-noshell", "-pa", FOLDER, "-run", "crash_storm", "main",
                                     w, options.crashes]
    except Skipped as why:
        say(f"Erlang is left out: {why}")
    return found


def measured(stacks, options):
    """The samples of each (stack, workers); the stacks take turns."""
    samples = {}
    for number in range(options.rounds):
        for workers in (1, 2):
            order = list(stacks) if number % 2 == 0 else list(reversed(stacks))
            for title in order:
                output, others = run_pinned(stacks[title](str(workers)), {"ERL_CRASH_DUMP_BYTES": "0"},
                                            list(range(workers)), f"{title}, {workers} workers")
                samples.setdefault((title, workers), []).append({**json.loads(output), "others_share": others})
                last = samples[title, workers][-1]
                say(f"round {number + 1}/{options.rounds}  {title}, {workers} worker{'s' if workers > 1 else ''}: "
                    f"kill {last['kill_ns']} ns, raise {last['raise_ns']} ns, "
                    f"p99 {last['quiet_p99_us']} -> {last['storm_p99_us']} us")
    return samples


def main():
    options = arguments()
    try:
        stacks = commands(options)
        with alone():
            samples = measured(stacks, options)
        facts = machine()
        lines = [f"| | workers | budget | {' | '.join(stacks)} |", "|" + "---|" * (3 + len(stacks))]
        for workers in (1, 2):
            for name, what, budget in ROWS:
                cells = [what, str(workers), f"≤ {budget}" if budget else ""]
                own = statistics.median(s[name] for s in samples["Genever", workers])
                for title in stacks:
                    values = [s[name] for s in samples[title, workers] if name in s]
                    ratio = f"{statistics.median(values) / own:.1f}×, " if values and title != "Genever" else ""
                    cells.append(ratio + spread(values) if values else "–")
                lines.append(f"| {' | '.join(cells)} |")
        worst = max(s["others_share"] for of_one in samples.values() for s in of_one)
        some = samples[list(stacks)[-1], 1][0]
        rounds = f"{options.rounds} interleaved round" + ("s" if options.rounds > 1 else "")
        lines += ["", f"Median (min–max) of {rounds} of {options.crashes:,} crashes (Erlang's "
                      f"sustained ones and its storm: {some.get('sustained_crashes', options.crashes):,}, since each "
                      "costs more the more there were); every restart awaited, every call answered. Nobody's log is on. "
                      f"Measured {facts['date']}.",
                  "", "- Command: `make bench-otp`.",
                  f"- Machine: {facts['cpu']}, {facts['cores']} cores, {facts['kernel']}.",
                  f"- Versions: Genever {facts['commit']} ({compilers(options.genever)}); {some.get('version', '')}.",
                  f"- Disturbance: other work took at most {worst:.1%} of the cores in any measurement."]
        text = "\n".join(lines)
        publish(options, "bench-otp", text, worst, facts,
                [{"stack": title, "workers": workers, "rounds": of_one} for (title, workers), of_one in samples.items()])
    except (Invalid, subprocess.SubprocessError, OSError, ValueError, KeyError) as problem:
        say(f"invalid run: {problem!r}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
