"""A soak: orders at a fixed rate for a long time, with robots that take them and followers.

Memory, descriptors and times must stay flat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from statistics import mean

from benchmarks.drive.load import Pool
from benchmarks.drive.robots import robots
from benchmarks.drive.servers import Server, Side, started
from benchmarks.drive.subscribers import Subscriber, subscribers
from benchmarks.measure.latency import ROBOTS, LatencyLoad, LatencyRound
from benchmarks.report.figures import quantile
from benchmarks.report.tables import Report, Table

PER_S = 50.0
CROWD = 500
WINDOWS = 12
"""Rows of the table, for any duration."""

Say = Callable[[str], None]


async def measure(
    side: Side, minutes: float, say: Say, *, crowd: int = CROWD, windows: int = WINDOWS
) -> Report:
    """Report one row per window, printed as soon as it ends."""
    window_s = minutes * 60 / windows
    rows: list[list[str]] = []
    taken: list[LatencyRound] = []
    sizes: list[tuple[int, int]] = []
    async with started(side) as server, subscribers(server, crowd) as followers:
        load = LatencyLoad(server, Pool(server))
        async with robots(server, ROBOTS, load.taken_by_robot):
            for number in range(windows):
                taken.append(await load.round(PER_S, window_s))
                sizes.append((server.rss(), server.descriptors()))
                rows.append(row((number + 1) * window_s, taken[-1], server, followers))
                say(" · ".join(rows[-1]))
            load.pool.close()
        await asyncio.sleep(0)
    heads = ["after", "p50", "p99", "slowest", "never came", "memory", "descriptors", "cut off"]
    return Report(
        "soak",
        f"{PER_S:.0f} orders/s, {ROBOTS} robots, {crowd} subscribers, {side.name}: "
        + verdict(taken, sizes),
        [Table(heads, rows)],
        {"p99_ms": [quantile(one.latencies_ms, 0.99) for one in taken], "sizes": sizes},
    )


def row(
    after_s: float, one: LatencyRound, server: Server, followers: list[Subscriber]
) -> list[str]:
    """Return the row of one window."""
    return [
        f"{after_s / 60:.1f} min",
        f"{quantile(one.latencies_ms, 0.5):.1f} ms",
        f"{quantile(one.latencies_ms, 0.99):.1f} ms",
        f"{max(one.latencies_ms):.0f} ms",
        str(one.missing),
        f"{server.rss() / 2**20:.1f} MiB",
        str(server.descriptors()),
        str(sum(follower.is_cut for follower in followers)),
    ]


def verdict(taken: list[LatencyRound], sizes: list[tuple[int, int]]) -> str:
    """Compare the last quarter with the second one: a leak keeps growing."""
    part = max(1, len(taken) // 4)
    early, late = slice(part, 2 * part), slice(-part, None)
    memory = mean(rss for rss, _ in sizes[late]) / mean(rss for rss, _ in sizes[early])
    files = mean(fds for _, fds in sizes[late]) - mean(fds for _, fds in sizes[early])
    p99 = [quantile(one.latencies_ms, 0.99) for one in taken]
    times = mean(p99[late]) / mean(p99[early])
    return f"memory × {memory:.3f}, descriptors {files:+.0f}, p99 × {times:.2f}"
