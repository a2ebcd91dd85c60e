"""What the holder of a job reports: that it is done, has failed, or takes longer.

``progress`` has how far a job is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import connected_workers, lifecycle
from sanic_dispatch.core.job import Job, State
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.transitions import Step
from sanic_dispatch.errors import NotTheHolder

if TYPE_CHECKING:
    from sanic_dispatch.core.state_machine import Decide, Placed, StateMachine


def on_complete(machine: StateMachine, report: c.Complete) -> Placed:
    """Finish a job, and register its worker again if asked. Raises UnknownJob and NotTheHolder."""
    return _apply_last_report(
        machine,
        report,
        (State.DONE,),
        lambda job, now_s: lifecycle.finish(job, now_s, report.result),
    )


def on_fail(machine: StateMachine, report: c.Fail) -> Placed:
    """End a job as failed or cancelled, or take it back. Raises as ``on_complete``."""

    def decide(job: Job, now_s: float) -> Step:
        if report.cancelled and job.cancelling:
            return lifecycle.end_cancelled(job, now_s, report.reason)
        if report.retry:
            return lifecycle.retry(job, machine.policy, now_s, report.reason)
        return lifecycle.fail(job, now_s, report.reason)

    reached = (State.FAILED, State.CANCELLED) if report.cancelled else (State.FAILED,)
    return _apply_last_report(machine, report, reached, decide)


def _apply_last_report(
    machine: StateMachine,
    report: c.Complete | c.Fail,
    reached: tuple[State, ...],
    decide: Decide,
) -> Placed:
    """Apply a report that ends what its worker does, and register that again if it asks so."""
    job = machine.find(report.job_id)
    placed = _apply_report(machine, report, reached, decide)
    if not report.connection:
        return placed
    hold = job.hold or job.former
    worker = hold.worker if hold else None
    is_registered = connected_workers.register_again(machine, worker, report.connection)
    return placed._replace(is_registered=is_registered)


def on_extend(machine: StateMachine, report: c.Extend) -> Placed:
    """Renew the lease of a job. Raises UnknownJob, NotTheHolder and WrongState."""
    return _apply_report(machine, report, (), lifecycle.extend)


def _apply_report(
    machine: StateMachine,
    report: c.Complete | c.Fail | c.Extend,
    reached: tuple[State, ...],
    decide: Decide,
) -> Placed:
    """Apply a report of the job's holder; a repeat changes nothing.

    It is a repeat if the job is in one of the states that it may have ``reached``.
    """
    job = machine.find(report.job_id)
    if isinstance(report, c.Fail) and report.retry and _has_given_back(machine, report.proof, job):
        return machine.placed(job)
    if not machine.is_of_holder(report.proof, job):
        raise NotTheHolder(job.state)
    if job.state not in reached:
        if isinstance(report, c.Extend):
            job = connected_workers.accept_by_report(machine, job)
        job = machine.apply_step(job, decide(job, machine.now.wall_s))
    return machine.placed(job)


def _has_given_back(machine: StateMachine, proof: Proof, job: Job) -> bool:
    """Whether this is a repeated ``fail`` with ``retry`` by a worker that gave the job back."""
    return job.state is State.WAITING and machine.receipts.is_of_spent(proof, job)


def on_note_refused_report(machine: StateMachine, refused: c.NoteRefusedReport) -> None:
    """Note on the job that a report was refused, until one is accepted.

    If there is no such job, every job that the reporting instance holds may have been meant.
    """
    jobs, instance = machine.tables.jobs, refused.proof.instance
    known = jobs.get(refused.job_id)
    meant = [known] if known else jobs.of_instance(instance) if instance else []
    for job in meant:
        step = lifecycle.refuse_report(job, machine.now.wall_s, refused.reason)
        if step is not None:
            machine.apply_step(job, step)
