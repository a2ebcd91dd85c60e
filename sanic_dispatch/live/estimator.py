"""The waiting time: an estimate from what was seen lately, with a range from our own mistakes.

Pure: no clock, no events. Times are seconds; a caller says what has elapsed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from itertools import accumulate
from typing import NamedTuple

SERVICES = 40
"""How many of the last service times count."""

FEWEST_SERVICES = 5
"""With fewer service times than that there is no number at all."""

RATIOS = 60
"""How many of the last ratios actual ÷ promised make the range."""

FEWEST_RATIOS = 20
"""With fewer ratios than that the range is ``FIRST_RANGE``."""

FIRST_RANGE = (0.6, 1.6)

MISSES = 0.1
"""The share of orders that may be ready before the range begins; and after it ends."""

STEER = 0.02
"""How much a single order moves the ends of the range; so misses come right in the long run."""

REACH = 0.5
"""How far the ends may be steered beyond all that was seen, in widths of what was seen."""

OVERDUE = 0.3
"""What is left of a service that takes longer than all lately, as a share of what it took."""

RECENT = 200
"""Of how many of the last promises the hit rate speaks."""


class Load(NamedTuple):
    """What stands before those who wait: the robots, and what is left of what they are doing."""

    robots: int
    total_left_s: float
    least_left_s: float


class Promise(NamedTuple):
    """What was told at a time: how long it would take from then on."""

    at_s: float
    ready_s: float
    low_s: float
    high_s: float

    def window(self) -> tuple[float, float]:
        """The two ends as points in time."""
        return self.at_s + self.low_s, self.at_s + self.high_s


class Range:
    """The factors by which an estimate may be wrong, learnt from those that were.

    They are the quantiles of the last ratios, at shares that are steered by what was missed: out
    after a miss on that side, in after each one that was not.
    """

    def __init__(self) -> None:
        self.low, self.high = FIRST_RANGE
        self._ratios: deque[float] = deque(maxlen=RATIOS)
        self._below = self._above = MISSES

    def learn(self, ratio: float, *, was_early: bool, was_late: bool) -> None:
        """One more estimate turned out to be wrong by this factor."""
        self._below = _steered(self._below, was_early)
        self._above = _steered(self._above, was_late)
        self._ratios.append(ratio)
        if len(self._ratios) >= FEWEST_RATIOS:
            ratios = sorted(self._ratios)
            self.low = max(quantile(ratios, self._below), 0.0)
            self.high = quantile(ratios, 1.0 - self._above)


class Estimator:
    """Learns from service times and from its own promises."""

    def __init__(self) -> None:
        self.knows_enough = False
        """Whether there are enough service times for a number."""
        self.made = 0
        self.kept = 0
        self._services: deque[float] = deque(maxlen=SERVICES)
        self._sorted: list[float] = []
        self._sums: list[float] = [0.0]
        self._range = Range()
        self._hits: deque[bool] = deque(maxlen=RECENT)

    @property
    def mean_s(self) -> float:
        """The mean of the last service times."""
        return self._sums[0] / len(self._sorted)

    @property
    def hit_rate(self) -> float | None:
        """The share of the last promises that were kept; None before the first one was due."""
        return round(sum(self._hits) / len(self._hits), 3) if self._hits else None

    def served(self, service_s: float) -> None:
        """A service took that long."""
        self._services.append(max(service_s, 0.0))
        self.knows_enough = len(self._services) >= FEWEST_SERVICES
        self._sorted = sorted(self._services)
        self._sums = _suffix_sums(self._sorted)

    def left_s(self, elapsed_s: float) -> float:
        """How much is left of a service: the mean over those that took longer than this."""
        longer = len(self._sorted) - bisect_right(self._sorted, elapsed_s)
        if longer:
            return self._sums[-1 - longer] / longer - elapsed_s
        return OVERDUE * max(self.mean_s, elapsed_s)

    def load(self, robots: int, elapsed_s: Iterable[float]) -> Load:
        """So many robots, of which some have been busy for so long each."""
        left = [self.left_s(elapsed) for elapsed in elapsed_s]
        least = min(left) if left and len(left) >= robots else 0.0
        return Load(robots, sum(left), least)

    def promise(self, at_s: float, load: Load, ahead: int) -> Promise | None:
        """When somebody who waits behind so many will be served; None where nobody can tell."""
        if not self.knows_enough or load.robots <= 0:
            return None
        return self._promise(at_s, self._start_s(load, ahead) + self.mean_s)

    def promise_of_service(self, at_s: float) -> Promise | None:
        """When a service that begins now will be over."""
        return self._promise(at_s, self.mean_s) if self.knows_enough else None

    def service_window(self, began_s: float) -> tuple[float, float] | None:
        """Between when and when a service is over that began then; it does not move with time."""
        if not self.knows_enough:
            return None
        return (
            began_s + quantile(self._sorted, MISSES),
            began_s + quantile(self._sorted, 1.0 - MISSES),
        )

    def settle(self, promise: Promise, finished_s: float) -> None:
        """What was promised has come true, sooner or later."""
        actual_s = max(finished_s - promise.at_s, 0.0)
        was_early, was_late = actual_s < promise.low_s, actual_s > promise.high_s
        is_kept = not (was_early or was_late)
        self.made += 1
        self.kept += is_kept
        self._hits.append(is_kept)
        ratio = actual_s / max(promise.ready_s, 1e-3)
        self._range.learn(ratio, was_early=was_early, was_late=was_late)

    def _promise(self, at_s: float, ready_s: float) -> Promise:
        return Promise(at_s, ready_s, ready_s * self._range.low, ready_s * self._range.high)

    def _start_s(self, load: Load, ahead: int) -> float:
        if ahead <= 0:
            return load.least_left_s
        mean_s, robots = self.mean_s, load.robots
        start_s = (load.total_left_s + ahead * mean_s) / robots
        return max(start_s - mean_s * (robots - 1) / (2 * robots), load.least_left_s)


def quantile(ordered: list[float], share: float) -> float:
    """The value below which that share of a sorted list lies, interpolated.

    Beyond 0 and 1 it goes on in widths of the whole list.
    """
    inside = min(max(share, 0.0), 1.0)
    position = inside * (len(ordered) - 1)
    index = int(position)
    value, following = ordered[index], ordered[min(index + 1, len(ordered) - 1)]
    beyond = (share - inside) * (ordered[-1] - ordered[0])
    return value + (following - value) * (position - index) + beyond


def _steered(share: float, was_missed: bool) -> float:
    return min(max(share + STEER * (MISSES - was_missed), -REACH), 0.5)


def _suffix_sums(ordered: list[float]) -> list[float]:
    """For each position, the sum from there to the end; and 0 after the end."""
    return list(accumulate(reversed(ordered), initial=0.0))[::-1]
