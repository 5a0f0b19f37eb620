"""The pictures, as SVG without anything from elsewhere."""

import html
import math

from figures import number

COLOURS = {"genever": "#15803d", "bare_epoll": "#6b7280", "gin": "#0a7ea4", "otp": "#a90533", "phoenix": "#c2570c"}
TITLES = {"genever": "Genever", "bare_epoll": "bare epoll", "gin": "Gin", "otp": "OTP alone", "phoenix": "Phoenix"}
INK, GREY, LINE = "#1f2430", "#6b7280", "#e1e4e8"
PANEL_WIDTH, PANEL_HEIGHT, LEFT, TOP, GAP, BOTTOM = 380, 230, 62, 112, 96, 52


class Axis:
    """Maps values to 0…1. Ticks are (value, text)."""

    def __init__(self, title, low, high, ticks, log=False):
        self.title, self.low, self.high, self.ticks, self.log = title, low, high, ticks, log

    def place(self, value):
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


class Line:
    def __init__(self, stack, points, title=None, dash=None, marks=False):
        self.colour, self.points, self.dash, self.marks = COLOURS[stack], points, dash, marks
        self.title = title or TITLES[stack]


def log_axis(title, values, least=None):
    """Decades around the values."""
    values = [v for v in values if v > 0] or [1, 10]
    low = 10 ** math.floor(math.log10(least or min(values)))
    high = max(10 ** math.ceil(math.log10(max(values))), low * 10)
    decades = round(math.log10(high / low))
    ticks = [(low * 10 ** n, tick_text(low * 10 ** n)) for n in range(decades + 1)]
    return Axis(title, low, high, ticks, log=True)


def tick_text(value):
    return f"{value:g}" if value < 1000 else f"{value:,.0f}"


def linear_axis(title, high, low=0.0, unit=""):
    step = 10 ** math.floor(math.log10(max(high - low, 1e-9)))
    for factor in (0.2, 0.5, 1, 2):
        if (high - low) / (step * factor) <= 6:
            step *= factor
            break
    top = low + step * math.ceil((high - low) / step - 1e-9)
    count = round((top - low) / step)
    return Axis(title, low, top, [(low + n * step, f"{low + n * step:g}{unit}") for n in range(count + 1)])


def text(x, y, what, size=12, anchor="start", colour=INK, weight="", more=""):
    bold = f' font-weight="{weight}"' if weight else ""
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{bold}{more}>'
            f"{html.escape(what)}</text>")


def panel(x0, y0, title, x_axis, y_axis, lines, bands=()):
    def at(x, y):
        return x0 + x_axis.place(x) * PANEL_WIDTH, y0 + (1 - y_axis.place(y)) * PANEL_HEIGHT

    out = [text(x0, y0 - 14, title, 13, weight="600")]
    for low, high in bands:
        begin, end = at(low, y_axis.low)[0], at(high, y_axis.low)[0]
        out.append(f'<rect x="{begin:.1f}" y="{y0}" width="{end - begin:.1f}" height="{PANEL_HEIGHT}" fill="#fff3e0"/>')
    for value, label in y_axis.ticks:
        _, y = at(x_axis.low, value)
        out.append(f'<line x1="{x0}" y1="{y:.1f}" x2="{x0 + PANEL_WIDTH}" y2="{y:.1f}" stroke="{LINE}"/>')
        out.append(text(x0 - 8, y + 4, label, 11, "end", GREY))
    for value, label in x_axis.ticks:
        x, _ = at(value, y_axis.low)
        out.append(f'<line x1="{x:.1f}" y1="{y0 + PANEL_HEIGHT}" x2="{x:.1f}" y2="{y0 + PANEL_HEIGHT + 4}" stroke="{GREY}"/>')
        out.append(text(x, y0 + PANEL_HEIGHT + 17, label, 11, "middle", GREY))
    out.append(text(x0 + PANEL_WIDTH / 2, y0 + PANEL_HEIGHT + 36, x_axis.title, 11, "middle", GREY))
    out.append(text(x0 - 46, y0 + PANEL_HEIGHT / 2, y_axis.title, 11, "middle", GREY,
                    more=f' transform="rotate(-90 {x0 - 46:.1f} {y0 + PANEL_HEIGHT / 2:.1f})"'))
    for line in lines:
        placed = [at(x, y) for x, y in line.points]
        if not placed:
            continue
        path = " ".join(f"{'M' if n == 0 else 'L'}{x:.1f} {y:.1f}" for n, (x, y) in enumerate(placed))
        dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
        out.append(f'<path d="{path}" fill="none" stroke="{line.colour}" stroke-width="2" stroke-linejoin="round"{dash}>'
                   f"<title>{html.escape(line.title)}</title></path>")
        if line.marks:
            for (x, y), (value, figure) in zip(placed, line.points):
                out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{line.colour}"><title>'
                           f"{html.escape(line.title)}, {number(value)}: {number(figure)}</title></circle>")
    return out


def figure(title, about, panels):
    """Panels side by side: (title, x axis, y axis, lines, bands)."""
    width = 20 + LEFT + len(panels) * PANEL_WIDTH + (len(panels) - 1) * GAP + 30
    height = TOP + PANEL_HEIGHT + BOTTOM
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
           'font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif" role="img">',
           f"<title>{html.escape(title)}</title>", f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
           text(20, 24, title, 16, weight="600")]
    x = 20
    seen = {}
    for _, _, _, lines, _ in panels:
        for line in lines:
            seen.setdefault((line.title, line.colour, line.dash), line)
    for name, colour, dash in seen:
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        out.append(f'<line x1="{x}" y1="44" x2="{x + 22}" y2="44" stroke="{colour}" stroke-width="3"{dashed}/>')
        out.append(text(x + 28, 48, name))
        x += 44 + 7 * len(name)
    out.append(text(20, 70, about, 11, colour=GREY))
    for place, (name, x_axis, y_axis, lines, bands) in enumerate(panels):
        out += panel(20 + LEFT + place * (PANEL_WIDTH + GAP), TOP, name, x_axis, y_axis, lines, bands)
    return "\n".join([*out, "</svg>"]) + "\n"


def bars(title, about, rows, unit):
    """Horizontal bars: (stack, value)."""
    width, bar, gap, left, top = 760, 26, 10, 110, 62
    most = max(value for _, value in rows)
    height = top + len(rows) * (bar + gap) + 14
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
           'font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif" role="img">',
           f"<title>{html.escape(title)}</title>", f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
           text(20, 24, title, 16, weight="600"), text(20, 44, about, 11, colour=GREY)]
    for place, (stack, value) in enumerate(rows):
        y = top + place * (bar + gap)
        length = (width - left - 170) * value / most
        out.append(text(left - 10, y + bar / 2 + 4, TITLES[stack], anchor="end"))
        out.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar}" rx="2" fill="{COLOURS[stack]}"/>')
        out.append(text(left + length + 8, y + bar / 2 + 4, f"{number(value)} {unit}"))
    return "\n".join([*out, "</svg>"]) + "\n"


def nines_axis():
    """Shares of requests by the number of nines."""
    ticks = [(0, "0"), (1, "90 %"), (2, "99 %"), (3, "99.9 %"), (4, "99.99 %")]
    return Axis("share of the requests, that were at least so quick", 0, 4, ticks)


def latency_lines(results, scenario, cell, stacks):
    lines = []
    for stack in stacks:
        points = [(-math.log10(1 - q), value) for q, value in results.curve(scenario, cell, stack, "latency_ms")]
        if points:
            lines.append(Line(stack, points))
    return lines


def latency_plot(results, stacks):
    """The open loop's distributions, and those among the hogs."""
    wanted = [("open loop", cell, f"/work?us=100 at {cell}") for cell in results.cells("open loop")
              if cell.startswith(("80", "95"))]
    wanted += [("hogs", cell, f"/ping among 8 hogs that {cell}") for cell in results.cells("hogs") if cell == "burn"]
    panels = []
    for scenario, cell, title in wanted:
        lines = latency_lines(results, scenario, cell, stacks)
        if lines:
            values = [y for line in lines for _, y in line.points]
            panels.append((title, nines_axis(), log_axis("ms", values), lines, ()))
    return figure("How long requests take", "medians of all rounds, from when each request was due; who was not served counts as 5 s (among hogs 10 s)", panels) if panels else None


def goodput_plot(results, stacks):
    panels = []
    for name, title in (("work", "/work?us=1000: a millisecond of CPU"), ("pool", "/pool: 8 places, 20 ms each")):
        lines = []
        for stack in stacks:
            points = []
            for cell in results.cells("overload"):
                if cell.startswith(f"{name} × "):
                    share = results.median("overload", cell, stack, "goodput_share")
                    if not math.isnan(share):
                        points.append((int(cell.split(" × ")[1]), 100 * share))
            if points:
                lines.append(Line(stack, sorted(points), marks=True))
        if lines:
            x_axis = Axis("offered, times its own capacity", 1, 10, [(1, "1×"), (2, "2×"), (5, "5×"), (10, "10×")], log=True)
            y_axis = linear_axis("goodput, % of its own capacity", max(110, *[y for line in lines for _, y in line.points]))
            panels.append((title, x_axis, y_axis, lines, ()))
    about = "served within a second, by what was offered; medians"
    return figure("Goodput in overload", about, panels) if panels else None


def storm_plot(results, stacks):
    panels = []
    for cell in ("50 % of the traffic", "20,000 crashes a second"):
        lines, bands = [], []
        shown = [(stack, cell, None, None) for stack in stacks]
        if "gin" in stacks:
            shown.append(("gin", "panic in a goroutine", "Gin, a panic a second in a bare goroutine", "4 3"))
        for stack, of, title, dash in shown:
            offered = results.median("crash storm", of, stack, "good_offered")
            points = results.curve("crash storm", of, stack, "good_per_s")
            if points:
                # The last steps hold what is left of the last requests.
                lines.append(Line(stack, [(x, 100 * y / offered) for x, y in points[:-2]], title, dash))
            marks = [(x, y) for x, y in results.curve("crash storm", of, stack, "storm")]
            if marks and not bands:
                begins, ends = [x for x, y in marks if y == 1], [x for x, y in marks if y == 0]
                bands.append((sorted(begins)[len(begins) // 2], sorted(ends)[len(ends) // 2]))
        if lines:
            last = max(x for line in lines for x, _ in line.points)
            title = f"{cell} (shaded)" if cell.endswith("second") else f"crashes: {cell} (shaded)"
            y_axis = Axis("good requests served, % of offered", 0, 150, [(n, str(n)) for n in (0, 25, 50, 75, 100, 125, 150)])
            panels.append((title, linear_axis("s", last), y_axis, lines, bands))
    about = "/ping in an open loop, by tenths of a second"
    return figure("Good requests through a crash storm", about, panels) if panels else None


def cpu_plot(results, stacks, cell):
    rows = [(stack, results.median("steady", cell, stack, "per_cpu_s")) for stack in stacks]
    rows = [(stack, value) for stack, value in rows if not math.isnan(value)]
    return bars("Requests of /ping for each CPU second of the server", "64 keep-alive connections, one core; medians",
                rows, "/s") if rows else None


def headline_plots(results, stacks, cell):
    """By name, those that there are figures for."""
    made = {"cpu": cpu_plot(results, stacks, cell), "goodput": goodput_plot(results, [s for s in stacks if s != "bare_epoll"]),
            "storm": storm_plot(results, stacks), "latency": latency_plot(results, stacks)}
    return {name: svg for name, svg in made.items() if svg}
