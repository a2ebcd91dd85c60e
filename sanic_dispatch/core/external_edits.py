"""Taking over edits that a person or program made in ``jobs.json`` or ``workers.json``.

Functions over the state machine, like those in ``held_jobs`` and ``workers_aside``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf, nextafter
from typing import TYPE_CHECKING

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import connected_workers, expiry
from sanic_dispatch.core.events import EventKind, Note
from sanic_dispatch.core.job import Job, State

if TYPE_CHECKING:
    from sanic_dispatch.core.state_machine import StateMachine

EDITED = "the file was edited"


def on_replace_jobs(machine: StateMachine, edit: c.ReplaceJobs) -> None:
    """Make the waiting jobs those of the edited file; held and finished jobs stay as they are.

    Its events have the time at which this is noticed, as all others have that of their command: so
    the times of events are in the order of their numbers.
    """
    jobs = machine.tables.jobs
    queued = {job.id: job for job in (*jobs.assigned(), *jobs.line)}
    arranged = list(arranged_jobs(machine, _still_queued(machine, edit.jobs)))
    there = {job.id for job in arranged}
    for job in [job for job in jobs.line if job.id not in there]:
        machine.note_last_ticket()
        machine.tables.remove_job(job.id)
        gone = job._replace(state=State.CANCELLED, finished_s=edit.at_s, reason=EDITED)
        machine.emit(Note(EventKind.JOB_CANCELLED, machine.now.wall_s, EDITED), job=gone)
    for job in arranged:
        before = queued.get(job.id)
        if before != job:
            machine.tables.put_job(job)
            kind = EventKind.JOB_MOVED if before else EventKind.JOB_SUBMITTED
            machine.emit(Note(kind, machine.now.wall_s, EDITED), job=job)


def on_replace_workers(machine: StateMachine, edit: c.ReplaceWorkers) -> None:
    """Make the waiting workers those of the edited file; workers that hold a job stay.

    Callbacks that have had a job do not come back: the copy that was edited may be older.
    """
    jobs, workers = machine.tables.jobs, machine.tables.workers
    there = {worker.id for worker in edit.workers}
    for worker in [worker for worker in workers if worker.id not in there]:
        if not workers.is_held(worker.id):
            machine.drop(worker.id, EDITED)
    last, taken = -inf, {worker.place for worker in workers if workers.is_held(worker.id)}
    for read in edit.workers:
        before = workers.get(read.id)
        if before is not None and workers.is_held(read.id):
            last = max(last, before.place)
            continue
        if before is None and (jobs.held_by(read.id) or jobs.at_callback(read.id)):
            continue
        place = before.place if before else workers.last_place + 1
        last = place if place > last else nextafter(last, inf)
        while last in taken:
            last = nextafter(last, inf)
        worker = read._replace(place=last)
        if before != worker:
            kind = EventKind.WORKER_CAME_BACK if before else EventKind.WORKER_REGISTERED
            machine.change_worker(worker, kind, EDITED)
            expiry.watch(machine, worker)
            connected_workers.note_away(machine, worker)


def _still_queued(machine: StateMachine, read: Iterable[Job]) -> Iterator[Job]:
    """Yield the entries of an edited file but those of jobs that are finished.

    Somebody may have opened the file a while before saving it. Who has a job, or had it, is known
    better here.
    """
    for job in read:
        known = machine.tables.jobs.get(job.id)
        if known is None:
            yield job
        elif known.is_waiting and job.is_waiting:
            yield job._replace(attempt=known.attempt, former=known.former, spent=known.spent)
        elif not known.state.is_final:
            yield known


def arranged_jobs(machine: StateMachine, read: Iterable[Job]) -> Iterator[Job]:
    """Yield the jobs of a file with a ticket each, and places that agree with their order.

    An assigned job is taken from the table, not from the file. A known job keeps its place if that
    is behind the job before it.
    """
    jobs, last = machine.tables.jobs, -inf
    for job in read:
        known = jobs.get(job.id)
        if known is not None and known.state is State.ASSIGNED:
            last = max(last, known.place)
            yield known
            continue
        if not job.ticket:
            jobs.last_ticket += 0 if known else 1
            job = job.numbered(known.ticket if known else jobs.last_ticket)
        if known is not None:
            job = job._replace(place=known.place)
        if not job.state.is_final:
            if job.place <= last:
                job = job._replace(place=nextafter(last, inf))
            last = job.place
        yield job
