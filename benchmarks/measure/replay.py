"""How long it takes to run a recorded evening again, and how much memory.

The command itself is measured, as an operator runs it: ``sanic-dispatch replay --robots +1`` on a
folder with the log of an evening that was filled beforehand.
"""

from __future__ import annotations

import heapq
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from time import perf_counter

from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import Side
from benchmarks.report.tables import Report, Table
from sanic_dispatch.core.events import EventKind
from sanic_dispatch.storage.event_record import (
    LoggedEvent,
    Payload,
    Recorded,
    encode_event,
    recorded_again,
)
from sanic_dispatch.storage.segment_log import SegmentLog
from sanic_dispatch.storage.segment_writer import SEGMENT_EVENTS

START_S = 1_732_380_000.0
SERVICE_S = 60.0
ROBOTS = 20
LOAD = 0.9
SEED = 1
DATA = b'{"drink":"mojito","name":"Ada"}'


def events(orders: int) -> Iterator[Recorded]:
    """Yield the events of an evening: the first order goes to the robot that waited longest."""
    dice, numbers = random.Random(SEED), count(1)
    free: list[tuple[float, int]] = [(START_S, robot) for robot in range(ROBOTS)]
    now_s, visits = START_S, [0] * ROBOTS
    later: list[tuple[float, int, EventKind, int, int]] = []
    order_of = count()

    def event(at_s: float, kind: EventKind, ticket: int, robot: int | None) -> Recorded:
        n = next(numbers)
        is_new = kind is EventKind.JOB_SUBMITTED
        label, callback = ("", "") if robot is None else (f"Robot {robot + 1}", url(robot))
        job = f"{ticket:032x}" if ticket else ""
        waiting_s = 0.0 if kind is EventKind.JOB_ASSIGNED else None
        told = LoggedEvent(
            n, at_s, kind.value, ticket, job, label, callback,
            attempt=0 if is_new or not ticket else 1, waiting_s=waiting_s,
        )  # fmt: skip
        payload = Payload(n, ticket, job, False, DATA) if is_new else None
        return recorded_again(told, encode_event(told), payload)

    def url(robot: int) -> str:
        return f"http://engine.example/{robot}/callbacks/{visits[robot]}/"

    def due(until_s: float) -> Iterator[Recorded]:
        while later and later[0][0] <= until_s:
            at_s, _, kind, ticket, robot = heapq.heappop(later)
            if kind is EventKind.WORKER_REGISTERED:
                visits[robot] += 1
            yield event(at_s, kind, ticket, robot)

    for _, robot in free:
        yield event(START_S, EventKind.WORKER_REGISTERED, 0, robot)
    for ticket in range(1, orders + 1):
        now_s += dice.expovariate(LOAD * ROBOTS / SERVICE_S)
        heapq.heappush(later, (now_s, next(order_of), EventKind.JOB_SUBMITTED, ticket, -1))
        free_s, robot = heapq.heappop(free)
        begin_s = max(now_s, free_s)
        end_s = begin_s + 0.01 + SERVICE_S * dice.lognormvariate(-0.03, 0.25)
        for at_s, kind, of in (
            (begin_s, EventKind.JOB_ASSIGNED, ticket),
            (begin_s + 0.01, EventKind.JOB_CONFIRMED, ticket),
            (end_s, EventKind.JOB_DONE, ticket),
            (end_s, EventKind.WORKER_REGISTERED, 0),
        ):
            heapq.heappush(later, (at_s, next(order_of), kind, of, robot))
        heapq.heappush(free, (end_s, robot))
        yield from due(now_s - 3600.0)
    yield from due(float("inf"))


def fill(folder: Path, orders: int) -> int:
    """Write the log of an evening to a folder; return its length in bytes."""
    log = SegmentLog(folder, fsync=False)
    log.load()
    batch: list[Recorded] = []
    for each in events(orders):
        batch.append(each)
        if len(batch) == SEGMENT_EVENTS:
            log.add(batch)
            log.flush()
            batch = []
    log.add(batch)
    log.flush()
    return sum(path.stat().st_size for path in folder.rglob("segment-*.gz"))


def run(folder: Path, *words: str) -> tuple[float, float, float]:
    """Run the command; return seconds, CPU seconds and MB of memory. Raises RuntimeError."""
    command = (sys.executable, "-m", "sanic_dispatch", "replay", "--data-dir", str(folder), *words)
    began_s = perf_counter()
    out = os.open(os.devnull, os.O_WRONLY)
    child = os.posix_spawn(
        sys.executable, command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, out, 1)]
    )
    _, status, used = os.wait4(child, 0)
    os.close(out)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {status}")
    return perf_counter() - began_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


async def measure(plan: Plan, _: Sequence[Side]) -> Report:
    """Return time and memory of evenings of several lengths."""
    rows, data = [], {}
    for orders in plan.evenings:
        with tempfile.TemporaryDirectory(prefix="sanic-dispatch-") as name:
            folder = Path(name)
            size_mb = fill(folder, orders) / 2**20
            seconds, cpu_s, memory_mb = run(folder, "--robots", "+1", "--json")
        rows.append(
            [f"{orders:,}", f"{size_mb:.1f} MB", f"{seconds:.1f} s", f"{cpu_s:.1f} s"]
            + [f"{memory_mb:,.0f} MB"]
        )
        data[str(orders)] = {"seconds": seconds, "cpu_s": cpu_s, "memory_mb": memory_mb}
    heads = ["orders", "log", "time", "CPU", "memory"]
    return Report("replay", "An evening run again, with one more robot", [Table(heads, rows)], data)
