"""A grid of scenarios: crews of several sizes, and several speeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from sanic_dispatch.replay.comparison import run_again
from sanic_dispatch.replay.evening_summary import EveningSummary
from sanic_dispatch.replay.goal import Goal
from sanic_dispatch.replay.recording import Recording
from sanic_dispatch.replay.scenario import Scenario

MOST_CELLS = 1000
SLOWER_STEP = Decimal("0.1")


class Grid(NamedTuple):
    """The sizes of the crew, and the factors of the service times; None: as it was."""

    robots: Sequence[int] | None
    slower: Sequence[float] | None

    @property
    def size(self) -> int:
        """How many scenarios that are."""
        return len(self.robots or [0]) * len(self.slower or [0])


class Cell(NamedTuple):
    """A scenario of a grid, and what it led to."""

    robots: int
    slower: float
    summary: EveningSummary

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"robots": self.robots, "slower": self.slower, **self.summary.as_json()}


def grid_of(text: str) -> Grid:
    """Parse ``robots=1..5,slower=1.0..1.5``. Raises ValueError with what is allowed."""
    found: dict[str, list[Decimal]] = {}
    for part in text.split(","):
        name, _, ends = part.strip().partition("=")
        if name not in ("robots", "slower") or name in found:
            raise ValueError("a grid is like robots=1..5,slower=1.0..1.5")
        found[name] = _values(name, ends)
    robots = [int(each) for each in found["robots"]] if "robots" in found else None
    slower = [float(each) for each in found["slower"]] if "slower" in found else None
    grid = Grid(robots, slower)
    if grid.size > MOST_CELLS:
        raise ValueError(f"a grid has at most {MOST_CELLS} scenarios")
    return grid


def cells(recording: Recording, grid: Grid, scenario: Scenario) -> Iterator[Cell]:
    """Run all scenarios of a grid, each with the other changes of ``scenario``."""
    crew = len(recording.robots)
    for slower in grid.slower or [scenario.slower]:
        for robots in grid.robots or [crew + scenario.robots]:
            changed = replace(scenario, robots=robots - crew, slower=slower)
            yield Cell(robots, slower, run_again(recording, changed)[0])


def smallest_crews(found: Sequence[Cell], goal: Goal) -> dict[float, int | None]:
    """Return, by the factor of the service times, the smallest crew that keeps a goal."""
    smallest: dict[float, int | None] = dict.fromkeys(cell.slower for cell in found)
    for cell in found:
        known = smallest[cell.slower]
        if goal.is_kept(cell.summary) and (known is None or cell.robots < known):
            smallest[cell.slower] = cell.robots
    return smallest


def _values(name: str, ends: str) -> list[Decimal]:
    first, _, last = ends.partition("..")
    step = Decimal(1) if name == "robots" else SLOWER_STEP
    try:
        low, high = Decimal(first), Decimal(last or first)
    except InvalidOperation:
        raise ValueError(f"{name} is a number, or a range such as 1..5") from None
    is_finite = low.is_finite() and high.is_finite()
    if not (is_finite and 0 < low <= high <= 10_000 and _is_whole(name, low, high)):
        raise ValueError(f"{name} is a range of positive numbers, such as 1..5")
    if (high - low) / step >= MOST_CELLS:
        raise ValueError(f"a grid has at most {MOST_CELLS} scenarios")
    return [low + step * n for n in range(int((high - low) / step) + 1)]


def _is_whole(name: str, *values: Decimal) -> bool:
    return name == "slower" or all(value == int(value) for value in values)
