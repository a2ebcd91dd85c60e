"""Checks of the state machine after every command and every undo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import matching
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Job, State
from sanic_dispatch.core.state_machine import Applied, Now, StateMachine
from sanic_dispatch.core.tables import Change, Tables
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import DispatchError
from tests.histories.truth import Accuse

LAST_BATCHES = 400
"""The most commands that an undo can reach back."""


class Index(dict[object, tuple[str, ...]]):
    """An index by name; the order of ids with one name does not count."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Index):
            return NotImplemented
        return dict.__eq__(self, other) or _as_sets(self) == _as_sets(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None


class Dump(NamedTuple):
    """The content of tables, in a form that compares by value and by order."""

    waiting: tuple[Job, ...]
    assigned: frozenset[Job]
    finished: tuple[Job, ...]
    jobs_by_key: Index
    jobs_by_callback: Index
    workers: tuple[Worker, ...]
    free: tuple[str, ...]
    workers_by_key: Index
    facts: frozenset[object]


def dump(tables: Tables) -> Dump:
    """Return what the tables hold now."""
    jobs, workers = tables.jobs, tables.workers
    return Dump(
        tuple(jobs.waiting()),
        frozenset(jobs.assigned()),
        tuple(jobs.finished()),
        Index(jobs._by_key.items()),
        Index(jobs._by_callback.items()),
        tuple(workers),
        tuple(worker.id for worker in workers.free()),
        Index(workers._by_key.items()),
        frozenset(tables.facts),
    )


def rebuilt(taken: Dump) -> Dump:
    """Return new tables with the same records."""
    tables = Tables()
    for job in (*taken.finished, *sorted(taken.assigned), *taken.waiting):
        tables.put_job(job)
    for worker in taken.workers:
        tables.put_worker(worker)
    for fact in taken.facts:
        tables.put_fact(fact)  # type: ignore[arg-type]
    return dump(tables)


def _as_sets(index: Index) -> dict[object, frozenset[str]]:
    return {name: frozenset(ids) for name, ids in index.items()}


class Inspector:
    """Stands in for a machine's ``apply`` and ``undo``, and reports broken rules."""

    def __init__(self, machine: StateMachine, accuse: Accuse, every: int = 4) -> None:
        """``every``: after so many commands the indexes are compared with rebuilt ones."""
        self._machine = machine
        self._accuse = accuse
        self._every = every
        self._count = 0
        self._apply, self._undo = machine.apply, machine.undo
        self._befores: list[tuple[int, Dump]] = []
        """The number of changes that each command made, and the tables before it."""
        self._last: Dump | None = None
        machine.apply = self.apply  # type: ignore[method-assign]
        machine.undo = self.undo  # type: ignore[method-assign]

    def apply(self, command: c.Command, now: Now) -> Applied:
        """Apply, and check."""
        machine = self._machine
        tables, number = machine.tables, machine.number
        before, made = self._last or dump(tables), len(tables.changes)
        applied = self._apply(command, now)
        changes = len(tables.changes) - made
        after = dump(tables) if changes else before
        self._last = after
        if changes:
            self._befores.append((changes, before))
            del self._befores[:-LAST_BATCHES]
        if isinstance(applied.reply, DispatchError):
            self._look_at_error(command, applied, changes, machine.number - number)
        self._look_at_events(applied.events, number)
        self._look_at_pair(type(command).__name__)
        if changes:
            self._look_at_order(applied.events, before, after)
            self._count += 1
            if self._count % self._every == 0:
                self._look_at_indexes(after, type(command).__name__)
        return applied

    def undo(self, changes: Sequence[Change], number: int) -> None:
        """Undo, and check."""
        self._undo(changes, number)
        self._last = after = dump(self._machine.tables)
        left, expected = len(changes), None
        while left > 0 and self._befores:
            made, expected = self._befores.pop()
            left -= made
        if left:
            self._accuse("UNDO", f"{len(changes)} changes are not those of the last commands")
        elif expected is not None and expected != after:
            self._accuse("UNDO", f"the tables are not as before: {_difference(expected, after)}")
        if changes:
            self._look_at_indexes(after, "an undo")
        if self._befores:  # else the recovery itself was undone, and the start has failed
            self._look_at_pair("an undo")

    def _look_at_error(self, command: object, applied: Applied, changes: int, told: int) -> None:
        if changes or told or applied.events or applied.effects:
            self._accuse("ERROR", f"{command!r} failed, and changed something")

    def _look_at_events(self, events: Sequence[Event], number: int) -> None:
        told = [event.number for event in events]
        if told != list(range(number + 1, number + 1 + len(told))):
            self._accuse("EVENTS", f"{told} follow {number}")

    def _look_at_pair(self, name: str) -> None:
        machine = self._machine
        pair = matching.next_pair(machine.tables)
        if pair and machine._may_pair:
            self._accuse("C5", f"after {name} {pair[0].id} and {pair[1].id} wait together")

    def _look_at_indexes(self, taken: Dump, name: str) -> None:
        expected = rebuilt(taken)
        if taken != expected:
            self._accuse("INDEX", f"after {name}: {_difference(expected, taken)}")

    def _look_at_order(self, events: Sequence[Event], before: Dump, after: Dump) -> None:
        """Check first in, first out on both sides, and that a job keeps its place."""
        waited, wait = {job.id for job in before.waiting}, after.waiting
        still = next((job for job in wait if job.id in waited), None)
        for event in events:
            job = event.job
            if event.kind is EventKind.JOB_ASSIGNED and job is not None and job.hold is not None:
                was = self._as_it_was(job, before)
                if _is_regular(job, was) and still and _place(still) < _place(job):
                    self._accuse("FIFO", f"job {job.ticket} overtook job {still.ticket}")
                self._look_at_worker(job, before, after)
            elif job is not None and event.kind in (EventKind.JOB_RETURNED, EventKind.JOB_DOUBTED):
                was = self._as_it_was(job, before)
                if was is not None and was.place != job.place:
                    self._accuse("FIFO", f"job {job.ticket} lost its place")

    def _look_at_worker(self, job: Job, before: Dump, after: Dump) -> None:
        """Check that no free worker has waited longer than the one that got the job."""
        assert job.hold
        chosen = job.hold.worker
        was = self._as_it_was(job, before)
        if not _is_regular(job, was) or chosen.id not in before.free:
            return
        ranks = {worker.id: worker.place for worker in before.workers}
        for other in after.free:
            if other in before.free and ranks[other] < ranks[chosen.id]:
                self._accuse("FIFO", f"{chosen.id} got a job before {other}")

    @staticmethod
    def _as_it_was(job: Job, before: Dump) -> Job | None:
        everything = (*before.waiting, *before.assigned, *before.finished)
        return next((each for each in everything if each.id == job.id), None)


def _is_regular(job: Job, was: Job | None) -> bool:
    """Return whether a job was assigned from the queue, and not again to its own worker."""
    if was is None:
        return True
    return was.state is State.WAITING and was.former is None


def _place(job: Job) -> tuple[float, int]:
    return job.place, job.ticket


def _difference(expected: Dump, has: Dump) -> str:
    for name, one, two in zip(Dump._fields, expected, has, strict=True):
        if one != two:
            return f"{name} should be {one!r}, is {two!r}"
    return "nothing"
