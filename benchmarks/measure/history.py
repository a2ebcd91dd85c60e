"""A long history: its size on disk, and the time of each kind of question.

    python -m benchmarks.measure.history [--events 10000000] [--folder DIR]

makes a folder with that many events of a bar with 60 robots (unless it has them already), and asks
each indexed question from a fresh reader and again: by ticket, callback, label, kind, time.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter

from sanic_dispatch.storage.event_log import Question
from sanic_dispatch.storage.event_record import (
    LoggedEvent,
    Payload,
    encode_event,
    recorded_again,
)
from sanic_dispatch.storage.segment_format import FOLDER
from sanic_dispatch.storage.segment_log import SegmentLog
from sanic_dispatch.storage.segment_writer import SEGMENT_EVENTS

START_S = 1_764_000_000.0
ROBOTS = 60
FAILED = 500
"""Of how many orders one fails."""

DATA = b'{"drink":"mojito","name":"Guest %d","table":%d}'
ENGINE = "http://engine.example/flow/engine"
ROUNDS = 20


def orders(seed: int = 21) -> Iterator[tuple[list[LoggedEvent], Payload]]:
    """Yield the six events of one order after the other, and what was submitted."""
    dice, n, at_s, ticket = random.Random(seed), 0, START_S, 0
    while True:
        ticket += 1
        at_s += dice.expovariate(0.5)
        robot = dice.randrange(ROBOTS)
        label, job = f"Robot {robot}", f"{dice.getrandbits(128):032x}"
        callback = f"{ENGINE}/{robot}/callbacks/{dice.getrandbits(128):032x}/"
        request, wait_s, service_s = f"{dice.getrandbits(64):016x}", dice.random(), 40.0
        end = "job.failed" if ticket % FAILED == 0 else "job.done"
        who = (ticket, job, label, callback)
        events = [
            LoggedEvent(n + 1, at_s, "worker.registered", 0, "", label, callback, "", request),
            LoggedEvent(n + 2, at_s, "job.submitted", ticket, job, "", "", "", request),
            LoggedEvent(n + 3, at_s, "job.assigned", *who, "", request, 1, round(wait_s, 3)),
            LoggedEvent(n + 4, at_s, "job.confirmed", *who, "", request, 1),
            LoggedEvent(n + 5, at_s, "worker.used", 0, "", label, callback, "", "", 0, 1.5),
            LoggedEvent(n + 6, at_s + service_s, end, *who, "", request, 1, None, service_s),
        ]
        n += len(events)
        yield events, Payload(n - 4, ticket, job, False, DATA % (ticket, ticket % 40))


def make(folder: Path, count: int) -> None:
    """Add events to a folder until it has that many."""
    log, began_s = SegmentLog(folder, fsync=False), perf_counter()
    log.load()
    have, per_segment = log.last_number, SEGMENT_EVENTS // 6
    made = islice(orders(), have // 6, None)
    while log.last_number < count:
        for events, payload in islice(made, per_segment):
            data = {payload.n: payload}
            log.add([recorded_again(e, encode_event(e), data.get(e.n)) for e in events])
        log.flush()
    took_s = perf_counter() - began_s
    if count > have:
        say(f"made {log.last_number - have:,} events in {took_s:.0f} s")


def questions(log: SegmentLog, seed: int) -> dict[str, Question]:
    """Return one question of each kind, about a random order."""
    last_n = log.last_number
    dice = random.Random(seed)
    order = dice.randrange(1, last_n // 6)
    at_s = START_S + 2.0 * order
    callback = log.find(Question(ticket=order)).events[-1].callback
    return {
        "ticket": Question(ticket=order),
        "label": Question(worker=f"Robot {order % ROBOTS}", after=6 * order),
        "label that is not there": Question(worker="Nobody"),
        "label and kind": Question(worker=f"Robot {order % ROBOTS}", kind="job.failed"),
        "kind": Question(kind="job.failed", after=6 * order),
        "kind that is not there": Question(kind="job.cancelled"),
        "time": Question(from_s=at_s, to_s=at_s + 3600.0),
        "kind and time": Question(kind="job.done", from_s=at_s, to_s=at_s + 3600.0),
        "callback": Question(worker=callback),
    }


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def ask(folder: Path) -> None:
    """Print the time of each kind of question."""
    log = SegmentLog(folder, fsync=False)
    began_s = perf_counter()
    log.load()
    say(f"start: {1000 * (perf_counter() - began_s):.1f} ms, {log.last_number:,} events")
    began_s = perf_counter()
    log.find(Question(worker="Nobody"))
    say(f"first question, which reads all indexes: {1000 * (perf_counter() - began_s):.0f} ms")
    took: dict[str, list[float]] = {}
    for seed in range(ROUNDS):
        for name, question in questions(log, seed).items():
            began_s = perf_counter()
            page = log.find(question)
            took.setdefault(name, []).append(1000 * (perf_counter() - began_s))
            assert not page.damage
            assert not page.holes
    say(f"{'question':26} {'median':>8} {'worst':>8}  ms")
    for name, times in took.items():
        say(f"{name:26} {statistics.median(times):8.1f} {max(times):8.1f}")


def main() -> None:
    """Make the events, and ask."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure.history")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="history-") as made:
        folder = chosen.folder or Path(made)
        make(folder, chosen.events)
        sizes: dict[str, int] = {}
        for path in (folder / FOLDER).iterdir():
            sizes[path.suffix] = sizes.get(path.suffix, 0) + path.stat().st_size
        for suffix, size in sizes.items():
            say(f"{suffix}: {size / 2**20:.0f} MiB, {size / chosen.events:.1f} bytes an event")
        ask(folder)


if __name__ == "__main__":
    main()
