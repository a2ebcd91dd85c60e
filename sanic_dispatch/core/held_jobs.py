"""Jobs that are held: their lease, their doubt, their use, and their holder's process instance.

A timer begins a check, an effect probes the holder, and its result is a command again. ``evidence``
decides what it proves, ``lifecycle`` what becomes of the job. ``watch`` schedules the first check.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core import evidence, lifecycle, progress
from sanic_dispatch.core.evidence import Finding
from sanic_dispatch.core.job import Job, Stage, State
from sanic_dispatch.core.worker import ENDED

if TYPE_CHECKING:
    from sanic_dispatch.core.state_machine import StateMachine

MAX_JITTER_FACTOR = 1 + e.JITTER
"""How late a timer may be: if the lease may end before the next check, that is made at its end."""


def watch(machine: StateMachine, job: Job) -> None:
    """Schedule the first check of a job whose hold has changed; forget the lease with the hold."""
    if job.state is not State.ASSIGNED:
        machine.leases.pop(job.id, None)
    elif job.hold and job.hold.stage is not Stage.UNDER_WAY:
        _look_later(machine, new_look(machine, job))


def new_look(machine: StateMachine, job: Job) -> c.LookAtJob:
    """Return the first check of a hold; a job lost and sent again keeps its lease."""
    hold, now_s = job.hold, machine.now.monotonic_s
    assert hold
    lease_s = machine.policy.lease_of_s(hold)
    if lease_s is None:
        return c.LookAtJob(job.id, hold, 0, now_s)
    holder, ends_s = machine.leases.get(job.id, ("", 0.0))
    if not hold.times_unused or holder != hold.worker.id:
        ends_s = now_s + lease_s
    machine.leases[job.id] = hold.worker.id, ends_s
    return c.LookAtJob(job.id, hold, 0, now_s, ends_s)


def on_look_at_job(machine: StateMachine, look: c.LookAtJob) -> None:
    """End the lease, or probe the holder."""
    job, hold = _still_held(machine, look), look.hold
    if job is None:
        return
    is_over = look.lease_ends_s <= machine.now.monotonic_s
    if is_over and progress.keep_due(machine, job):
        return  # it was reported in time, and renews the lease
    is_unchecked = evidence.is_to_be_checked(hold) and not look.is_used
    if is_over and not (is_unchecked or hold.times_unused):
        machine.apply_step(job, lifecycle.end_lease(job, machine.now.wall_s))
    elif hold.stage is Stage.IN_DOUBT:
        look_into_doubt(machine, job, look, is_timed=True)
    else:
        held_s = machine.now.monotonic_s - look.since_s
        is_due = is_unchecked and held_s >= machine.policy.unconsumed_after_s
        asks_callback = is_due or is_over
        machine.effects.append(
            e.ProbeHold(look, asks_callback, is_timed=True, request=machine.request)
        )


def look_into_doubt(machine: StateMachine, job: Job, look: c.LookAtJob, *, is_timed: bool) -> None:
    """Send the job again to a worker that says it never got it; else probe the holder."""
    awaiting = machine.awaiting_worker(look.hold.worker.key, job)
    if awaiting and awaiting.says_job_was_lost:
        machine.send_again(job, awaiting)
    else:
        first_s = look.first_look_s
        look = look._replace(first_look_s=machine.now.monotonic_s if first_s is None else first_s)
        machine.effects.append(
            e.ProbeHold(look, asks_callback=True, is_timed=is_timed, request=machine.request)
        )


def on_hold_probed(machine: StateMachine, probed: c.HoldProbed) -> None:
    """Apply the result of a probe to a held job."""
    look, found, job = probed.look, probed.found, _still_held(machine, probed.look)
    if job is None:
        return
    if look.lease_ends_s <= machine.now.monotonic_s:
        if progress.keep_due(machine, job):
            return
        is_unused = evidence.after_taking(found) is Finding.UNUSED
        machine.apply_step(job, lifecycle.end_lease(job, machine.now.wall_s, is_unused=is_unused))
        return
    if look.hold.stage is Stage.IN_DOUBT:
        is_settled = _settle_doubt(machine, job, probed)
    else:
        is_settled, look = _settle_use(machine, job, probed)
    if not is_settled and not _end_with_instance(machine, job, probed) and probed.is_timed:
        _look_later(machine, look._replace(looks=look.looks + 1))


def _settle_doubt(machine: StateMachine, job: Job, probed: c.HoldProbed) -> bool:
    """Settle a job in doubt; False if the probe proves nothing yet."""
    look, now_s, first_s = probed.look, machine.now.monotonic_s, probed.look.first_look_s
    awaiting = machine.awaiting_worker(look.hold.worker.key, job)
    if awaiting and awaiting.says_job_was_lost:
        machine.send_again(job, awaiting)
        return True
    finding = evidence.in_doubt(
        look.hold,
        probed.found,
        came_back=awaiting is not None,
        held_s=now_s - look.since_s,
        unclear_s=0.0 if first_s is None else now_s - first_s,
        policy=machine.policy,
    )
    if finding is Finding.SEND_AGAIN:
        if awaiting:
            machine.end_await(awaiting)
        machine.send_again(job, look.hold.worker)
    elif finding is Finding.SEND_TO_NEW_CALLBACK and awaiting:
        machine.send_again(job, awaiting)
    elif finding is Finding.USED:
        machine.apply_outcome(job, lifecycle.accept(job, machine.policy, machine.now.wall_s))
    elif finding is Finding.UNUSED:
        _find_unused(machine, job)
    else:
        return False
    return True


def _settle_use(machine: StateMachine, job: Job, probed: c.HoldProbed) -> tuple[bool, c.LookAtJob]:
    """Check whether the worker of a confirmed job has used it; return whether it had lost it."""
    look = probed.look
    is_unchecked = evidence.is_to_be_checked(look.hold) and not look.is_used
    if not is_unchecked or probed.found.pending is None:
        return False, look
    finding = evidence.after_taking(probed.found)
    if finding is Finding.UNUSED:
        _find_unused(machine, job)
        return True, look
    return False, look._replace(is_used=finding is Finding.USED)


def _find_unused(machine: StateMachine, job: Job) -> None:
    """Note that the worker has lost the job, which is sent again later, unless it is cancelled."""
    if job.cancelling and job.worker:
        machine.cancel_lost(job, job.worker)
    else:
        machine.apply_step(job, lifecycle.find_unused(job, machine.now.wall_s))


def _end_with_instance(machine: StateMachine, job: Job, probed: c.HoldProbed) -> bool:
    """Settle a job whose process instance has ended, since no report will come.

    Nor will its worker register again, so an operator's set-aside of it has come to an end.
    """
    found, hold, held_s = probed.found, job.hold, machine.now.monotonic_s - probed.look.since_s
    state = found.after if found.after in ENDED else found.before
    if state is None or state not in ENDED or hold is None:
        return False
    finding = evidence.of_ended(hold, state, found.pending, held_s, machine.policy)
    if finding is Finding.WAIT:
        return False
    is_unused = finding is Finding.UNUSED
    machine.apply_step(
        job, lifecycle.end_with_instance(job, state, machine.now.wall_s, is_unused=is_unused)
    )
    worker = machine.tables.workers.get(hold.worker.id)
    if worker is not None and worker.is_set_aside_by_operator:
        machine.drop(worker.id, f"its process instance is {state}")
    return True


def _look_later(machine: StateMachine, look: c.LookAtJob) -> None:
    """Schedule the next check of a held job, at the end of its lease at the latest."""
    hold = look.hold
    is_confirmed = hold.stage is Stage.CONFIRMED
    held_s = machine.now.monotonic_s - look.since_s
    next_s = evidence.next_look_s(hold, look.looks, held_s, machine.policy)
    if is_confirmed and not (hold.worker.instance_url or evidence.is_to_be_checked(hold)):
        next_s = inf
    left_s = look.lease_ends_s - machine.now.monotonic_s
    if left_s <= next_s * MAX_JITTER_FACTOR:
        if left_s < inf:
            machine.effects.append(e.StartTimer(look, max(left_s, 0.0), is_spread=False))
    else:
        machine.effects.append(e.StartTimer(look, next_s, is_spread=not is_confirmed))


def _still_held(machine: StateMachine, look: c.LookAtJob) -> Job | None:
    """Return the job if the same hold still stands."""
    job = machine.tables.jobs.get(look.job_id)
    is_assigned = job is not None and job.state is State.ASSIGNED
    return job if job and is_assigned and evidence.is_same(look.hold, job.hold) else None
