"""The performance goals, and how the measured numbers compare with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from benchmarks.measure.connected import CALLBACK, WEBSOCKET
from benchmarks.measure.fsync import APPEND
from benchmarks.measure.peers import YARDSTICKS
from benchmarks.measure.rules import WITH, WITHOUT
from benchmarks.report.tables import Report, Table

FLOOR = "bare Sanic"
OLD = "original, CachedJsonFile"

Data = Mapping[str, Any]
Measured = Callable[[Data], float | None]


class Row(NamedTuple):
    """A row of the tables by depth: a side, a depth, and submissions or registrations."""

    side: str
    depth: int = 0
    what: str = "submissions"

    def per_s(self, data: Data) -> Sequence[float] | None:
        """Return the rate of each round; None if it was not measured."""
        return self._column("per_s", data)

    def server_us(self, data: Data) -> Sequence[float] | None:
        """Return the server's CPU time for a request in each round; None if not measured."""
        return self._column("server_us", data)

    def _column(self, name: str, data: Data) -> Sequence[float] | None:
        sides = data.get("depth", {}).get(self.what, {}).get(str(self.depth), {})
        return sides[self.side].get(name) if self.side in sides else None


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


def floor_cost_ratio(mine: Row) -> Measured:
    """Return how many times the CPU time of a request the floor has for a bare one."""

    def value_in(data: Data) -> float | None:
        ours, floors = mine.server_us(data), Row(FLOOR, mine.depth).server_us(data)
        return paired_ratio(floors, ours) if ours and floors else None

    return value_in


def latency_above_floor(side: str, which: str) -> Measured:
    """Return how many ms later than the floor's the callback of an order comes."""

    def value_in(data: Data) -> float | None:
        found = data.get("latency", {})
        if side not in found or FLOOR not in found:
            return None
        return paired_difference(found[side][which], found[FLOOR][which])

    return value_in


def latency_without_sync(data: Data) -> float | None:
    """Return the same for the median of the default mode, less what the disk needs for a sync."""
    above_ms, syncs_per_s = latency_above_floor(CACHED, "p50_ms")(data), data.get("fsync")
    if above_ms is None or not syncs_per_s:
        return None
    sync_ms: float = 1000 / median(syncs_per_s[APPEND])
    return above_ms - sync_ms


def paired_difference(one: Sequence[float], two: Sequence[float]) -> float:
    """Return the median difference of two sides that took turns."""
    return median(a - b for a, b in zip(one, two, strict=True))


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


def crowd_delay_ms(data: Data) -> float | None:
    """Return what thousands of followers add to the p99 of orders, in ms."""
    nobody, crowd = data.get("crowd", {}).values() or (None, None)
    return paired_difference(crowd["p99_ms"], nobody["p99_ms"]) if crowd and nobody else None


def webhook_delay_s(data: Data) -> float | None:
    """Return the p99 of messages to good endpoints, in seconds."""
    found = data.get("webhooks")
    return median(found["messages"]["p99_s"]) if found else None


def webhook_cost_ms(data: Data) -> float | None:
    """Return what a thousand webhooks add to the p99 of orders, in ms."""
    without, with_them = data.get("webhooks", {}).get("orders", {}).values() or (None, None)
    if not without or not with_them:
        return None
    return paired_difference(with_them["p99_ms"], without["p99_ms"])


def connected_ratio(data: Data) -> float | None:
    """Compare the time to a worker at a websocket with that to a callback, thousands waiting."""
    found = data.get("connected")
    return paired_ratio(found[WEBSOCKET]["p50_ms"], found[CALLBACK]["p50_ms"]) if found else None


def stuck_orders(data: Data) -> float | None:
    """Return how many of our orders are stuck or were never answered."""
    ours = [s for name, s in data.get("faults", {}).items() if not name.startswith("original")]
    return sum(seen["stuck"] + seen["unanswered"] for seen in ours) if ours else None


MEMORY, CACHED, SQLITE, REDIS = "InMemory", "CachedJsonFile", "Sqlite", "Redis"
SUBMISSIONS, REGISTRATIONS = "submissions", "registrations"
THOUSAND, MANY, VERY_MANY = 1_000, 10_000, 100_000


def by_side(
    what: str,
    targets: Mapping[str, float],
    value_of: Callable[[str], Measured],
    *,
    is_maximum: bool = False,
) -> Iterator[Goal]:
    """Yield a goal for each side that has a target."""
    for side, target in targets.items():
        yield Goal(f"{what}, {side}", target, value_of(side), is_maximum)


GOALS = [
    *by_side(
        "CPU of a bare request ÷ of a submission",
        {MEMORY: 1.5, CACHED: 1.2, SQLITE: 1.0},
        lambda side: floor_cost_ratio(Row(side)),
    ),
    *by_side(
        "CPU of a bare request ÷ of a registration that takes a job",
        {MEMORY: 1.0, CACHED: 0.85, SQLITE: 0.7},
        lambda side: floor_cost_ratio(Row(side, THOUSAND, REGISTRATIONS)),
    ),
    *by_side(
        "CPU of a whole cycle ÷ (2 × bare Sanic + a bare PUT)",
        {MEMORY: 0.7, CACHED: 0.9, SQLITE: 1.0},
        lambda side: cycle_ratio("server_us", side, FLOOR),
        is_maximum=True,
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
    Goal(
        "whole cycles/s, CachedJsonFile synced ÷ the original's, not synced",
        1.5,
        cycle_ratio("per_s", CACHED, OLD),
    ),
    *(
        Goal(
            f"CachedJsonFile ÷ the original's, 10,000 deep: {what}",
            15.0,
            depth_ratio(Row(CACHED, MANY, what), Row(OLD, MANY, what)),
        )
        for what in (SUBMISSIONS, REGISTRATIONS)
    ),
    *(
        Goal(
            f"Sqlite ÷ the original's CachedJsonFile, {depth:,} deep",
            least,
            depth_ratio(Row(SQLITE, depth), Row(OLD, depth)),
        )
        for depth, least in ((MANY, 60.0), (VERY_MANY, 500.0))
    ),
    *by_side(
        "100,000 deep ÷ 0 deep: submissions",
        {CACHED: 0.9, SQLITE: 0.8},
        lambda side: depth_ratio(Row(side, VERY_MANY), Row(side)),
    ),
    Goal(
        "the same, with the registrations that take them, CachedJsonFile",
        0.9,
        submit_and_register_ratio(CACHED, VERY_MANY),
    ),
    Goal(
        "order → callback above bare Sanic with a bare PUT, p50, ms, InMemory",
        0.1,
        latency_above_floor(MEMORY, "p50_ms"),
        is_maximum=True,
    ),
    Goal(
        "the same, CachedJsonFile less one sync",
        0.4,
        latency_without_sync,
        is_maximum=True,
    ),
    *by_side(
        "the same, p99",
        {MEMORY: 0.5, CACHED: 2.0},
        lambda side: latency_above_floor(side, "p99_ms"),
        is_maximum=True,
    ),
    Goal(
        "Redis, CPU of an order of all processes ÷ in memory", 2.0, redis_cpu_ratio, is_maximum=True
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
    *by_side(
        "memory of a waiting order, B",
        {MEMORY: 700, CACHED: 700, SQLITE: 700},
        job_bytes,
        is_maximum=True,
    ),
    Goal("changes of module for one order", 200, module_changes, is_maximum=True),
    Goal("fan-out: time of a loop of await ws.send ÷ ours", 2.5, fanout_speedup("await ws.send")),
    Goal("time of websockets.broadcast ÷ ours", 1.33, fanout_speedup("websockets.broadcast")),
    Goal("2,000 followers add to the p99 of orders, ms", 4.0, crowd_delay_ms, is_maximum=True),
    Goal("1,000 webhooks add to the p99 of orders, ms", 5.0, webhook_cost_ms, is_maximum=True),
    Goal("p99 of messages to good endpoints, s", 1.0, webhook_delay_s, is_maximum=True),
    Goal(
        "order → worker at a websocket ÷ → callback, p50, 2,000 waiting",
        1.2,
        connected_ratio,
        is_maximum=True,
    ),
    Goal("with bad workers: orders stuck or never answered", 0.0, stuck_orders, is_maximum=True),
]


def report(*runs: Data) -> Report:
    """Report each goal that all runs, data by name of report, have the numbers for.

    Of several runs the median counts; the least and the most are in brackets.
    """
    rows, found = [], {}
    for goal in GOALS:
        values = [value for run in runs if (value := goal.value_in(run)) is not None]
        if len(values) < len(runs):
            continue
        found[goal.what] = value = median(values)
        spread = f" ({min(values):,.2f}–{max(values):,.2f})" if len(runs) > 1 else ""
        reached = "yes" if goal.is_reached(value) else "**no**"
        sign = "≤" if goal.is_maximum else "≥"
        rows.append([goal.what, f"{sign} {goal.target:,g}", f"{value:,.2f}{spread}", reached])
    table = Table(["goal", "wanted", "measured", "reached"], rows)
    return Report("goals", "Where the goals stand", [table], found)
