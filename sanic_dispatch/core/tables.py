"""The state of one topic: jobs, workers and facts, and every index over them.

A table changes only by ``put`` and ``remove``, and these two keep all indexes. So a list of
changes can be undone by playing it backwards, loaded from any store, and sent to any store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar, cast

from sortedcontainers import SortedKeyList

from sanic_dispatch.core.job import FINAL, Job, Stage, State, Way
from sanic_dispatch.core.worker import Cause, Key, Worker


class Table(StrEnum):
    """The kinds of records."""

    JOBS = "jobs"
    WORKERS = "workers"
    FACTS = "facts"


class Fact(NamedTuple):
    """Something that the topic has to remember, by its name: see ``Facts``."""

    id: str
    value: int | bool | str


Record = Job | Worker | Fact


class Change(NamedTuple):
    """One record before and after it was changed; None where there is none."""

    table: Table
    id: str
    before: Record | None
    after: Record | None


class Tables:
    """All records of a topic, and the changes since they were last taken.

    A worker that holds a job by PUT, and may still be waiting on its callback, stays in its table
    and is not free: that follows from the job's record alone, so a hand-over is one change.
    """

    def __init__(self) -> None:
        self.jobs = JobTable()
        self.workers = WorkerTable()
        self.facts = Facts()
        self.changes: list[Change] = []

    def put_job(self, job: Job) -> None:
        """Add or replace a job; its worker is held, or let go, as the record says."""
        before = self.jobs.put(job)
        self.changes.append(Change(Table.JOBS, job.id, before, job))
        self._move_hold(before, job)

    def remove_job(self, job_id: str) -> None:
        """Forget a job that is there."""
        before = self.jobs.remove(job_id)
        self.changes.append(Change(Table.JOBS, job_id, before, None))
        self._move_hold(before, None)

    def put_worker(self, worker: Worker) -> None:
        """Add or replace a worker."""
        before = self.workers.put(worker)
        self.changes.append(Change(Table.WORKERS, worker.id, before, worker))

    def remove_worker(self, worker_id: str) -> None:
        """Forget a worker that is there."""
        before = self.workers.remove(worker_id)
        self.changes.append(Change(Table.WORKERS, worker_id, before, None))

    def put_fact(self, fact: Fact) -> None:
        """Remember a fact."""
        before = self.facts.put(fact)
        self.changes.append(Change(Table.FACTS, fact.id, before, fact))

    def take_changes(self) -> list[Change]:
        """Return the changes since the last call, in order."""
        changes, self.changes = self.changes, []
        return changes

    def undo_since(self, mark: int) -> None:
        """Take back the changes that came after the first ``mark`` ones, and forget them."""
        self.undo(self.changes[mark:])
        del self.changes[mark:]

    def undo(self, changes: Sequence[Change]) -> None:
        """Take back changes that are the last ones made; that is no change itself."""
        for change in reversed(changes):
            if change.table is Table.JOBS:
                self._restore_job(change)
            elif change.table is Table.WORKERS:
                self.workers.restore(change.id, cast("Worker | None", change.before))
            else:
                self.facts.restore(change.id, cast("Fact | None", change.before))

    def _restore_job(self, change: Change) -> None:
        before = cast("Job | None", change.before)
        after = self.jobs.restore(change.id, before)
        self._move_hold(after, before)

    def hold_worker_of(self, job: Job) -> None:
        """Hold the worker of a job that was loaded."""
        self._move_hold(None, job)

    def _move_hold(self, before: Job | None, after: Job | None) -> None:
        old, new = _may_wait(before), _may_wait(after)
        if old != new:
            if old is not None:
                self.workers.let_go(old)
            if new is not None:
                self.workers.hold(new)


def _may_wait(job: Job | None) -> str | None:
    """The callback that holds the job and may still be waiting for it."""
    if job is None or job.state is not State.ASSIGNED or job.hold is None:
        return None
    hold = job.hold
    is_sure = hold.way is not Way.PUT or hold.stage is Stage.CONFIRMED
    return None if is_sure else hold.worker.callback_url


class JobTable:
    """Jobs by id: waiting in order, assigned, and finished ones for as long as they are kept."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self.get: Callable[[str], Job | None] = self._jobs.get
        """Return the job of that id, in any state; the dictionary's own method."""
        self._waiting: SortedKeyList[Job, tuple[float, int]] = SortedKeyList(key=_place_of)
        self._assigned: dict[str, Job] = {}
        self._finished: SortedKeyList[Job, tuple[float, int]] = SortedKeyList(key=_end_of)
        self._by_key: dict[Key, tuple[str, ...]] = {}
        self._by_callback: dict[str, tuple[str, ...]] = {}
        self.last_ticket = 0
        """The highest ticket there ever was; never given twice, also after an undo."""
        self.last_place = 0.0
        """The highest place there ever was."""

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: Job) -> Job | None:
        """Add or replace a job, and return the one before."""
        before = self._jobs.get(job.id)
        if before is not None:
            self._unlist(before)
        self._jobs[job.id] = job
        if job.state is State.WAITING:
            self._waiting.add(job)
        elif job.state is State.ASSIGNED:
            self._assigned[job.id] = job
        else:
            self._finished.add(job)
        self._note_holders(before, job)
        if job.ticket > self.last_ticket:
            self.last_ticket = job.ticket
        if job.place > self.last_place:
            self.last_place = job.place
        return before

    def fill(self, jobs: Iterable[Job]) -> None:
        """Load many jobs into an empty table."""
        waiting, finished = [], []
        for job in jobs:
            if job.state is State.WAITING and not job.former and not job.spent:
                self._jobs[job.id] = job
                waiting.append(job)
                self.last_ticket = max(self.last_ticket, job.ticket)
                self.last_place = max(self.last_place, job.place)
            else:
                finished.append(job)
        self._waiting.update(waiting)  # at once: four times as fast as one by one
        for job in finished:
            self.put(job)

    def remove(self, job_id: str) -> Job:
        """Forget a job, and return it. Raises KeyError."""
        job = self._jobs.pop(job_id)
        self._unlist(job)
        self._note_holders(job, None)
        return job

    def restore(self, job_id: str, before: Job | None) -> Job | None:
        """Have a job as it was, or not at all; return it as it is."""
        if before is not None:
            return self.put(before)
        return self.remove(job_id) if job_id in self._jobs else None

    def first(self) -> Job | None:
        """Return the waiting job that comes next."""
        return next(iter(self._waiting), None)

    def waiting(self) -> Sequence[Job]:
        """Return the waiting jobs, in order."""
        return cast("Sequence[Job]", self._waiting)

    def assigned(self) -> Iterable[Job]:
        """Return the jobs that a worker has or may have."""
        return self._assigned.values()

    def finished(self) -> Sequence[Job]:
        """Return the finished jobs, the oldest first."""
        return cast("Sequence[Job]", self._finished)

    def position_of(self, job: Job) -> int:
        """Count the waiting jobs up to and including this one; 0 where it does not wait."""
        if job.state is not State.WAITING:
            return 0
        if self._waiting[-1] is job:
            return len(self._waiting)
        return int(self._waiting.bisect_key_right(_place_of(job)))

    def of_key(self, key: Key) -> list[Job]:
        """Return the jobs that this key holds, or lost by its lease."""
        return [self._jobs[job_id] for job_id in self._by_key.get(key, ())]

    def of_instance(self, instance: str) -> list[Job]:
        """Return the jobs that this process instance holds, or lost by a lease."""
        keys = [key for key in self._by_key if key.instance == instance]
        return [job for key in keys for job in self.of_key(key)]

    def at_callback(self, callback_url: str) -> Job | None:
        """Return the job that this callback got, an unfinished one first, else the latest."""
        found = [self._jobs[job_id] for job_id in self._by_callback.get(callback_url, ())]
        if not found:
            return None
        return next((job for job in found if not job.state.is_final), found[-1])

    def _unlist(self, job: Job) -> None:
        """Take a job out of the list of its state."""
        if job.state is State.WAITING:
            _remove(self._waiting, job)
        elif job.state is State.ASSIGNED:
            del self._assigned[job.id]
        else:
            _remove(self._finished, job)

    def _note_holders(self, before: Job | None, after: Job | None) -> None:
        """Have a job found by its callbacks and its key; most steps change neither."""
        old, new = _callbacks_of(before), _callbacks_of(after)
        if old != new:
            _move(self._by_callback, before, old, after, new)
        old_keys, new_keys = _keys_of(before), _keys_of(after)
        if old_keys != new_keys:
            _move(self._by_key, before, old_keys, after, new_keys)


class WorkerTable:
    """Workers by callback, in order of their registration; some of them are free.

    The callback is the id of a worker. It is asked for as such here: that is no call.
    """

    def __init__(self) -> None:
        self._workers: dict[str, Worker] = {}
        self.get: Callable[[str], Worker | None] = self._workers.get
        """Return the worker that waits on this callback; the dictionary's own method."""
        self._free: SortedKeyList[Worker, float] = SortedKeyList(key=_rank_of)
        self._held: set[str] = set()
        self._aside: dict[str, Worker] = {}
        self._by_key: dict[Key, tuple[str, ...]] = {}
        self.last_place = 0.0
        """The highest place there ever was."""

    def __len__(self) -> int:
        return len(self._workers)

    def __iter__(self) -> Iterator[Worker]:
        """Iterate over all workers, in order."""
        return iter(sorted(self._workers.values(), key=_rank_of))

    def put(self, worker: Worker) -> Worker | None:
        """Add or replace a worker, and return the one before."""
        before = self._workers.get(worker.callback_url)
        if before is not None:
            self._unlist(before)
        self._workers[worker.callback_url] = worker
        self._list_if_free(worker)
        if worker.aside is not None and worker.aside.cause is not Cause.OPERATOR:
            self._aside[worker.id] = worker
        if worker.key:
            _add(self._by_key, worker.key, worker.callback_url)
        self.last_place = max(self.last_place, worker.place)
        return before

    def remove(self, worker_id: str) -> Worker:
        """Forget a worker, and return it. Raises KeyError."""
        worker = self._workers[worker_id]
        self._unlist(worker)
        del self._workers[worker_id]
        return worker

    def restore(self, worker_id: str, before: Worker | None) -> None:
        """Have a worker as it was, or not at all."""
        if before is not None:
            self.put(before)
        elif worker_id in self._workers:
            self.remove(worker_id)

    def hold(self, worker_id: str) -> None:
        """A job is held by this callback: it is not free, should it wait."""
        worker = self._workers.get(worker_id)
        if worker is not None and self.is_free(worker):
            _remove(self._free, worker)
        self._held.add(worker_id)

    def let_go(self, worker_id: str) -> None:
        """No job is held by this callback any more."""
        self._held.discard(worker_id)
        if worker := self._workers.get(worker_id):
            self._list_if_free(worker)

    def is_free(self, worker: Worker) -> bool:
        """Whether a worker of this table may get a job now."""
        return worker.aside is None and worker.callback_url not in self._held

    def is_held(self, worker_id: str) -> bool:
        """Whether a job is held by this callback, which may still be waiting for it."""
        return worker_id in self._held

    def first(self) -> Worker | None:
        """Return the free worker that has waited longest."""
        return next(iter(self._free), None)

    def free(self) -> Sequence[Worker]:
        """Return the free workers, in order."""
        return cast("Sequence[Worker]", self._free)

    def aside(self) -> Mapping[str, Worker]:
        """Return the workers that are set aside, but for those whom an operator did that to."""
        return self._aside

    def of_key(self, key: Key | None) -> list[Worker]:
        """Return the workers of this key that wait; none where there is no key."""
        return [self._workers[each] for each in self._by_key.get(key, ())] if key else []

    def _list_if_free(self, worker: Worker) -> None:
        if self.is_free(worker):
            self._free.add(worker)

    def _unlist(self, worker: Worker) -> None:
        """Take a worker out of every index but that of ids."""
        if self.is_free(worker):
            _remove(self._free, worker)
        self._aside.pop(worker.id, None)
        if worker.key:
            _drop(self._by_key, worker.key, worker.callback_url)


class Facts:
    """What a topic has to remember besides its records.

    ``last_ticket`` is at least every ticket that is out of the queue; job ids and receipts are
    derived from ``secret`` (hex), which is made once.
    """

    def __init__(self) -> None:
        self._facts: dict[str, Fact] = {}
        self.paused = False
        """Whether an operator has paused the handing out."""
        self.last_ticket = 0
        """The highest ticket that has left the queue, as far as it was noted."""

    def __iter__(self) -> Iterator[Fact]:
        return iter(self._facts.values())

    def put(self, fact: Fact) -> Fact | None:
        """Remember a fact, and return the one before."""
        before = self._facts.get(fact.id)
        self._facts[fact.id] = fact
        self._read()
        return before

    def restore(self, name: str, before: Fact | None) -> None:
        """Have a fact as it was, or not at all."""
        if before is not None:
            self._facts[name] = before
        else:
            self._facts.pop(name, None)
        self._read()

    @property
    def secret(self) -> str:
        """The secret (hex); empty where none was made yet."""
        return str(self._value("secret", ""))

    def _read(self) -> None:
        """Have those that are asked for with every command at hand."""
        self.paused = bool(self._value("paused", False))
        self.last_ticket = int(self._value("last_ticket", 0))

    def _value(self, name: str, default: int | bool | str) -> int | bool | str:
        fact = self._facts.get(name)
        return default if fact is None else fact.value


K = TypeVar("K")
R = TypeVar("R", Job, Worker)


def _add(index: dict[K, tuple[str, ...]], name: K, record_id: str) -> None:
    there = index.get(name, ())
    if record_id not in there:
        index[name] = (*there, record_id)


def _drop(index: dict[K, tuple[str, ...]], name: K, record_id: str) -> None:
    left = tuple(each for each in index.get(name, ()) if each != record_id)
    if left:
        index[name] = left
    else:
        index.pop(name, None)


def _move(
    index: dict[K, tuple[str, ...]],
    before: Job | None,
    old: Sequence[K],
    after: Job | None,
    new: Sequence[K],
) -> None:
    """Have a job found by the new names in place of the old ones."""
    if before is not None:
        for name in old:
            _drop(index, name, before.id)
    if after is not None:
        for name in new:
            _add(index, name, after.id)


def _remove(line: SortedKeyList[R, Any], record: R) -> None:
    """Take a record out of a line; the first one, as it mostly is, in half the time."""
    if next(iter(line)) is record:
        line.pop(0)
    else:
        line.remove(record)


def _callbacks_of(job: Job | None) -> tuple[str, ...]:
    """The callbacks by which a job is to be found; one that never had a worker has none."""
    if job is None:
        return ()
    hold = job.hold or job.former
    return (*job.spent, hold.worker.callback_url) if hold else job.spent


def _keys_of(job: Job | None) -> tuple[Key, ...]:
    """The key that holds an unfinished job, or lost it by its lease, if there is one."""
    if job is None:
        return ()
    hold = job.hold or job.former
    key = hold.worker.key if hold and job.state not in FINAL else None
    return (key,) if key else ()


_place_of = attrgetter("place", "ticket")
_rank_of = attrgetter("place")


def _end_of(job: Job) -> tuple[float, int]:
    return job.finished_s or 0.0, job.ticket
