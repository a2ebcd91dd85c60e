"""Rules of the state machine that no test of the dispatcher shows."""

from __future__ import annotations

import pytest

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.events import Event, Kind
from sanic_dispatch.core.state_machine import Now, StateMachine
from sanic_dispatch.core.topic import Policy
from tests.support.world import worker

NOW = Now(1_732_412_340.0, 0.0)


@pytest.fixture
def machine() -> StateMachine:
    made = StateMachine(Policy())
    made.apply(c.Recover("5e" * 32), NOW)
    return made


def events_of(machine: StateMachine, command: c.Command) -> list[Event]:
    return machine.apply(command, NOW).events


def test_a_job_assigned_at_once_is_published_with_its_worker(machine: StateMachine) -> None:
    """Its first event has the worker, so that a view by worker has the job from the start."""
    events_of(machine, c.Register(worker("c1", "i1"), lost=False))
    submitted, assigned = events_of(machine, c.Submit("a", b"1", is_repeatable=False))
    assert (submitted.kind, assigned.kind) == (Kind.JOB_SUBMITTED, Kind.JOB_ASSIGNED)
    assert submitted.worker == assigned.worker == worker("c1", "i1")._replace(place=1.0)


def test_the_ticket_of_a_job_that_is_edited_out_is_not_given_again(machine: StateMachine) -> None:
    """Not even after a restart that finds no job with it."""
    events_of(machine, c.Submit("a", b"1", is_repeatable=False))
    events_of(machine, c.ReplaceJobs([], NOW.wall_s))
    restarted = StateMachine(Policy())
    restarted.load([], [], list(machine.tables.facts))
    restarted.apply(c.Recover("5e" * 32), NOW)
    (submitted,) = events_of(restarted, c.Submit("b", b"1", is_repeatable=False))
    assert submitted.job is not None
    assert submitted.job.ticket == 2
