"""Commands that another process has forwarded: applied once, under each number."""

from __future__ import annotations

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.state_machine import Now, StateMachine
from sanic_dispatch.core.tables import FORWARDED
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.webhooks import Endpoint, positions_in
from tests.support.world import worker

NOW = Now(1_700_000_000.0, 0.0)


def machine_with(*job_ids: str) -> StateMachine:
    """Return a state machine in which these jobs wait."""
    machine = StateMachine(Policy())
    machine.apply(c.Recover("5e" * 32), NOW)
    for job_id in job_ids:
        machine.apply(c.Submit(job_id, b"1"), NOW)
    return machine


def first(machine: StateMachine) -> str:
    job = machine.tables.jobs.line.first()
    assert job
    return job.id


def test_a_repeat_has_no_effect() -> None:
    """It gets the job as it is now."""
    machine = machine_with("a", "b", "c")
    move = c.Forwarded(c.MoveToFront("b"), "run", 7, 7)
    machine.apply(move, NOW)
    machine.apply(c.MoveToFront("c"), NOW)
    again = machine.apply(move, NOW)
    assert (first(machine), again.events) == ("c", [])
    assert again.reply == machine.apply(c.LookUp("b"), NOW).reply


def test_what_is_pending_for_a_webhook_is_dropped_once() -> None:
    """A repeated command does not drop the events that came after the first one."""
    machine = machine_with("a")
    machine.apply(c.PutEndpoint(Endpoint("till", "https://till/", ("job.*",), False, "s")), NOW)
    machine.apply(c.MoveToFront("a"), NOW)
    drop = c.ContinueEndpoint("till", drop=True)
    assert type(drop) in c.ONCE
    for _ in range(2):
        assert machine.apply(c.Forwarded(drop, "run", 7, 7), NOW).reply is None
        assert positions_in(machine.tables.facts)["till"].n == 2
        machine.apply(c.MoveToFront("a"), NOW)


def test_a_refused_command_is_not_remembered() -> None:
    """It changed nothing, so a repeat is decided afresh."""
    machine = machine_with()
    move = c.Forwarded(c.MoveToFront("b"), "run", 7, 7)
    assert isinstance(machine.apply(move, NOW).reply, Exception)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.Submit("b", b"1"), NOW)
    machine.apply(move, NOW)
    assert first(machine) == "b"


def test_the_next_owner_knows_it() -> None:
    """What was applied is a fact, committed in the same batch."""
    machine = machine_with("a", "b")
    robot = worker("c1", "i1")
    machine.apply(c.Register(robot), NOW)
    fail = c.Fail("a", Proof(key=robot.key), "no ice", retry=True)
    machine.apply(c.Forwarded(fail, "run", 7, 7), NOW)
    facts = {change.id for change in machine.tables.take_changes()}
    assert f"{FORWARDED}run" in facts
    tables = machine.tables
    successor = StateMachine(Policy())
    successor.load(list(tables.jobs.unordered()), list(tables.workers), list(tables.facts))
    applied = successor.apply(c.Recover("00"), NOW)
    assert c.ForgetRun("run", "7") in [getattr(each, "command", None) for each in applied.effects]
    successor.apply(c.Register(worker("c2", "i1")), NOW)
    assert successor.apply(c.Forwarded(fail, "run", 7, 7), NOW).events == []


def test_what_is_not_repeated_any_more_is_forgotten() -> None:
    """The fact of a process has the numbers from the oldest one that it still waits for."""
    machine = machine_with("a")
    for number, oldest in ((1, 1), (2, 1), (3, 3)):
        machine.apply(c.Forwarded(c.MoveToFront("a"), "run", number, oldest), NOW)
    assert machine.tables.facts.text(f"{FORWARDED}run") == "3"
    machine.apply(c.ForgetRun("run", "2"), NOW)
    assert machine.tables.facts.text(f"{FORWARDED}run") == "3"
    machine.apply(c.ForgetRun("run", "3"), NOW)
    assert not [fact for fact in machine.tables.facts if fact.id.startswith(FORWARDED)]


def test_an_answer_is_known_after_a_take_over() -> None:
    """The process that wrote it reports to the next owner, for which it is in doubt."""
    machine = machine_with("a")
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    successor = StateMachine(Policy())
    successor.load(list(machine.tables.jobs.unordered()), [], list(machine.tables.facts))
    successor.apply(c.Recover("00"), NOW)
    kinds = [event.kind for event in successor.apply(c.AnswerWritten("a", 1), NOW).events]
    assert kinds == ["job.confirmed"]
