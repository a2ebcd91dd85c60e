"""Registrations that end."""

from __future__ import annotations

import pytest

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core.job import State
from sanic_dispatch.core.state_machine import Applied, Now, StateMachine
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Cause, Worker
from sanic_dispatch.errors import UnknownWorker
from tests.support.world import worker

START_S = 1_732_412_340.0
TTL_S = 60.0
ROBOT = worker("c1", "i1")._replace(expires_s=START_S + TTL_S)


class Queue:
    """A state machine in which ROBOT waits, and what it asks for."""

    def __init__(self, robot: Worker = ROBOT) -> None:
        self.machine = StateMachine(Policy())
        self.apply(c.Recover("5e" * 32), 0.0)
        applied = self.apply(c.Register(robot), 0.0)
        (self.end,) = (each for each in applied.effects if isinstance(each, e.StartTimer))

    def apply(self, command: c.Command, at_s: float) -> Applied:
        return self.machine.apply(command, Now(START_S + at_s, at_s))

    @property
    def is_there(self) -> bool:
        return self.machine.tables.workers.get(ROBOT.id) is not None

    @property
    def is_expired(self) -> bool:
        robot = self.machine.tables.workers.get(ROBOT.id)
        return robot is not None and robot.aside is not None and robot.aside.cause is Cause.EXPIRED


@pytest.fixture
def queue() -> Queue:
    return Queue()


def test_a_worker_is_told_and_dropped_when_its_time_is_over(queue: Queue) -> None:
    """It gets no job from then on, and is told again if no answer came."""
    assert queue.end.after_s == TTL_S
    (told,) = queue.apply(queue.end.command, TTL_S).effects
    assert isinstance(told, e.PutExpired)
    queue.apply(c.Submit("a", b"1"), TTL_S)
    job = queue.machine.tables.jobs.get("a")
    assert job is not None
    assert job.state is State.WAITING
    assert isinstance(queue.apply(c.BringBack(ROBOT.id), TTL_S).reply, UnknownWorker)
    (again,) = (
        each
        for each in queue.apply(c.ExpiryTold(told.look, is_sure=False), TTL_S).effects
        if isinstance(each, e.StartTimer)
    )
    assert isinstance(again.command, c.EndRegistration)
    (told_again,) = queue.apply(again.command, TTL_S + again.after_s).effects
    assert isinstance(told_again, e.PutExpired)
    dropped = queue.apply(c.ExpiryTold(told_again.look, is_sure=True), TTL_S + 1)
    assert [event.kind for event in dropped.events] == ["worker.dropped"]
    assert not queue.is_there


def test_a_clock_that_is_set_ahead_gives_up_nobody(queue: Queue) -> None:
    """How long a worker was not reached is counted by the monotonic clock, also after a restart."""
    for _ in range(2):
        (told,) = queue.apply(queue.end.command, TTL_S).effects
        assert isinstance(told, e.PutExpired)
        ahead = Now(START_S + TTL_S + 2 * Policy().worker_patience_s, TTL_S + 5)
        unclear = queue.machine.apply(c.ExpiryTold(told.look, is_sure=False), ahead)
        assert queue.is_there
        assert unclear.effects
        tables, queue.machine = queue.machine.tables, StateMachine(Policy())
        queue.machine.load([], tables.workers, tables.facts)
        queue.apply(c.Recover(""), TTL_S + 5)


def test_a_clock_that_is_set_back_prolongs_no_registration(queue: Queue) -> None:
    """How long a worker waits is counted by the monotonic clock."""
    back = Now(START_S + TTL_S - 3600.0, TTL_S)
    (told,) = queue.machine.apply(queue.end.command, back).effects
    assert isinstance(told, e.PutExpired)
    assert queue.is_expired


def test_a_worker_that_cannot_be_asked_is_told_a_few_times() -> None:
    """Nothing would ever say that it waits no more."""
    queue = Queue(ROBOT._replace(key=None))
    told = queue.apply(queue.end.command, TTL_S).effects[0]
    for _ in range(Policy().max_attempts):
        assert isinstance(told, e.PutExpired)
        assert queue.is_there
        effects = queue.apply(c.ExpiryTold(told.look, is_sure=False), TTL_S).effects
        for again in effects:
            assert isinstance(again, e.StartTimer)
            (told,) = queue.apply(again.command, TTL_S).effects
    assert not queue.is_there


def test_a_worker_that_registers_again_while_it_is_told_waits_anew(queue: Queue) -> None:
    """The callback is the same, but the notice is about the earlier registration."""
    (told,) = queue.apply(queue.end.command, TTL_S).effects
    assert isinstance(told, e.PutExpired)
    again = ROBOT._replace(registered_at="2024-11-24T01:40:00.5Z", expires_s=START_S + TTL_S + 60.5)
    registered = queue.apply(c.Register(again), TTL_S + 0.5)
    assert [event.kind for event in registered.events] == ["worker.dropped", "worker.registered"]
    (end,) = (each for each in registered.effects if isinstance(each, e.StartTimer))
    assert end.after_s == 60.0
    for is_sure in (True, False):
        nothing = queue.apply(c.ExpiryTold(told.look, is_sure), TTL_S + 1)
        assert (nothing.events, nothing.effects) == ([], [])
    queue.apply(end.command, TTL_S + 60.5)
    assert queue.is_expired
    queue.apply(c.ExpiryTold(told.look, is_sure=True), TTL_S + 61)
    assert queue.is_there


def test_a_worker_that_an_operator_set_aside_is_told_once_it_is_back(queue: Queue) -> None:
    """Until then it stays, so that it is set aside also with its next callback."""
    queue.apply(c.SetAside(ROBOT.id, "smells burnt"), 1.0)
    (later,) = queue.apply(queue.end.command, TTL_S).effects
    assert isinstance(later, e.StartTimer)
    queue.apply(c.Register(worker("c2", "i1")), TTL_S + 0.1)
    newer = queue.machine.tables.workers.get(worker("c2", "i1").id)
    assert newer is not None
    assert newer.is_set_aside_by_operator
    queue.apply(c.DropWorker(newer.id), TTL_S + 0.2)
    queue.apply(c.Submit("a", b"1"), TTL_S + 0.2)
    stopped, told = queue.apply(c.BringBack(ROBOT.id, "cleaned"), TTL_S + 0.3).effects
    assert stopped == e.StopTimer(ROBOT.id)
    assert isinstance(told, e.PutExpired)
    assert queue.is_expired


def test_a_worker_whose_last_job_is_settled_late_gets_no_other_one(queue: Queue) -> None:
    """It came back while that was in doubt, and waited for it until its time was over."""
    queue.apply(c.Submit("a", b"1"), 0.0)
    queue.apply(c.Register(worker("c2", "i1")._replace(expires_s=START_S + TTL_S)), 1.0)
    queue.apply(c.Submit("b", b"2"), 1.0)
    effects = queue.apply(c.DeliveryAccepted("a", 1), TTL_S + 1).effects
    (told,) = (each for each in effects if isinstance(each, e.PutExpired))
    assert told.worker.id == worker("c2", "i1").id


def test_a_worker_with_a_newer_callback_is_still_told(queue: Queue) -> None:
    """Its older callback leaves the queue as soon as it knows."""
    (told,) = queue.apply(queue.end.command, TTL_S).effects
    assert isinstance(told, e.PutExpired)
    queue.apply(c.Register(worker("c2", "i1")), TTL_S + 0.5)
    assert queue.is_expired
    queue.apply(c.ExpiryTold(told.look, is_sure=True), TTL_S + 1)
    assert not queue.is_there


def test_a_job_that_is_on_its_way_comes_first(queue: Queue) -> None:
    """The end is looked at again, and has no effect once the worker is gone."""
    queue.apply(c.Submit("a", b"1"), TTL_S - 1)
    (later,) = queue.apply(queue.end.command, TTL_S).effects
    assert isinstance(later, e.StartTimer)
    queue.apply(c.DeliveryAccepted("a", 1), TTL_S)
    assert queue.apply(later.command, TTL_S + 1).effects == []


def test_a_restart_tells_a_worker_whose_time_is_over(queue: Queue) -> None:
    """Also if it was killed between the decision and the call."""
    queue.apply(queue.end.command, TTL_S)
    tables, queue.machine = queue.machine.tables, StateMachine(Policy())
    queue.machine.load([], tables.workers, tables.facts)
    recovered = queue.apply(c.Recover(""), TTL_S + 5)
    (end,) = (each for each in recovered.effects if isinstance(each, e.StartTimer))
    assert end.after_s == 0.0
    (told,) = queue.apply(end.command, TTL_S + 5).effects
    assert isinstance(told, e.PutExpired)
