"""The report: one page of HTML with nothing from elsewhere, one file of JSON, and what goes into the docs."""

import html
import json
import re
import statistics

from figures import number
from goals import NAMES, PEERS, behind, goals

CSS = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: #1f2430; background: #fff;
       max-width: 1180px; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { margin-top: 2.6rem; border-bottom: 1px solid #e1e4e8; }
p.about { max-width: 62rem; color: #4b5563; } .small { font-size: 13px; color: #6b7280; }
.wide { overflow-x: auto; } svg { max-width: 100%; height: auto; display: block; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 13px; margin: .8rem 0; font-variant-numeric: tabular-nums; }
th, td { border: 1px solid #e1e4e8; padding: .28rem .5rem; text-align: right; vertical-align: top; }
th { background: #f6f8fa; font-weight: 600; } td.name, th.name { text-align: left; }
td.cell, td.stack { text-align: left; } td.stack { white-space: nowrap; }
tr.genever td:not(.cell) { background: #f2fbf5; } td.best { font-weight: 700; }
td.met { color: #15803d; font-weight: 600; } td.missed { color: #b91c1c; font-weight: 700; }
td.unmeasured { color: #6b7280; } td.failure { text-align: left; color: #b91c1c; }
code { font-size: .92em; background: #f6f8fa; padding: 0 .2em; } nav a { margin-right: 1em; }
"""


def marked(text):
    """Text with `code` in it, as HTML."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text))


def anchor(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def goals_table(results):
    rows = ["<table><tr><th class=name>it must show</th><th>goal</th><th>Genever</th><th></th>"
            "<th class=name>beside it</th></tr>"]
    for goal in goals(results):
        kind = "unmeasured" if goal.met is None else goal.verdict
        rows.append(f"<tr><td class=name>{marked(goal.what)}</td><td>{html.escape(goal.wanted)}</td>"
                    f"<td>{html.escape(goal.found)}</td><td class={kind}>{goal.verdict}</td>"
                    f"<td class=name>{html.escape(goal.peers)}</td></tr>")
    return "\n".join([*rows, "</table>"])


def behind_table(results, scenarios):
    found = behind(results, scenarios)
    if not found:
        return "<p>Nowhere by more than 5 %, in what was measured.</p>"
    rows = ["<table><tr><th class=name>scenario</th><th class=name>cell</th><th class=name>figure</th><th>Genever</th>"
            "<th>the best peer</th><th class=name></th></tr>"]
    for scenario, cell, figure, peer, own, theirs in found:
        rows.append(f"<tr><td class=name>{scenario.title}</td><td class=name>{html.escape(cell)}</td>"
                    f"<td class=name>{html.escape(figure.title)}</td><td>{number(own * figure.scale)}</td>"
                    f"<td>{number(theirs * figure.scale)}</td><td class=name>{NAMES.get(peer, 'Genever failed')}</td></tr>")
    return "\n".join([*rows, "</table>"])


def best_of(results, scenario, cell, figure):
    """Which stacks have the best median, the floor apart; none where all have the same."""
    if not figure.better:
        return set()
    rivals = {stack: results.median(scenario.key, cell, stack, figure.key) for stack in results.stacks(scenario.key, cell)
              if stack != "bare_epoll"}
    told = [value for value in rivals.values() if value == value]
    if len(set(told)) < 2:
        return set()
    best = max(told) if figure.better == "more" else min(told)
    return {stack for stack, value in rivals.items() if value == best}


def scenario_table(results, scenario, order):
    head = "".join(f"<th>{html.escape(figure.title)}</th>" for figure in scenario.figures)
    rows = [f"<table><tr><th class=name></th><th class=name>stack</th>{head}</tr>"]
    for cell in results.all_cells(scenario.key):
        measured = [stack for stack in order if stack in results.stacks(scenario.key, cell)]
        failures = {stack: results.failed(scenario.key, cell, stack) for stack in order}
        lines = []
        for stack in order:
            if stack in measured:
                cells = []
                for figure in scenario.figures:
                    best = " class=best" if stack in best_of(results, scenario, cell, figure) else ""
                    value = results.spread(scenario.key, cell, stack, figure.key, figure.scale)
                    cells.append(f"<td{best}>{html.escape(value)}</td>")
                lines.append((stack, "".join(cells)))
            if failures[stack]:
                why = "; ".join(dict.fromkeys(f["why"] for f in failures[stack]))
                times = f"{len(failures[stack])} without a figure: " if stack in measured else ""
                lines.append((stack, f"<td class=failure colspan={len(scenario.figures)}>{html.escape(times + why)}</td>"))
        for place, (stack, cells) in enumerate(lines):
            first = f"<td class=cell rowspan={len(lines)}>{html.escape(cell)}</td>" if place == 0 else ""
            rows.append(f"<tr class={stack}>{first}<td class=stack>{NAMES[stack]}</td>{cells}</tr>")
    return "\n".join([*rows, "</table>"])


def conditions(facts):
    lines = [f"<li>{marked(text)}</li>" for text in condition_lines(facts)]
    return "<ul>" + "".join(lines) + "</ul>"


def condition_lines(facts):
    """What a reader has to know of how the figures came to be."""
    lines = [f"Machine: {facts['cpu']}, {facts['cores']} cores, {facts['kernel']}; measured {facts['date']}.",
             f"The server runs alone on core {facts['server_core']}, all load and the driver on core {facts['load_core']}; for "
             "“two cores” the server has both, and the load shares them.",
             f"Load: {facts['wrk']} (closed loops), vegeta {facts['vegeta']} (open loops), pinned to the load's core. Where two "
             "share it " + ("the one whose latencies count goes first (`chrt --fifo 1`): in crash storms, in state crash, and the critical route's under overload." if facts["ahead"] else
                "the one whose latencies count waits for the other too: `chrt --fifo 1` is not permitted here."),
             f"{facts['rounds']} round{'s' if facts['rounds'] != 1 else ''}; in each cell the stacks take turns, in an order that "
             "rotates, each with a fresh server. Figures are medians (min–max) over the rounds.",
             f"Before anything was timed, all stacks gave the same answers to {facts['questions']} questions (status, media type, "
             "content).",
             f"Disturbance: other work took at most {100 * facts['others']:.1f} % of the server's core in a steady measurement. Between the "
             f"measurements others, on this machine or its host, had {100 * statistics.median(facts['taken']):.1f} % of a core's time (median of "
             f"{len(facts['taken'])} looks; at most {100 * max(facts['taken']):.1f} %)."]
    for stack in facts["stacks"]:
        notes = "; ".join(stack["notes"])
        lines.append(f"{stack['title']}: {stack['version']}" + (f"; {notes}" if notes else "") + ".")
    lines += [f"{skipped['title']} is missing: {skipped['why']}." for skipped in facts["skipped"]]
    if facts["command"]:
        lines.append(f"Command: `{facts['command']}`.")
    return lines


def page(results, scenarios, facts, plots):
    order = [stack["key"] for stack in facts["stacks"]]
    measured = [s for s in scenarios if s.key in {sample["scenario"] for sample in results.samples + results.failures}]
    links = "".join(f'<a href="#{anchor(s.title)}">{s.title}</a>' for s in measured)
    body = ["<h1>Peak: Genever beside its peers</h1>",
            f"<p class=small>Measured {facts['date']}, Genever {html.escape(facts['commit'])}. The figures of one machine: "
            "compare rows, not pages.</p>",
            f"<nav>{links}<a href='#conditions'>Conditions</a></nav>"]
    body += [f'<div class=wide>{svg}</div>' for svg in plots.values()]
    body += ["<h2 id=goals>Goals</h2>", f"<div class=wide>{goals_table(results)}</div>",
             "<h2 id=behind>Where Genever is behind</h2>",
             "<p class=about>Every figure in which a peer's median is better than Genever's by more than 5 %.</p>",
             f"<div class=wide>{behind_table(results, scenarios)}</div>"]
    for scenario in measured:
        body += [f'<h2 id="{anchor(scenario.title)}">{scenario.title}</h2>', f"<p class=about>{marked(scenario.about)}</p>",
                 f"<div class=wide>{scenario_table(results, scenario, order)}</div>"]
    body += ["<h2 id=conditions>Conditions</h2>", conditions(facts),
             "<p class=small>Bold: the best median of the column in a cell, the floor (bare epoll) apart. The raw samples of "
             "every round are in <code>report.json</code> beside this page, and in it.</p>"]
    raw = json.dumps(as_json(results, facts), separators=(",", ":")).replace("<", "\\u003c")
    return ("<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width'>"
            f"<title>Peak: Genever beside its peers</title><style>{CSS}</style></head><body>\n" + "\n".join(body) +
            f'\n<script type="application/json" id="raw">{raw}</script>\n</body></html>\n')


def as_json(results, facts):
    """The raw data, with a verdict of it if all that was to be measured has been."""
    told = [{"what": g.what, "wanted": g.wanted, "found": g.found, "verdict": g.verdict, "beside": g.peers}
            for g in goals(results)] if facts["whole"] else []
    return rid_of_nan({"facts": facts, "goals": told, "samples": results.samples, "failures": results.failures})


def rid_of_nan(value):
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: rid_of_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rid_of_nan(item) for item in value]
    return None if isinstance(value, float) and value != value else value


def in_words(svg):
    """What a picture shows, in words: for those who do not see it."""
    return html.unescape(re.search("<title>(.*?)</title>", svg)[1])


def markdown(results, facts, plots):
    """What docs/performance.md says of it."""
    lines = [f"![{in_words(svg)}](peak-{name}.svg)\n" for name, svg in plots.items()]
    lines += ["| it must show | goal | Genever | | beside it |", "|---|---|---|---|---|"]
    for goal in goals(results):
        lines.append(f"| {goal.what} | {goal.wanted} | {goal.found} | {goal.verdict} | {goal.peers} |")
    lines += ["", *[f"- {line}" for line in condition_lines(facts)]]
    return "\n".join(lines)


def readme(plots, facts):
    shown = [name for name in ("cpu", "goodput", "storm") if name in plots]
    peers = [stack["title"] for stack in facts["stacks"] if stack["key"] in PEERS]
    lines = [f"![{in_words(plots[name])}](docs/peak-{name}.svg)\n" for name in shown]
    lines.append(f"`make peak` measures Genever beside {' and '.join(peers)} on your machine; the figures above, with where "
                 "Genever loses, are explained in [docs/performance.md](docs/performance.md).")
    return "\n".join(lines)
