"""Numbers out of many numbers: quantiles, rates over time, slopes, medians with their spread."""

import bisect
import math
import statistics


def quantile(ordered, q):
    """The smallest value that at least a share q of them does not exceed; the values are in order."""
    if not ordered:
        return math.nan
    return ordered[min(len(ordered) - 1, max(0, math.ceil(q * len(ordered)) - 1))]


def quantiles(values, **named):
    ordered = sorted(values)
    return {name: quantile(ordered, q) for name, q in named.items()}


# Where a distribution is drawn: evenly in the number of nines.
CURVE = [1 - 10 ** (-n / 8) for n in range(0, 33)]


def curve(values, scale=1.0):
    """A distribution as pairs of share and value, up to where there are values to tell."""
    ordered = sorted(values)
    return [[q, quantile(ordered, q) * scale] for q in CURVE if ordered and (1 - q) * len(ordered) >= 1]


def over_time(moments, begin, end, step):
    """How many of the moments fall into each step, as pairs of the step's middle and a rate a second."""
    ordered = sorted(moments)
    points = []
    for n in range(round((end - begin) / step)):
        low, high = begin + n * step, begin + (n + 1) * step
        points.append([round((low + high) / 2, 4),
                       (bisect.bisect_left(ordered, high) - bisect.bisect_left(ordered, low)) / step])
    return points


def slope(points):
    """The least-squares slope of pairs."""
    if len(points) < 2:
        return math.nan
    mean_x = statistics.fmean(x for x, _ in points)
    mean_y = statistics.fmean(y for _, y in points)
    below = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / below if below else math.nan


def number(value):
    """A figure as it is read: three digits that count, more only where it is large."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 0.1:
        return f"{value:.2f}"
    return f"{value:.3f}" if size >= 0.0005 else "~0"


def median(values):
    known = [value for value in values if value is not None and not math.isnan(value)]
    return statistics.median(known) if known else math.nan


def spread(values):
    """Median (min–max)."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    if not known:
        return "–"
    middle, low, high = number(statistics.median(known)), number(min(known)), number(max(known))
    return middle if low == high == middle else f"{middle} ({low}–{high})"
