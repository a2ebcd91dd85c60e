"""The cost of keeping a history: CPU of an order, a start after a kill, pauses of the event loop.

    python -m benchmarks.measure.history_cost [--orders 3000]

commits the batches of orders to the stores themselves, with their events and without, in turns. The
best turn of each counts: other load on the machine only slows it down. Then services with a history
and without: CPU of whole cycles (``cycles.py``), and if valgrind is installed the instructions of a
submission with the registration that takes it (``instructions.py``), which are the same under load.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter, thread_time

import uvloop

from benchmarks.drive import machine
from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import Side, ours
from benchmarks.drive.wire import DATA
from benchmarks.measure import cycles, instructions
from benchmarks.measure.core_steps import AT, NOW, POLICY, worker
from benchmarks.measure.history import say
from sanic_dispatch.config.settings import Mode
from sanic_dispatch.core import commands as c
from sanic_dispatch.core.state_machine import StateMachine
from sanic_dispatch.core.worker import Key, Worker
from sanic_dispatch.dispatch.batches import combined
from sanic_dispatch.storage.blocking import OneThread
from sanic_dispatch.storage.cached_json_file import JournaledFiles
from sanic_dispatch.storage.checkpoint import Pace
from sanic_dispatch.storage.event_record import recorded
from sanic_dispatch.storage.segment_log import SegmentLog
from sanic_dispatch.storage.sqlite import DATABASE_NAME, SqliteFile
from sanic_dispatch.storage.store import Batch

TURNS = 9
FLUSHED = 50_000
"""How many events the longest flush has: more are not kept in memory."""

TICK_S = 0.001

BlockingFiles = JournaledFiles | SqliteFile
Open = Callable[[Path], BlockingFiles]


def cached_json_file(folder: Path) -> JournaledFiles:
    """Open a folder in the mode CachedJsonFile."""
    return JournaledFiles(folder, fsync=False)


def sqlite(folder: Path) -> SqliteFile:
    """Open a folder in the mode Sqlite."""
    return SqliteFile(folder / DATABASE_NAME, fsync=False)


MODES: dict[str, Open] = {"CachedJsonFile": cached_json_file, "Sqlite": sqlite}


def batches_of(orders: int) -> list[Batch]:
    """Return the batches of orders: each is submitted, taken, and done as its robot comes back."""
    topic, made = StateMachine(POLICY), list[Batch]()

    def commit(command: c.Command) -> None:
        applied = topic.apply(command, NOW)
        changes = combined(topic.tables.take_changes())
        made.append(Batch(len(made) + 1, changes, applied.events))

    commit(c.Recover("00" * 32))
    commit(c.Register(worker(0)))
    for number in range(1, orders + 1):
        submitted = c.Submit(f"{number:032x}", DATA)
        commit(submitted)
        commit(c.DeliveryAccepted(submitted.job_id, 1))
        url = f"http://127.0.0.1:8298/7/callbacks/{number:032x}/"
        commit(c.Register(Worker(url, AT, Key("instance 0", "a1"), label="Robot")))
    return made


def commit_all(files: BlockingFiles, batches: Sequence[Batch]) -> float:
    """Commit batches to a new folder; return the CPU time, seconds."""
    files.load()
    gc.collect()
    began_s = thread_time()
    for batch in batches:
        files.commit(batch)
    return thread_time() - began_s


def start_s(opened: BlockingFiles) -> float:
    """Return the duration of a load."""
    gc.collect()
    began_s = perf_counter()
    opened.load()
    return perf_counter() - began_s


def compare(name: str, opened: Open, batches: Sequence[Batch], orders: int) -> None:
    """Print what events add to an order, and to a start with the journal that a kill leaves."""
    sides = {"with": batches, "without": [batch._replace(events=()) for batch in batches]}
    cpu_us: dict[str, float] = {}
    start_ms: dict[str, float] = {}
    for _ in range(TURNS):
        for side, given in sides.items():
            with tempfile.TemporaryDirectory(prefix="history-") as folder:
                took_us = commit_all(opened(Path(folder)), given) / orders * 1e6
                loaded_ms = 1e3 * start_s(opened(Path(folder)))
            cpu_us[side] = min(cpu_us.get(side, took_us), took_us)
            start_ms[side] = min(start_ms.get(side, loaded_ms), loaded_ms)
    say(f"{name}: CPU of an order in the store: {_compared(cpu_us, 'µs')}")
    say(f"{name}: start after a kill, {orders:,} orders: {_compared(start_ms, 'ms')}")


def without_history(side: Side) -> Side:
    """Return the same service with stores that get no events."""

    def command(folder: Path, port: int) -> Sequence[str]:
        python, _, _, *rest = side.command(folder, port)
        return [python, "-m", "benchmarks.measure.without_history", *rest]

    return replace(side, name=f"{side.name} without", command=command)


async def compare_services(mode: Mode) -> None:
    """Print what a history adds to the CPU of a whole cycle: the median of the turns."""
    side = ours(mode)
    report = await cycles.measure(Plan(rounds=TURNS), [without_history(side), side])
    without_us, with_us = (each["server_us"] for each in report.data.values())
    ratios = [most / least for most, least in zip(with_us, without_us, strict=True)]
    say(
        f"{mode}: CPU of an order in all: {median(with_us):.0f} µs with a history,"
        f" {median(without_us):.0f} µs without: {median(ratios):.2f} x"
    )


async def count_instructions(mode: Mode) -> None:
    """Print what a history adds to the instructions of an order."""
    side = ours(mode)
    (_, with_k), (_, without_k) = [
        [count / 1e3 for count in await instructions.of_requests(each)]
        for each in (side, without_history(side))
    ]
    say(
        f"{mode}: instructions of an order in all: {with_k:,.0f} k with a history,"
        f" {without_k:,.0f} k without: {with_k / without_k:.2f} x"
    )


def _compared(values: dict[str, float], unit: str) -> str:
    with_events, without = values["with"], values["without"]
    ratio = with_events / without
    return f"{with_events:.0f} {unit} with events, {without:.0f} {unit} without: {ratio:.2f} x"


async def longest_pause_s(batches: Sequence[Batch], *, flush: bool) -> float:
    """Return how late a timer of the event loop is at most while events are moved to segments.

    Without ``flush`` for a second in which nothing is done.
    """
    with tempfile.TemporaryDirectory(prefix="history-") as folder:
        log, thread = SegmentLog(Path(folder), fsync=False), OneThread("history")
        events = [recorded(event) for batch in batches for event in batch.events][:FLUSHED]
        log.add(events)
        loop = asyncio.get_running_loop()
        work = asyncio.ensure_future(
            thread.run(log.flush, Pace().rest) if flush else asyncio.sleep(1.0)
        )
        longest_s = 0.0
        while not work.done():
            due_s = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            longest_s = max(longest_s, loop.time() - due_s)
        await work
        thread.stop()
    return longest_s


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure.history_cost")
    parser.add_argument("--orders", type=int, default=3000)
    orders: int = parser.parse_args().orders
    machine.stay_off_the_servers_core()
    batches = batches_of(orders)
    for name, opened in MODES.items():
        compare(name, opened, batches, orders)
        uvloop.run(compare_services(Mode(name)))
        if shutil.which("valgrind"):
            uvloop.run(count_instructions(Mode(name)))
    for flush in (False, True):
        pauses = [asyncio.run(longest_pause_s(batches, flush=flush)) for _ in range(TURNS)]
        what = f"while {min(FLUSHED, 5 * orders):,} events are moved" if flush else "at rest"
        say(f"longest pause of the event loop {what}: {1e3 * min(pauses):.1f} ms")


if __name__ == "__main__":
    main()
