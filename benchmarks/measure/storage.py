"""The cost of storing an order by depth of the queue, in every mode.

64 clients submit one order after the other to the dispatcher itself, without HTTP and without
workers, each waiting until its order is on disk. Between two rounds the added orders are
cancelled, so the depth stays. The depths take turns, and the best turn of each counts: other load
on the machine only slows it down. A start is a process of its own that opens the queue; the
memory is that process's, minus that of one that opened an empty queue.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import uvloop

from benchmarks.drive import machine
from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import ROOT, Side, folder_of_its_own, waiting
from benchmarks.drive.wire import DATA
from benchmarks.report.tables import Report, Table
from sanic_dispatch.callbacks.callback_client import CallbackClient
from sanic_dispatch.callbacks.guard import Guard
from sanic_dispatch.clock import SystemClock
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.observability.event_bus import EventBus
from sanic_dispatch.storage.export_import import write_contents
from sanic_dispatch.storage.open_store import open_store

SHALLOW = 100
"""The depth to which all others are compared."""

CLIENTS, EACH = 64, 8
"""Number of concurrent clients, and orders of each per round."""

AT = to_rfc3339(1_732_412_340.0)
MODES = [mode for mode in Mode if not mode.is_shared]
POLICY = Policy(max_jobs=10**9, keep_finished=1)


class Start(NamedTuple):
    """Duration of opening a queue, and the memory of the process after it."""

    took_s: float
    rss: int


async def fill(settings: Settings, depth: int) -> None:
    """Write a folder with ``depth`` waiting orders."""
    jobs = [Job(f"{n:032x}", n, DATA, AT, n) for n in range(1, depth + 1)]
    await write_contents(settings, waiting(jobs))


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Dispatcher]:
    """Make a dispatcher on a store, without network and without subscribers."""
    async with open_store(settings) as store:
        callbacks = CallbackClient(Guard(), timeout_s=1.0)
        dispatcher = Dispatcher(store, callbacks, EventBus(), SystemClock(), POLICY)
        await dispatcher.load()
        await dispatcher.start()
        yield dispatcher
        await dispatcher.stop(1.0)


async def per_second(settings: Settings, depth: int, seconds: float) -> float:
    """Return the orders stored per second."""
    async with opened(settings) as dispatcher:
        if not settings.needs_data_dir:
            await asyncio.gather(*(dispatcher.submit(DATA) for _ in range(depth)))
        await one_round(dispatcher)
        taken_s, stored = 0.0, 0
        while taken_s < seconds:
            taken_s += await one_round(dispatcher)
            stored += CLIENTS * EACH
        assert len(dispatcher.snapshot().jobs) == depth
    return stored / taken_s


async def one_round(dispatcher: Dispatcher) -> float:
    """Submit from all clients; return the seconds until the last order was stored."""
    added: list[str] = []

    async def submit() -> None:
        added.extend([(await dispatcher.submit(DATA)).job.id for _ in range(EACH)])

    began_s = time.perf_counter()
    await asyncio.gather(*(submit() for _ in range(CLIENTS)))
    took_s = time.perf_counter() - began_s
    await asyncio.gather(*(dispatcher.cancel(job_id) for job_id in added))
    return took_s


def start(mode: Mode, folder: Path) -> Start:
    """Open the queue in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.measure.storage",
        mode.value,
        str(folder.absolute()),
    ]
    said = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout.split()
    return Start(float(said[0]), int(said[1]))


async def show_start(mode: Mode, folder: Path) -> None:
    """Open the queue, and print duration and memory: the process that ``start`` runs."""
    began_s = time.perf_counter()
    async with opened(Settings.of(mode, data_dir=folder)):
        took_s = time.perf_counter() - began_s
        gc.collect()
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        print(took_s, machine.rss())  # noqa: T201


async def measure(plan: Plan, _: Sequence[Side]) -> Report:
    """Measure all modes."""
    depths = [SHALLOW, *(depth for depth in plan.depths if depth > SHALLOW)]
    heads = [
        f"orders/s, {CLIENTS} clients",
        *(f"× at {depths[0]:,}, {d:,} deep" for d in depths[1:]),
    ]
    heads += [f"{depth:,} deep" for depth in depths]
    heads += [f"start with {depths[-1]:,}", "memory per waiting order"]
    rows, data = [], {}
    with machine.on(machine.server_cores()):
        for mode in MODES:
            with folder_of_its_own() as folder:
                stored = await measure_mode(plan, mode, folder, depths)
            rows.append([mode.value, *stored.cells(depths)])
            data[mode.value] = stored
    title = "Storing alone, without HTTP and without workers"
    return Report("storage", title, [Table(heads, rows)], {n: s._asdict() for n, s in data.items()})


class Stored(NamedTuple):
    """The results of one mode; the last two are None for a queue in memory."""

    per_s: dict[int, float]
    start_s: float | None = None
    bytes_each: float | None = None

    def cells(self, depths: Sequence[int]) -> list[str]:
        """Return the cells of the row, ratios first."""
        first = self.per_s[depths[0]]
        cells = [f"{self.per_s[depth] / first:.2f}" for depth in depths[1:]]
        cells += [f"{self.per_s[depth]:,.0f}" for depth in depths]
        if self.start_s is None:
            return [*cells, "starts empty", "nothing is kept"]
        return [*cells, f"{self.start_s:.2f} s", f"{self.bytes_each:,.0f} B, {len(DATA)} payload"]


async def measure_mode(plan: Plan, mode: Mode, folder: Path, depths: Sequence[int]) -> Stored:
    """Measure one mode."""
    settings = {depth: settings_of(folder / str(depth), mode) for depth in (0, *depths)}
    if mode.is_durable:
        for depth in depths:
            await fill(settings[depth], depth)
    rates = dict.fromkeys(depths, 0.0)
    for _ in range(plan.rounds):
        for depth in depths:
            rate = await per_second(settings[depth], depth, plan.seconds)
            rates[depth] = max(rates[depth], rate)
    if not mode.is_durable:
        return Stored(rates)
    begun = [start(mode, folder / str(depths[-1])) for _ in range(plan.rounds)]
    each = (begun[0].rss - start(mode, folder / "0").rss) / depths[-1]
    return Stored(rates, min(start.took_s for start in begun), each)


def settings_of(folder: Path, mode: Mode) -> Settings:
    """Make a folder, and return settings for it."""
    folder.mkdir()
    return Settings.of(mode, data_dir=folder)


if __name__ == "__main__":
    uvloop.run(show_start(Mode(sys.argv[1]), Path(sys.argv[2])))
