"""What tests of the core ask of a state machine, and tell it."""

from __future__ import annotations

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.effects import StartTimer
from sanic_dispatch.core.evidence import ProbeResult
from sanic_dispatch.core.job import State
from sanic_dispatch.core.state_machine import Applied, Now, StateMachine

NOW = Now(1_732_412_340.0, 0.0)


def free_ids(machine: StateMachine) -> set[str]:
    return {each.id for each in machine.tables.workers if each.aside is None}


def looks(applied: Applied) -> list[c.LookAtWorker]:
    """Return the checks of workers that are scheduled."""
    timers = [each for each in applied.effects if isinstance(each, StartTimer)]
    return [each.command for each in timers if isinstance(each.command, c.LookAtWorker)]


def state_of(machine: StateMachine, job_id: str) -> State:
    job = machine.tables.jobs.get(job_id)
    assert job is not None
    return job.state


def probe_used(machine: StateMachine, job_id: str, state: str | None = None) -> None:
    """Find the callback of a job in doubt used up, while its instance is in this state."""
    probe(machine, job_id, ProbeResult(False, state, state))


def probe(machine: StateMachine, job_id: str, found: ProbeResult) -> None:
    job = machine.tables.jobs.get(job_id)
    assert job is not None
    assert job.hold is not None
    look = c.LookAtJob(job_id, job.hold, 0, 0.0)
    machine.apply(c.HoldProbed(look, is_timed=True, found=found), NOW)
