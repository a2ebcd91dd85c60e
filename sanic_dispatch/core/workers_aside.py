"""Workers that are set aside: when they are probed, and what becomes of them then.

A worker that has failed gets no jobs until a probe sees it waiting. This module ends a set-aside;
others begin it: ``StateMachine._move_worker`` (by the fate that a transition has for the worker:
``lifecycle.refuse`` → ``Fate.ASIDE``), ``registrations`` and ``interventions``.
``WorkerTable.free_by_rule`` leaves such workers out. The time between two probes is
``evidence.growing_s``.

A timer begins a check, an effect probes the worker, and its result is a command again. The first
check is scheduled by ``watch``; while jobs wait and no worker is free, ``on_look_for_workers``
makes extra ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core import evidence, lifecycle, matching
from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.value import Value
from sanic_dispatch.core.worker import ENDED, FOR_GOOD, Aside, Worker

if TYPE_CHECKING:
    from sanic_dispatch.core.state_machine import StateMachine

HURRY_S = 1.0
"""How long after workers set aside have become needed to choose which ones to probe."""


class Watch(Value, frozen=True):
    """Since when a worker is set aside, and when it was probed last (monotonic seconds).

    ``aside_s`` is the time of its set-aside by the wall clock, and names that.
    """

    aside_s: float
    since_s: float
    probed_s: float | None = None


def watch(machine: StateMachine, worker: Worker) -> None:
    """Schedule the first probe of a worker set aside, unless no probe would bring it back."""
    aside = worker.aside
    if aside is None or aside.cause in FOR_GOOD:
        machine.watched.pop(worker.id, None)
        return
    watched = machine.watched[worker.id] = watch_of(machine, worker.id, aside)
    look = c.LookAtWorker(worker.id, aside, 0, watched.since_s)
    after_s = evidence.growing_s(worker.refusals - 1)
    if aside.may_arrive:
        after_s = max(after_s, evidence.LATE_S)
    machine.effects.append(e.StartTimer(look, after_s))


def watch_of(machine: StateMachine, worker_id: str, aside: Aside) -> Watch:
    """Return since when a worker is set aside, and when it was probed.

    What is not known of this run follows from the wall clock, as after a restart.
    """
    watch = machine.watched.get(worker_id)
    if watch is not None and watch.aside_s == aside.since_s:
        return watch
    since_s = machine.now.monotonic_s - max(machine.now.wall_s - aside.since_s, 0.0)
    return Watch(aside.since_s, since_s)


def on_look_at_worker(machine: StateMachine, look: c.LookAtWorker) -> None:
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
    watch = watch_of(machine, worker.id, look.aside)
    machine.watched[worker.id] = watch._replace(probed_s=machine.now.monotonic_s)
    if worker.is_awaiting:
        machine.free_awaiting(look.aside.job_id, worker.key)
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
    elif _needs(machine, worker):
        machine.bring_back(worker)
    else:
        _look_later(machine, look)


def on_worker_probed(machine: StateMachine, probed: c.WorkerProbed) -> None:
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
        machine.free(worker)
    elif machine.now.monotonic_s - look.since_s > machine.policy.worker_patience_s:
        machine.drop(worker.id, "it was not seen for too long")
    else:
        why = evidence.why_aside(probed.is_pending, state)
        if why and (known := worker.with_better_reason(why)):
            machine.put_worker(known, EventKind.WORKER_SET_ASIDE, why)
        _look_later(machine, look)


def on_stale_probed(machine: StateMachine, probed: c.StaleProbed) -> None:
    """Drop an older callback of a worker that registered again, unless it is still pending."""
    worker = machine.tables.workers.get(probed.worker_id)
    if worker is None:
        return
    if probed.is_pending is False:
        machine.drop_older(worker.id)
    elif probed.is_pending and worker.is_replaced and not may_get_one_late(machine, worker):
        machine.free(worker)


def _needs(machine: StateMachine, worker: Worker) -> bool:
    """Whether a job waits that this worker takes and no free one."""
    head = machine.tables.jobs.line.head_for(worker.rule)
    return head is not None and matching.worker_for(machine.tables, head.job) is None


def _needs_workers(machine: StateMachine) -> bool:
    """Whether jobs wait for workers that are set aside."""
    tables = machine.tables
    return tables.jobs.line.size > 0 and any(
        _needs(machine, worker) for worker in tables.workers.aside.values()
    )


def hurry(machine: StateMachine) -> None:
    """Begin to probe workers set aside ahead of schedule if they are needed."""
    if not machine.is_hurrying and _needs_workers(machine):
        machine.is_hurrying = True
        machine.hurries += 1
        look = c.LookForWorkers(machine.hurries)
        machine.effects.append(e.StartTimer(look, HURRY_S, is_spread=False))


def on_look_for_workers(machine: StateMachine, look: c.LookForWorkers) -> None:
    """Probe the workers set aside that went unprobed longest, while workers are needed."""
    if look.number != machine.hurries:
        return  # an undo has let another one begin
    machine.is_hurrying = False
    if not _needs_workers(machine):
        return
    last_probed_s = {
        worker.id: _last_look_s(machine, worker)
        for worker in machine.tables.workers.aside.values()
        if _needs(machine, worker) and not may_get_one_late(machine, worker)
    }
    due, pause_s = evidence.due_for_probe(last_probed_s, machine.now.monotonic_s)
    for worker_id in due:
        worker = machine.tables.workers.get(worker_id)
        if worker is not None and worker.aside is not None:
            on_look_at_worker(machine, extra_look(machine, worker, worker.aside))
    machine.is_hurrying = True
    machine.effects.append(e.StartTimer(look, pause_s, is_spread=False))


def _was_just_looked_at(machine: StateMachine, look: c.LookAtWorker) -> bool:
    """Whether an extra probe was made so recently that this one is superfluous."""
    probed_s = watch_of(machine, look.worker_id, look.aside).probed_s
    return probed_s is not None and machine.now.monotonic_s - probed_s < evidence.UNPROBED_S


def _last_look_s(machine: StateMachine, worker: Worker) -> float:
    """Return when a worker set aside was probed last, or set aside (monotonic seconds)."""
    assert worker.aside
    watch = watch_of(machine, worker.id, worker.aside)
    return watch.since_s if watch.probed_s is None else watch.probed_s


def may_get_one_late(machine: StateMachine, worker: Worker) -> bool:
    """Whether a job that was sent to the worker may still arrive there."""
    aside = worker.aside
    if aside is None or not aside.may_arrive:
        return False
    watch = watch_of(machine, worker.id, aside)
    is_early = machine.now.monotonic_s - watch.since_s < evidence.LATE_S
    return watch.probed_s is None and is_early


def extra_look(machine: StateMachine, worker: Worker, aside: Aside) -> c.LookAtWorker:
    """Return a check of a worker set aside to be made now, besides the scheduled one."""
    watch = watch_of(machine, worker.id, aside)
    looks = 0 if watch.probed_s is None else 1
    return c.LookAtWorker(worker.id, aside, looks, watch.since_s, is_extra=True)


def _blame(machine: StateMachine, job_id: str) -> None:
    """Blame a job for a refusal by a worker that waits all the same right after it.

    A worker that waits only later was stopped meanwhile, which is not the job's fault.
    """
    job = machine.tables.jobs.get(job_id)
    if job is not None and not job.state.is_final:
        reason = "refused by a worker that waits"
        machine.apply_step(job, lifecycle.blame(job, machine.policy, machine.now.wall_s, reason))


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
