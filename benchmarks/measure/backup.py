"""A backup of a running service: the longest stall of the event loop, and how long orders take.

    python -m benchmarks.measure.backup [--waiting 100000]

The service and the orders are in one process, and a stall is the CPU time that this process used
in it: other load on the machine does not count.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable
from typing import Any

import uvloop
from sanic import Sanic

from benchmarks.drive.servers import folder_of_its_own, ours
from benchmarks.drive.wire import DATA
from benchmarks.measure.history import say
from sanic_dispatch.app import create_app
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.live.conformal_range import quantile
from sanic_dispatch.server.runner import serving
from sanic_dispatch.server.sockets import listening_socket

MODES = (Mode.CACHED_JSON_FILE, Mode.SQLITE, Mode.JSON_FILE)

ROUNDS = 3
APART_S = 0.02
"""The time between two orders."""

TICK_S = 0.001


class Watch:
    """Submits orders, and looks how long each takes and how long the event loop stalls."""

    def __init__(self, app: Sanic[Any, Any]) -> None:
        self.longest_s = 0.0
        self.orders_s: list[float] = []
        self._dispatcher = app.ctx.dispatcher

    async def during(self, work: Awaitable[Any]) -> None:
        """Watch until some work is done."""
        done = asyncio.ensure_future(work)
        ordering = asyncio.create_task(self._order())
        while not done.done():
            began_s, used_s = time.perf_counter(), time.process_time()
            await asyncio.sleep(TICK_S)
            took_s, used_s = time.perf_counter() - began_s, time.process_time() - used_s
            self.longest_s = max(self.longest_s, min(took_s, used_s) - TICK_S)
        ordering.cancel()
        await done

    async def _order(self) -> None:
        while True:
            began_s = time.perf_counter()
            await self._dispatcher.submit(DATA)
            self.orders_s.append(time.perf_counter() - began_s)
            await asyncio.sleep(APART_S)


async def measure(mode: Mode, waiting: int) -> None:
    """Print the figures of a mode, at rest and during a backup."""
    with folder_of_its_own() as folder:
        data_dir = folder / "data"
        data_dir.mkdir()
        await ours(mode).fill(data_dir, waiting)
        settings = Settings.of(
            mode, host="127.0.0.1", port=0, data_dir=data_dir, max_jobs=10 * waiting
        )
        app = create_app(settings)
        app.config.TOUCHUP = False
        with listening_socket("127.0.0.1", 0) as sock:
            async with serving(app, sock):
                await asyncio.sleep(2.0)  # the checkpoint of the start

                for number in range(ROUNDS):
                    making = app.ctx.backup.make(folder / f"backup-{number}")
                    await say_of(app, f"{mode}: backup", making)
                    await say_of(app, f"{mode}: at rest", asyncio.sleep(2.0))


async def say_of(app: Sanic[Any, Any], what: str, work: Awaitable[Any]) -> None:
    """Do some work while orders go on; print the longest stall, and the p99 of the orders."""
    watch, began_s = Watch(app), time.perf_counter()
    await watch.during(work)
    took_s = time.perf_counter() - began_s
    ordered = sorted(watch.orders_s)
    p99_s = quantile(ordered, 0.99)
    say(
        f"{what}: {took_s:.1f} s, longest stall {1e3 * watch.longest_s:.1f} ms,"
        f" {len(ordered)} orders, p99 {1e3 * p99_s:.1f} ms, slowest {1e3 * ordered[-1]:.1f} ms"
    )


def main() -> None:
    """Measure each mode."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure.backup")
    parser.add_argument("--waiting", type=int, default=100_000)
    waiting: int = parser.parse_args().waiting
    for mode in MODES:
        uvloop.run(measure(mode, waiting))


if __name__ == "__main__":
    main()
