"""Checkpoints: ``jobs.json``, ``workers.json`` and ``dispatch.json`` as of the end of a journal.

The thread that writes them shares the interpreter (GIL) with the event loop. It works in slices of
a millisecond or two and sleeps in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice
from pathlib import Path
from time import perf_counter, sleep
from typing import NamedTuple, TypeVar

from sanic_dispatch.core.job import FINAL, Job
from sanic_dispatch.core.tables import Change, Fact, Table
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.storage.atomic_file import replace_file
from sanic_dispatch.storage.journal import RecordUpdate
from sanic_dispatch.storage.json_format import (
    DISPATCH_NAME,
    EMPTY_ARRAY,
    JOBS_NAME,
    JOURNALED,
    LEDGER_END,
    STANDALONE,
    WORKERS_NAME,
    ledger_head,
)
from sanic_dispatch.storage.record_json import (
    encode_job,
    encode_placed_worker,
    encode_worker,
    order_of,
)

R = TypeVar("R", Job, Worker)

SLICE_S = 0.001
"""How long to work without a sleep."""

REST_S = 0.003
"""How long each sleep is."""

CHUNK = 64
"""How many records to encode before checking the time."""

CHUNKS_PER_CALL = 16
"""How many chunks one writev gets."""


class Pace:
    """Interrupts long work with sleeps, so that other threads get the GIL."""

    def __init__(self, rest_s: float = REST_S) -> None:
        """Start a slice; with ``rest_s`` 0, ``rest`` never sleeps."""
        self._rest_s = rest_s
        self._began_s = perf_counter()

    def rest(self) -> None:
        """Sleep if SLICE_S has passed since the last sleep."""
        if self._rest_s and perf_counter() - self._began_s > SLICE_S:
            sleep(self._rest_s)
            self._began_s = perf_counter()


class Snapshot(NamedTuple):
    """All committed records at one moment, and how often they had been changed by then."""

    jobs: Sequence[Job]
    workers: Sequence[Worker]
    facts: Sequence[Fact]
    last_event: int = 0
    """The number of the last event that led to these records."""
    jobs_version: int = 0
    workers_version: int = 0


class Records:
    """The committed records by id; the records are immutable, and shared with the state machine."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.workers: dict[str, Worker] = {}
        self.facts: dict[str, Fact] = {}
        self.last_event = 0
        """The number of the last event that led to these records."""
        self._jobs_version = 0
        """How often a job was changed since the file was read."""
        self._workers_version = 0

    def apply(self, changes: Iterable[Change | RecordUpdate]) -> None:
        """Apply the changes of a batch."""
        for change in changes:
            after = change.after
            if isinstance(after, Job):
                self.jobs[after.id] = after
                self._jobs_version += 1
            elif isinstance(after, Worker):
                self.workers[after.id] = after
                self._workers_version += 1
            elif isinstance(after, Fact):
                self.facts[after.id] = after
            else:
                self._remove(change.table, change.id)

    def snapshot(self) -> Snapshot:
        """Return all records."""
        return Snapshot(
            list(self.jobs.values()),
            list(self.workers.values()),
            list(self.facts.values()),
            self.last_event,
            self._jobs_version,
            self._workers_version,
        )

    def _remove(self, table: Table, record_id: str) -> None:
        if table is Table.JOBS:
            self.jobs.pop(record_id, None)
            self._jobs_version += 1
        elif table is Table.WORKERS:
            self.workers.pop(record_id, None)
            self._workers_version += 1
        else:
            self.facts.pop(record_id, None)


class CheckpointFiles:
    """Writes the JSON files of a folder; each method raises OSError."""

    def __init__(self, folder: Path, *, fsync: bool, has_places: bool = False) -> None:
        """``has_places``: whether ``workers.json`` has places now."""
        self._folder = folder
        self._fsync = fsync
        self._has_places = has_places
        self._jobs_version = 0
        """Which version of the jobs the file has, for certain."""
        self._workers_version = 0

    def write(self, snapshot: Snapshot, journal: int, pace: Pace) -> None:
        """Write the outdated files, and ``dispatch.json``, which names the journal, last.

        Workers are written with their places, since later journals have places too.
        """
        queued, finished = _split_finished(snapshot.jobs, pace)
        if snapshot.jobs_version != self._jobs_version:
            self._write_array(JOBS_NAME, queued, encode_job, pace)
            self._jobs_version = snapshot.jobs_version
        if snapshot.workers_version != self._workers_version:
            self._has_places = True
            self._write_array(WORKERS_NAME, snapshot.workers, encode_placed_worker, pace)
            self._workers_version = snapshot.workers_version
        self._write_ledger(JOURNALED, snapshot, finished, journal, pace)

    def write_ledger(self, snapshot: Snapshot, version: int, journal: int, pace: Pace) -> None:
        """Write ``dispatch.json`` alone, as STANDALONE or JOURNALED."""
        _, finished = _split_finished(snapshot.jobs, pace)
        self._write_ledger(version, snapshot, finished, journal, pace)

    def write_standalone(
        self, snapshot: Snapshot, journal: int, pace: Pace, *, workers: bool
    ) -> None:
        """Turn the files of a checkpoint into files that are complete without any journal.

        With ``workers``, ``workers.json`` has no places then, as the original service's.
        """
        if workers and self._has_places:
            self._write_array(WORKERS_NAME, snapshot.workers, encode_worker, pace)
        self.write_ledger(snapshot, STANDALONE, journal, pace)

    def write_all(self, snapshot: Snapshot, pace: Pace) -> None:
        """Write files that are complete without journals into a folder without any.

        They are as after a clean stop; ``dispatch.json`` is written last.
        """
        queued, finished = _split_finished(snapshot.jobs, pace)
        self._write_array(JOBS_NAME, queued, encode_job, pace)
        self._write_array(WORKERS_NAME, snapshot.workers, encode_worker, pace)
        self._write_ledger(STANDALONE, snapshot, finished, 0, pace)

    def _write_array(
        self, name: str, records: Sequence[R], encode: Callable[[R], bytes], pace: Pace
    ) -> None:
        pieces = _encode_chunks(in_order(records, pace), encode, pace)
        content = _enclose(b"[\n", pieces, b"\n]\n") if records else [EMPTY_ARRAY]
        self._replace(name, content)

    def _write_ledger(
        self, version: int, snapshot: Snapshot, finished: Sequence[Job], journal: int, pace: Pace
    ) -> None:
        pieces = _encode_chunks(in_order(finished, pace), encode_job, pace)
        head = ledger_head(version, snapshot.facts, journal, snapshot.last_event)
        self._replace(DISPATCH_NAME, _enclose(head, pieces, LEDGER_END))

    def _replace(self, name: str, pieces: Iterable[bytes]) -> None:
        path = (self._folder / name).resolve()
        replace_file(path, pieces, fsync=self._fsync, pieces_per_call=CHUNKS_PER_CALL)


def in_order(records: Sequence[R], pace: Pace) -> Iterator[R]:
    """Sort records with sleeps in between: a merge sort of runs, few since most are in order."""
    runs: list[list[R]] = []
    for at in range(0, len(records), RUN):
        run = sorted(records[at : at + RUN], key=order_of)
        if runs and order_of(runs[-1][-1]) <= order_of(run[0]):
            runs[-1] += run
        else:
            runs.append(run)
        pace.rest()
    return iter(runs[0]) if len(runs) == 1 else merge(*runs, key=order_of)


RUN = 1000
"""How many records to sort at a time: 0.3 ms."""


def _split_finished(jobs: Sequence[Job], pace: Pace) -> tuple[list[Job], list[Job]]:
    """Return the jobs of the queue, and the finished jobs."""
    queued: list[Job] = []
    finished: list[Job] = []
    for at in range(0, len(jobs), RUN):
        for job in jobs[at : at + RUN]:
            (finished if job.state in FINAL else queued).append(job)
        pace.rest()
    return queued, finished


def _encode_chunks(
    records: Iterator[R], encode: Callable[[R], bytes], pace: Pace
) -> Iterator[bytes]:
    """Yield the encoded records in chunks, with separators."""
    before = b""
    while some := [encode(record) for record in islice(records, CHUNK)]:
        yield before + b",\n".join(some)
        before = b",\n"
        pace.rest()


def _enclose(head: bytes, pieces: Iterator[bytes], end: bytes) -> Iterator[bytes]:
    yield head
    yield from pieces
    yield end
