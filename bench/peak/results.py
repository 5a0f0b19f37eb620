"""All that has been measured, and what can be asked of it."""

import math
import statistics

from figures import median, spread


class Results:
    def __init__(self):
        self.samples = []   # {"scenario", "cell", "stack", "round", "values", "series"}
        self.failures = []  # {"scenario", "cell", "stack", "round", "why"}

    def add(self, scenario, cell, stack, round_number, values, series):
        self.samples.append({"scenario": scenario, "cell": cell, "stack": stack, "round": round_number,
                             "values": values, "series": series})

    def fail(self, scenario, cell, stack, round_number, why):
        self.failures.append({"scenario": scenario, "cell": cell, "stack": stack, "round": round_number, "why": why})

    def _of(self, scenario, cell=None, stack=None):
        return [s for s in self.samples if s["scenario"] == scenario and cell in (None, s["cell"]) and
                stack in (None, s["stack"])]

    def cells(self, scenario):
        return list(dict.fromkeys(s["cell"] for s in self._of(scenario)))

    def all_cells(self, scenario):
        """Also those in which nothing could be measured."""
        return list(dict.fromkeys([*self.cells(scenario), *(f["cell"] for f in self.failures if f["scenario"] == scenario)]))

    def stacks(self, scenario=None, cell=None):
        found = self.samples if scenario is None else self._of(scenario, cell)
        return list(dict.fromkeys(s["stack"] for s in found))

    def values(self, scenario, cell, stack, figure):
        """A figure of each round, without those that have none."""
        found = [s["values"].get(figure) for s in self._of(scenario, cell, stack)]
        return [value for value in found if value is not None and not math.isnan(value)]

    def median(self, scenario, cell, stack, figure):
        return median(self.values(scenario, cell, stack, figure))

    def total(self, scenario, cell, stack, figure):
        """Of what must not happen at all: all rounds' together."""
        return sum(found) if (found := self.values(scenario, cell, stack, figure)) else math.nan

    def spread(self, scenario, cell, stack, figure, scale=1.0):
        return spread([value * scale for value in self.values(scenario, cell, stack, figure)])

    def measured(self, scenario, cell, stack):
        """Whether a measurement came to its end there, whatever it found."""
        return bool(self._of(scenario, cell, stack))

    def curve(self, scenario, cell, stack, name):
        """A series of pairs: at each place the median of all rounds that have it."""
        places = {}
        for sample in self._of(scenario, cell, stack):
            for x, y in sample["series"].get(name, []):
                places.setdefault(x, []).append(y)
        return [(x, statistics.median(ys)) for x, ys in sorted(places.items())]

    def most(self, stack, figure):
        """The largest value of a figure in anything, and where it was."""
        found = [(s["values"][figure], s["scenario"], s["cell"]) for s in self.samples
                 if s["stack"] == stack and s["values"].get(figure) is not None]
        return max(found, default=None)

    def failed(self, scenario, cell, stack):
        return [f for f in self.failures if (f["scenario"], f["cell"], f["stack"]) == (scenario, cell, stack)]
