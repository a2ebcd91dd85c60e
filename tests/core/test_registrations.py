"""Workers that register, or come back before it is known what became of their job."""

from __future__ import annotations

import pytest

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import Job, Stage, State, Way
from sanic_dispatch.core.state_machine import Now, StateMachine
from sanic_dispatch.core.worker import Key
from tests.support.machine_state import NOW, free_ids, looks, probe_used, state_of
from tests.support.world import worker


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("way", [Way.PUT, Way.ANSWER])
def test_a_repeat_on_the_same_callback_is_answered_as_before(
    machine: StateMachine, way: Way, stage: Stage
) -> None:
    """The first column of docs/design.md's table: 202 after a PUT, the same job after an answer."""
    register, submit = c.Register(worker("c1", "i1")), c.Submit("a", b"1")
    outcomes = {
        (Way.PUT, Stage.CONFIRMED): [c.DeliveryAccepted("a", 1)],
        (Way.PUT, Stage.IN_DOUBT): [c.DeliveryInDoubt("a", 1, "no answer")],
        (Way.ANSWER, Stage.CONFIRMED): [c.AnswerWritten("a", 1)],
        (Way.ANSWER, Stage.IN_DOUBT): [c.AnswerLost("a", 1, began=True)],
    }.get((way, stage), [])
    begun = [register, submit] if way is Way.PUT else [submit, register]
    for command in (*begun, *outcomes):
        machine.apply(command, NOW)
    before = machine.tables.jobs.get("a")
    assert before is not None
    assert before.hold is not None
    assert (before.hold.way, before.hold.stage) == (way, stage)

    repeated = machine.apply(register, NOW)

    if way is Way.PUT:
        assert (repeated.reply, repeated.events) == (None, [])
        assert machine.tables.jobs.get("a") is before
    else:
        assert isinstance(repeated.reply, Job)
        assert (repeated.reply.id, repeated.reply.attempt) == ("a", 2)
        assert [event.kind for event in repeated.events] == [EventKind.JOB_ASSIGNED]


def test_lost_is_said_of_the_last_answer(machine: StateMachine) -> None:
    """Also if the worker's key holds an older job, which came by PUT to another callback."""
    for callback in ("c1", "c2"):
        machine.apply(c.Register(worker(callback, "i1")), NOW)
    machine.apply(c.StaleProbed(worker("c1", "i1").id, is_pending=True), NOW)
    for at_s, job_id in enumerate("ab"):
        now = Now(NOW.wall_s + at_s, float(at_s))
        machine.apply(c.Submit(job_id, b"1"), now)
        machine.apply(c.DeliveryAccepted(job_id, 1), now)
    machine.apply(c.Submit("c", b"1"), NOW)
    later = Now(NOW.wall_s + 2, 2.0)
    given = machine.apply(c.Register(worker("c3", "i1")), later).reply
    assert isinstance(given, Job)
    machine.apply(c.AnswerWritten("c", given.attempt), later)
    assert [job.id for job in machine.tables.jobs.of_key(Key("i1", "a1"))] == ["b", "c"]
    again = machine.apply(c.Register(worker("c4", "i1"), lost=True), later).reply
    assert isinstance(again, Job)
    assert again.id == "c"


def test_a_worker_whose_last_job_went_elsewhere_is_free(machine: StateMachine) -> None:
    """It does not wait for what becomes of the job there."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    awaits = machine.apply(c.Register(worker("c2", "i1")), NOW)
    (look,) = looks(awaits)
    machine.apply(c.PutBack("a", "by hand"), NOW)
    given = machine.apply(c.Register(worker("d1", "i2")), NOW).reply
    assert isinstance(given, Job)
    machine.apply(c.AnswerLost("a", given.attempt, began=True), NOW)
    later = Now(NOW.wall_s + 10, 10.0)
    machine.apply(look, later)
    assert worker("c2", "i1").id in free_ids(machine)


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize(
    "act", [c.Withdraw, c.DropWorker, c.BringBack], ids=lambda act: act.__name__
)
def test_a_worker_that_awaits_its_last_job_stays(
    machine: StateMachine, act: type[c.Withdraw | c.DropWorker | c.BringBack], lost: bool
) -> None:
    """Only its new callback says that the job is done, or never arrived."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.Register(worker("c2", "i1"), lost=lost), NOW)
    machine.apply(act(worker("c2", "i1").id), NOW)
    machine.apply(c.DeliveryAccepted("a", 1), NOW)
    job = machine.tables.jobs.get("a")
    assert job is not None
    assert (job.state, job.attempt) == ((State.ASSIGNED, 2) if lost else (State.DONE, 1))


@pytest.mark.parametrize("aside", ["c1", "c1 later", "c2"])
def test_a_job_is_done_though_its_worker_came_back_set_aside(
    machine: StateMachine, aside: str
) -> None:
    """The callback that got the job is found used, and its worker waits at a new one, set aside."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.DeliveryInDoubt("a", 1, "time-out"), NOW)
    if aside == "c1":
        machine.apply(c.SetAside(worker("c1", "i1").id), NOW)
    machine.apply(c.Register(worker("c2", "i1")), NOW)
    if aside == "c1 later":
        machine.apply(c.SetAside(worker("c1", "i1").id), NOW)
    if aside == "c2":
        machine.apply(c.SetAside(worker("c2", "i1").id), NOW)
    probe_used(machine, "a")
    assert state_of(machine, "a") is State.DONE
    machine.apply(c.StaleProbed(worker("c1", "i1").id, is_pending=False), NOW)
    assert free_ids(machine) == set()
    machine.apply(c.BringBack(worker("c2", "i1").id), NOW)
    assert free_ids(machine) == {worker("c2", "i1").id}


def test_a_job_that_is_given_again_is_not_done_by_an_older_callback(machine: StateMachine) -> None:
    """Its worker came back set aside, and then once more, since it had not got the job."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.DeliveryInDoubt("a", 1, "time-out"), NOW)
    machine.apply(c.SetAside(worker("c1", "i1").id), NOW)
    machine.apply(c.Register(worker("c2", "i1")), NOW)
    given = machine.apply(c.Register(worker("c3", "i1"), lost=True), NOW).reply
    assert isinstance(given, Job)
    machine.apply(c.AnswerWritten("a", given.attempt), NOW)
    assert state_of(machine, "a") is State.ASSIGNED
    machine.apply(c.BringBack(worker("c2", "i1").id), NOW)
    assert free_ids(machine) == set()


def test_a_job_that_never_arrived_is_sent_to_a_worker_set_aside(machine: StateMachine) -> None:
    """Nothing else says that the worker does not have it."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.SetAside(worker("c1", "i1").id), NOW)
    machine.apply(c.Register(worker("c2", "i1"), lost=True), NOW)
    machine.apply(c.DeliveryAccepted("a", 1), NOW)
    job = machine.tables.jobs.get("a")
    assert job is not None
    assert job.worker is not None
    assert (job.state, job.attempt, job.worker.id) == (State.ASSIGNED, 2, worker("c2", "i1").id)
