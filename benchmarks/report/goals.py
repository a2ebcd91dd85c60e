"""The goals, and where each of them stands in what was just measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from benchmarks.report.tables import Report, Table

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
    """One sentence, how much is wanted, and how it is found in the measured numbers.

    What is wanted is the least that will do, or with ``is_limit`` the most.
    """

    what: str
    wanted: float
    measured: Measured
    is_limit: bool = False

    def is_reached(self, value: float) -> bool:
        """Whether so much will do."""
        return value <= self.wanted if self.is_limit else value >= self.wanted


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


def above_the_floor(side: str) -> Measured:
    """By how many ms the callback of an order comes later than that of the floor."""

    def measured(data: Data) -> float | None:
        found = data.get("latency", {})
        if side not in found or FLOOR not in found:
            return None
        rounds = zip(found[side]["p50_ms"], found[FLOOR]["p50_ms"], strict=True)
        return float(median(ours - floors for ours, floors in rounds))

    return measured


def of_cycles(what: str, mine: str, other: str) -> Measured:
    """The ratio of two sides in the whole cycles, round by round."""

    def measured(data: Data) -> float | None:
        found = data.get("cycles", {})
        if mine not in found or other not in found:
            return None
        return by_turns(found[mine][what], found[other][what])

    return measured


def both_ways(side: str, depth: int) -> Measured:
    """Submissions with the registrations that take them, at that depth and with none waiting."""

    def measured(data: Data) -> float | None:
        shallow_s = deep_s = 0.0
        for what in (SUBMISSIONS, REGISTRATIONS):
            per_s = Spot(side, 0, what).per_s(data)
            left = ratio(Spot(side, depth, what), Spot(side, 0, what))(data)
            if not per_s or left is None:
                return None
            shallow_s += 1 / median(per_s)
            deep_s += 1 / median(per_s) / left
        return shallow_s / deep_s

    return measured


def in_redis(data: Data) -> float | None:
    """Processor time of an order, of all processes, against that in memory alone."""
    found = data.get("sharing", {})
    if not {MEMORY, REDIS} <= found.keys():
        return None
    mine, other = found[REDIS], found[MEMORY]
    both = [ours + its for ours, its in zip(mine["cpu_s"], mine["redis_s"], strict=True)]
    return by_turns(both, other["cpu_s"])


def start_with(depth: int) -> Measured:
    """Seconds from the command to the first answer, with so many waiting."""

    def measured(data: Data) -> float | None:
        took_s = data.get("restart", {}).get(CACHED, {}).get(str(depth))
        return median(took_s) if took_s else None

    return measured


def bytes_of_a_job(data: Data) -> float | None:
    """Memory of a waiting order."""
    cost: float | None = data.get("memory", {}).get(CACHED, {}).get("job")
    return cost


def changes_of_module(data: Data) -> float | None:
    """Calls into another file of the package than the call before, for one order."""
    changes: float | None = data.get("modules", {}).get("changes")
    return changes


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


MEMORY, CACHED, SQLITE, REDIS = "InMemory", "CachedJsonFile", "Sqlite", "Redis"
SUBMISSIONS, REGISTRATIONS = "submissions", "registrations"
THOUSAND, MANY, VERY_MANY = 1_000, 10_000, 100_000


def of_each_mode(
    what: str, which: str, depth: int, wanted: tuple[float, float, float]
) -> Iterator[Goal]:
    """One goal for each usual mode, against the floor."""
    for side, least in zip((MEMORY, CACHED, SQLITE), wanted, strict=True):
        measured = ratio(Spot(side, depth, which), Spot(FLOOR, depth))
        yield Goal(f"{what} ÷ bare Sanic, {side}", least, measured)


GOALS = [
    Goal("(a) in memory ÷ bare Sanic", 0.8, ratio(Spot(MEMORY), Spot(FLOOR))),
    Goal(
        "(b) in memory ÷ bare Sanic, 1,000 deep",
        0.75,
        ratio(Spot(MEMORY, THOUSAND, REGISTRATIONS), Spot(FLOOR, THOUSAND)),
    ),
    *of_each_mode("submissions", SUBMISSIONS, 0, (0.68, 0.62, 0.55)),
    *of_each_mode("registrations that take a job", REGISTRATIONS, THOUSAND, (0.48, 0.45, 0.38)),
    *(
        Goal(
            f"CPU of a whole cycle ÷ (2 × bare Sanic + a bare PUT), {side}",
            most,
            of_cycles("server_us", side, FLOOR),
            is_limit=True,
        )
        for side, most in ((MEMORY, 1.4), (CACHED, 1.6), (SQLITE, 1.8))
    ),
    Goal(
        "whole cycles/s, CachedJsonFile synced ÷ the original's, not synced",
        1.0,
        of_cycles("per_s", CACHED, OLD),
    ),
    Goal(
        "CachedJsonFile, 100,000 deep ÷ 0 deep: submissions",
        0.9,
        ratio(Spot(CACHED, VERY_MANY), Spot(CACHED)),
    ),
    Goal(
        "the same, with the registrations that take them",
        0.9,
        both_ways(CACHED, VERY_MANY),
    ),
    *(
        Goal(
            f"order → callback above bare Sanic with a bare PUT, p50, ms, {side}",
            most,
            above_the_floor(side),
            is_limit=True,
        )
        for side, most in ((MEMORY, 0.3), (CACHED, 0.8))
    ),
    Goal("Redis, CPU of an order of all processes ÷ in memory", 2.0, in_redis, is_limit=True),
    Goal("start with 100,000 waiting, s", 0.84, start_with(VERY_MANY), is_limit=True),
    Goal("memory of a waiting order, B", 1_360, bytes_of_a_job, is_limit=True),
    Goal("changes of module for one order", 200, changes_of_module, is_limit=True),
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
            reached = "yes" if goal.is_reached(value) else "**no**"
            sign = "≤" if goal.is_limit else "≥"
            rows.append([goal.what, f"{sign} {goal.wanted:,g}", f"{value:,.2f}", reached])
    table = Table(["goal", "wanted", "measured", "reached"], rows)
    return Report("goals", "Where the goals stand", [table], found)
