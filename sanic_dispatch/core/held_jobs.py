"""Rescue: rules for workers set aside, and for held jobs whose holders say nothing.

Timers begin a check, an effect probes the worker, and its outcome is a command again. ``evidence``
decides what an outcome proves; the functions here apply what follows to the state machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core import evidence, lifecycle
from sanic_dispatch.core.events import Kind
from sanic_dispatch.core.evidence import Finding
from sanic_dispatch.core.job import Job, Stage, State
from sanic_dispatch.core.transitions import ENDED
from sanic_dispatch.core.worker import REPLACED, Aside, Worker

if TYPE_CHECKING:
    from sanic_dispatch.core.state_machine import StateMachine

# ---- workers that were set aside


def look_at_worker(machine: StateMachine, look: c.LookAtWorker) -> None:
    """Probe a worker set aside, or decide without a probe what becomes of it."""
    worker = _still_aside(machine, look)
    if worker is None:
        return
    if machine.is_hurrying and not look.is_extra and _was_just_looked_at(machine, look):
        _look_later(machine, look)
        return
    if not worker.is_awaiting and worker.key is not None and not _may_probe(machine):
        if not look.is_extra:
            machine.effects.append(e.StartTimer(look, evidence.FIRST_INTERVAL_S))
        return
    machine.probed[worker.id] = look.aside.since_s, machine.now.monotonic_s
    if worker.is_awaiting:
        machine.reunite(look.aside.job_id, worker.key)
        _look_later(machine, look)
    elif worker.key is None:
        _look_at_unknown(machine, worker, look)
    else:
        machine.effects.append(e.ProbeWorker(look, worker, machine.request))


def _may_probe(machine: StateMachine) -> bool:
    """Count a probe against this second's limit; False if engines have had enough."""
    second = int(machine.now.monotonic_s)
    last, probes = machine.probes
    probes = probes + 1 if last == second else 1
    if probes > evidence.PROBES_PER_S:
        return False
    machine.probes = second, probes
    return True


def _look_at_unknown(machine: StateMachine, worker: Worker, look: c.LookAtWorker) -> None:
    """Try a worker without a key again if it is needed; drop it after ``max_attempts``."""
    if worker.refusals >= machine.policy.max_attempts:
        machine.drop(worker.id, "it refused too often")
    elif machine.needs_workers:
        machine.bring_back(worker)
    else:
        _look_later(machine, look)


def worker_probed(machine: StateMachine, probed: c.WorkerProbed) -> None:
    """Free a worker whose callback is pending, drop one that is gone, or probe again later."""
    look, worker = probed.look, _still_aside(machine, probed.look)
    if worker is None:
        return
    state = probed.instance_state
    if state in ENDED:  # also where another instance has its number, and its callback
        machine.drop(worker.id, f"its process instance is {state}")
    elif probed.is_pending:
        if look.looks == 0:
            _blame(machine, look.aside.job_id)
        machine.bring_back(worker)
    elif machine.now.monotonic_s - look.since_s > machine.policy.worker_patience_s:
        machine.drop(worker.id, "it was not seen for too long")
    else:
        why = evidence.why_aside(probed.is_pending, state)
        if why and (known := worker.aside_because(why)):
            machine.put_worker(known, Kind.WORKER_SET_ASIDE, why)
        _look_later(machine, look)


def stale_probed(machine: StateMachine, probed: c.StaleProbed) -> None:
    """Drop an older callback of a worker that registered anew, unless it is still pending."""
    worker = machine.tables.workers.get(probed.worker_id)
    if probed.is_pending is False:
        machine.drop(probed.worker_id, REPLACED)
    elif probed.is_pending and worker and worker.aside and worker.aside.reason == REPLACED:
        machine.bring_back(worker)


def look_for_workers(machine: StateMachine, look: c.LookForWorkers) -> None:
    """Probe the workers set aside that went unprobed longest, while workers are needed."""
    if look.number != machine.hurries:
        return  # an undo has let another one begin
    machine.is_hurrying = False
    aside = machine.tables.workers.aside()
    if not aside or not machine.needs_workers:
        return
    naps = {
        worker.id: _last_look_s(machine, worker)
        for worker in aside.values()
        if not may_get_one_late(machine, worker)
    }
    due, pause_s = evidence.to_wake(naps, machine.now.monotonic_s)
    for worker_id in due:
        worker = machine.tables.workers.get(worker_id)
        if worker is not None and worker.aside is not None:
            look_at_worker(machine, extra_look(machine, worker, worker.aside))
    machine.is_hurrying = True
    machine.effects.append(e.StartTimer(look, pause_s, is_spread=False))


def _was_just_looked_at(machine: StateMachine, look: c.LookAtWorker) -> bool:
    """Whether an extra probe was made so recently that this one is superfluous."""
    since_s, probed_s = machine.probed.get(look.worker_id, (0.0, 0.0))
    is_recent = machine.now.monotonic_s - probed_s < evidence.UNPROBED_S
    return since_s == look.aside.since_s and is_recent


def _last_look_s(machine: StateMachine, worker: Worker) -> float:
    """Return when a worker set aside was probed last, or set aside (monotonic seconds)."""
    assert worker.aside
    since_s, probed_s = machine.probed.get(worker.id, (0.0, 0.0))
    return probed_s if since_s == worker.aside.since_s else machine.aside_since_s(worker.aside)


def may_get_one_late(machine: StateMachine, worker: Worker) -> bool:
    """Whether a job that was sent to the worker may still arrive there."""
    aside = worker.aside
    if aside is None or not aside.may_arrive or _was_looked_at(machine, worker.id, aside):
        return False
    return machine.now.monotonic_s - machine.aside_since_s(aside) < evidence.LATE_S


def _was_looked_at(machine: StateMachine, worker_id: str, aside: Aside) -> bool:
    return machine.probed.get(worker_id, (0.0, 0.0))[0] == aside.since_s


def extra_look(machine: StateMachine, worker: Worker, aside: Aside) -> c.LookAtWorker:
    """Return a check of a worker set aside to be made now, besides the scheduled one."""
    looks = 1 if _was_looked_at(machine, worker.id, aside) else 0
    return c.LookAtWorker(worker.id, aside, looks, machine.aside_since_s(aside), is_extra=True)


def _blame(machine: StateMachine, job_id: str) -> None:
    """Blame a job for a refusal by a worker that waits all the same right after it.

    A worker that waits only later was stopped meanwhile, which is not the job's fault.
    """
    job = machine.tables.jobs.get(job_id)
    if job is not None and not job.state.is_final:
        reason = "refused by a worker that waits"
        machine.take(job, lifecycle.blame(job, machine.policy, machine.now.wall_s, reason))


def _still_aside(machine: StateMachine, look: c.LookAtWorker) -> Worker | None:
    """Return the worker if the same set-aside still stands; its reason may have changed."""
    worker = machine.tables.workers.get(look.worker_id)
    if worker is None or worker.aside is None:
        return None
    before, now = look.aside, worker.aside
    is_same = (before.cause, before.since_s) == (now.cause, now.since_s)
    return worker if is_same else None


def _look_later(machine: StateMachine, look: c.LookAtWorker) -> None:
    worker = None if look.is_extra else _still_aside(machine, look)
    if worker is not None:
        looks = look.looks + 1
        after_s = evidence.growing_s(worker.refusals - 1 + looks)
        machine.effects.append(e.StartTimer(look._replace(looks=looks), after_s))


# ---- jobs that are held


def look_at_job(machine: StateMachine, look: c.LookAtJob) -> None:
    """End the lease, or probe the holder."""
    job, hold = _still_held(machine, look), look.hold
    if job is None:
        return
    is_over = machine.left_of_lease_s(look) <= 0
    is_unchecked = evidence.is_to_be_checked(hold) and not look.is_used
    if is_over and not (is_unchecked or hold.unused):
        machine.take(job, lifecycle.end_lease(job, machine.now.wall_s))
    elif hold.stage is Stage.IN_DOUBT:
        look_into_doubt(machine, job, look, is_timed=True)
    else:
        held_s = machine.now.monotonic_s - look.since_s
        is_due = is_unchecked and held_s >= machine.policy.unconsumed_after_s
        machine.effects.append(e.ProbeHold(look, is_due or is_over, True, machine.request))


def look_into_doubt(machine: StateMachine, job: Job, look: c.LookAtJob, *, is_timed: bool) -> None:
    """Send the job again to a worker that says it never got it; else probe the holder."""
    successor = machine.successor(look.hold.worker.key, job)
    if successor and successor.is_lost:
        machine.send_again(job, successor)
    else:
        first_s = look.first_look_s
        look = look._replace(first_look_s=machine.now.monotonic_s if first_s is None else first_s)
        machine.effects.append(e.ProbeHold(look, True, is_timed, machine.request))


def hold_probed(machine: StateMachine, probed: c.HoldProbed) -> None:
    """Apply the result of a probe to a held job."""
    look, found, job = probed.look, probed.found, _still_held(machine, probed.look)
    if job is None:
        return
    if machine.left_of_lease_s(look) <= 0:
        is_unused = evidence.after_taking(found) is Finding.UNUSED
        machine.take(job, lifecycle.end_lease(job, machine.now.wall_s, is_unused=is_unused))
        return
    if look.hold.stage is Stage.IN_DOUBT:
        is_settled = _settle_doubt(machine, job, probed)
    else:
        is_settled, look = _settle_use(machine, job, probed)
    if not is_settled and not _end_with_instance(machine, job, probed) and probed.is_timed:
        machine.watch_job(look._replace(looks=look.looks + 1))


def _settle_doubt(machine: StateMachine, job: Job, probed: c.HoldProbed) -> bool:
    """Settle a job in doubt; False if the probe proves nothing yet."""
    look, now_s, first_s = probed.look, machine.now.monotonic_s, probed.look.first_look_s
    successor = machine.successor(look.hold.worker.key, job)
    if successor and successor.is_lost:
        machine.send_again(job, successor)
        return True
    finding = evidence.in_doubt(
        look.hold,
        probed.found,
        came_back=successor is not None,
        held_s=now_s - look.since_s,
        unclear_s=0.0 if first_s is None else now_s - first_s,
        policy=machine.policy,
    )
    if finding is Finding.SEND_AGAIN:
        if successor:
            machine.bring_back(successor)
        machine.send_again(job, look.hold.worker)
    elif finding is Finding.SEND_TO_SUCCESSOR and successor:
        machine.send_again(job, successor)
    elif finding is Finding.USED:
        machine.settle(job, lifecycle.accept(job, machine.policy, machine.now.wall_s))
    elif finding is Finding.UNUSED:
        machine.take(job, lifecycle.find_unused(job, machine.now.wall_s))
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
        machine.take(job, lifecycle.find_unused(job, machine.now.wall_s))
        return True, look
    return False, look._replace(is_used=finding is Finding.USED)


def _end_with_instance(machine: StateMachine, job: Job, probed: c.HoldProbed) -> bool:
    """Settle a job whose process instance has ended, since no report will come."""
    found, hold, held_s = probed.found, job.hold, machine.now.monotonic_s - probed.look.since_s
    state = found.after if found.after in ENDED else found.before
    if state is None or state not in ENDED or hold is None:
        return False
    finding = evidence.of_ended(hold, state, found.pending, held_s, machine.policy)
    if finding is Finding.WAIT:
        return False
    is_unused = finding is Finding.UNUSED
    machine.take(
        job, lifecycle.end_with_instance(job, state, machine.now.wall_s, is_unused=is_unused)
    )
    return True


def _still_held(machine: StateMachine, look: c.LookAtJob) -> Job | None:
    """Return the job if the same hold still stands."""
    job = machine.tables.jobs.get(look.job_id)
    is_assigned = job is not None and job.state is State.ASSIGNED
    return job if job and is_assigned and evidence.is_same(look.hold, job.hold) else None
