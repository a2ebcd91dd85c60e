"""The rules of the workers that are present, counted, and known to the line."""

from __future__ import annotations

from sanic_dispatch.core.line import Line
from sanic_dispatch.core.rules import ANYTHING

KEPT_UNUSED = 100
"""How many rules stay known to the line although no present worker has them.

A worker is away for a moment after each job: its rule need not be matched with all jobs again.
"""


class PresentRules:
    """Counts how many present workers have each rule; a line learns it with the first of them."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._counts: dict[str, int] = {}
        self._unused: dict[str, None] = {}

    def __len__(self) -> int:
        """Return how many different rules are present."""
        return len(self._counts)

    def __contains__(self, rule: str) -> bool:
        return rule in self._counts

    @property
    def unused(self) -> list[str]:
        """The rules that no present worker has and that are still known, in order."""
        return list(self._unused)

    def expect(self, rule: str) -> None:
        """Let the line learn a rule before a worker with it is counted."""
        if rule != ANYTHING and rule not in self._counts:
            self._line.learn(rule)
            self._keep_unused(rule)

    def replace(self, before: str, after: str) -> None:
        """Count one worker with a rule less, and one with another rule more."""
        if after != ANYTHING:
            self._add(after)
        if before != ANYTHING:
            self._remove(before)

    def _add(self, rule: str) -> None:
        if rule not in self._counts:
            self._unused.pop(rule, None)
            self._line.learn(rule)
        self._counts[rule] = self._counts.get(rule, 0) + 1

    def _remove(self, rule: str) -> None:
        self._counts[rule] -= 1
        if not self._counts[rule]:
            del self._counts[rule]
            self._keep_unused(rule)

    def _keep_unused(self, rule: str) -> None:
        self._unused[rule] = None
        if len(self._unused) > KEPT_UNUSED:
            oldest = next(iter(self._unused))
            del self._unused[oldest]
            self._line.forget(oldest)
