"""The line under random commands, with priorities, turns and rules."""

from __future__ import annotations

import random

import pytest

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.state_machine import StateMachine
from sanic_dispatch.core.topic import Policy
from tests.support.watched_machine import OURS, WatchedMachine

MAKERS = [make for make in OURS if make.__name__ != "_forget"]
"""Without what forgets data: whose turn that was is not known any more."""


def priority_of(machine: StateMachine, dice: random.Random) -> c.Command:
    waiting = [job.id for job in machine.tables.jobs.line]
    return c.SetPriority(dice.choice(waiting or ["none"]), dice.randrange(8), "why")


def restarted(machine: StateMachine) -> StateMachine:
    """Return a machine with the same records, to which the same rules are known."""
    tables, again = machine.tables, StateMachine(machine.policy)
    again.number = machine.number
    for rule in tables.rules.unused:
        again.tables.rules.expect(rule)
    jobs = [*tables.jobs.assigned(), *tables.jobs.line, *tables.jobs.finished()]
    in_file = sorted(jobs, key=lambda job: (job.state.is_final, job.place, job.ticket))
    again.load(in_file, tables.workers, tables.facts, machine.now.wall_s)
    return again


@pytest.mark.parametrize("seed", range(20))
def test_a_restart_changes_no_line(seed: int) -> None:
    """The order follows from the records, and each job knows its place in it."""
    dice = random.Random(seed)
    policy = Policy(
        priorities=dice.random() < 0.5, fair_by="/name", priority_step_s=60.0, lease_s=30.0
    )
    watched = WatchedMachine(policy, lambda _: None)
    for step in range(120):
        make = dice.choice(MAKERS)
        watched.apply(make(watched, dice.randrange(8), dice.randrange(8)))
        if step % 5 == 0:
            watched.apply(priority_of(watched.machine, dice))
        line = watched.machine.tables.jobs.line
        assert [line.position_of(job) for job in line] == list(range(1, len(line) + 1))
        if step % 3:
            continue
        again = restarted(watched.machine).tables.jobs.line
        assert [job.ticket for job in again] == [job.ticket for job in line]
