"""The state of one topic: jobs, workers and facts, and every index over them.

A table changes only by ``put`` and ``remove``, and these two keep all indexes. So a list of
changes can be undone by playing it backwards, loaded from any store, and sent to any store.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from enum import StrEnum
from math import inf
from operator import attrgetter
from typing import Any, TypeVar, cast

from sortedcontainers import SortedKeyList

from sanic_dispatch.core.job import FINAL, Hold, Job, Progress, Stage, State, Way
from sanic_dispatch.core.lanes import ticket_of
from sanic_dispatch.core.line import BY_ARRIVAL, Line, Ordering
from sanic_dispatch.core.present_rules import PresentRules
from sanic_dispatch.core.rules import ANYTHING
from sanic_dispatch.core.turns import Turns
from sanic_dispatch.core.value import Value
from sanic_dispatch.core.worker import CONNECTED, FOR_GOOD, Key, Worker


class Table(StrEnum):
    """The tables of a topic."""

    JOBS = "jobs"
    WORKERS = "workers"
    FACTS = "facts"


class Fact(Value, frozen=True):
    """A value that the topic remembers under a name: see ``Facts``."""

    id: str
    value: int | bool | str


FORGETTING = "forgetting:"
"""The name of a fact begins so: the id of a forgotten job follows, and the value is its ticket."""

FORWARDED = "forwarded:"
"""The name of a fact begins so: the random id of a process's run follows, and the value has the
numbers of the commands that it has forwarded and that are applied, in decimal, with spaces."""

PUSH = "push:"
"""The name of a fact begins so: a job's id follows, and the value is the JSON of the phones that
are notified about it."""

Record = Job | Worker | Fact


class Change(Value, frozen=True):
    """A record before and after a change; None where it did not exist, or does not any more."""

    table: Table
    id: str
    before: Record | None
    after: Record | None


class Moved(Value, frozen=True):
    """How a connected worker was reached before that changed: by a connection, or not since then.

    It is undone like a change of a record, and not stored: no connection outlives the process.
    """

    worker_id: str
    connection: str | None
    left_s: float | None


class ProgressNote(Value, frozen=True):
    """Progress of a job that is to be kept soon, and when some was kept last (monotonic seconds).

    It is undone like a change of a record, and not stored.
    """

    job_id: str
    due: Progress | None = None
    kept_s: float = -inf


Undoable = Change | Moved | ProgressNote
"""What an undo plays back: a change of a record, or how something was before that is not stored."""


class Tables:
    """All records of a topic, and the changes since they were last taken.

    A worker that holds a job by PUT, and may still be waiting on its callback, stays in its table
    and is not free: that follows from the job's record alone, so a hand-over is one change.
    """

    def __init__(self, ordering: Ordering = BY_ARRIVAL) -> None:
        self.jobs = JobTable(ordering)
        self.workers = WorkerTable()
        self.facts = Facts()
        self.rules = PresentRules(self.jobs.line)
        """The rules of the workers that wait or hold a job."""
        self.progress: dict[str, ProgressNote] = {}
        """The notes of progress by job id. They are not stored; ``note_progress`` changes them."""
        self.changes: list[Undoable] = []

    def put_job(self, job: Job) -> None:
        """Add or replace a job; by its record, its worker is held, or may be free again."""
        before = self.jobs.put(job)
        self.changes.append(Change(Table.JOBS, job.id, before, job))
        self._move_hold(before, job)

    def remove_job(self, job_id: str) -> None:
        """Remove a job, and who is told of it. Raises KeyError."""
        before = self.jobs.remove(job_id)
        self.changes.append(Change(Table.JOBS, job_id, before, None))
        self.remove_fact(PUSH + job_id)
        self._move_hold(before, None)

    def put_worker(self, worker: Worker) -> None:
        """Add or replace a worker."""
        before = self.workers.put(worker)
        self.changes.append(Change(Table.WORKERS, worker.id, before, worker))
        self._move_rule(rule_of_worker(before), worker.rule)

    def remove_worker(self, worker_id: str) -> None:
        """Remove a worker. Raises KeyError."""
        before = self.workers.remove(worker_id)
        self.changes.append(Change(Table.WORKERS, worker_id, before, None))
        self._move_rule(before.rule, ANYTHING)

    def put_fact(self, fact: Fact) -> None:
        """Set a fact."""
        before = self.facts.put(fact)
        self.changes.append(Change(Table.FACTS, fact.id, before, fact))

    def remove_fact(self, name: str) -> None:
        """Remove a fact, if it is there."""
        before = self.facts.restore(name, None)
        if before is not None:
            self.changes.append(Change(Table.FACTS, name, before, None))

    def attach(self, worker_id: str, connection: str) -> None:
        """Note by which connection a connected worker is reached."""
        self.changes.append(self.workers.move(Moved(worker_id, connection, None)))

    def detach(self, worker_id: str) -> None:
        """Note that a connected worker is not reached: it keeps its place, and gets no job."""
        self.changes.append(self.workers.move(Moved(worker_id, None, None)))

    def note_left(self, worker_id: str, left_s: float | None) -> None:
        """Note since when a connected worker is not reached (monotonic seconds), if it waits."""
        self.changes.append(self.workers.move(Moved(worker_id, None, left_s)))

    def note_progress(self, note: ProgressNote) -> None:
        """Note what of a job's progress is to be kept soon, and when some was kept last."""
        self.changes.append(self._restore_progress(note))

    def take_changes(self) -> list[Undoable]:
        """Return the changes since the last call, in order."""
        changes, self.changes = self.changes, []
        return changes

    def undo_since(self, mark: int) -> None:
        """Undo and forget all changes but the first ``mark``."""
        self.undo(self.changes[mark:])
        del self.changes[mark:]

    def undo(self, changes: Sequence[Undoable]) -> None:
        """Undo changes, newest first; they must be the last ones made. This is not a change."""
        for change in reversed(changes):
            if isinstance(change, Moved):
                self.workers.move(change)
            elif isinstance(change, ProgressNote):
                self._restore_progress(change)
            elif change.table is Table.JOBS:
                self._restore_job(change)
            elif change.table is Table.WORKERS:
                before = cast("Worker | None", change.before)
                after = self.workers.restore(change.id, before)
                self._move_rule(rule_of_worker(after), rule_of_worker(before))
            else:
                self.facts.restore(change.id, cast("Fact | None", change.before))

    def _restore_job(self, change: Change) -> None:
        before = cast("Job | None", change.before)
        after = self.jobs.restore(change.id, before)
        self._move_hold(after, before)

    def _restore_progress(self, to: ProgressNote) -> ProgressNote:
        before = self.progress.pop(to.job_id, ProgressNote(to.job_id))
        if to.kept_s > -inf:
            self.progress[to.job_id] = to
        return before

    def mark_worker_held(self, job: Job) -> None:
        """Mark the worker as held of a job that was loaded by ``fill``."""
        self._move_hold(None, job)

    def _move_rule(self, before: str, after: str) -> None:
        if before != after:
            self.rules.replace(before, after)

    def _move_hold(self, before: Job | None, after: Job | None) -> None:
        was, now = _hold_in(before), _hold_in(after)
        if was is now:
            return
        self._move_rule(rule_of_holder(was), rule_of_holder(now))
        old, new = _pending_callback(was), _pending_callback(now)
        if old != new:
            if old is not None:
                self.workers.unmark_held(old)
            if new is not None:
                self.workers.mark_held(new)


def _hold_in(job: Job | None) -> Hold | None:
    """Return the hold of an assigned job."""
    return job.hold if job is not None and job.state is State.ASSIGNED else None


def _pending_callback(hold: Hold | None) -> str | None:
    """Return the callback that a job was sent to and that may still be pending, if any."""
    if hold is None or hold.way is Way.ANSWER or hold.stage is Stage.CONFIRMED:
        return None
    return hold.worker.callback_url


class JobTable:
    """Jobs by id: waiting in order, assigned, and finished ones for as long as they are kept."""

    def __init__(self, ordering: Ordering = BY_ARRIVAL) -> None:
        self._jobs: dict[str, Job] = {}
        self.get: Callable[[str], Job | None] = self._jobs.get
        """Return the job of that id, in any state; the dictionary's own method."""
        self.line = Line(self._waiting_job, ordering)
        """The waiting jobs, in order."""
        self._turns = Turns(self.line)
        self._assigned: dict[str, Job] = {}
        self._finished: SortedKeyList[Job, tuple[float, int]] = SortedKeyList(key=_end_of)
        self._by_key: dict[Key, tuple[str, ...]] = {}
        self._by_callback: dict[str, tuple[str, ...]] = {}
        self._by_connected: dict[str, str] = {}
        self.last_ticket = 0
        """The highest ticket ever given; no ticket is given twice, not even after an undo."""
        self.last_place = 0.0
        """The highest place ever given."""

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: Job) -> Job | None:
        """Add or replace a job, and return the one before."""
        before = self._jobs.get(job.id)
        if before is not None:
            self._unlist(before)
        self._jobs[job.id] = job
        if job.state is State.WAITING:
            self.line.add(job)
        elif job.state is State.ASSIGNED:
            self._assigned[job.id] = job
        else:
            self._finished.add(job)
        self._note_holders(before, job)
        if job.turn or (before is not None and before.turn):
            self._turns.note(job)
        if job.ticket > self.last_ticket:
            self.last_ticket = job.ticket
        if job.place > self.last_place:
            self.last_place = job.place
        return before

    def fill(self, jobs: Iterable[Job]) -> None:
        """Load many jobs into an empty table."""
        waiting, others = [], []
        for job in jobs:
            if job.state is State.WAITING and not (job.former or job.spent or job.turn):
                self._jobs[job.id] = job
                waiting.append(job)
            else:
                others.append(job)
        self.line.add_all(waiting)
        self.last_ticket = max([self.last_ticket, *map(ticket_of, waiting)])
        self.last_place = max([self.last_place, *map(_rank_of, waiting)])
        for job in others:
            self.put(job)

    def remove(self, job_id: str) -> Job:
        """Forget a job, and return it. Raises KeyError."""
        job = self._jobs.pop(job_id)
        self._unlist(job)
        self._note_holders(job, None)
        if job.turn:
            self._turns.retire(job_id)
        return job

    def restore(self, job_id: str, before: Job | None) -> Job | None:
        """Put a job back as it was, or remove it if it did not exist; return what it replaces."""
        if before is not None:
            return self.put(before)
        self._turns.forget(job_id)
        return self.remove(job_id) if job_id in self._jobs else None

    def _waiting_job(self, job_id: str) -> Job | None:
        job = self._jobs.get(job_id)
        return job if job is not None and job.state is State.WAITING else None

    def unordered(self) -> Iterable[Job]:
        """Return all jobs, in no order: a list of 100,000 is made in 4 ms."""
        return self._jobs.values()

    def assigned(self) -> Collection[Job]:
        """Return the assigned jobs."""
        return self._assigned.values()

    def finished(self) -> Sequence[Job]:
        """Return the finished jobs, the oldest first."""
        return cast("Sequence[Job]", self._finished)

    def position_of(self, job: Job) -> int:
        """Return the job's position in the queue, counted from 1; 0 if it is not waiting."""
        return self.line.position_of(job) if job.state is State.WAITING else 0

    def of_key(self, key: Key) -> list[Job]:
        """Return the jobs that this key holds, or held until their lease ended."""
        return [self._jobs[job_id] for job_id in self._by_key.get(key, ())]

    def of_instance(self, instance: str) -> list[Job]:
        """Return the jobs that this process instance holds, or held until their lease ended."""
        keys = [key for key in self._by_key if key.instance == instance]
        return [job for key in keys for job in self.of_key(key)]

    def at_callback(self, callback_url: str) -> Job | None:
        """Return the job that this callback got: an unfinished one if any, else the latest."""
        found = [self._jobs[job_id] for job_id in self._by_callback.get(callback_url, ())]
        if not found:
            return None
        return next((job for job in found if not job.state.is_final), found[-1])

    def held_by(self, worker_id: str) -> Job | None:
        """Return the job that this connected worker has, or is offered."""
        job_id = self._by_connected.get(worker_id)
        return None if job_id is None else self._jobs[job_id]

    def assigned_to(self, worker_id: str) -> Job | None:
        """Return the job that is assigned to this worker, however it is handed over."""
        job = self.held_by(worker_id) or self.at_callback(worker_id)
        if job is None or job.state is not State.ASSIGNED or job.worker is None:
            return None
        return job if job.worker.id == worker_id else None

    def _unlist(self, job: Job) -> None:
        """Remove a job from the index of its state."""
        if job.state is State.WAITING:
            self.line.remove(job)
        elif job.state is State.ASSIGNED:
            del self._assigned[job.id]
        else:
            _remove(self._finished, job)

    def _note_holders(self, before: Job | None, after: Job | None) -> None:
        """Update the indexes by callback, by connected worker and by key."""
        old, new = _holders_of(before), _holders_of(after)
        if old == new:
            return
        (old_callbacks, was_with, old_keys), (new_callbacks, is_with, new_keys) = old, new
        if old_callbacks != new_callbacks:
            _move(self._by_callback, before, old_callbacks, after, new_callbacks)
        if was_with != is_with:
            _move_one(self._by_connected, before, was_with, after, is_with)
        if old_keys != new_keys:
            _move(self._by_key, before, old_keys, after, new_keys)


class WorkerTable:
    """Workers by callback, which is their id, in order of their registration; some are free."""

    def __init__(self) -> None:
        self._workers: dict[str, Worker] = {}
        self.get: Callable[[str], Worker | None] = self._workers.get
        """Return the worker that waits on this callback; the dictionary's own method."""
        self.free_by_rule: dict[str, SortedKeyList[Worker, float]] = {}
        """By rule: the free workers with it, in order; no list is empty. Only to be read."""
        self._held: dict[str, int] = {}
        """By callback: how many jobs were sent there that are not settled."""
        self.connection_of: dict[str, str] = {}
        """By connected worker: its connection; not stored. Changed by ``move``, as the next two."""
        self.at_connection: dict[str, str] = {}
        """By connection: its worker."""
        self.left: dict[str, float] = {}
        """By connected worker that waits and is not reached: since when (monotonic seconds)."""
        self.aside: dict[str, Worker] = {}
        """The workers set aside that may come back by themselves. Only to be read."""
        self._by_key: dict[Key, tuple[str, ...]] = {}
        self.last_place = 0.0
        """The highest place ever given."""

    def __len__(self) -> int:
        return len(self._workers)

    def __contains__(self, worker_id: str) -> bool:
        return worker_id in self._workers

    def __iter__(self) -> Iterator[Worker]:
        """Iterate over all workers, in order."""
        return iter(sorted(self._workers.values(), key=_rank_of))

    def unordered(self) -> Iterable[Worker]:
        """Return all workers, in no order."""
        return self._workers.values()

    def put(self, worker: Worker) -> Worker | None:
        """Add or replace a worker, and return the one before."""
        before = self._workers.get(worker.callback_url)
        if before is not None:
            self._unlist(before)
        self._workers[worker.callback_url] = worker
        self._list_if_free(worker)
        if worker.aside is not None and worker.aside.cause not in FOR_GOOD:
            self.aside[worker.id] = worker
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

    def restore(self, worker_id: str, before: Worker | None) -> Worker | None:
        """Put a worker back as it was, or remove a new one; return what it replaces."""
        if before is not None:
            return self.put(before)
        return self.remove(worker_id) if worker_id in self._workers else None

    def mark_held(self, worker_id: str) -> None:
        """Note that a job was sent to this callback, so its worker is not free."""
        worker = self._workers.get(worker_id)
        if worker is not None and self.is_free(worker):
            self._unlist_free(worker)
        self._held[worker_id] = self._held.get(worker_id, 0) + 1

    def unmark_held(self, worker_id: str) -> None:
        """Note that a job is not at this callback any more."""
        left = self._held.pop(worker_id, 1) - 1
        if left:  # an edited file has put the worker back, and it got another job
            self._held[worker_id] = left
        elif worker := self._workers.get(worker_id):
            self._list_if_free(worker)

    def move(self, to: Moved) -> Moved:
        """Note how a connected worker is reached; return how it was before."""
        worker = self._workers.get(to.worker_id)
        was_free = worker is not None and self.is_free(worker)
        connection = self.connection_of.pop(to.worker_id, None)
        left_s = self.left.pop(to.worker_id, None)
        if connection is not None:
            del self.at_connection[connection]
        if to.connection is not None:
            self.connection_of[to.worker_id] = to.connection
            self.at_connection[to.connection] = to.worker_id
        if to.left_s is not None:
            self.left[to.worker_id] = to.left_s
        if worker is not None and was_free is not self.is_free(worker):
            if was_free:
                self._unlist_free(worker)
            else:
                self._list_if_free(worker)
        return Moved(to.worker_id, connection, left_s)

    def is_free(self, worker: Worker) -> bool:
        """Whether a worker of this table may get a job now."""
        url = worker.callback_url
        if worker.aside is not None or url in self._held:
            return False
        return worker.key is not None or not worker.is_connected or url in self.connection_of

    def is_held(self, worker_id: str) -> bool:
        """Whether a job was sent to this callback and is not settled there."""
        return worker_id in self._held

    def free_count(self) -> int:
        """Return the number of free workers."""
        return sum(map(len, self.free_by_rule.values()))

    def of_key(self, key: Key | None) -> list[Worker]:
        """Return the waiting workers of this key; none for a worker without a key."""
        return [self._workers[each] for each in self._by_key.get(key, ())] if key else []

    def _list_if_free(self, worker: Worker) -> None:
        if self.is_free(worker):
            if worker.rule not in self.free_by_rule:
                self.free_by_rule[worker.rule] = SortedKeyList(key=_rank_of)
            self.free_by_rule[worker.rule].add(worker)

    def _unlist_free(self, worker: Worker) -> None:
        free = self.free_by_rule[worker.rule]
        _remove(free, worker)
        if not free:
            del self.free_by_rule[worker.rule]

    def _unlist(self, worker: Worker) -> None:
        """Remove a worker from every index but that of ids."""
        if self.is_free(worker):
            self._unlist_free(worker)
        self.aside.pop(worker.callback_url, None)
        if worker.key:
            _drop(self._by_key, worker.key, worker.callback_url)


class Facts:
    """What a topic remembers besides jobs and workers.

    ``last_ticket`` is at least as high as the ticket of any job that was removed; ``secret`` (hex)
    is made once, and job ids and receipts are derived from it. FORGETTING names the jobs that are
    forgotten and whose data may still be in a file, FORWARDED what other processes may repeat.
    ``webhooks`` has the names of those about webhooks, and PUSH names the phones that are told.
    """

    def __init__(self) -> None:
        self._facts: dict[str, Fact] = {}
        self.paused = False
        """Whether an operator has paused the handing out."""
        self.last_ticket = 0
        """The highest ticket of a removed job, as far as it was noted."""

    def __iter__(self) -> Iterator[Fact]:
        return iter(self._facts.values())

    def put(self, fact: Fact) -> Fact | None:
        """Set a fact, and return the one before."""
        before = self._facts.get(fact.id)
        self._facts[fact.id] = fact
        self._read()
        return before

    def restore(self, name: str, before: Fact | None) -> Fact | None:
        """Put a fact back as it was, or remove it if it did not exist; return what it replaces."""
        if before is not None:
            return self.put(before)
        replaced = self._facts.pop(name, None)
        if replaced is not None:
            self._read()
        return replaced

    def text(self, name: str) -> str:
        """Return the value of a fact that is a text; empty if there is none."""
        return str(self._value(name, ""))

    @property
    def secret(self) -> str:
        """The secret (hex); empty if none was made yet."""
        return self.text("secret")

    def _read(self) -> None:
        """Cache the facts that every command asks for."""
        self.paused = bool(self._value("paused", False))
        self.last_ticket = int(self._value("last_ticket", 0))

    def _value(self, name: str, default: int | bool | str) -> int | bool | str:
        fact = self._facts.get(name)
        return default if fact is None else fact.value


def rule_of_worker(worker: Worker | None) -> str:
    """Return the rule of a waiting worker, if there is one."""
    return ANYTHING if worker is None else worker.rule


def rule_of_holder(hold: Hold | None) -> str:
    """Return the rule with which the holder of an assigned job registered."""
    return ANYTHING if hold is None else hold.worker.rule


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
    """Index a job by its new names instead of its old ones."""
    if before is not None:
        for name in old:
            _drop(index, name, before.id)
    if after is not None:
        for name in new:
            _add(index, name, after.id)


def _move_one(
    index: dict[str, str], before: Job | None, old: str | None, after: Job | None, new: str | None
) -> None:
    """Index a job by its new name instead of its old one, which may be another job's by now."""
    if before is not None and old is not None and index.get(old) == before.id:
        del index[old]
    if after is not None and new is not None:
        index[new] = after.id


def _remove(line: SortedKeyList[R, Any], record: R) -> None:
    """Remove a record from a sorted list; to pop the first, as usual, takes half the time."""
    if next(iter(line)) is record:
        line.pop(0)
    else:
        line.remove(record)


Holders = tuple[tuple[str, ...], str | None, tuple[Key, ...]]
"""By what a job's present and earlier holders find it.

The callbacks, of which a connected worker has none; the connected worker that has the job, or is
offered it; and the key that holds an unfinished job, or held it until its lease ended.
"""


def _holders_of(job: Job | None) -> Holders:
    """Return by what the holders of a job find it; a new one has had none."""
    if job is None:
        return (), None, ()
    hold, spent = job.hold or job.former, job.spent
    if spent:
        spent = tuple(each for each in spent if not each.startswith(CONNECTED))
    if hold is None:
        return spent, None, ()
    worker = hold.worker
    keys = (worker.key,) if worker.key and job.state not in FINAL else ()
    if hold.way is not Way.OFFER:
        return (*spent, worker.callback_url), None, keys
    return spent, worker.callback_url if job.state is State.ASSIGNED else None, keys


_rank_of = attrgetter("place")


def _end_of(job: Job) -> tuple[float, int]:
    return job.finished_s or 0.0, job.ticket
