"""Workers with a callback that register: what each is answered.

A worker that registers is a robot that is free, one that repeats itself since it got no answer, or
one that comes back with a new callback while it has a job. ``registration_meaning`` has the table
for the last one; ``StateMachine.free_awaiting`` goes on once it is known what became of that job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core import expiry, lifecycle, matching
from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import Job, State, Way
from sanic_dispatch.core.registration_meaning import Registration, meaning_of
from sanic_dispatch.core.rules import ANYTHING
from sanic_dispatch.core.worker import REPLACED, Cause, Key, Worker
from sanic_dispatch.errors import QueueFull, TooManyRules

if TYPE_CHECKING:
    from sanic_dispatch.core.state_machine import StateMachine


def on_register(machine: StateMachine, command: c.Register) -> Job | None:
    """Return the job to answer a worker with; None if it waits.

    None also if this callback has had its job. In this order: a callback that waits, unless
    its time is over; one that has a job already, a key that holds a job, and any other worker,
    which gets the first job in line that it takes, or is enqueued. Raises QueueFull and
    TooManyRules.
    """
    worker, workers = command.worker, machine.tables.workers
    waiting = workers.get(worker.id)
    if waiting is not None and waiting.is_expired:
        machine.drop(worker.id, expiry.EXPIRED)
    elif waiting is not None:
        aside = waiting.aside
        if aside and aside.cause is Cause.REFUSED and not aside.may_arrive:
            machine.free(waiting)
        return None
    known = machine.tables.jobs.at_callback(worker.id)
    if known is not None and known.state.is_final and known.former is not None:
        # Its lease ended, and no other worker had it before it failed: this worker asks again.
        machine.tables.put_job(known._replace(former=None))
    elif known is not None:
        return _answer_repeat(machine, known, worker)
    # Most registrations come through here.
    check_rule(machine, worker)
    worker = machine.keep_operators_set_aside(worker)
    _probe_stale(machine, worker)
    job = _job_of(machine, worker.key, lost=command.lost)
    if job is None:
        return _give_first_job_or_enqueue(machine, worker)
    return _register_again(machine, worker, job, lost=command.lost)


def _answer_repeat(machine: StateMachine, job: Job, worker: Worker) -> Job | None:
    """Answer a repeat on the same callback as before: with the same job, or none after a PUT.

    If another worker has the job by now, this one is enqueued. It gets no job in this answer:
    the repeat may be a late duplicate, whose answer is not read.
    """
    hold = job.hold or job.former
    if hold is None:
        return None  # it had the job once, and nobody has it now
    if hold.worker.id != worker.id:
        if not job.state.is_final:
            check_room(machine)
            machine.enqueue(worker)
        return None
    if hold.way is Way.PUT:
        return None  # the PUT is the answer
    if job.state.is_final:
        # done by being answered: this repeat says that the answer may not have arrived
        return job if job.state is State.DONE else None
    return _give_same_job(machine, job, worker)


def _register_again(machine: StateMachine, worker: Worker, job: Job, *, lost: bool) -> Job | None:
    """Apply the registration table to a new callback of a worker that holds a job."""
    meaning = meaning_of(job, lost=lost)
    if meaning is Registration.SAME_JOB and job.cancelling:
        machine.cancel_lost(job, worker)
        return _give_first_job_or_enqueue(machine, worker)
    if meaning is Registration.SAME_JOB:
        _end_older_awaits(machine, job, worker.key)
        return _give_same_job(machine, job, worker)
    if meaning is Registration.DONE:
        machine.apply_step(job, lifecycle.finish_by_return(job, machine.now.wall_s))
        return _give_first_job_or_enqueue(machine, worker)
    if worker.aside is None or lost:  # that it never arrived is said only here
        worker = worker.awaiting(machine.now.wall_s, job.id, lost=lost)
    else:  # by an operator: it stays so
        worker = worker._replace(aside=worker.aside._replace(job_id=job.id))
    machine.enqueue(worker)
    machine.free_awaiting(job.id, worker.key)
    return None


def _end_older_awaits(machine: StateMachine, job: Job, key: Key | None) -> None:
    """Let no older callback of the worker await the job any more, which is now given to a new one.

    Such a callback, which an operator has set aside, would count as the worker's return: once it
    has the job, that would be done.
    """
    for older in machine.tables.workers.of_key(key):
        if older.aside is not None and older.awaits(job.id):
            machine.tables.put_worker(older._replace(aside=older.aside._replace(job_id="")))


def _give_same_job(machine: StateMachine, job: Job, worker: Worker) -> Job | None:
    """Answer with the job that the worker's key holds, or held last."""
    if job.state is State.WAITING and not machine.may_pair:
        machine.tables.put_job(job._replace(former=None))  # it does not have it: it asks again
        return _give_first_job_or_enqueue(machine, worker)
    given = machine.assign(job, worker, Way.ANSWER)
    machine.drop_replaced(job, worker)
    return given


def _give_first_job_or_enqueue(machine: StateMachine, worker: Worker) -> Job | None:
    """Answer with the first job in line that the worker takes, or enqueue the worker."""
    if worker.aside is None and machine.may_pair:
        machine.tables.rules.expect(worker.rule)  # it may be a new one
        job = matching.job_for(machine.tables, worker)
        if job is not None:
            return machine.assign(job, worker, Way.ANSWER)
    check_room(machine)
    machine.enqueue(worker)
    return None


def check_rule(machine: StateMachine, worker: Worker) -> None:
    """Raise TooManyRules where no worker with another rule may come.

    A worker that is here already may come with another one.
    """
    tables, most = machine.tables, machine.policy.max_rules
    if worker.rule == ANYTHING or worker.rule in tables.rules or len(tables.rules) < most:
        return
    key = worker.key
    if not (key and (tables.workers.of_key(key) or tables.jobs.of_key(key))):
        raise TooManyRules(most)


def check_room(machine: StateMachine) -> None:
    """Raise QueueFull where no more workers may wait."""
    if machine.tables.workers.free_count() >= machine.policy.max_workers:
        raise QueueFull(machine.policy.max_workers)


def _job_of(machine: StateMachine, key: Key | None, *, lost: bool) -> Job | None:
    """Return the job that a registration of this key is about.

    It is the one that the key has held longest, or held until its lease ended; with ``lost``
    the one in the last answer.
    """
    held = machine.tables.jobs.of_key(key) if key else []
    if lost:
        return max(held, key=lambda job: (_is_answered(job), _since_s(job)), default=None)
    return min(held, key=_since_s, default=None)


def _probe_stale(machine: StateMachine, worker: Worker) -> None:
    """Probe the older callbacks of the same key; a callback that is not pending is dropped.

    Until then they get no jobs: a job sent to a used callback would seem to have been taken.
    One that was set aside already is set aside again: a probe that is under way may have seen
    it pending before the worker came back.
    """
    workers = machine.tables.workers
    for older in workers.of_key(worker.key):
        is_held = workers.is_held(older.id)
        if is_held and older.is_awaiting:
            continue
        machine.effects.append(e.ProbeStale(older.id, machine.request))
        if not is_held and (replaced := older.replaced(machine.now.wall_s)):
            machine.change_worker(replaced, EventKind.WORKER_SET_ASIDE, REPLACED)


def _is_answered(job: Job) -> bool:
    hold = job.hold or job.former
    return hold is not None and hold.way is Way.ANSWER


def _since_s(job: Job) -> float:
    hold = job.hold or job.former
    return hold.since_s if hold else 0.0
