"""How long commits and deliveries take: histograms as plain numbers, without locks or labels."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from sanic_dispatch.callbacks.outcome import Accepted, InDoubt, Outcome, Refused

QUICK_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of buckets for durations of milliseconds."""

WORDS = {Accepted: "accepted", Refused: "refused", InDoubt: "in_doubt"}
"""By outcome: its name in the metrics."""


class Histogram:
    """Counts of values by bucket; ``ends`` are the inclusive upper bounds."""

    __slots__ = ("_counts", "_ends", "total")

    def __init__(self, ends: Sequence[float]) -> None:
        self._ends = ends
        self._counts = [0] * (len(ends) + 1)
        self.total = 0.0
        """The sum of all values."""

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._ends, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """The number of values."""
        return sum(self._counts)

    def buckets(self) -> Iterator[tuple[str, int]]:
        """Return each upper bound as Prometheus writes it, with the cumulative count."""
        names = [*map(str, self._ends), "+Inf"]
        return zip(names, accumulate(self._counts), strict=True)


class CommitStats:
    """Durations, sizes and failures of one store's commits; ``is_failing``: the last one failed."""

    def __init__(self) -> None:
        self.seconds = Histogram(QUICK_S)
        self.changes = Histogram((1, 2, 5, 10, 20, 50, 100, 200, 500))
        self.failures = 0
        self.is_failing = False

    def succeeded(self, changes: int, took_s: float) -> None:
        """Count a commit of ``changes`` changes."""
        self.seconds.observe(took_s)
        self.changes.observe(changes)
        self.is_failing = False

    def failed(self) -> None:
        """Count a commit that failed."""
        self.failures += 1
        self.is_failing = True


class DeliveryStats:
    """Outcomes and durations of a topic's deliveries."""

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(WORDS.values(), 0)
        self.seconds = Histogram(QUICK_S)

    def ended(self, outcome: Outcome, took_s: float) -> None:
        """Count a delivery that took ``took_s``."""
        self.seconds.observe(took_s)
        self.outcomes[WORDS[type(outcome)]] += 1
