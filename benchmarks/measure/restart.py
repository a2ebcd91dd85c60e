"""Duration of a start with jobs in the files: from the command to the first answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from benchmarks.drive import wire
from benchmarks.drive.load import ask, connect, status_of
from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import Side, folder_of_its_own, launched, listening
from benchmarks.report.figures import Figure
from benchmarks.report.tables import Report, Table


async def measure(plan: Plan, sides: Sequence[Side]) -> Report:
    """Measure the sides with files."""
    depths = plan.depths
    kept = [side for side in sides if side.is_kept]
    took = {side.name: {d: await starts(side, d, plan.rounds) for d in depths} for side in kept}
    rows = [
        [name, *(f"{Figure.of(seconds).show(2)} s" for seconds in by_depth.values())]
        for name, by_depth in took.items()
    ]
    table = Table(["side", *(f"{depth:,} jobs" for depth in depths)], rows)
    return Report("restart", "From the command to the first answer", [table], took)


async def starts(side: Side, depth: int, rounds: int) -> list[float]:
    """Return the seconds of several starts in the same folder."""
    took = []
    with folder_of_its_own() as folder:
        if depth:
            await side.fill(folder, depth)
        for _ in range(rounds):
            with launched(side, folder) as server:
                await listening(server)
                connection = await connect(server)
                answer = await asyncio.wait_for(
                    ask(connection, wire.get("public/config.json")), 60.0
                )
                assert status_of(answer) == 200
                took.append(time.perf_counter() - server.started_s)
                connection.close()
    return took
