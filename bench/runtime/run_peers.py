#!/usr/bin/env python3
"""Compares the runtime's micro-benchmarks with the same programs in Go, Erlang and CAF.

Each row of each stack runs in an operating-system process of its own, pinned: one worker to one core, two workers to
two. The stacks take turns at each row, in an order that rotates, so that drift of the machine falls on all of them
alike. A stack whose toolchain is missing is left out, with a line that says so. A run is valid only if every program
checked its own results and ended with exit code 0.

Exit code: 0 valid, 1 invalid (nothing is written to the docs), 2 usage.
"""

import argparse
import json
import math
import os
import pathlib
import re
import shlex
import shutil
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from measuring import (ROOT, Invalid, Skipped, alone, build, compilers, machine, need, number, output_of,  # noqa: E402
                       run_pinned, say, spread, write_docs)

PEERS = ROOT / "bench" / "peers" / "runtime"
PLOT = ROOT / "docs" / "performance-runtime.svg"

BOTH, ONE = (1, 2), (1,)
ROWS = [  # name, for which numbers of workers, what one operation is
    ("spawn_finish", BOTH, "a process started and ended, 1,000 at once"),
    ("spawn_finish_bulk", BOTH, "the same, 100,000 at once"),
    ("spawn_reply", BOTH, "a process started, its answer received"),
    ("spawn_park", BOTH, "a process started, waiting for a message; a million"),
    ("ping_pong", BOTH, "a round trip of two messages"),
    ("ring_1000", BOTH, "a hop in a ring of 1,000"),
    ("mailbox_fan_in", BOTH, "a message from one of 64 senders"),
    ("call_round_trip", BOTH, "a request and its reply"),
    ("chan_unbuffered", BOTH, "a value through a channel"),
    ("chan_buffered", BOTH, "a value through a channel of 128"),
    ("select_4", BOTH, "a value from one of four channels"),
    ("mutex_uncontended", ONE, "a lock and an unlock"),
    ("timer_start_cancel", ONE, "a timer started and cancelled"),
    ("yield", BOTH, "a switch between two processes"),
    ("skynet_1m", BOTH, "a process in a tree of 1,111,111"),
]
VARIANTS = {"spawn_park_captures": "spawn_park", "call_by_name": "call_round_trip"}
# The design's budgets, in nanoseconds an operation as the row counts them (a round trip is two messages); bytes below.
BUDGETS = {("spawn_finish", 1): 60, ("ping_pong", 1): 80, ("call_round_trip", 1): 100,
           ("chan_unbuffered", 1): 40, ("chan_buffered", 1): 40}
BYTES_BUDGET = 256
GOALS = {"go": 3, "erlang": 5}  # at least so many times Genever's figure
LATENESS_GOAL_MS = 5
TEN_MILLION_GOAL_GB, TEN_MILLION_GOAL_NS = 3, 200
BYTES_GOAL = 10
COLOURS = {"go": "#0a7ea4", "erlang": "#a90533", "caf": "#c98a1b"}


class Stack:
    """One implementation of the rows. `command` gives the program for a row, and the environment that it needs."""
    key = title = ""
    lacks = {}

    def __init__(self, folder, options):
        self.folder = folder / self.key
        self.options = options
        self.version = "unknown"

    def has(self, row, _workers):
        return row not in self.lacks

    def read(self, output):
        result = json.loads(output)
        self.version = result["version"]
        return result


class Genever(Stack):
    key, title = "genever", "Genever"

    def prepare(self):
        listed = subprocess.run([self.options.genever, "--benchmark_list_tests"], capture_output=True, text=True,
                                timeout=60, check=True).stdout
        self.listed = set(re.findall(r"^(\w+)/workers:(\d+)", listed, re.MULTILINE))
        self.version = compilers(self.options.genever)

    def has(self, row, workers):
        return (row, str(workers)) in self.listed

    def command(self, row, workers):
        # Google Benchmark's own warm-up is not asked for: the harness has one, and spawn_park wants none.
        return [self.options.genever, f"--benchmark_filter=^{row}/workers:{workers}/", "--benchmark_format=json",
                f"--benchmark_min_time={self.options.seconds}"], {}

    def read(self, output):
        rows = json.loads(output)["benchmarks"]
        if len(rows) != 1 or rows[0].get("error_occurred"):
            raise Invalid(f"Genever: {rows}")
        return rows[0]


class Go(Stack):
    key, title = "go", "Go"

    def prepare(self):
        need("go", "golang-go")
        self.folder.mkdir(parents=True, exist_ok=True)
        # go.mod asks for the oldest Go that will do; a newer one must not imitate that one's defaults (GODEBUG).
        version = re.match(r"go(\d+\.\d+)", output_of("go", "env", "GOVERSION"))
        if not version:
            raise Skipped("`go env GOVERSION` tells no version")
        module = (PEERS / "go" / "go.mod").read_text()
        modfile = self.folder / "go.mod"
        modfile.write_text(re.sub(r"^go .*$", f"go {version.group(1)}", module, flags=re.MULTILINE))
        build("the Go peer", "go", "build", f"-modfile={modfile}", "-o", self.folder / "peer", ".", cwd=PEERS / "go")

    def command(self, row, workers):
        return [self.folder / "peer", row, str(self.options.seconds)], {"GOMAXPROCS": str(workers)}


class Erlang(Stack):
    key, title = "erlang", "Erlang"
    lacks = {row: "no channels" for row in ("chan_unbuffered", "chan_buffered", "select_4")}
    lacks["mutex_uncontended"] = "no shared memory to guard"

    def prepare(self):
        need("erl", "erlang-base")
        need("erlc", "erlang-base")
        self.folder.mkdir(parents=True, exist_ok=True)
        build("the Erlang peer", "erlc", "-Werror", "-o", self.folder, *sorted((PEERS / "erlang").glob("*.erl")))
        flavour = output_of("erl", "-noshell", "-eval",
                            'io:format("~s", [erlang:system_info(emu_flavor)]), halt().')
        if flavour != "jit":
            raise Skipped(f"this erl has no JIT (its flavour is {flavour!r}): not a fair peer")

    def command(self, row, workers):
        return ["erl", "+S", f"{workers}:{workers}", "+P", "4000000", "-noshell", "-pa", self.folder,
                "-run", "bench_peer", "main", row, str(self.options.seconds)], {"ERL_CRASH_DUMP_BYTES": "0"}


class Caf(Stack):
    key, title = "caf", "CAF"
    lacks = {row: "no channels" for row in ("chan_unbuffered", "chan_buffered", "select_4")}
    lacks |= {"mutex_uncontended": "no mutex of its own", "timer_start_cancel": "a delayed message cannot be cancelled",
              "yield": "an actor gives way only between messages"}

    def prepare(self):
        need("g++", "g++")
        if not pathlib.Path("/usr/include/caf/all.hpp").exists():
            raise Skipped("its headers are not there (Debian's libcaf-dev)")
        self.folder.mkdir(parents=True, exist_ok=True)
        build("the CAF peer", "g++", "-std=c++17", "-O2", "-DNDEBUG", "-o", self.folder / "peer",
              PEERS / "caf" / "peer.cpp", "-lcaf_core", "-pthread")

    def command(self, row, workers):
        return [self.folder / "peer", row, str(workers), str(self.options.seconds)], {}


def measure(stack, row, workers, options):
    command, env = stack.command(row, workers)
    what = f"{stack.title}, {row}, {workers} worker{'s' if workers > 1 else ''}"
    output, others = run_pinned(command, env, options.cores[:workers], what)
    try:
        result = stack.read(output)
        sample = {"ns": float(result["ns"]), "others_share": others}
        for name in ("bytes", "bytes_hibernated", "ns_reused"):
            if name in result:
                sample[name] = float(result[name])
    except (ValueError, KeyError) as problem:
        raise Invalid(f"{what}: unreadable ({problem!r}): {output[:500]}") from None
    if sample["ns"] <= 0 or (row == "spawn_park" and sample.get("bytes", 0) <= 0):
        raise Invalid(f"{what}: impossible figures {sample}")
    return sample


def ten_million(options):
    output, others = run_pinned([options.ten_million], {}, options.cores[:1], "ten_million")
    return {**json.loads(output), "others_share": others}


def lateness(options):
    output, others = run_pinned([options.lateness, "--seconds", "10"], {}, options.cores[:2], "lateness")
    return {**json.loads(output), "others_share": others}


def memory_for_ten_million():
    found = re.search(r"^MemAvailable:\s*(\d+) kB", pathlib.Path("/proc/meminfo").read_text(), re.MULTILINE)
    return found and int(found.group(1)) >= 8 * 1024 * 1024


def collect(stacks, rows, options):
    """The samples: {(stack, row, workers): [sample of each round]}, and those of ten_million."""
    samples, tens = {}, []
    for round_number in range(options.rounds):
        for index, (row, workers) in enumerate(rows):
            able = [stack for stack in stacks if stack.has(row, workers)]
            shift = (round_number + index) % len(able)
            told = []
            for stack in able[shift:] + able[:shift]:
                sample = measure(stack, row, workers, options)
                samples.setdefault((stack.key, row, workers), []).append(sample)
                told.append(f"{stack.title} {sample['ns']:.1f}")
            say(f"round {round_number + 1}/{options.rounds}  {row}, {workers} worker{'s' if workers > 1 else ''}: "
                f"{', '.join(told)} ns")
        if options.ten_million and not options.filtered:
            tens.append(ten_million(options))
            say(f"round {round_number + 1}/{options.rounds}  ten_million: {tens[-1]['spawn_ns']:.0f} ns a spawn, "
                f"{tens[-1]['bytes_parked']:.0f} bytes a process")
    return samples, tens


def series(samples, key, row, workers, name):
    return [sample[name] for sample in samples.get((key, row, workers), []) if name in sample]


def lines_of_table(stacks, rows, samples):
    """What the table has, as (title, workers, what, budget, goals, {stack: values})."""
    for row, workers in rows:
        what = next(text for name, _, text in ROWS if name == row)
        values = {stack.key: series(samples, stack.key, row, workers, "ns") for stack in stacks}
        yield f"`{row}`", workers, what, BUDGETS.get((row, workers)), GOALS, values
    for row, workers in rows:
        if row == "spawn_park":
            values = {stack.key: series(samples, stack.key, row, workers, "bytes") for stack in stacks}
            goals = {key: BYTES_GOAL for key in GOALS}
            yield "bytes a process", workers, "resident, of those of `spawn_park`", BYTES_BUDGET, goals, values


def table(stacks, rows, samples):
    peers = [stack for stack in stacks if stack.key != "genever"]
    lines = [f"| row | workers | one operation | budget | Genever | {' | '.join(peer.title for peer in peers)} |",
             "|" + "---|" * (5 + len(peers))]
    over, below = [], {key: [] for key in GOALS}
    for title, workers, what, budget, goals, values in lines_of_table(stacks, rows, samples):
        own = statistics.median(values["genever"])
        if budget and round(own) > budget:
            over.append(f"{title}/{workers} {number(own)} of {budget}")
        cells = [title, str(workers), what, f"≤ {budget}" if budget else "", spread(values["genever"])]
        for peer in peers:
            if not values[peer.key]:
                cells.append("–")
                continue
            ratio = statistics.median(values[peer.key]) / own
            goal = goals.get(peer.key, 0)
            if ratio < goal:
                below[peer.key].append(f"{title}/{workers} {ratio:.1f}")
            cells.append(f"{ratio:.1f}×{' ↓' if ratio < goal else ''}, {spread(values[peer.key])}")
        lines.append(f"| {' | '.join(cells)} |")
    misses = [f"Over their budgets, with the workers: {', '.join(over)}."] if over else []
    for peer in peers:
        if below.get(peer.key):
            misses.append(f"Below {GOALS[peer.key]} times {peer.title} ({BYTES_GOAL} times for the bytes), with the "
                          f"workers: {', '.join(below[peer.key])}.")
    return lines, misses


def notes(stacks, samples):
    """Figures that belong to a row and are no row."""
    found = []
    captured = series(samples, "genever", "spawn_park_captures", 1, "bytes")
    if captured:
        found.append("A Genever process whose callable owns something (`spawn_park_captures`): "
                     f"{spread(captured)} bytes.")
    by_name = series(samples, "genever", "call_by_name", 1, "ns")
    if by_name:
        found.append("A Genever call to a server by its name, which is looked up each time (`call_by_name`): "
                     f"{spread(by_name)} ns.")
    for stack in stacks:
        hibernated = series(samples, stack.key, "spawn_park", 1, "bytes_hibernated")
        if hibernated:
            found.append(f"{stack.title}'s processes in hibernation, by `process_info(memory)`: "
                         f"{spread(hibernated)} bytes; each has to grow a heap again when it wakes.")
        reused = series(samples, stack.key, "timer_start_cancel", 1, "ns_reused")
        if reused:
            found.append(f"{stack.title}'s timer of `timer_start_cancel`, when one is reused (`Reset`, `Stop`) "
                         f"instead of started: {spread(reused)} ns.")
    return found


def missing_rows(stacks, rows):
    """Why a stack has no figure in a row, one line for each."""
    lines = []
    for stack in stacks:
        reasons = {}
        for row in dict.fromkeys(row for row, _ in rows):
            if row in stack.lacks:
                reasons.setdefault(stack.lacks[row], []).append(f"`{row}`")
        if reasons:
            lines.append(f"{stack.title} has no " + "; ".join(f"{', '.join(of)}: {why}" for why, of in reasons.items()) + ".")
    return lines


def ten_million_goal(tens, samples):
    """The goal for ten million parked processes, and what of it was met."""
    def verdict(value, goal):
        return "met" if value <= goal else "missed"

    size = statistics.median(t["bytes_parked"] * t["processes"] for t in tens) / 1e9
    first, again = (statistics.median(t[name] for t in tens) for name in ("spawn_ns", "again_spawn_ns"))
    text = (f"The goal is 10,000,000 parked processes within {TEN_MILLION_GOAL_GB} GB, created at {TEN_MILLION_GOAL_NS} ns each or "
            f"less. The memory: {size:.1f} GB, {verdict(size, TEN_MILLION_GOAL_GB)}. Creating them: {number(first)} ns in memory that the "
            f"program never had, {verdict(first, TEN_MILLION_GOAL_NS)}; {number(again)} ns where it had it before, "
            f"{verdict(again, TEN_MILLION_GOAL_NS)}.")
    million = series(samples, "genever", "spawn_park", 1, "ns")
    if million:
        one = statistics.median(million)
        text += f" A million in a fresh program (`spawn_park`): {number(one)} ns, {verdict(one, TEN_MILLION_GOAL_NS)}."
    return ["", text]


def ten_million_lines(tens, samples):
    if not tens:
        return []

    def of(name, scale=1.0):
        return spread([t[name] / scale for t in tens])

    gib = 1024.0 ** 3
    return [
        "",
        f"Ten million processes at once (`ten_million`, one worker; {len(tens)} runs):",
        "",
        "| phase | s | ns a process | resident at its end, GiB |",
        "|---|---|---|---|",
        f"| start, until all wait in a receive | {of('spawn_s')} | {of('spawn_ns')} | {of('resident_parked', gib)} |",
        f"| wake each by a message | {of('wake_s')} | {of('wake_ns')} | {of('resident_woken', gib)} |",
        f"| run each to its end | {of('end_s')} | {of('end_ns')} | {of('resident_ended', gib)} |",
        f"| stop the runtime | | | {of('resident_without_runtime', gib)} |",
        "",
        f"Resident of each parked one: {of('bytes_parked')} bytes. This is memory that the program never had: most of the "
        "start are page faults. Done again in the same program, which has given it all back in between: "
        f"{of('again_spawn_ns')} ns a process to start, {of('again_wake_ns')} to wake, {of('again_end_ns')} to end. (Those "
        "that are woken run while the others are still being sent to: whoever sends ten million messages in a row is "
        "a hog, and its worker gets another thread.)",
        *ten_million_goal(tens, samples),
    ]


def lateness_lines(late):
    if not late:
        return []
    lines = ["",
             "How late a process ticks that wakes every 10 ms, with 2 workers on 2 cores, while others keep their threads "
             f"(`lateness`, {late['seconds']:.0f} s each, milliseconds beyond the moment at which the tick was due):",
             "",
             "| meanwhile | at once | p50 | p99 | max |", "|---|---|---|---|---|"]
    lines += [f"| {s['name']} | {s['hogs_at_once']} | {s['p50_ms']} | {s['p99_ms']} | {s['max_ms']} |"
              for s in late["situations"]]
    over = [s["name"] for s in late["situations"] if s["p99_ms"] > LATENESS_GOAL_MS]
    return lines + ["", f"The goal is a p99 of {LATENESS_GOAL_MS} ms at most" +
                    (f"; missed: {', '.join(over)} (see [decision 4](decisions/004-stuck-workers.md))." if over else ".")]


def report(stacks, skipped, rows, samples, tens, late, facts, options):
    lines, misses = table(stacks, rows, samples)
    worst = max(sample["others_share"] for of_row in samples.values() for sample in of_row)
    versions = {stack.key: stack.version for stack in stacks}
    said = [f"Genever {facts['commit']} ({versions['genever']})"]
    said += [f"{stack.title}: {stack.version}" + (f" with {facts['gxx']}" if stack.key == "caf" else "")
             for stack in stacks if stack.key != "genever"]
    lines += ["",
              f"Nanoseconds an operation (last rows: bytes): median (min–max) of {options.rounds} interleaved rounds "
              f"of {options.seconds} s after a warm-up, every result checked; in front of a peer's, how many times "
              f"Genever's median it is (↓: below the goal). Measured {facts['date']}."]
    lines += ten_million_lines(tens, samples)
    lines += lateness_lines(late)
    lines += ["", "- Command: `make bench-peers`" +
              (f" (here with `{shlex.join(options.said)}`)" if options.said else "") + ".",
              f"- Machine: {facts['cpu']}, {facts['cores']} cores, {facts['kernel']}.",
              f"- Versions: {'; '.join(said)}."]
    lines += [f"- {note}" for note in notes(stacks, samples)]
    lines += [f"- {line}" for line in missing_rows(stacks, rows)]
    lines += [f"- {title} is missing: {why}." for title, why in skipped]
    lines.append(f"- Disturbance: other work took at most {worst:.1%} of the cores in any measurement.")
    lines += [f"- {miss}" for miss in misses] or ["- Every budget is kept, every goal reached."]
    return "\n".join(lines), worst


def plot(stacks, rows, samples):
    """The ratios as bars on a logarithmic scale, one panel for each number of workers."""
    peers = [stack for stack in stacks if stack.key != "genever"]
    panels = []
    for workers in BOTH:
        entries = []
        for title, n, _, _, _, values in lines_of_table(stacks, rows, samples):
            if n != workers:
                continue
            own = statistics.median(values["genever"])
            ratios = [(peer, statistics.median(values[peer.key]) / own) for peer in peers if values[peer.key]]
            if ratios:
                entries.append((title.strip("`"), ratios))
        if entries:
            panels.append((workers, entries))
    most = max((ratio for _, entries in panels for _, ratios in entries for _, ratio in ratios), default=1)
    least = min((ratio for _, entries in panels for _, ratios in entries for _, ratio in ratios), default=1)
    low, high = min(0.5, least * 0.9), max(20, most * 1.3)
    left, width, bar, gap, panel_width = 150, 1000, 7, 9, 340

    def x_of(ratio):
        return panel_width * math.log(ratio / low) / math.log(high / low)

    height = 96 + max(sum(len(r) * bar + gap for _, r in entries) for _, entries in panels) + 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
           f'font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
           '<text x="20" y="26" font-size="16" font-weight="600" fill="#1f2430">'
           'What an operation costs, as a multiple of Genever’s cost</text>']
    x = 20
    for peer in peers:
        out.append(f'<rect x="{x}" y="38" width="12" height="12" rx="2" fill="{COLOURS[peer.key]}"/>'
                   f'<text x="{x + 18}" y="48" fill="#1f2430">{peer.title}</text>')
        x += 84
    out.append(f'<text x="{x + 4}" y="48" fill="#6b7280">logarithmic scale, medians; left of 1× the peer is the '
               'cheaper one</text>')
    for index, (workers, entries) in enumerate(panels):
        x0 = left + index * (panel_width + 135)
        top = 84
        bottom = top + sum(len(ratios) * bar + gap for _, ratios in entries)
        out.append(f'<text x="{x0}" y="{top - 12}" font-weight="600" fill="#1f2430">'
                   f'{workers} worker{"s" if workers > 1 else ""}</text>')
        for tick in [t for t in (0.1, 0.3, 1, 3, 5, 10, 30, 100, 300, 1000) if low <= t <= high]:
            x = x0 + x_of(tick)
            strong = tick == 1
            out.append(f'<line x1="{x:.1f}" y1="{top - 4}" x2="{x:.1f}" y2="{bottom}" '
                       f'stroke="{"#1f2430" if strong else "#e1e4e8"}" stroke-width="1"/>'
                       f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle" font-size="11" '
                       f'fill="#6b7280">{tick}×</text>')
        y = top
        for title, ratios in entries:
            middle = y + len(ratios) * bar / 2
            out.append(f'<text x="{x0 - 8}" y="{middle + 4:.1f}" text-anchor="end" fill="#1f2430">{title}</text>')
            for peer, ratio in ratios:
                begin, end = sorted((x0 + x_of(1), x0 + x_of(ratio)))
                out.append(f'<rect x="{begin:.1f}" y="{y}" width="{max(end - begin, 1):.1f}" height="{bar - 1}" '
                           f'fill="{COLOURS[peer.key]}"><title>{title}: {ratio:.1f}× ({peer.title})</title></rect>')
                y += bar
            y += gap
    out.append("</svg>")
    return "\n".join(out) + "\n"


def arguments():
    parser = argparse.ArgumentParser(description="Compares the runtime's benchmarks with Go's, Erlang's and CAF's.")
    parser.add_argument("--genever", type=pathlib.Path, default=ROOT / "build" / "dev" / "bench" / "bench_runtime")
    parser.add_argument("--ten-million", type=pathlib.Path, default=ROOT / "build" / "dev" / "bench" / "ten_million")
    parser.add_argument("--lateness", type=pathlib.Path, default=ROOT / "build" / "dev" / "bench" / "lateness")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement")
    parser.add_argument("--rows", help="only these, by a regular expression; not with --write")
    parser.add_argument("--stacks", help="only these peers, by comma; not with --write")
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "build" / "bench" / "runtime-peers.json")
    parser.add_argument("--plot", type=pathlib.Path, help="also draw the ratios into this file (SVG)")
    parser.add_argument("--write", action="store_true",
                        help="put the table into docs/performance.md and the plot beside it")
    options = parser.parse_args()
    for tool in ("taskset", "git"):
        if shutil.which(tool) is None:
            parser.error(f"{tool} is not installed")
    for binary in (options.genever, options.ten_million, options.lateness):
        if not os.access(binary, os.X_OK):
            parser.error(f"not a program: {binary} (make bench builds it)")
    options.cores = sorted(os.sched_getaffinity(0))[:2]
    if len(options.cores) < 2:
        parser.error("two cores are needed")
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("rounds is at least 1, seconds is more than 0")
    options.filtered = bool(options.rows or options.stacks)
    if options.filtered and options.write:
        parser.error("--write takes a whole run: without --rows and --stacks")
    options.genever = options.genever.resolve()
    options.lateness = options.lateness.resolve()
    options.ten_million = options.ten_million.resolve() if memory_for_ten_million() else None
    options.said = [word for name in ("rounds", "seconds") if getattr(options, name) != parser.get_default(name)
                    for word in (f"--{name}", str(getattr(options, name)))]
    return options


def prepared(options):
    """The stacks that can be measured, Genever first, and (title, why) of the others."""
    stacks, skipped = [], []
    wanted = options.stacks.split(",") if options.stacks else None
    for kind in (Genever, Go, Erlang, Caf):
        if wanted is not None and kind.key not in wanted and kind is not Genever:
            continue
        stack = kind(ROOT / "build" / "bench" / "peers", options)
        try:
            stack.prepare()
            stacks.append(stack)
        except Skipped as why:
            skipped.append((stack.title, str(why)))
            say(f"{stack.title} is left out: {why}")
    return stacks, skipped


def chosen(options, genever):
    rows = []
    for name, counts, _ in ROWS:
        if options.rows and not re.search(options.rows, name):
            continue
        for workers in counts:
            if genever.has(name, workers):
                rows.append((name, workers))
            else:
                say(f"{name}, {workers} worker{'s' if workers > 1 else ''} is left out: not in this build of Genever")
    rows.sort(key=lambda row: row[1])
    if not rows:
        raise Invalid("no row to measure")
    return rows


def main():
    options = arguments()
    facts = machine()
    try:
        stacks, skipped = prepared(options)
        rows = chosen(options, stacks[0])
        if options.ten_million is None:
            say("ten_million is left out: less than 8 GiB of memory is free")
        # Genever's own variants of a row, for notes below the table.
        extra = [(variant, 1) for variant, row in VARIANTS.items() if (row, 1) in rows]
        plan = rows + extra
        for stack in stacks[1:]:
            stack.lacks = {**stack.lacks, **{variant: f"the same as {row}" for variant, row in VARIANTS.items()}}
        with alone():
            samples, tens = collect(stacks, plan, options)
            late = None if options.filtered else lateness(options)
        text, worst = report(stacks, skipped, rows, samples, tens, late, facts, options)
        print(text)
        if worst > 0.05:
            say("warning: other work disturbed this run; repeat it on a quiet machine")
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({
            "machine": facts,
            "command": shlex.join(sys.argv),
            "versions": {stack.title: stack.version for stack in stacks},
            "skipped": dict(skipped),
            "seconds": options.seconds,
            "samples": [{"stack": stack, "row": row, "workers": workers, "rounds": of_row}
                        for (stack, row, workers), of_row in samples.items()],
            "ten_million": tens,
            "lateness": late,
        }, indent=2) + "\n")
        picture = plot(stacks, rows, samples) if len(stacks) > 1 else None
        if options.plot and picture:
            options.plot.write_text(picture)
        if options.write:
            if picture:
                PLOT.write_text(picture)
                text = f"![What an operation costs, as a multiple of Genever's cost]({PLOT.name})\n\n{text}"
            write_docs("bench-runtime", text)
    except (Invalid, subprocess.SubprocessError, OSError, ValueError) as problem:
        say(f"invalid run: {problem}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
