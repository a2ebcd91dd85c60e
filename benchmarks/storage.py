"""What it costs to store an order, at the depths that a queue can have, in every mode.

    python -m benchmarks.storage [--depths 100 10000 100000] [--seconds 1] [--repeats 5]

64 clients submit one order after the other to the queue itself, without HTTP and without workers,
each waiting until its order is on disk. They do so in rounds; between two rounds what was added is
taken away again, so the depth stays what it is. The depths take turns, and the best turn of each
counts: what else runs on the machine only ever makes it slower. A start is a process of its own
that opens the queue; the memory is what that process has more than one that opened an empty queue.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import uvloop

from sanic_dispatch.clock import to_rfc3339
from sanic_dispatch.events import Events
from sanic_dispatch.exchange import Content
from sanic_dispatch.job import Job
from sanic_dispatch.queues import open_queues
from sanic_dispatch.queues.base import Facts, Pairs
from sanic_dispatch.settings import Mode, Settings
from sanic_dispatch.transfer import write_folder

CLIENTS, EACH = 64, 8
"""How many submit at a time, and how many orders each in one round."""

DATA = b'{"drink": "mojito", "name": "Ada Lovelace", "logo": "lion"}'
AT = to_rfc3339(1_732_412_340.0)
DURABLE = [mode for mode in Mode if mode.is_durable]


class Start(NamedTuple):
    """How long opening a queue takes, and how much memory there is then."""

    took_s: float
    rss: int


def order(number: int, ticket: int = 0) -> Job:
    """An order like any other."""
    return Job(f"{number:032x}", ticket, DATA, AT, float(ticket))


async def fill(settings: Settings, depth: int) -> None:
    """A folder in which so many orders wait."""
    jobs = [order(n, n) for n in range(1, depth + 1)]
    await write_folder(settings, Content(Facts(depth, secret="00" * 32), [], jobs, []))


async def per_second(settings: Settings, depth: int, seconds: float) -> float:
    """How many orders are stored in a second."""
    async with open_queues(settings, Events()) as pairs:
        if not settings.needs_data_dir:
            await asyncio.gather(*(pairs.offer(order(n), 0.0) for n in range(depth)))
        await one_round(pairs, depth + 1)
        taken_s, stored = 0.0, 0
        while taken_s < seconds:
            taken_s += await one_round(pairs, depth + 1)
            stored += CLIENTS * EACH
        assert await pairs.jobs.size() == depth
    return stored / taken_s


async def one_round(pairs: Pairs, first: int) -> float:
    """All clients submit; how long it took until the last order was stored."""

    async def submit(client: int) -> None:
        for number in range(client, CLIENTS * EACH, CLIENTS):
            await pairs.offer(order(first + number), 0.0)

    began_s = time.perf_counter()
    await asyncio.gather(*(submit(client) for client in range(CLIENTS)))
    took_s = time.perf_counter() - began_s
    added = (order(first + number).id for number in range(CLIENTS * EACH))
    await asyncio.gather(*(pairs.jobs.remove(job_id) for job_id in added))
    return took_s


def start(mode: Mode, folder: Path) -> Start:
    """Open the queue in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.storage", "--start", mode.value, str(folder)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return Start(float(said[0]), int(said[1]))


async def show_start(mode: Mode, folder: Path) -> None:
    """In that process: open it, and print how long it took and how much memory there is."""
    began_s = time.perf_counter()
    async with open_queues(Settings.of(mode, data_dir=folder), Events()):
        took_s = time.perf_counter() - began_s
        gc.collect()
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        print(took_s, _resident())  # noqa: T201


def _resident() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def compare(depths: Sequence[int], seconds: float, repeats: int) -> None:
    """The table."""
    heads = [f"{depth:,} deep" for depth in depths]
    heads += [f"× at {depth:,}" for depth in depths[1:]]
    heads += [f"start with {depths[-1]:,}", "memory per waiting order"]
    print(f"| orders/s, {CLIENTS} clients | {' | '.join(heads)} |")  # noqa: T201
    print("|---" * (len(heads) + 1) + "|")  # noqa: T201
    for mode in Mode:
        with TemporaryDirectory(dir=".", prefix=".benchmark-") as folder:
            cells = cells_of(Path(folder), mode, depths, seconds, repeats)
            print(f"| {mode} | {' | '.join(cells)} |", flush=True)  # noqa: T201


def cells_of(
    folder: Path, mode: Mode, depths: Sequence[int], seconds: float, repeats: int
) -> list[str]:
    """One line of the table."""
    settings = {depth: settings_of(folder / str(depth), mode) for depth in (0, *depths)}
    if mode.is_durable:
        for depth in depths:
            uvloop.run(fill(settings[depth], depth))
    rates = dict.fromkeys(depths, 0.0)
    for _ in range(repeats):
        for depth in depths:
            rate = uvloop.run(per_second(settings[depth], depth, seconds))
            rates[depth] = max(rates[depth], rate)
    cells = [f"{rate:,.0f}" for rate in rates.values()]
    cells += [f"{rates[depth] / rates[depths[0]]:.2f}" for depth in depths[1:]]
    if not mode.is_durable:
        return [*cells, "", ""]
    begun = [start(mode, folder / str(depths[-1])) for _ in range(repeats)]
    took_s = min(each.took_s for each in begun)
    each = (begun[0].rss - start(mode, folder / "0").rss) / depths[-1]
    return [*cells, f"{took_s:.2f} s", f"{each:,.0f} B, {len(DATA)} of them payload"]


def settings_of(folder: Path, mode: Mode) -> Settings:
    """A folder of its own."""
    folder.mkdir()
    return Settings.of(mode, data_dir=folder)


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depths", type=int, nargs="+", default=[100, 10_000, 100_000])
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--start", nargs=2, metavar=("MODE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.start:
        uvloop.run(show_start(Mode(options.start[0]), Path(options.start[1])))
    else:
        compare(options.depths, options.seconds, options.repeats)


if __name__ == "__main__":
    main()
