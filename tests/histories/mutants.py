"""Bugs that the simulation has to find: each is patched in for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import connected_workers, evidence, lifecycle, state_machine
from sanic_dispatch.core.groups import Head, Heads
from sanic_dispatch.core.job import Job, Stage, State
from sanic_dispatch.core.lanes import place_of
from sanic_dispatch.core.state_machine import StateMachine
from sanic_dispatch.core.tables import Moved, Tables, WorkerTable
from sanic_dispatch.core.transitions import Step
from sanic_dispatch.core.worker import Cause, Worker
from sanic_dispatch.dispatch.batches import Batches
from sanic_dispatch.errors import NotTheHolder
from tests.histories.plan import Plan

Patch = tuple[Any, str, Any]

MUTANTS: dict[str, Callable[[], Patch]] = {}


def _with_connected(plan: Plan) -> Plan:
    return replace(plan, connected=0.8, cuts=0.15, operator=0.0, robots=5)


FOCUS: dict[str, Callable[[Plan], Plan]] = {
    "forget a delivery that an undo called back": lambda plan: replace(
        plan, operator=0.6, fails=0.3, commit_s=0.3, gap_s=0.02, lost=0.0, crash=0.0
    ),
    "accept an offer that has lapsed": _with_connected,
    "let an old connection end the new one": _with_connected,
    "apply an answer of an old attempt": lambda plan: replace(
        plan, connected=0.0, keyless=1.0, broken_answers=0.5, cut_off=0.5, lost=0.3, operator=0.0
    ),
    "put a job back that is to be cancelled": lambda plan: replace(
        _with_connected(plan), operator=0.3
    ),
    "end the lease although progress came": _with_connected,
    "offer a job to a worker that is away": _with_connected,
    "give a job to a worker whose time is over": lambda plan: replace(
        _with_connected(plan), expires=0.5
    ),
    "keep a connection that was undone": lambda plan: replace(_with_connected(plan), fails=0.2),
    "forget the lease of a job that another socket takes over": lambda plan: replace(
        _with_connected(plan), polling=0.0, cuts=0.4, fickle=0.1
    ),
}
"""Plans for bugs that show only where two rare things come together."""


def mutant(make: Callable[[], Patch]) -> Callable[[], Patch]:
    """Register a mutant under its name, with blanks for underscores."""
    MUTANTS[make.__name__.replace("_", " ")] = make
    return make


@contextmanager
def patched_in(name: str) -> Iterator[None]:
    """Patch in the mutant of this name."""
    target, attribute, replacement = MUTANTS[name]()
    with mock.patch.object(target, attribute, replacement):
        yield


# ---- of the core


@mutant
def take_the_newest() -> Patch:
    """The newest job is handed out first."""

    def first(self: Heads) -> Head | None:
        lanes = (lane for group in self.groups for lane in group.lanes.values())
        newest = max((job for lane in lanes for job in lane), key=place_of, default=None)
        return None if newest is None else Head(0, place_of(newest), newest)

    return Heads, "first", first


@mutant
def forget_a_hold() -> Patch:
    """A worker that holds a job counts as free, and gets another one."""
    return Tables, "_move_hold", lambda self, before, after: None


@mutant
def apply_an_outcome_of_an_old_attempt() -> Patch:
    """Each outcome counts for the present attempt."""

    def attempt(self: StateMachine, job_id: str, _: int) -> Job | None:
        job = self.tables.jobs.get(job_id)
        if job is None or job.state is not State.ASSIGNED or job.hold is None:
            return None
        return job if job.hold.stage is Stage.UNDER_WAY else None

    return StateMachine, "attempt", attempt


@mutant
def send_a_refused_job_to_the_tail() -> Patch:
    """A job that comes back loses its place."""
    free = lifecycle._free

    def to_the_tail(job: Job, *rest: Any) -> Step:
        return free(job._replace(place=job.place + 1000), *rest)

    return lifecycle, "_free", to_the_tail


@mutant
def believe_that_a_restart_was_no_crash() -> Patch:
    """Hand-overs that a crash interrupted count as accepted."""

    def recover(job: Job, policy: Any, now_s: float) -> Step | None:
        hold = job.hold
        return (
            lifecycle.accept(job, policy, now_s) if hold and hold.stage is Stage.UNDER_WAY else None
        )

    return lifecycle, "recover", recover


@mutant
def undo_a_job_and_not_its_hold() -> Patch:
    """An undo leaves the job's worker held."""

    def restore(self: Tables, change: Any) -> None:
        self.jobs.restore(change.id, change.before)

    return Tables, "_restore_job", restore


# ---- of connected workers, progress and registrations that end


def _with_handler(command: type, handle: Callable[[StateMachine, Any], Any]) -> Patch:
    """Return a patch that handles a command in another way."""
    return state_machine, "_HANDLERS", {**state_machine._HANDLERS, command: handle}


@mutant
def accept_an_offer_that_has_lapsed() -> Patch:
    """An accept is answered with ok whoever has the job."""

    def on_accept(machine: StateMachine, accept: c.Accept) -> Any:
        try:
            return connected_workers.on_accept(machine, accept)
        except NotTheHolder:
            return machine.placed(machine.find(accept.job_id))

    return _with_handler(c.Accept, on_accept)


@mutant
def let_an_old_connection_end_the_new_one() -> Patch:
    """The end of a connection that was replaced takes its worker away."""
    move = WorkerTable.move

    def move_and_keep(self: WorkerTable, to: Moved) -> Moved:
        before = move(self, to)
        if before.connection is not None and to.connection is not None:
            self.at_connection[before.connection] = to.worker_id
        return before

    return WorkerTable, "move", move_and_keep


@mutant
def apply_an_answer_of_an_old_attempt() -> Patch:
    """What became of an answer counts for the next answer with the same job too."""
    answered = StateMachine._answered

    def of_any_attempt(self: StateMachine, outcome: Any) -> Job | None:
        job = self.tables.jobs.get(outcome.job_id)
        return None if job is None else answered(self, outcome._replace(attempt=job.attempt))

    return StateMachine, "_answered", of_any_attempt


@mutant
def put_a_job_back_that_is_to_be_cancelled() -> Patch:
    """A job that its holder was asked to stop goes back to the line."""
    free = lifecycle._free

    def free_anyway(job: Job, *rest: Any) -> Step:
        return free(job._replace(cancelling=False), *rest)

    return lifecycle, "_free", free_anyway


@mutant
def end_the_lease_although_progress_came() -> Patch:
    """A report does not renew the lease."""
    return lifecycle, "_heard", lambda job, hold, now_s: job


@mutant
def offer_a_job_to_a_worker_that_is_away() -> Patch:
    """A worker whose connection has ended gets offers all the same, and nobody takes them."""

    def is_free(self: WorkerTable, worker: Worker) -> bool:
        return worker.aside is None and worker.id not in self._held

    return WorkerTable, "is_free", is_free


@mutant
def give_a_job_to_a_worker_whose_time_is_over() -> Patch:
    """A worker is free until it was told that its time is over."""
    is_free = WorkerTable.is_free

    def is_free_or_over(self: WorkerTable, worker: Worker) -> bool:
        is_over = worker.aside is not None and worker.aside.cause is Cause.EXPIRED
        return is_free(self, worker.back() if is_over else worker)

    return WorkerTable, "is_free", is_free_or_over


@mutant
def keep_a_connection_that_was_undone() -> Patch:
    """An undo leaves workers at the connections that they had after it."""
    undo = Tables.undo

    def undo_records(self: Tables, changes: Any) -> None:
        undo(self, [each for each in changes if not isinstance(each, Moved)])

    return Tables, "undo", undo_records


@mutant
def forget_the_lease_of_a_job_that_another_socket_takes_over() -> Patch:
    """A hold with another session is another hold, whose lease nobody looks at."""
    return evidence, "is_same", lambda before, now: before == now


# ---- of the batches


@mutant
def answer_before_the_commit() -> Patch:
    """A reply is sent as soon as its command is applied."""
    gather = Batches._gather

    def gather_and_answer(self: Batches) -> None:
        gather(self)
        for entry in self._gathering.entries:
            if entry.applied is not None and entry.reply is not None and not entry.reply.done():
                entry.answer(entry.applied.reply)

    return Batches, "_gather", gather_and_answer


@mutant
def answer_a_repeat_before_the_first_commit() -> Patch:
    """A reply is sent at once if its own command has changed nothing."""
    gather = Batches._gather

    def gather_and_answer(self: Batches) -> None:
        gather(self)
        for entry in self._gathering.entries:
            applied = entry.applied
            if applied is None or applied.events or entry.reply is None or entry.reply.done():
                continue
            entry.answer(applied.reply)

    return Batches, "_gather", gather_and_answer


@mutant
def drop_an_outcome_in_an_undo() -> Patch:
    """An outcome is forgotten when its batch fails."""

    def keep(self: Batches, entries: list[Any]) -> None:
        pass

    return Batches, "_keep", keep


@mutant
def carry_out_an_effect_before_its_commit() -> Patch:
    """A PUT is sent as soon as its command is applied."""
    gather = Batches._gather

    def gather_and_carry_out(self: Batches) -> None:
        gather(self)
        for entry in self._gathering.entries:
            if entry.applied is not None:
                for effect in entry.applied.effects:
                    self._on_effect(effect)
                entry.applied.effects.clear()

    return Batches, "_gather", gather_and_carry_out


@mutant
def publish_an_event_before_its_commit() -> Patch:
    """Events are published as soon as their command is applied."""
    gather = Batches._gather

    def gather_and_tell(self: Batches) -> None:
        before = len(self._gathering.entries)
        gather(self)
        for entry in self._gathering.entries[before:]:
            if entry.applied is not None:
                self._on_events(entry.applied.events)
        self._on_events = lambda events: None

    return Batches, "_gather", gather_and_tell


@mutant
def forget_a_delivery_that_an_undo_called_back() -> Patch:
    """A PUT that an undone command had cancelled is never sent."""
    undo = Batches._undo

    def undo_and_forget(self: Batches, changes: Any, number: int) -> None:
        self._called_off = []
        undo(self, changes, number)

    return Batches, "_undo", undo_and_forget
