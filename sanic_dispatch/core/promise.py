"""The waiting time that a customer was told."""

from __future__ import annotations

from sanic_dispatch.core.value import Value


class Promise(Value, frozen=True):
    """A waiting time as told to a customer at ``at_s`` (Unix seconds), counted from there."""

    at_s: float
    ready_s: float
    low_s: float
    high_s: float

    def window(self) -> tuple[float, float]:
        """Return the start and the end of the range as points in time."""
        return self.at_s + self.low_s, self.at_s + self.high_s

    def actual_s(self, finished_s: float) -> float:
        """Return the waiting time of an order that is ready at ``finished_s``."""
        return max(finished_s - self.at_s, 0.0)

    def is_kept(self, finished_s: float) -> bool:
        """Return whether an order that is ready at ``finished_s`` is so within the range."""
        return self.low_s <= self.actual_s(finished_s) <= self.high_s
