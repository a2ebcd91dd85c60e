"""Goals, such as ``p90 wait <= 5 min``: what an evening is to keep."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import ge, le
from typing import NamedTuple

from sanic_dispatch.replay.evening_summary import SHARES, EveningSummary

_GOAL = re.compile(
    r"(?P<what>(?:mean|p50|p90|p99) wait|longest line|utilisation|kept)\s*"
    r"(?P<sign><=|>=)\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>s|min|h|%)?"
)
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_SIGNS: dict[str, Callable[[float, float], bool]] = {"<=": le, ">=": ge}

EXAMPLES = "'p90 wait <= 5 min', 'mean wait <= 90 s', 'longest line <= 8', 'kept >= 80 %'"


class Goal(NamedTuple):
    """A figure of a summary, and how large it may be, or has to be."""

    what: str
    sign: str
    limit: float

    def is_kept(self, summary: EveningSummary) -> bool:
        """Return whether an evening keeps it; one that left orders unserved keeps none."""
        found = self._figure(summary)
        return not summary.unserved and found is not None and _SIGNS[self.sign](found, self.limit)

    def _figure(self, summary: EveningSummary) -> float | None:
        name = self.what.removesuffix(" wait")
        if name in ("mean", *SHARES):
            return summary.wait_s[name]
        figures = {
            "longest line": float(summary.longest_line),
            "utilisation": summary.utilisation,
            "kept": summary.kept,
        }
        return figures[self.what]


def goal_of(text: str) -> Goal:
    """Parse a goal. Raises ValueError with what is allowed."""
    found = _GOAL.fullmatch(" ".join(text.split()))
    if found is None:
        raise ValueError(f"a goal is like {EXAMPLES}")
    what, unit, number = found["what"], found["unit"], float(found["number"])
    if what.endswith("wait"):
        if unit not in _SECONDS:
            raise ValueError("a wait is in s, min or h")
        return Goal(what, found["sign"], number * _SECONDS[unit])
    if what == "longest line":
        if unit:
            raise ValueError("a line has no unit")
        return Goal(what, found["sign"], number)
    if unit not in (None, "%"):
        raise ValueError(f"{what} is a share, such as 0.8 or 80 %")
    return Goal(what, found["sign"], number / 100 if unit else number)
