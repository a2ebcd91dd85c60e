"""The goals, and where each of them stands in what was just measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from benchmarks.report import Report, Table

FLOOR = "bare Sanic"
OLD, OLDEST = "original, CachedJsonFile", "original, InMemory"

Data = Mapping[str, Any]
Measured = Callable[[Data], float | None]


class Spot(NamedTuple):
    """One row of the tables by depth."""

    side: str
    depth: int = 0
    what: str = "submissions"

    def per_s(self, data: Data) -> Sequence[float] | None:
        """Round by round; None where that was not measured."""
        sides = data.get("depth", {}).get(self.what, {}).get(str(self.depth), {})
        return sides[self.side]["per_s"] if self.side in sides else None


class Goal(NamedTuple):
    """One sentence; how much is wanted at least; and how it is found in the measured numbers."""

    what: str
    wanted: float
    measured: Measured


def ratio(mine: Spot, other: Spot) -> Measured:
    """Round by round where they took turns.

    Two depths are measured one after the other, on a machine that may have changed its speed: there
    each counts in what the floor did in its rounds.
    """

    def measured(data: Data) -> float | None:
        one, two = mine.per_s(data), other.per_s(data)
        if not one or not two:
            return None
        if mine.depth == other.depth:
            return by_turns(one, two)
        floors = [spot._replace(side=FLOOR).per_s(data) for spot in (mine, other)]
        if not floors[0] or not floors[1]:
            return median(one) / median(two)
        return by_turns(one, floors[0]) / by_turns(two, floors[1])

    return measured


def by_turns(one: Sequence[float], two: Sequence[float]) -> float:
    """The ratio of two that took turns."""
    return median(a / b for a, b in zip(one, two, strict=True))


def below_the_limit(data: Data) -> float | None:
    """How much is left of the 1 ms that an order may take longer than its floor."""
    found = data.get("latency", {})
    if MEMORY not in found or FLOOR not in found:
        return None
    rounds = zip(found[MEMORY]["p50_ms"], found[FLOOR]["p50_ms"], strict=True)
    return 1.0 - float(median(ours - floors for ours, floors in rounds))


def times_faster(other: str) -> Measured:
    """How much later the last one has a change that was sent the other way, at the worst size."""

    def measured(data: Data) -> float | None:
        sizes = data.get("fanout", {}).values()
        times = [(median(ways[other]["ms"]), median(ways["hub"]["ms"])) for ways in sizes]
        return min((theirs / ours for theirs, ours in times), default=None)

    return measured


def left_of_the_crowd(data: Data) -> float | None:
    """How much is left of the 10 ms that 2,000 followers may cost the slowest orders."""
    sides = [side["p99_ms"] for side in data.get("crowd", {}).values()]
    return 10.0 - median(b - a for a, b in zip(*sides, strict=True)) if sides else None


def stuck(data: Data) -> float | None:
    """Minus the orders of ours that are stuck, or were never answered."""
    ours = [s for name, s in data.get("faults", {}).items() if not name.startswith("original")]
    return -sum(seen["stuck"] + seen["unanswered"] for seen in ours) if ours else None


MEMORY, CACHED, SQLITE = "InMemory", "CachedJsonFile", "Sqlite"
THOUSAND, MANY, VERY_MANY = 1_000, 10_000, 100_000

GOALS = [
    Goal("(a) in memory ÷ bare Sanic", 0.8, ratio(Spot(MEMORY), Spot(FLOOR))),
    Goal(
        "(b) in memory ÷ bare Sanic, 1,000 deep",
        0.75,
        ratio(Spot(MEMORY, THOUSAND, "registrations"), Spot(FLOOR, THOUSAND)),
    ),
    Goal("(c) 1 ms − (in memory − bare Sanic with a bare PUT), ms", 0.0, below_the_limit),
    Goal("CachedJsonFile ÷ in memory", 0.5, ratio(Spot(CACHED), Spot(MEMORY))),
    Goal("Sqlite ÷ in memory", 0.8, ratio(Spot(SQLITE), Spot(MEMORY))),
    Goal("CachedJsonFile, 10,000 deep ÷ 0 deep", 0.3, ratio(Spot(CACHED, MANY), Spot(CACHED))),
    Goal("Sqlite, 100,000 deep ÷ 0 deep", 0.8, ratio(Spot(SQLITE, VERY_MANY), Spot(SQLITE))),
    Goal(
        "CachedJsonFile ÷ the original's, 1,000 deep",
        2.0,
        ratio(Spot(CACHED, THOUSAND), Spot(OLD, THOUSAND)),
    ),
    Goal(
        "CachedJsonFile ÷ the original's, 10,000 deep",
        15.0,
        ratio(Spot(CACHED, MANY), Spot(OLD, MANY)),
    ),
    Goal(
        "Sqlite ÷ the original's CachedJsonFile, 10,000 deep",
        60.0,
        ratio(Spot(SQLITE, MANY), Spot(OLD, MANY)),
    ),
    Goal(
        "Sqlite ÷ the original's CachedJsonFile, 100,000 deep",
        500.0,
        ratio(Spot(SQLITE, VERY_MANY), Spot(OLD, VERY_MANY)),
    ),
    Goal("(f) hub ÷ a loop of await ws.send", 2.5, times_faster("await ws.send")),
    Goal("(f) hub ÷ websockets.broadcast", 0.91, times_faster("websockets.broadcast")),
    Goal("10 ms − (p99 of orders with − without followers), ms", 0.0, left_of_the_crowd),
    Goal("with bad workers: − orders stuck or never answered", 0.0, stuck),
    Goal("no goal: in memory ÷ the original in memory", 0.0, ratio(Spot(MEMORY), Spot(OLDEST))),
]


def report(data: Data) -> Report:
    """Each goal that can be judged by these numbers, which are the reports' by their names."""
    rows, found = [], {}
    for goal in GOALS:
        value = goal.measured(data)
        if value is not None:
            found[goal.what] = value
            reached = "yes" if value >= goal.wanted else "**no**"
            rows.append([goal.what, f"≥ {goal.wanted:g}", f"{value:.2f}", reached])
    table = Table(["goal", "wanted", "measured", "reached"], rows)
    return Report("goals", "Where the goals stand", [table], found)
