"""What an operator does to workers, and what outlasts it."""

from __future__ import annotations

import pytest

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.evidence import ProbeResult
from sanic_dispatch.core.job import State
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.state_machine import Now, StateMachine
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import ENDED, Cause, Key
from sanic_dispatch.errors import WrongState
from tests.support.machine_state import NOW, free_ids, looks, probe, probe_used, state_of
from tests.support.world import worker


def test_an_old_callback_that_an_operator_brings_back_is_probed_first(
    machine: StateMachine,
) -> None:
    """Its worker has come back with a new one, so what is sent there may seem to be taken."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.SetAside(worker("c1", "i1").id), NOW)
    machine.apply(c.Register(worker("c2", "i1")), NOW)
    back = machine.apply(c.BringBack(worker("c1", "i1").id), NOW)
    (look,) = looks(back)
    assert free_ids(machine) == set()
    machine.apply(c.WorkerProbed(look, is_pending=True, instance_state="running"), NOW)
    assert free_ids(machine) == {worker("c1", "i1").id}


def test_an_operators_set_aside_outlasts_a_job_that_is_unsettled(machine: StateMachine) -> None:
    """It applies to each new callback, even while the last job is in doubt."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.DeliveryInDoubt("a", 1, "time-out"), NOW)
    machine.apply(c.Register(worker("c2", "i1")), NOW)
    machine.apply(c.SetAside(worker("c2", "i1").id, "smells burnt"), NOW)
    machine.apply(c.Register(worker("c3", "i1")), NOW)
    newest = machine.tables.workers.get(worker("c3", "i1").id)
    assert newest is not None
    assert newest.aside is not None
    assert (newest.aside.cause, newest.aside.reason) == (Cause.OPERATOR, "smells burnt")


@pytest.mark.parametrize("outcome", [c.LookUp("a"), c.DeliveryInDoubt("a", 1, "time-out")])
@pytest.mark.parametrize("is_reported", [True, False])
@pytest.mark.parametrize("restarts", [True, False])
def test_an_operators_set_aside_outlasts_a_job_that_is_on_its_way(
    machine: StateMachine, outcome: c.Command, is_reported: bool, restarts: bool
) -> None:
    """The worker's next callback is set aside, too, after the job has used up this one."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(outcome, NOW)
    machine.apply(c.SetAside(worker("c1", "i1").id, "smells burnt"), NOW)
    if outcome == c.LookUp("a"):
        machine.apply(c.DeliveryAccepted("a", 1), NOW)
    else:
        probe_used(machine, "a", "running")
    if is_reported:
        machine.apply(c.Complete("a", Proof(key=Key("i1", "a1"))), NOW)
    if restarts:
        tables, machine = machine.tables, StateMachine(Policy())
        machine.load(tables.jobs.unordered(), tables.workers, tables.facts)
        machine.apply(c.Recover(""), NOW)
    machine.apply(c.Register(worker("c2", "i1")), NOW)
    assert state_of(machine, "a") is State.DONE
    newer = machine.tables.workers.get(worker("c2", "i1").id)
    assert newer is not None
    assert newer.aside is not None
    assert (newer.aside.cause, newer.aside.reason) == (Cause.OPERATOR, "smells burnt")
    machine.apply(c.StaleProbed(worker("c1", "i1").id, is_pending=False), NOW)
    assert [each.id for each in machine.tables.workers] == [newer.id]


@pytest.mark.parametrize("is_in_doubt", [True, False])
def test_an_operators_set_aside_outlasts_a_job_that_is_given_again(
    machine: StateMachine, is_in_doubt: bool
) -> None:
    """The robot says that it never arrived (?lost), and gets that job, but no other one."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    if is_in_doubt:
        machine.apply(c.DeliveryInDoubt("a", 1, "time-out"), NOW)
    machine.apply(c.SetAside(worker("c1", "i1").id, "smells burnt"), NOW)
    machine.apply(c.Register(worker("c2", "i1"), lost=True), NOW)
    for outcome in (c.DeliveryAccepted("a", 1), c.DeliveryAccepted("a", 2)):
        machine.apply(outcome, NOW)
    machine.apply(c.AnswerWritten("a", 2), NOW)
    machine.apply(c.StaleProbed(worker("c1", "i1").id, is_pending=False), NOW)
    machine.apply(c.Register(worker("c3", "i1")), NOW)
    machine.apply(c.StaleProbed(worker("c1", "i1").id, is_pending=False), NOW)
    (waits,) = machine.tables.workers
    assert (waits.id, waits.is_set_aside_by_operator) == (worker("c3", "i1").id, True)
    assert state_of(machine, "a") is State.DONE


def test_an_operators_set_aside_outlasts_a_job_that_is_put_back(machine: StateMachine) -> None:
    """The robot said that it never arrived (?lost), and it was sent to its new callback."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.SetAside(worker("c1", "i1").id, "smells burnt"), NOW)
    machine.apply(c.Register(worker("c2", "i1"), lost=True), NOW)
    machine.apply(c.DeliveryInDoubt("a", 1, "time-out"), NOW)
    machine.apply(c.DeliveryInDoubt("a", 2, "time-out"), NOW)
    (look,) = looks(machine.apply(c.PutBack("a"), NOW))
    assert look.worker_id == worker("c2", "i1").id
    later = Now(NOW.wall_s + 20, 20.0)
    machine.apply(c.WorkerProbed(look, is_pending=True, instance_state="running"), later)
    assert free_ids(machine) == set()
    assert state_of(machine, "a") is State.WAITING
    *_, look = looks(machine.apply(c.BringBack(worker("c2", "i1").id, "cleaned"), later))
    machine.apply(c.WorkerProbed(look, is_pending=True, instance_state="running"), later)
    assert state_of(machine, "a") is State.ASSIGNED


def test_a_worker_that_is_brought_back_is_not_set_aside_by_an_older_callback(
    machine: StateMachine,
) -> None:
    """That one stays in the queue while a probe of it is unclear."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.SetAside(worker("c1", "i1").id, "smells burnt"), NOW)
    machine.apply(c.Register(worker("c2", "i1")), NOW)
    machine.apply(c.StaleProbed(worker("c1", "i1").id, is_pending=None), NOW)
    machine.apply(c.BringBack(worker("c2", "i1").id, "cleaned"), NOW)
    machine.apply(c.Register(worker("c3", "i1")), NOW)
    assert free_ids(machine) == {worker("c3", "i1").id}


@pytest.mark.parametrize("is_brought_back", [True, False])
def test_an_operators_last_word_stands_when_an_answer_is_sent_again(
    machine: StateMachine, is_brought_back: bool
) -> None:
    """The worker was set aside when it got the job in an answer, which was lost."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.DeliveryInDoubt("a", 1, "time-out"), NOW)
    machine.apply(c.SetAside(worker("c1", "i1").id), NOW)
    machine.apply(c.Register(worker("c2", "i1"), lost=True), NOW)
    if is_brought_back:
        machine.apply(c.BringBack(worker("c1", "i1").id), NOW)
    machine.apply(c.AnswerLost("a", 2, began=True), NOW)
    probe(machine, "a", ProbeResult(True, "running", "running"))
    machine.apply(c.DeliveryAccepted("a", 3), NOW)
    machine.apply(c.Register(worker("c3", "i1")), NOW)
    assert state_of(machine, "a") is State.DONE
    assert free_ids(machine) == ({worker("c3", "i1").id} if is_brought_back else set())


def test_a_used_callback_that_an_operator_brings_back_is_probed_first(
    machine: StateMachine,
) -> None:
    """A PUT to it might look accepted; the worker is free once it registers again."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.SetAside(worker("c1", "i1").id), NOW)
    machine.apply(c.DeliveryAccepted("a", 1), NOW)
    machine.apply(c.Complete("a", Proof(key=Key("i1", "a1"))), NOW)
    machine.apply(c.BringBack(worker("c1", "i1").id), NOW)
    assert free_ids(machine) == set()
    machine.apply(c.Register(worker("c2", "i1")), NOW)
    assert free_ids(machine) == {worker("c2", "i1").id}


@pytest.mark.parametrize("is_refused_first", [True, False])
def test_a_worker_that_refused_a_job_and_is_brought_back_is_probed_first(
    machine: StateMachine, is_refused_first: bool
) -> None:
    """A callback that does not wait may answer 2xx all the same: the job would be lost."""
    acts = [c.DeliveryRefused("a", 1, "status 404"), c.SetAside(worker("c1", "i1").id)]
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    for act in acts if is_refused_first else reversed(acts):
        machine.apply(act, NOW)
    (look,) = looks(machine.apply(c.BringBack(worker("c1", "i1").id), NOW))
    assert state_of(machine, "a") is State.WAITING
    machine.apply(c.WorkerProbed(look, is_pending=True, instance_state="running"), NOW)
    assert state_of(machine, "a") is State.ASSIGNED


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_used_callback_is_known_as_such_when_its_job_is_not_kept(is_lost: bool) -> None:
    """An operator brings it back. With ``is_lost`` the worker got its job on a newer callback."""
    machine = StateMachine(Policy(keep_done_s=0.0))
    machine.apply(c.Recover("5e" * 32), NOW)
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.SetAside(worker("c1", "i1").id), NOW)
    if is_lost:
        machine.apply(c.DeliveryInDoubt("a", 1, "time-out"), NOW)
        machine.apply(c.Register(worker("c2", "i1"), lost=True), NOW)
        machine.apply(c.AnswerWritten("a", 2), NOW)
    else:
        machine.apply(c.DeliveryAccepted("a", 1), NOW)
    machine.apply(c.Complete("a", Proof(key=Key("i1", "a1"))), NOW)
    later = Now(NOW.wall_s + 20, 20.0)
    machine.apply(c.Submit("b", b"1"), later)
    machine.apply(c.Cancel("b"), later)
    assert machine.tables.jobs.get("a") is None
    machine.apply(c.BringBack(worker("c1", "i1").id), later)
    assert free_ids(machine) == set()
    machine.apply(c.Register(worker("c3", "i1")), later)
    assert free_ids(machine) == {worker("c3", "i1").id}


@pytest.mark.parametrize("is_pending", [True, False])
@pytest.mark.parametrize("state", ENDED)
def test_a_worker_that_is_set_aside_leaves_with_its_instance(
    machine: StateMachine, state: str, is_pending: bool
) -> None:
    """Its callback would stay in the queue for ever, since it does not register again."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.SetAside(worker("c1", "i1").id), NOW)
    machine.apply(c.DeliveryAccepted("a", 1), NOW)
    job = machine.tables.jobs.get("a")
    assert job is not None
    assert job.hold is not None
    look = c.LookAtJob("a", job.hold, 0, 0.0)
    found = ProbeResult(is_pending, state, state)
    later = Now(NOW.wall_s + 40, 40.0)
    machine.apply(c.HoldProbed(look, is_timed=True, found=found), later)
    assert state_of(machine, "a") is not State.ASSIGNED
    assert list(machine.tables.workers) == []


@pytest.mark.parametrize("is_unused", [True, False])
def test_a_job_may_arrive_late_at_a_worker_that_an_operator_has_set_aside(
    machine: StateMachine, is_unused: bool
) -> None:
    """For 15 s after it went elsewhere; then the callback has to be seen pending."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.SetAside(worker("c1", "i1").id), NOW)
    if is_unused:
        machine.apply(c.DeliveryAccepted("a", 1), NOW)
        probe(machine, "a", ProbeResult(True, "running", "running"))
    else:
        machine.apply(c.DeliveryInDoubt("a", 1, "time-out"), NOW)
    later = Now(NOW.wall_s + 60, 60.0)
    machine.apply(c.PutBack("a"), later)
    soon = Now(NOW.wall_s + 70, 70.0)
    assert isinstance(machine.apply(c.DropWorker(worker("c1", "i1").id), soon).reply, WrongState)
    machine.apply(c.BringBack(worker("c1", "i1").id), Now(NOW.wall_s + 80, 80.0))
    assert state_of(machine, "a") is State.WAITING
    aside = machine.tables.workers.get(worker("c1", "i1").id)
    assert aside is not None
    assert aside.aside is not None
    assert aside.aside.cause is Cause.REFUSED


@pytest.mark.parametrize("aside", ["c1", "c2"])
def test_a_worker_that_is_brought_back_awaits_its_last_job(
    machine: StateMachine, aside: str
) -> None:
    """As it did before an operator set it aside."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.Register(worker("c2", "i1")), NOW)
    machine.apply(c.SetAside(worker(aside, "i1").id), NOW)
    machine.apply(c.BringBack(worker("c2", "i1").id), NOW)
    waiting = machine.tables.workers.get(worker("c2", "i1").id)
    assert waiting is not None
    assert waiting.awaits("a")
    machine.apply(c.DeliveryAccepted("a", 1), NOW)
    assert state_of(machine, "a") is State.DONE
    assert free_ids(machine) == {worker("c2", "i1").id}


@pytest.mark.parametrize("outcome", [c.LookUp("a"), c.DeliveryInDoubt("a", 1, "time-out")])
def test_a_worker_that_has_a_job_is_not_dropped(machine: StateMachine, outcome: c.Command) -> None:
    """Or is about to get it: the job might be sent to it again."""
    robot = worker("c1", "i1")
    machine.apply(c.Register(robot), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(outcome, NOW)
    dropped = machine.apply(c.DropWorker(robot.id, "scrapped"), NOW)
    assert isinstance(dropped.reply, WrongState)
    assert robot.id in machine.tables.workers
