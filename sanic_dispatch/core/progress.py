"""How far the holder of a job is, and whether it is asked to stop.

What a holder reports in quick succession is kept together: the first report at once, and after
KEEP_EVERY_S the last one of those that came since. Each one renews the lease.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import connected_workers, lifecycle
from sanic_dispatch.core import effects as e
from sanic_dispatch.core.job import Job, Progress, State
from sanic_dispatch.core.tables import ProgressNote
from sanic_dispatch.errors import NotTheHolder, WrongState

if TYPE_CHECKING:
    from sanic_dispatch.core.state_machine import Placed, StateMachine

KEEP_EVERY_S = 0.5
"""How often progress of one job is kept and shown."""


def on_report_progress(machine: StateMachine, report: c.ReportProgress) -> Placed:
    """Keep what the holder says, at once or soon. Raises NotTheHolder and WrongState."""
    job = _held_by_reporter(machine, report, "report progress on")
    job = connected_workers.accept_by_report(machine, job)
    note = machine.tables.progress.get(job.id, ProgressNote(job.id))
    before = note.due or job.progress or Progress()
    percent = before.percent if report.percent is None else report.percent
    text = before.text if report.text is None else report.text
    progress = Progress(percent, text)
    left_s = note.kept_s + _keep_every_s(machine, job) - machine.now.monotonic_s
    if left_s > 0:
        if note.due is None:
            keep = c.KeepProgress(job.id, job.attempt)
            machine.effects.append(e.StartTimer(keep, left_s, is_spread=False))
        machine.tables.note_progress(note._replace(due=progress))
        return machine.placed(job)
    return machine.placed(_keep(machine, job, progress))


def on_keep_progress(machine: StateMachine, keep: c.KeepProgress) -> None:
    """Keep the last progress that was reported since the one before was kept."""
    job = machine.tables.jobs.get(keep.job_id)
    if job is not None and job.state is State.ASSIGNED and job.attempt == keep.attempt:
        keep_due(machine, job)


def keep_due(machine: StateMachine, job: Job) -> bool:
    """Keep progress that is due, if there is some; return whether there was."""
    note = machine.tables.progress.get(job.id)
    if note is None or note.due is None:
        return False
    _keep(machine, job, note.due)
    return True


def _keep(machine: StateMachine, job: Job, progress: Progress) -> Job:
    machine.tables.note_progress(ProgressNote(job.id, None, machine.now.monotonic_s))
    return machine.apply_step(job, lifecycle.make_progress(job, machine.now.wall_s, progress))


def _keep_every_s(machine: StateMachine, job: Job) -> float:
    """Return how often to keep it: well before the lease ends, which a report renews."""
    assert job.hold
    lease_s = machine.policy.lease_of_s(job.hold)
    return KEEP_EVERY_S if lease_s is None else min(KEEP_EVERY_S, lease_s / 4)


def on_ask_if_cancelling(machine: StateMachine, ask: c.AskIfCancelling) -> Placed:
    """Return the job, to its holder. Raises NotTheHolder and WrongState."""
    return machine.placed(_held_by_reporter(machine, ask, "ask whether to stop"))


def _held_by_reporter(
    machine: StateMachine, report: c.ReportProgress | c.AskIfCancelling, act: str
) -> Job:
    job = machine.find(report.job_id)
    if not machine.is_of_holder(report.proof, job):
        raise NotTheHolder(job.state)
    if job.state is not State.ASSIGNED:
        raise WrongState(act, job.state)
    return job


def on_cancel(machine: StateMachine, act: c.Cancel) -> Placed:
    """Cancel a job that is not begun, or ask the holder of an assigned one to stop.

    Raises WrongState if the holder could not hear of it, or it is not for a customer to ask.
    """
    job = machine.find(act.job_id)
    hold = job.hold
    if job.state is not State.ASSIGNED or hold is None:
        return machine.apply_act(act, lambda job, now_s: lifecycle.cancel(job, now_s, act.why))
    if not act.is_operators and not (machine.policy.cancel_assigned and hold.can_hear):
        raise WrongState("cancel", job.state)
    if job.cancelling:
        return machine.placed(job)
    connected_workers.ask_to_stop(machine, job)
    ask = lifecycle.cancel if lifecycle.is_revocable_offer(job) else lifecycle.ask_to_cancel
    return machine.apply_act(act, lambda job, now_s: ask(job, now_s, act.why))
