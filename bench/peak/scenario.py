"""What a scenario is: cells that each stack is measured in, and the figures of a cell."""


class Figure:
    """One column of a scenario's table. `better` is "more", "less" or None, where neither is."""

    def __init__(self, key, title, better=None, scale=1.0):
        self.key, self.title, self.better, self.scale = key, title, better, scale


class Scenario:
    key = title = about = ""
    figures = ()

    def cells(self, bench):
        """The names of its cells, in their order."""
        raise NotImplementedError

    def takes(self, stack, cell):
        """Whether a stack is measured in a cell."""
        return stack.routes is None

    def measure(self, bench, stack, cell):
        """Measures once: values by the figures' keys, and series (lists of pairs) by their names."""
        raise NotImplementedError
