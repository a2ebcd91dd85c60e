"""The performance goals, and how the measured numbers compare with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from benchmarks.measure.connected import CALLBACK, WEBSOCKET
from benchmarks.measure.peers import YARDSTICKS
from benchmarks.measure.rules import WITH, WITHOUT
from benchmarks.report.tables import Report, Table

FLOOR = "bare Sanic"
OLD, OLDEST = "original, CachedJsonFile", "original, InMemory"

Data = Mapping[str, Any]
Measured = Callable[[Data], float | None]


class Row(NamedTuple):
    """A row of the tables by depth: a side, a depth, and submissions or registrations."""

    side: str
    depth: int = 0
    what: str = "submissions"

    def per_s(self, data: Data) -> Sequence[float] | None:
        """Return the rate of each round; None if it was not measured."""
        sides = data.get("depth", {}).get(self.what, {}).get(str(self.depth), {})
        return sides[self.side]["per_s"] if self.side in sides else None


class Goal(NamedTuple):
    """A goal: what is compared, the target, and how to find its value in the measured data.

    The target is the least value that will do, or the largest one with ``is_maximum``.
    """

    what: str
    target: float
    value_in: Measured
    is_maximum: bool = False

    def is_reached(self, value: float) -> bool:
        """Return whether a value meets the target."""
        return value <= self.target if self.is_maximum else value >= self.target


def depth_ratio(mine: Row, other: Row) -> Measured:
    """Compare two rows of the tables by depth.

    Rows of one depth took turns, and are compared round by round. Two depths are measured one after
    the other, when the machine may run at another speed: each is divided by the floor of its rounds
    first.
    """

    def value_in(data: Data) -> float | None:
        one, two = mine.per_s(data), other.per_s(data)
        if not one or not two:
            return None
        if mine.depth == other.depth:
            return paired_ratio(one, two)
        floors = [row._replace(side=FLOOR).per_s(data) for row in (mine, other)]
        if not floors[0] or not floors[1]:
            return median(one) / median(two)
        return paired_ratio(one, floors[0]) / paired_ratio(two, floors[1])

    return value_in


def paired_ratio(one: Sequence[float], two: Sequence[float]) -> float:
    """Return the median ratio of two sides that took turns."""
    return median(a / b for a, b in zip(one, two, strict=True))


def latency_above_floor(side: str) -> Measured:
    """Return how many ms later than the floor's the callback of an order comes."""

    def value_in(data: Data) -> float | None:
        found = data.get("latency", {})
        if side not in found or FLOOR not in found:
            return None
        rounds = zip(found[side]["p50_ms"], found[FLOOR]["p50_ms"], strict=True)
        return float(median(ours - floors for ours, floors in rounds))

    return value_in


def cycle_ratio(what: str, mine: str, other: str) -> Measured:
    """Compare two sides in the measurement of whole cycles, round by round."""

    def value_in(data: Data) -> float | None:
        found = data.get("cycles", {})
        if mine not in found or other not in found:
            return None
        return paired_ratio(found[mine][what], found[other][what])

    return value_in


def submit_and_register_ratio(side: str, depth: int) -> Measured:
    """Compare submitting plus taking an order at a depth with the same at depth 0."""

    def value_in(data: Data) -> float | None:
        shallow_s = deep_s = 0.0
        for what in (SUBMISSIONS, REGISTRATIONS):
            per_s = Row(side, 0, what).per_s(data)
            left = depth_ratio(Row(side, depth, what), Row(side, 0, what))(data)
            if not per_s or left is None:
                return None
            shallow_s += 1 / median(per_s)
            deep_s += 1 / median(per_s) / left
        return shallow_s / deep_s

    return value_in


def rules_ratio(what: str, number: str) -> Measured:
    """Compare robots with rules with robots that take anything, at the greatest depth."""

    def value_in(data: Data) -> float | None:
        depths = data.get("rules", {})
        if not depths:
            return None
        sides = depths[max(depths, key=int)][what]
        return paired_ratio(sides[WITH][number], sides[WITHOUT][number])

    return value_in


def redis_cpu_ratio(data: Data) -> float | None:
    """Return the CPU time of an order over all processes with Redis, relative to in memory."""
    found = data.get("sharing", {})
    if not {MEMORY, REDIS} <= found.keys():
        return None
    mine, other = found[REDIS], found[MEMORY]
    both = [ours + its for ours, its in zip(mine["cpu_s"], mine["redis_s"], strict=True)]
    return paired_ratio(both, other["cpu_s"])


def peer_ratio(side: str, peer: str) -> Measured:
    """Compare the CPU time of a job of all processes with a peer's, both synced."""

    def value_in(data: Data) -> float | None:
        found = data.get("peers", {}).get("synced", {})
        if side not in found or peer not in found:
            return None
        return paired_ratio(found[side]["all_us"], found[peer]["all_us"])

    return value_in


def start_s(depth: int) -> Measured:
    """Return the seconds from the command to the first answer with a queue of this depth."""

    def value_in(data: Data) -> float | None:
        took_s = data.get("restart", {}).get(CACHED, {}).get(str(depth))
        return median(took_s) if took_s else None

    return value_in


def job_bytes(side: str) -> Measured:
    """Return the memory of a waiting order."""

    def value_in(data: Data) -> float | None:
        cost: float | None = data.get("memory", {}).get(side, {}).get("job")
        return cost

    return value_in


def module_changes(data: Data) -> float | None:
    """Return the number of changes of module for one order."""
    changes: float | None = data.get("modules", {}).get("changes")
    return changes


def fanout_speedup(other: str) -> Measured:
    """Return how much faster the hub reaches the last subscriber, for the worst audience size."""

    def value_in(data: Data) -> float | None:
        sizes = data.get("fanout", {}).values()
        times = [(median(ways[other]["ms"]), median(ways["hub"]["ms"])) for ways in sizes]
        return min((theirs / ours for theirs, ours in times), default=None)

    return value_in


def crowd_margin_ms(data: Data) -> float | None:
    """Return 10 ms minus what 2,000 followers add to the p99 of orders, in ms."""
    sides = [side["p99_ms"] for side in data.get("crowd", {}).values()]
    return 10.0 - median(b - a for a, b in zip(*sides, strict=True)) if sides else None


def webhook_delay_s(data: Data) -> float | None:
    """Return the p99 of messages to good endpoints, in seconds."""
    found = data.get("webhooks")
    return median(found["messages"]["p99_s"]) if found else None


def webhook_margin_ms(data: Data) -> float | None:
    """Return 5 ms minus what a thousand webhooks add to the p99 of orders, in ms."""
    sides = [side["p99_ms"] for side in data.get("webhooks", {}).get("orders", {}).values()]
    return 5.0 - median(b - a for a, b in zip(*sides, strict=True)) if sides else None


def connected_ratio(data: Data) -> float | None:
    """Compare the time to a worker at a websocket with that to a callback, thousands waiting."""
    found = data.get("connected")
    return paired_ratio(found[WEBSOCKET]["p50_ms"], found[CALLBACK]["p50_ms"]) if found else None


def negated_stuck_orders(data: Data) -> float | None:
    """Return minus the number of our orders that are stuck or were never answered."""
    ours = [s for name, s in data.get("faults", {}).items() if not name.startswith("original")]
    return -sum(seen["stuck"] + seen["unanswered"] for seen in ours) if ours else None


MEMORY, CACHED, SQLITE, REDIS = "InMemory", "CachedJsonFile", "Sqlite", "Redis"
SUBMISSIONS, REGISTRATIONS = "submissions", "registrations"
THOUSAND, MANY, VERY_MANY = 1_000, 10_000, 100_000


def goals_by_mode(
    what: str, which: str, depth: int, target: tuple[float, float, float]
) -> Iterator[Goal]:
    """Yield a goal for each usual mode, relative to the floor."""
    for side, least in zip((MEMORY, CACHED, SQLITE), target, strict=True):
        value_in = depth_ratio(Row(side, depth, which), Row(FLOOR, depth))
        yield Goal(f"{what} ÷ bare Sanic, {side}", least, value_in)


GOALS = [
    Goal("(a) in memory ÷ bare Sanic", 0.8, depth_ratio(Row(MEMORY), Row(FLOOR))),
    Goal(
        "(b) in memory ÷ bare Sanic, 1,000 deep",
        0.75,
        depth_ratio(Row(MEMORY, THOUSAND, REGISTRATIONS), Row(FLOOR, THOUSAND)),
    ),
    *goals_by_mode("submissions", SUBMISSIONS, 0, (0.68, 0.62, 0.55)),
    *goals_by_mode("registrations that take a job", REGISTRATIONS, THOUSAND, (0.48, 0.45, 0.38)),
    *(
        Goal(
            f"CPU of a whole cycle ÷ (2 × bare Sanic + a bare PUT), {side}",
            most,
            cycle_ratio("server_us", side, FLOOR),
            is_maximum=True,
        )
        for side, most in ((MEMORY, 1.4), (CACHED, 1.6), (SQLITE, 1.8))
    ),
    Goal(
        "whole cycles/s, CachedJsonFile synced ÷ the original's, not synced",
        1.0,
        cycle_ratio("per_s", CACHED, OLD),
    ),
    Goal(
        "CachedJsonFile, 100,000 deep ÷ 0 deep: submissions",
        0.9,
        depth_ratio(Row(CACHED, VERY_MANY), Row(CACHED)),
    ),
    Goal(
        "the same, with the registrations that take them",
        0.9,
        submit_and_register_ratio(CACHED, VERY_MANY),
    ),
    *(
        Goal(
            f"order → callback above bare Sanic with a bare PUT, p50, ms, {side}",
            most,
            latency_above_floor(side),
            is_maximum=True,
        )
        for side, most in ((MEMORY, 0.3), (CACHED, 0.8))
    ),
    Goal(
        "Redis, CPU of an order of all processes ÷ in memory", 2.0, redis_cpu_ratio, is_maximum=True
    ),
    *(
        Goal(
            f"CPU of a job, all processes ÷ {peer}'s (Redis syncs always), {side}",
            most,
            peer_ratio(side, peer),
            is_maximum=True,
        )
        for peer in YARDSTICKS
        for side, most in ((CACHED, 0.8), (SQLITE, 0.9), (REDIS, 1.2))
    ),
    *(
        Goal(
            f"robots with {WITH} ÷ robots that take anything: {what}",
            0.85,
            rules_ratio(what, "per_s"),
        )
        for what in (SUBMISSIONS, REGISTRATIONS)
    ),
    *(
        Goal(f"CPU of the same: {what}", 1.18, rules_ratio(what, "server_us"), is_maximum=True)
        for what in (SUBMISSIONS, REGISTRATIONS)
    ),
    Goal("start with 100,000 waiting, s", 0.84, start_s(VERY_MANY), is_maximum=True),
    *(
        Goal(f"memory of a waiting order, B, {side}", 700, job_bytes(side), is_maximum=True)
        for side in (MEMORY, CACHED, SQLITE)
    ),
    Goal("changes of module for one order", 200, module_changes, is_maximum=True),
    Goal("CachedJsonFile ÷ in memory", 0.5, depth_ratio(Row(CACHED), Row(MEMORY))),
    Goal("Sqlite ÷ in memory", 0.8, depth_ratio(Row(SQLITE), Row(MEMORY))),
    Goal(
        "CachedJsonFile, 10,000 deep ÷ 0 deep",
        0.3,
        depth_ratio(Row(CACHED, MANY), Row(CACHED)),
    ),
    Goal(
        "Sqlite, 100,000 deep ÷ 0 deep",
        0.8,
        depth_ratio(Row(SQLITE, VERY_MANY), Row(SQLITE)),
    ),
    Goal(
        "CachedJsonFile ÷ the original's, 1,000 deep",
        2.0,
        depth_ratio(Row(CACHED, THOUSAND), Row(OLD, THOUSAND)),
    ),
    Goal(
        "CachedJsonFile ÷ the original's, 10,000 deep",
        15.0,
        depth_ratio(Row(CACHED, MANY), Row(OLD, MANY)),
    ),
    Goal(
        "Sqlite ÷ the original's CachedJsonFile, 10,000 deep",
        60.0,
        depth_ratio(Row(SQLITE, MANY), Row(OLD, MANY)),
    ),
    Goal(
        "Sqlite ÷ the original's CachedJsonFile, 100,000 deep",
        500.0,
        depth_ratio(Row(SQLITE, VERY_MANY), Row(OLD, VERY_MANY)),
    ),
    Goal("(f) hub ÷ a loop of await ws.send", 2.5, fanout_speedup("await ws.send")),
    Goal("(f) hub ÷ websockets.broadcast", 0.91, fanout_speedup("websockets.broadcast")),
    Goal("10 ms − (p99 of orders with − without followers), ms", 0.0, crowd_margin_ms),
    Goal("5 ms − (p99 of orders with − without webhooks), ms", 0.0, webhook_margin_ms),
    Goal("p99 of messages to good endpoints, s", 1.0, webhook_delay_s, is_maximum=True),
    Goal(
        "order → worker at a websocket ÷ → callback, p50, 2,000 waiting",
        1.2,
        connected_ratio,
        is_maximum=True,
    ),
    Goal("with bad workers: − orders stuck or never answered", 0.0, negated_stuck_orders),
    Goal(
        "no goal: in memory ÷ the original in memory",
        0.0,
        depth_ratio(Row(MEMORY), Row(OLDEST)),
    ),
]


def report(data: Data) -> Report:
    """Report each goal that the data, by name of report, has the numbers for."""
    rows, found = [], {}
    for goal in GOALS:
        value = goal.value_in(data)
        if value is not None:
            found[goal.what] = value
            reached = "yes" if goal.is_reached(value) else "**no**"
            sign = "≤" if goal.is_maximum else "≥"
            rows.append([goal.what, f"{sign} {goal.target:,g}", f"{value:,.2f}", reached])
    table = Table(["goal", "wanted", "measured", "reached"], rows)
    return Report("goals", "Where the goals stand", [table], found)
