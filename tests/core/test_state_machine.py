"""Rules of the state machine that no test of the dispatcher shows."""

from __future__ import annotations

import re

import pytest

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import state_machine
from sanic_dispatch.core.effects import StartTimer
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import State
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.state_machine import Now, Placed, StateMachine
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Worker
from tests.support.machine_state import NOW
from tests.support.world import worker


def events_of(machine: StateMachine, command: c.Command) -> list[Event]:
    return machine.apply(command, NOW).events


def test_a_job_that_is_sent_at_once_is_submitted_and_then_assigned(machine: StateMachine) -> None:
    """Each event has the record as it was right after it: first waiting, then with its worker."""
    events_of(machine, c.Register(worker("c1", "i1"), lost=False))
    submitted, assigned = events_of(machine, c.Submit("a", b"1", is_repeatable=False))
    assert (submitted.kind, assigned.kind) == (EventKind.JOB_SUBMITTED, EventKind.JOB_ASSIGNED)
    assert submitted.job is not None
    assert (submitted.job.state, submitted.job.attempt) == (State.WAITING, 0)
    assert submitted.worker is None
    assert assigned.worker == worker("c1", "i1")._replace(place=1.0)


def test_what_ends_a_hold_names_the_worker_that_had_the_job(machine: StateMachine) -> None:
    """Also where the job is nobody's then: it goes back, or fails after its last attempt."""
    robot = worker("c1", "i1")
    events_of(machine, c.Register(robot, lost=False))
    events_of(machine, c.Submit("a", b"1"))
    (returned, *_) = events_of(machine, c.DeliveryRefused("a", 1, "503"))
    assert (returned.kind, returned.job and returned.job.hold) == (EventKind.JOB_RETURNED, None)
    assert returned.worker is not None
    assert returned.worker.id == robot.id


def test_a_used_worker_that_a_crash_has_left_there(machine: StateMachine) -> None:
    """A start removes it, and says so."""
    robot = worker("c1", "i1")
    events_of(machine, c.Register(robot))
    events_of(machine, c.Submit("a", b"1", is_repeatable=False))
    events_of(machine, c.DeliveryAccepted("a", 1))
    job = machine.tables.jobs.get("a")
    assert job is not None
    restarted = StateMachine(Policy())
    restarted.load([job], [robot], list(machine.tables.facts))
    (used,) = events_of(restarted, c.Recover("5e" * 32))
    assert (used.kind, used.worker and used.worker.id) == (EventKind.WORKER_USED, robot.id)
    assert not list(restarted.tables.workers)


def test_a_worker_that_rejoins_stops_waiting_when_its_time_is_over(machine: StateMachine) -> None:
    """The timer of its registration may have fired while it had the job."""
    robot = worker("c1", "i1")._replace(expires_s=NOW.wall_s + 60)
    machine.apply(c.Register(robot), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.DeliveryAccepted("a", 1), NOW)
    rejoined = machine.apply(c.PutBack("a"), Now(NOW.wall_s + 20, 20.0))
    timers = [each for each in rejoined.effects if isinstance(each, StartTimer)]
    (end,) = (each for each in timers if isinstance(each.command, c.EndRegistration))
    assert end.after_s == 40.0


def test_the_repeat_of_an_offered_order_that_was_cancelled(machine: StateMachine) -> None:
    """Cancelled before it was accepted, it has position 0; an accepted one has none."""
    tablet = Worker("ws:tablet", "2024-11-24T01:39:00Z")
    for accepts, position in ((False, 0), (True, None)):
        machine.apply(c.RegisterConnected(tablet, "1"), NOW)
        submit = c.Submit(f"{accepts}", b"1", is_repeatable=True)
        assigned = machine.apply(submit, NOW).reply
        assert isinstance(assigned, Placed)
        if accepts:
            receipt = machine.receipts.receipt(assigned.job)
            machine.apply(c.Accept(assigned.job.id, Proof(receipt=receipt)), NOW)
        machine.apply(c.Cancel(assigned.job.id), NOW)
        repeated = machine.apply(submit, NOW).reply
        assert isinstance(repeated, Placed)
        assert repeated.position == position


def test_the_handler_of_a_command_is_named_after_it() -> None:
    """on_<command>, so that it can be found."""
    for command, handler in state_machine._HANDLERS.items():
        words = re.sub(r"(?<!^)(?=[A-Z])", "_", command.__name__).lower()
        assert handler.__name__.lstrip("_") == f"on_{words}"


def orderings(machine: StateMachine, jobs: int) -> list[str]:
    """Submit jobs, and return what their events say of the line's order."""
    events = [
        event
        for number in range(jobs)
        for event in events_of(machine, c.Submit(f"{machine.number} {number}", b"1"))
    ]
    return [event.ordering for event in events]


def test_the_order_of_the_line_is_said_now_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the first event after a start or an undo, and then by every n-th."""
    monkeypatch.setattr(state_machine, "ORDERING_EVERY", 4)
    machine = StateMachine(Policy(fair_by="/name"))
    machine.apply(c.Recover("5e" * 32), NOW)
    said = "fair_by=/name"
    assert orderings(machine, 5) == [said, "", "", said, ""]
    machine.tables.take_changes()
    assert orderings(machine, 1) == [""]
    machine.undo(machine.tables.take_changes(), 5)
    assert orderings(machine, 2) == [said, ""]


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        Policy(priorities=True),
        Policy(priorities=True, priority_step_s=12.5, fair_by="/guest/na~1m&e=é"),
        Policy(fair_by="/"),
    ],
)
def test_the_order_of_the_line_is_read_again(policy: Policy) -> None:
    """An event says what a topic's rules are in this, and nothing else."""
    other = Policy(priorities=True, fair_by="/other", lease_s=5.0)
    read = other.with_ordering(policy.ordering_text)
    assert read.ordering == policy.ordering
    assert read.lease_s == 5.0
    assert Policy().ordering_text == "arrival"
