"""Forgetting: the data and the result of a finished job are erased, and its events stay.

The record changes at once. What the files have of it until they are rewritten is erased outside; a
fact remembers that until it is done, so that a start goes on with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import lifecycle
from sanic_dispatch.core.effects import EraseData
from sanic_dispatch.core.job import JobRef
from sanic_dispatch.core.tables import FORGETTING, PUSH, Fact
from sanic_dispatch.errors import UnknownJob

if TYPE_CHECKING:
    from sanic_dispatch.core.state_machine import StateMachine


def on_forget(machine: StateMachine, act: c.Forget) -> None:
    """Erase a job's data; a repeat changes nothing. Raises UnknownJob and WrongState."""
    tables = machine.tables
    kept = tables.jobs.get(act.job_id)
    job = kept or act.past
    if job is None:
        raise UnknownJob
    if job.forgotten:
        return
    step = lifecycle.forget(job, machine.now.wall_s, act.who)
    if kept is not None:
        tables.put_job(step.job)
    tables.remove_fact(PUSH + job.id)
    tables.put_fact(Fact(_fact_of(job.ref), job.ticket))
    machine.emit(step.note, job=step.job)
    machine.effects.append(EraseData(job.ref, act.request))


def on_data_erased(machine: StateMachine, outcome: c.DataErased) -> None:
    """Note that no file has a job's data any more."""
    machine.tables.remove_fact(_fact_of(outcome.job))


def to_erase(facts: Iterable[Fact]) -> Iterator[EraseData]:
    """Yield the effects for forgotten jobs whose data may still be in a file."""
    for fact in facts:
        if fact.id.startswith(FORGETTING):
            ticket = int(fact.value)
            # An earlier build named the fact by the job's id alone.
            job_id = fact.id.removeprefix(FORGETTING).removeprefix(f"{ticket}:")
            yield EraseData(JobRef(ticket, job_id), "")


def _fact_of(job: JobRef) -> str:
    """Return the name of a forgotten job's fact; a later job of the same id has its own."""
    return f"{FORGETTING}{job.ticket}:{job.id}"
