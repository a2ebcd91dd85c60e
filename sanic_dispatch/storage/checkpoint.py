"""Checkpoints: ``jobs.json``, ``workers.json`` and ``dispatch.json`` as of the end of a journal.

They are written in slices of a millisecond or two, with rests between them, since the thread that
writes them shares the interpreter with the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice
from pathlib import Path
from time import perf_counter, sleep
from typing import NamedTuple, TypeVar

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Change, Fact, Table
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.storage.atomic_file import replace_file
from sanic_dispatch.storage.journal import Put
from sanic_dispatch.storage.records import (
    encode_job,
    encode_placed_worker,
    encode_worker,
    order_of,
)
from sanic_dispatch.storage.whole_files import (
    DISPATCH_NAME,
    EMPTY_ARRAY,
    JOBS_NAME,
    JOURNALED,
    LEDGER_END,
    SETTLED,
    WORKERS_NAME,
    ledger_head,
)

R = TypeVar("R", Job, Worker)

SLICE_S = 0.001
"""How long the interpreter is held at a stretch."""

REST_S = 0.003
"""How long it is left to others in between."""

CHUNK = 64
"""How many records are encoded between two looks at the time."""

AT_ONCE = 16
"""How many chunks one system call writes."""


class Pace:
    """Takes rests during long work."""

    def __init__(self, rest_s: float = REST_S) -> None:
        """With ``rest_s`` 0 there are no rests."""
        self._rest_s = rest_s
        self._began_s = perf_counter()

    def rest(self) -> None:
        """Sleep, if the slice is over."""
        if self._rest_s and perf_counter() - self._began_s > SLICE_S:
            sleep(self._rest_s)
            self._began_s = perf_counter()


class Snapshot(NamedTuple):
    """All records as committed at one moment, and which files do not have them yet."""

    jobs: Sequence[Job]
    workers: Sequence[Worker]
    facts: Sequence[Fact]
    jobs_changed: bool
    workers_changed: bool


class Records:
    """What is committed, by id; the records themselves are shared with the state machine."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.workers: dict[str, Worker] = {}
        self.facts: dict[str, Fact] = {}
        self.jobs_changed = False
        self.workers_changed = False

    def apply(self, changes: Iterable[Change | Put]) -> None:
        """Take in what a batch has changed."""
        for change in changes:
            after = change.after
            if isinstance(after, Job):
                self.jobs[after.id] = after
                self.jobs_changed = True
            elif isinstance(after, Worker):
                self.workers[after.id] = after
                self.workers_changed = True
            elif isinstance(after, Fact):
                self.facts[after.id] = after
            else:
                self._remove(change.table, change.id)

    def snapshot(self) -> Snapshot:
        """Return all records; from now on no file is outdated until something changes."""
        snapshot = Snapshot(
            list(self.jobs.values()),
            list(self.workers.values()),
            list(self.facts.values()),
            self.jobs_changed,
            self.workers_changed,
        )
        self.jobs_changed = self.workers_changed = False
        return snapshot

    def note_unwritten(self, snapshot: Snapshot) -> None:
        """Note that the files of this snapshot could not be written."""
        self.jobs_changed |= snapshot.jobs_changed
        self.workers_changed |= snapshot.workers_changed

    def _remove(self, table: Table, record_id: str) -> None:
        if table is Table.JOBS:
            self.jobs.pop(record_id, None)
            self.jobs_changed = True
        elif table is Table.WORKERS:
            self.workers.pop(record_id, None)
            self.workers_changed = True
        else:
            self.facts.pop(record_id, None)


class CheckpointFiles:
    """Writes the files of one folder; each method raises OSError."""

    def __init__(self, folder: Path, *, fsync: bool) -> None:
        self._folder = folder
        self._fsync = fsync

    def write(self, snapshot: Snapshot, journal: int, pace: Pace) -> None:
        """Write what has changed; ``dispatch.json`` last, which says the journal's number.

        Workers have their places with them: journals to come say theirs, too.
        """
        queued, finished = _divided(snapshot.jobs, pace)
        if snapshot.jobs_changed:
            self._write_array(JOBS_NAME, queued, encode_job, pace)
        if snapshot.workers_changed:
            self._write_array(WORKERS_NAME, snapshot.workers, encode_placed_worker, pace)
        self._write_ledger(JOURNALED, snapshot.facts, finished, journal, pace)

    def write_ledger(self, snapshot: Snapshot, version: int, journal: int, pace: Pace) -> None:
        """Write only ``dispatch.json``, in this version."""
        _, finished = _divided(snapshot.jobs, pace)
        self._write_ledger(version, snapshot.facts, finished, journal, pace)

    def settle(self, snapshot: Snapshot, journal: int, pace: Pace, *, workers: bool) -> None:
        """Have files that stand for themselves, from such that a checkpoint has written.

        ``workers``: ``workers.json`` is to be written without the places.
        """
        if workers:
            self._write_array(WORKERS_NAME, snapshot.workers, encode_worker, pace)
        self.write_ledger(snapshot, SETTLED, journal, pace)

    def _write_array(
        self, name: str, records: Sequence[R], encode: Callable[[R], bytes], pace: Pace
    ) -> None:
        pieces = _joined(in_order(records, pace), encode, pace)
        content = _enclosed(b"[\n", pieces, b"\n]\n") if records else [EMPTY_ARRAY]
        self._replace(name, content)

    def _write_ledger(
        self, version: int, facts: Sequence[Fact], finished: Sequence[Job], journal: int, pace: Pace
    ) -> None:
        pieces = _joined(in_order(finished, pace), encode_job, pace)
        head = ledger_head(version, facts, journal)
        self._replace(DISPATCH_NAME, _enclosed(head, pieces, LEDGER_END))

    def _replace(self, name: str, pieces: Iterable[bytes]) -> None:
        path = (self._folder / name).resolve()
        replace_file(path, pieces, fsync=self._fsync, at_once=AT_ONCE)


def in_order(records: Sequence[R], pace: Pace) -> Iterator[R]:
    """Sort records in slices: first in runs, of which there are few, then by merging these."""
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
"""How many records are sorted in one go: a third of a millisecond."""


def _divided(jobs: Sequence[Job], pace: Pace) -> tuple[list[Job], list[Job]]:
    """Separate the jobs of the queue from the finished ones."""
    queued: list[Job] = []
    finished: list[Job] = []
    for at in range(0, len(jobs), RUN):
        for job in jobs[at : at + RUN]:
            (finished if job.state.is_final else queued).append(job)
        pace.rest()
    return queued, finished


def _joined(records: Iterator[R], encode: Callable[[R], bytes], pace: Pace) -> Iterator[bytes]:
    """Encode records, separated, in pieces."""
    before = b""
    while some := [encode(record) for record in islice(records, CHUNK)]:
        yield before + b",\n".join(some)
        before = b",\n"
        pace.rest()


def _enclosed(head: bytes, pieces: Iterator[bytes], end: bytes) -> Iterator[bytes]:
    yield head
    yield from pieces
    yield end
