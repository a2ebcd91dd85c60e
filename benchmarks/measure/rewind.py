"""The monitor rewound: the time until a random second of a busy week is shown.

    python -m benchmarks.measure.rewind [--events 1000000] [--moments 200] [--folder DIR]

makes a week of seven evenings with that many events (unless the folder has them), looks once at the
end of it, which makes all snapshots, and then from a fresh reader at random seconds, each without
what the look before has left. Meanwhile it measures for how long the event loop was held up.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from heapq import heappop, heappush
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time

from benchmarks.measure.history import DATA, ENGINE, START_S, say
from sanic_dispatch.clock import SystemClock
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.worker import Key
from sanic_dispatch.garbage_collection import collect_seldom
from sanic_dispatch.live.frames import encode
from sanic_dispatch.live.rewinder import Rewinder
from sanic_dispatch.storage.event_facts import EventFacts
from sanic_dispatch.storage.event_log import Question
from sanic_dispatch.storage.event_record import LoggedEvent, Payload, encode_event, recorded_again
from sanic_dispatch.storage.segment_format import FOLDER
from sanic_dispatch.storage.segment_log import SegmentLog
from sanic_dispatch.storage.segment_writer import SEGMENT_EVENTS

DAY_S, EVENING_S, EVENINGS = 86400.0, 5 * 3600.0, 7
ROBOTS, SERVICE_S = 100, 60.0
EVENTS_PER_ORDER = 6
PROBE_S = 0.001
"""How often to look whether the event loop is held up."""


class Week:
    """The events of a week in which a hundred robots serve a line that grows and shrinks."""

    def __init__(self, orders: int) -> None:
        self._dice = random.Random(7)
        self._orders = orders
        self._n = 0
        self._due: list[tuple[float, int, str, int]] = []
        """When a drink is ready: the robot's callback, and the ticket."""
        self._free: list[str] = []
        self._line: list[int] = []
        self._ids: dict[int, str] = {}
        self._labels: dict[str, str] = {}

    def events(self) -> Iterator[tuple[LoggedEvent, Payload | None]]:
        """Yield the events in order, each with the data that was submitted."""
        for number in range(ROBOTS):
            yield self._registered(START_S, f"Robot {number}"), None
        for ticket, at_s in enumerate(self._arrivals(), 1):
            yield from self._finish_until(at_s)
            job = self._ids[ticket] = f"{self._dice.getrandbits(128):032x}"
            submitted = self._of(at_s, "job.submitted", ticket)
            yield submitted, Payload(submitted.n, ticket, job, False, DATA % (ticket, ticket % 40))
            self._line.append(ticket)
            yield from self._pair(at_s)
        yield from self._finish_until(START_S + EVENINGS * DAY_S)

    def _arrivals(self) -> Iterator[float]:
        per_evening = self._orders // EVENINGS
        for evening in range(EVENINGS):
            begin_s = START_S + evening * DAY_S + 10.0
            # Two uniform numbers on average: most come in the middle of the evening.
            dice = (sum(self._dice.random() for _ in range(2)) / 2 for _ in range(per_evening))
            yield from (begin_s + EVENING_S * share for share in sorted(dice))

    def _finish_until(self, until_s: float) -> Iterator[tuple[LoggedEvent, None]]:
        while self._due and self._due[0][0] <= until_s:
            at_s, _, callback, ticket = heappop(self._due)
            yield self._of(at_s, "job.done", ticket, callback), None
            del self._ids[ticket]
            yield self._registered(at_s + 0.001, self._labels.pop(callback)), None
            yield from self._pair(at_s + 0.001)

    def _pair(self, at_s: float) -> Iterator[tuple[LoggedEvent, None]]:
        while self._line and self._free:
            ticket, callback = self._line.pop(0), self._free.pop(0)
            yield self._of(at_s, "job.assigned", ticket, callback), None
            yield self._of(at_s + 0.002, "job.confirmed", ticket, callback), None
            yield self._of(at_s + 0.002, "worker.used", 0, callback), None
            end_s = at_s + SERVICE_S * self._dice.uniform(0.6, 1.4)
            heappush(self._due, (end_s, ticket, callback, ticket))

    def _registered(self, at_s: float, label: str) -> LoggedEvent:
        number = label.partition(" ")[2]
        callback = f"{ENGINE}/{number}/callbacks/{self._dice.getrandbits(128):032x}/"
        self._labels[callback] = label
        self._free.append(callback)
        facts = EventFacts(
            registered_at=to_rfc3339(at_s),
            key=Key(f"{self._dice.getrandbits(128):032x}", "a1"),
            instance_url=f"{ENGINE}/{number}/",
        )
        return self._of(at_s, "worker.registered", 0, callback)._replace(facts=facts)

    def _of(self, at_s: float, kind: str, ticket: int, callback: str = "") -> LoggedEvent:
        self._n += 1
        job, label = self._ids.get(ticket, ""), self._labels.get(callback, "")
        attempt = int(bool(ticket and callback))
        return LoggedEvent(
            self._n, at_s, kind, ticket, job, label, callback, "", "4711", attempt
        )  # fmt: skip


def make(folder: Path, count: int) -> None:
    """Make the events, unless the folder has some."""
    log = SegmentLog(folder, fsync=False)
    log.load()
    if log.last_number:
        return
    made = Week(count // EVENTS_PER_ORDER).events()
    while some := list(islice(made, SEGMENT_EVENTS)):
        log.add([recorded_again(event, encode_event(event), data) for event, data in some])
        log.flush()


@asynccontextmanager
async def lag() -> AsyncIterator[list[float]]:
    """Measure in the block for how long the event loop is held up by this process, in seconds.

    That is at most the CPU time of the process: what else runs on the machine is not counted.
    """
    held_s: list[float] = []

    async def probe() -> None:
        while True:
            began_s, began_cpu_s = perf_counter(), process_time()
            await asyncio.sleep(PROBE_S)
            late_s = perf_counter() - began_s - PROBE_S
            held_s.append(min(late_s, process_time() - began_cpu_s))

    task = asyncio.create_task(probe())
    try:
        yield held_s
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def new_rewinder(folder: Path) -> tuple[SegmentLog, Rewinder]:
    """Open the folder as a start does."""
    log = SegmentLog(folder, fsync=False)
    log.load()
    return log, Rewinder(log, lambda: None, SystemClock())


async def measure(folder: Path, moments: int) -> None:
    """Print the times."""
    log, rewinder = new_rewinder(folder)
    first = log.find(Question(limit=1)).events[0]
    end_s = START_S + EVENINGS * DAY_S
    say(f"{log.last_number:,} events in {(end_s - first.at_s) / DAY_S:.0f} days")
    async with lag() as held_s:
        began_s = perf_counter()
        view = await rewinder.look(end_s)
        took_s = perf_counter() - began_s
    refs = log.snapshots.refs()
    say(
        f"the end, first with {len(refs)} snapshots to make or there already: {took_s:.1f} s "
        f"({1e6 * took_s / log.last_number:.0f} µs an event), event {view.number:,}; "
        f"the loop waited {1000 * max(held_s):.1f} ms at most"
    )
    size = sum(path.stat().st_size for path in (folder / FOLDER).glob("*.snapshot"))
    segments = sum(path.stat().st_size for path in (folder / FOLDER).glob("*.gz"))
    say(f"snapshots: {size / 2**20:.1f} MiB beside {segments / 2**20:.0f} MiB of segments")
    log, rewinder = new_rewinder(folder)
    dice, took, shown = random.Random(11), list[float](), list[int]()
    async with lag() as held_s:
        for at in range(moments):
            evening = START_S + dice.randrange(EVENINGS) * DAY_S
            moment_s = evening + (dice.random() * EVENING_S if at % 4 else dice.random() * DAY_S)
            began_s = perf_counter()
            view = await rewinder.look(max(moment_s, first.at_s))
            frame = await asyncio.to_thread(encode, view.entries)
            took.append(perf_counter() - began_s)
            shown.append(len(frame))
    took.sort()
    say(
        f"{moments} random seconds: {1000 * statistics.median(took):.0f} ms in the median, "
        f"{1000 * took[int(len(took) * 0.99)]:.0f} ms for 99 %, {1000 * took[-1]:.0f} ms at most; "
        f"frames of {statistics.median(shown) / 1024:.0f} KiB; "
        f"the loop waited {1000 * statistics.quantiles(held_s, n=100)[-1]:.1f} ms for 99 %, "
        f"{1000 * max(held_s):.1f} ms at most"
    )


def main() -> None:
    """Make the week, and look at it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure.rewind")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rewind-") as made:
        folder = chosen.folder or Path(made)
        make(folder, chosen.events)
        collect_seldom()  # as the service does
        asyncio.run(measure(folder, chosen.moments))


if __name__ == "__main__":
    main()
