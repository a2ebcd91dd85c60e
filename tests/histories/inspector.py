"""Checks of the state machine after every command and every undo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import matching
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.rules import members_of, rule_of
from sanic_dispatch.core.state_machine import Applied, Now, StateMachine
from sanic_dispatch.core.tables import Change, Fact, Tables
from sanic_dispatch.core.topic import CONNECTED_LEASE_S, Policy
from sanic_dispatch.core.worker import Cause, Worker
from sanic_dispatch.errors import DispatchError
from tests.histories.truth import Accuse
from tests.support.free_workers import free_workers

LAST_BATCHES = 400
"""The most commands that an undo can reach back."""

HAND_BACKS = (EventKind.JOB_RETURNED, EventKind.JOB_DOUBTED)


def lease_s_of(policy: Policy, worker: Worker) -> float | None:
    """Return how long a worker may keep a job without a word; a connected one always has one."""
    if policy.lease_s is None and worker.is_connected:
        return CONNECTED_LEASE_S
    return policy.lease_s


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
    assigned: dict[str, Job]
    finished: tuple[Job, ...]
    jobs_by_key: Index
    jobs_by_callback: Index
    workers: tuple[Worker, ...]
    free: tuple[str, ...]
    workers_by_key: Index
    connection_of: dict[str, str]
    left: dict[str, float]
    facts: dict[str, Fact]


def dump(tables: Tables) -> Dump:
    """Return what the tables hold now."""
    jobs, workers = tables.jobs, tables.workers
    return Dump(
        tuple(jobs.line),
        jobs._assigned.copy(),
        tuple(jobs.finished()),
        Index(jobs._by_key),
        Index(jobs._by_callback),
        tuple(workers),
        tuple(worker.callback_url for worker in free_workers(tables)),
        Index(workers._by_key),
        workers.connection_of.copy(),
        workers.left.copy(),
        tables.facts._facts.copy(),
    )


def rebuilt(taken: Dump) -> Dump:
    """Return new tables with the same records."""
    tables = Tables()
    for job in (*taken.finished, *taken.assigned.values(), *taken.waiting):
        tables.put_job(job)
    for worker in taken.workers:
        tables.put_worker(worker)
    for worker_id, connection in taken.connection_of.items():
        tables.attach(worker_id, connection)
    for worker_id, left_s in taken.left.items():
        tables.note_left(worker_id, left_s)
    for fact in taken.facts.values():
        tables.put_fact(fact)
    return dump(tables)


def forgotten(tables: Tables) -> list[str]:
    """Return the connected workers that wait, are not reached, and that nobody will drop."""
    workers = tables.workers
    return [
        worker.id
        for worker in workers.unordered()
        if worker.is_connected
        and worker.id not in workers.connection_of
        and worker.id not in workers.left
        and not workers.is_held(worker.id)
        and not (worker.aside and worker.aside.cause is Cause.OPERATOR)
    ]


def _as_sets(index: Index) -> dict[object, frozenset[str]]:
    return {name: frozenset(ids) for name, ids in index.items()}


class Records(NamedTuple):
    """The records of tables at one moment, by id, and the free workers in order.

    Tables with the same records, and with indexes as in rebuilt ones, are the same tables.
    """

    jobs: dict[str, Job]
    workers: dict[str, Worker]
    facts: dict[str, Fact]
    free: tuple[str, ...]
    connection_of: dict[str, str]
    left: dict[str, float]


def records_of(tables: Tables) -> Records:
    """Return the records now: that takes a tenth of the time of ``dump``."""
    jobs, workers = tables.jobs._jobs.copy(), tables.workers._workers.copy()
    free = tuple([worker.callback_url for worker in free_workers(tables)])
    connection_of, left = tables.workers.connection_of.copy(), tables.workers.left.copy()
    return Records(jobs, workers, tables.facts._facts.copy(), free, connection_of, left)


class Inspector:
    """Stands in for a machine's ``apply`` and ``undo``, and reports broken rules."""

    def __init__(self, machine: StateMachine, accuse: Accuse, every: int = 16) -> None:
        """``every``: after so many commands the indexes are compared with rebuilt ones."""
        self._machine = machine
        self._accuse = accuse
        self._every = every
        self._count = 0
        self._apply, self._undo = machine.apply, machine.undo
        self._befores: list[tuple[int, Records]] = []
        """The number of changes that each command made, and the records before it."""
        self._last: Records | None = None
        self._heard_s: dict[str, float] = {}
        """By job: when its holder sent progress, or extended the lease (monotonic seconds)."""
        machine.apply = self.apply  # type: ignore[method-assign]
        machine.undo = self.undo  # type: ignore[method-assign]

    def apply(self, command: c.Command, now: Now) -> Applied:
        """Apply, and check."""
        machine = self._machine
        tables, number = machine.tables, machine.number
        if isinstance(command, c.Recover):
            self._last = None  # the tables were loaded
        before, made = self._last or records_of(tables), len(tables.changes)
        applied = self._apply(command, now)
        changes = len(tables.changes) - made
        self._last = records_of(tables) if changes else before
        if changes:
            self._befores.append((changes, before))
            del self._befores[:-LAST_BATCHES]
        if isinstance(applied.reply, DispatchError):
            self._look_at_error(command, applied, changes, machine.number - number)
        self._look_at_lease(command, applied, now.monotonic_s)
        self._look_at_events(applied.events, number)
        self._look_at_pair(type(command).__name__)
        if changes:
            if lost := forgotten(machine.tables):
                self._accuse("FORGOTTEN", f"after {type(command).__name__}: {lost}")
            self._look_at_order(applied.events, before)
            self._count += 1
            if self._count % self._every == 0:
                self._look_at_indexes(type(command).__name__)
        return applied

    def undo(self, changes: Sequence[Change], number: int) -> None:
        """Undo, and check."""
        self._undo(changes, number)
        self._heard_s.clear()
        self._last = after = records_of(self._machine.tables)
        left, expected = len(changes), None
        while left > 0 and self._befores:
            made, expected = self._befores.pop()
            left -= made
        if left:
            self._accuse("UNDO", f"{len(changes)} changes are not those of the last commands")
        elif expected is not None and expected != after:
            self._accuse("UNDO", f"the tables are not as before: {_difference(expected, after)}")
        if changes:
            self._look_at_indexes("an undo")
        if self._befores:  # else the recovery itself was undone, and the start has failed
            self._look_at_pair("an undo")

    def _look_at_error(self, command: object, applied: Applied, changes: int, told: int) -> None:
        if changes or told or applied.events or applied.effects:
            self._accuse("ERROR", f"{command!r} failed, and changed something")

    def _look_at_lease(self, command: c.Command, applied: Applied, now_s: float) -> None:
        """Check that no lease ends before its time is over since its holder was heard of."""
        is_refused = isinstance(applied.reply, DispatchError)
        if isinstance(command, (c.ReportProgress, c.Extend)) and not is_refused:
            self._heard_s[command.job_id] = now_s
        for event in applied.events:
            if event.job is None or event.worker is None:
                continue
            if event.kind is EventKind.JOB_ASSIGNED:
                self._heard_s.pop(event.job.id, None)
            elif event.reason.startswith("its lease ended"):
                lease_s = lease_s_of(self._machine.policy, event.worker) or 0.0
                heard_s = self._heard_s.get(event.job.id, -lease_s)
                if now_s - heard_s < lease_s:
                    self._accuse("LEASE", f"job {event.job.ticket}: {now_s - heard_s} s")

    def _look_at_events(self, events: Sequence[Event], number: int) -> None:
        told = [event.number for event in events]
        if told != list(range(number + 1, number + 1 + len(told))):
            self._accuse("EVENTS", f"{told} follow {number}")

    def _look_at_pair(self, name: str) -> None:
        machine = self._machine
        pair = matching.next_pair(machine.tables)
        if pair and machine.may_pair:
            self._accuse("C5", f"after {name} {pair[0].id} and {pair[1].id} wait together")

    def _look_at_indexes(self, name: str) -> None:
        taken = dump(self._machine.tables)
        expected = rebuilt(taken)
        if taken != expected:
            self._accuse("INDEX", f"after {name}: {_difference(expected, taken)}")

    def _look_at_order(self, events: Sequence[Event], before: Records) -> None:
        """Check first in, first out on both sides, and that a job keeps its place."""
        for event in events:
            job = event.job
            if job is None:
                continue
            was = before.jobs.get(job.id)
            if event.kind is EventKind.JOB_ASSIGNED and job.hold is not None:
                if _is_regular(was):
                    self._look_at_job(job, job.hold.worker.rule, before)
                    self._look_at_worker(job, job.hold.worker.id, before)
            elif event.kind in HAND_BACKS and was is not None and was.place != job.place:
                self._accuse("FIFO", f"job {job.ticket} lost its place")

    def _look_at_job(self, job: Job, rule: str, before: Records) -> None:
        """Check that no job that was waiting, and still is, has its place before this one.

        Only jobs count that the worker takes.
        """
        for other in self._machine.tables.jobs.line:
            was = before.jobs.get(other.id)
            if was is not None and was.is_waiting and _admits(rule, other):
                if _place(other) < _place(job):
                    self._accuse("FIFO", f"job {job.ticket} overtook job {other.ticket}")
                return

    def _look_at_worker(self, job: Job, chosen: str, before: Records) -> None:
        """Check that no free worker that takes the job has waited longer than the chosen one."""
        if chosen not in before.free:
            return
        rank = before.workers[chosen].place
        for other in free_workers(self._machine.tables):
            is_free = other.id in before.free and _admits(other.rule, job)
            if is_free and before.workers[other.id].place < rank:
                self._accuse("FIFO", f"{chosen} got a job before {other.id}")


def _is_regular(was: Job | None) -> bool:
    """Return whether a job was assigned from the queue, and not again to its own worker."""
    return was is None or (was.is_waiting and was.former is None)


def _admits(rule: str, job: Job) -> bool:
    return not rule or rule_of(rule).admits(members_of(job.data))


def _place(job: Job) -> tuple[float, int]:
    return job.place, job.ticket


def _difference(expected: Dump | Records, has: Dump | Records) -> str:
    for name, one, two in zip(expected._fields, expected, has, strict=True):
        if one != two:
            return f"{name} should be {one!r}, is {two!r}"
    return "nothing"
