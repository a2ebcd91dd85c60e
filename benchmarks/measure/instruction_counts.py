"""Instructions of a submission, a registration and a cycle in each mode, compared with a table.

Times differ by a third on a busy machine, instructions by 1 or 2 %. ``instructions.py`` counts more
exactly what a part costs; this is quick enough for ``make check``, which fails when a request costs
over 5 % more than the table says. What is compared is the ratio to a request of a bare Sanic app
that was counted beside, so that the machine and its C library hardly matter. The version of Python
does: a table holds for one.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.drive import redis_server, wire
from benchmarks.drive.load import clients
from benchmarks.drive.servers import ROOT, Side, bare_sanic, ours
from benchmarks.drive.valgrind import CountedServer, counted, require_valgrind
from benchmarks.measure.cycles import cycle_loads
from benchmarks.report.tables import Report, Table
from sanic_dispatch.config.settings import Mode

TABLE = ROOT / "benchmarks" / "instruction_counts.json"
COMMAND = "python -m benchmarks instructions --write"
MOST = 1.05
"""How much more than in the table a request may cost."""

MODES = (Mode.IN_MEMORY, Mode.CACHED_JSON_FILE, Mode.SQLITE)
"""The modes that need no server beside them; Redis is counted too, without what Redis does."""
SUBMISSION, REGISTRATION, CYCLE = "submission", "registration", "cycle"
AT_A_TIME = 1
"""Requests in flight: of several, more or fewer share a commit, as the machine is busy."""

COUNT, TIMES = 40, 5
"""How many requests are counted at once, and how often. The least counts: now and then something
comes between, such as CachedJsonFile's writing of its files after a second of quiet."""

WARM_UP = 64
LONGEST_S = 900.0
"""How long one side may take at most; 20 s are usual."""

SETTLE_S, IDLE_S = 1.5, 1.0
"""A second of quiet lets CachedJsonFile write its files."""


def python() -> str:
    """Return the version of Python for which a table holds."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


async def measure() -> Report:
    """Count; the data are what the table has. Raises ClickException without valgrind."""
    require_valgrind()
    with redis_server.running() as redis:
        sides = [bare_sanic(), *map(ours, MODES), ours(Mode.REDIS, "--redis-url", redis.url)]
        counts = await _of_sides(sides)
    floor = counts.pop(sides[0].name)[SUBMISSION]
    ratios = {
        mode: {what: round(n / floor, 3) for what, n in each.items()}
        for mode, each in counts.items()
    }
    whole = {mode: {what: round(n) for what, n in each.items()} for mode, each in counts.items()}
    data = {
        "python": python(),
        "bare request": round(floor),
        "ratios": ratios,
        "instructions": whole,
    }
    heads = ["side", *(f"a {what}" for what in (SUBMISSION, REGISTRATION, CYCLE))]
    rows = [["bare Sanic", f"{floor / 1e3:,.0f} k", "", ""]]
    for mode, each in counts.items():
        cells = (f"{n / 1e3:,.0f} k ({ratios[mode][what]:.2f})" for what, n in each.items())
        rows.append([mode, *cells])
    title = f"Instructions of a request (÷ bare Sanic's), Python {python()}"
    return Report("instruction-counts", title, [Table(heads, rows)], data)


def table() -> dict[str, Any]:
    """Return the table in the tree."""
    return dict(json.loads(TABLE.read_text()))


def grown(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Say what costs over 5 % more than in the table ``before``, by its ratio to a bare request."""
    ratios = now["ratios"]
    return [
        f"a {what} in {mode} costs {ratios[mode][what]:.2f} bare requests instead of {ratio:.2f}: "
        f"{ratios[mode][what] / ratio - 1:+.1%}"
        for mode, each in before["ratios"].items()
        for what, ratio in each.items()
        if ratios[mode][what] > ratio * MOST
    ]


async def _of_sides(sides: Sequence[Side]) -> dict[str, dict[str, float]]:
    """Return what each request costs each side, by its name; as many at a time as there are cores.

    Counts are the same however busy the machine.
    """
    is_free = asyncio.Semaphore(os.cpu_count() or 1)

    async def of_one(side: Side) -> dict[str, float]:
        async with is_free:
            return await of_a_side(side)

    found = await asyncio.gather(*map(of_one, sides))
    return {side.name: counts for side, counts in zip(sides, found, strict=True)}


async def of_a_side(side: Side) -> dict[str, float]:
    """Return what each request costs a side; of a floor, only a submission."""
    async with asyncio.timeout(LONGEST_S), counted(side) as one:
        found = await _of_requests(one)
        if not side.is_floor:
            found[CYCLE] = await _of_a_cycle(one)
        return found


async def _of_requests(one: CountedServer) -> dict[str, float]:
    requests = {SUBMISSION: wire.order()}
    if not one.server.side.is_floor:
        requests[REGISTRATION] = wire.registrations()
    async with clients(one.server, AT_A_TIME) as crowd:
        for build in requests.values():
            await crowd.send(build, count=WARM_UP)
        await one.begin(SETTLE_S, IDLE_S)
        for build in requests.values():
            await crowd.send(build, count=WARM_UP)
        counts: dict[str, list[float]] = {what: [] for what in requests}
        await one.count()
        for _ in range(TIMES):
            for what, build in requests.items():
                await crowd.send(build, count=COUNT)
                counts[what].append(await one.count())
        return {what: min(each) / COUNT for what, each in counts.items()}


async def _of_a_cycle(one: CountedServer) -> float:
    async with cycle_loads([one.server], AT_A_TIME) as (load,):
        await load.run(WARM_UP)
        await one.count()
        counts = []
        for _ in range(TIMES):
            await load.run(COUNT)
            counts.append(await one.count())
        return min(counts) / COUNT
