"""What an operator does to jobs, workers and the topic by hand.

A customer and an operator cancel a job in the same way: that is in ``progress``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import connected_workers, lifecycle, workers_aside
from sanic_dispatch.core.events import EventKind, Note
from sanic_dispatch.core.job import State
from sanic_dispatch.core.tables import Fact
from sanic_dispatch.core.worker import Cause, Worker
from sanic_dispatch.errors import UnknownWorker, WrongState

if TYPE_CHECKING:
    from sanic_dispatch.core.state_machine import Placed, StateMachine


def on_put_back(machine: StateMachine, act: c.PutBack) -> Placed:
    """Take an assigned or failed job back to its place in line. Raises UnknownJob, WrongState."""
    return machine.apply_act(act, lambda job, now_s: lifecycle.put_back(job, now_s, act.why))


def on_move_to_front(machine: StateMachine, act: c.MoveToFront) -> Placed:
    """Move a waiting job to the front, also of assigned ones. Raises UnknownJob, WrongState."""
    jobs = machine.tables.jobs
    places = [job.place for job in jobs.assigned()]
    place = min(jobs.line.lowest_place(), *places, machine.find(act.job_id).ticket) - 1.0
    return machine.apply_act(act, lambda job, now_s: lifecycle.move(job, place, now_s, act.why))


def on_set_priority(machine: StateMachine, act: c.SetPriority) -> Placed:
    """Give a waiting job another priority. Raises UnknownJob and WrongState."""
    job = machine.find(act.job_id)
    if job.priority == act.priority and job.is_waiting:
        return machine.placed(job)
    return machine.apply_act(
        act, lambda job, now_s: lifecycle.set_priority(job, act.priority, now_s, act.why)
    )


def on_set_aside(machine: StateMachine, act: c.SetAside) -> Worker:
    """Give a waiting worker no jobs until it is brought back. Raises UnknownWorker, WrongState."""
    worker = _waiting_worker(machine, act.worker_id, "set its worker aside")
    aside = worker.set_aside_by_operator(machine.now.wall_s, act.reason)
    aside = machine.change_worker(aside, EventKind.WORKER_SET_ASIDE, act.reason)
    connected_workers.take_back_offer(machine, aside.id, "its worker was set aside")
    return aside


def on_bring_back(machine: StateMachine, act: c.BringBack) -> Worker:
    """Free a worker that is set aside: at once, or when its job is settled, or once it is seen.

    Raises UnknownWorker and WrongState.
    """
    _check_has_no_job(machine, act.worker_id, "bring its worker back")
    worker = _waiting_worker(machine, act.worker_id, "bring its worker back")
    aside = worker.aside
    if aside is None:
        return worker
    _bring_older_back(machine, worker, act.reason)
    if machine.awaited_by(worker) is not None:  # it is free once that job is settled
        if worker.is_awaiting:
            return worker
        awaiting = worker.awaiting(machine.now.wall_s, aside.job_id, lost=False)
        return machine.change_worker(awaiting, EventKind.WORKER_SET_ASIDE, act.reason)
    is_doubtful = aside.may_arrive or worker.refusals > 0
    may_be_used = worker.is_set_aside_by_operator and worker.key and is_doubtful
    may_get_one = workers_aside.may_get_one_late(machine, worker)
    if may_be_used or may_get_one or _has_other_callbacks(machine, worker):
        return _bring_back_once_seen(machine, worker, act.reason)
    if worker.key is not None and aside.cause is Cause.REFUSED:
        # What is sent to a callback that does not wait may seem to be taken.
        workers_aside.on_look_at_worker(machine, workers_aside.extra_look(machine, worker, aside))
        return worker
    back = machine.bring_back(worker, act.reason)
    connected_workers.note_away(machine, back)
    return back


def _bring_older_back(machine: StateMachine, worker: Worker, reason: str) -> None:
    """Probe older callbacks of a worker: they are not set aside by an operator any more."""
    for older in machine.tables.workers.of_key(worker.key):
        if older.is_set_aside_by_operator and older.place < worker.place:
            _bring_back_once_seen(machine, older, reason)


def _bring_back_once_seen(machine: StateMachine, worker: Worker, reason: str) -> Worker:
    """Have a worker probed, which frees it if its callback waits."""
    may_arrive = workers_aside.may_get_one_late(machine, worker)
    until_seen = worker.set_aside_until_seen(machine.now.wall_s, may_arrive=may_arrive)
    return machine.change_worker(until_seen, EventKind.WORKER_SET_ASIDE, reason)


def _has_other_callbacks(machine: StateMachine, worker: Worker) -> bool:
    """Whether a worker has registered with other callbacks, so that this one may not wait."""
    held = machine.tables.jobs.of_key(worker.key) if worker.key else []
    holders = [job.hold.worker for job in held if job.hold]
    others = (*machine.tables.workers.of_key(worker.key), *holders)
    return any(other.id != worker.id for other in others)


def on_drop_worker(machine: StateMachine, act: c.DropWorker) -> None:
    """Remove a waiting worker. Raises UnknownWorker, and WrongState while a job may reach it."""
    _check_has_no_job(machine, act.worker_id, "drop its worker")
    worker = _waiting_worker(machine, act.worker_id, "drop its worker")
    if workers_aside.may_get_one_late(machine, worker) or machine.awaited_by(worker):
        raise WrongState("drop its worker", State.ASSIGNED)
    machine.drop(worker.id, act.reason)


def on_pause(machine: StateMachine, act: c.Pause) -> None:
    """Stop, or continue, to hand out jobs."""
    if machine.tables.facts.paused is act.paused:
        return
    machine.tables.put_fact(Fact("paused", act.paused))
    kind = EventKind.DISPATCH_PAUSED if act.paused else EventKind.DISPATCH_RESUMED
    machine.emit(Note(kind, machine.now.wall_s, act.reason))


def _waiting_worker(machine: StateMachine, worker_id: str, act: str) -> Worker:
    """Return a waiting worker. Raises UnknownWorker, and WrongState while it has a job.

    Also for a worker that says it lost a job which is still held: it is the only proof of that.
    """
    worker = machine.tables.workers.get(worker_id)
    if worker is None:
        _check_has_no_job(machine, worker_id, act)
        raise UnknownWorker
    if worker.is_expired:
        raise UnknownWorker
    lost = machine.tables.jobs.get(worker.aside.job_id) if worker.aside else None
    if lost and worker.says_job_was_lost and lost.state is State.ASSIGNED:
        raise WrongState(act, lost.state)
    return worker


def _check_has_no_job(machine: StateMachine, worker_id: str, act: str) -> None:
    if job := machine.tables.jobs.assigned_to(worker_id):
        raise WrongState(act, job.state)
