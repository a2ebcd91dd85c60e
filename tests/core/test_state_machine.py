"""Rules of the state machine that no test of the dispatcher shows."""

from __future__ import annotations

import re

import pytest

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import evidence, state_machine
from sanic_dispatch.core.effects import StartTimer
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.evidence import ProbeResult
from sanic_dispatch.core.job import Job, Stage, State, Way
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.state_machine import Applied, Now, Placed, StateMachine
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import ENDED, Cause, Key, Worker
from sanic_dispatch.errors import WrongState
from tests.support.world import worker

NOW = Now(1_732_412_340.0, 0.0)


@pytest.fixture
def machine() -> StateMachine:
    made = StateMachine(Policy())
    made.apply(c.Recover("5e" * 32), NOW)
    return made


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


def test_a_probe_from_before_its_worker_came_back_frees_no_old_callback(
    machine: StateMachine,
) -> None:
    """A job sent there would look as if it had been taken; a probe from afterwards frees it."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    refused = machine.apply(c.DeliveryRefused("a", 1, "no connection"), NOW)
    (look,) = _looks(refused)
    later = Now(NOW.wall_s + 1.0, 1.0)
    machine.apply(look, later)
    machine.apply(c.Cancel("a"), later)
    came_back = machine.apply(c.Register(worker("c2", "i1")), later)

    machine.apply(c.WorkerProbed(look, is_pending=True, instance_state="running"), later)

    assert _free(machine) == {worker("c2", "i1").id}
    (look,) = _looks(came_back)
    machine.apply(c.WorkerProbed(look, is_pending=True, instance_state="running"), later)
    assert _free(machine) == {worker("c1", "i1").id, worker("c2", "i1").id}


def test_an_old_callback_at_which_a_job_may_still_arrive_waits_for_that(
    machine: StateMachine,
) -> None:
    """Also where it is seen pending when its worker comes back."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.PutBack("a", "by hand"), NOW)
    machine.apply(c.Cancel("a"), NOW)
    came_back = machine.apply(c.Register(worker("c2", "i1")), NOW)
    (look,) = _looks(came_back)

    machine.apply(c.StaleProbed(worker("c1", "i1").id, is_pending=True), NOW)

    assert _free(machine) == {worker("c2", "i1").id}
    late = Now(NOW.wall_s + evidence.LATE_S, evidence.LATE_S)
    machine.apply(c.WorkerProbed(look, is_pending=True, instance_state="running"), late)
    assert _free(machine) == {worker("c1", "i1").id, worker("c2", "i1").id}


def _free(machine: StateMachine) -> set[str]:
    return {each.id for each in machine.tables.workers if each.aside is None}


def _looks(applied: Applied) -> list[c.LookAtWorker]:
    """Return the checks of workers that are scheduled."""
    timers = [each for each in applied.effects if isinstance(each, StartTimer)]
    return [each.command for each in timers if isinstance(each.command, c.LookAtWorker)]


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
    (look,) = _looks(awaits)
    machine.apply(c.PutBack("a", "by hand"), NOW)
    given = machine.apply(c.Register(worker("d1", "i2")), NOW).reply
    assert isinstance(given, Job)
    machine.apply(c.AnswerLost("a", given.attempt, began=True), NOW)
    later = Now(NOW.wall_s + 10, 10.0)
    machine.apply(look, later)
    assert worker("c2", "i1").id in _free(machine)


def test_an_old_callback_that_an_operator_brings_back_is_probed_first(
    machine: StateMachine,
) -> None:
    """Its worker has come back with a new one, so what is sent there may seem to be taken."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.SetAside(worker("c1", "i1").id), NOW)
    machine.apply(c.Register(worker("c2", "i1")), NOW)
    back = machine.apply(c.BringBack(worker("c1", "i1").id), NOW)
    (look,) = _looks(back)
    assert _free(machine) == set()
    machine.apply(c.WorkerProbed(look, is_pending=True, instance_state="running"), NOW)
    assert _free(machine) == {worker("c1", "i1").id}


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
        _probe_used(machine, "a", "running")
    if is_reported:
        machine.apply(c.Complete("a", Proof(key=Key("i1", "a1"))), NOW)
    if restarts:
        tables, machine = machine.tables, StateMachine(Policy())
        machine.load(tables.jobs.unordered(), tables.workers, tables.facts)
        machine.apply(c.Recover(""), NOW)
    machine.apply(c.Register(worker("c2", "i1")), NOW)
    assert _state(machine, "a") is State.DONE
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
    assert _state(machine, "a") is State.DONE


def test_an_operators_set_aside_outlasts_a_job_that_is_put_back(machine: StateMachine) -> None:
    """The robot said that it never arrived (?lost), and it was sent to its new callback."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.SetAside(worker("c1", "i1").id, "smells burnt"), NOW)
    machine.apply(c.Register(worker("c2", "i1"), lost=True), NOW)
    machine.apply(c.DeliveryInDoubt("a", 1, "time-out"), NOW)
    machine.apply(c.DeliveryInDoubt("a", 2, "time-out"), NOW)
    (look,) = _looks(machine.apply(c.PutBack("a"), NOW))
    assert look.worker_id == worker("c2", "i1").id
    later = Now(NOW.wall_s + 20, 20.0)
    machine.apply(c.WorkerProbed(look, is_pending=True, instance_state="running"), later)
    assert _free(machine) == set()
    assert _state(machine, "a") is State.WAITING
    *_, look = _looks(machine.apply(c.BringBack(worker("c2", "i1").id, "cleaned"), later))
    machine.apply(c.WorkerProbed(look, is_pending=True, instance_state="running"), later)
    assert _state(machine, "a") is State.ASSIGNED


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
    assert _free(machine) == {worker("c3", "i1").id}


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
    _probe(machine, "a", ProbeResult(True, "running", "running"))
    machine.apply(c.DeliveryAccepted("a", 3), NOW)
    machine.apply(c.Register(worker("c3", "i1")), NOW)
    assert _state(machine, "a") is State.DONE
    assert _free(machine) == ({worker("c3", "i1").id} if is_brought_back else set())


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
    assert _free(machine) == set()
    machine.apply(c.Register(worker("c2", "i1")), NOW)
    assert _free(machine) == {worker("c2", "i1").id}


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
    (look,) = _looks(machine.apply(c.BringBack(worker("c1", "i1").id), NOW))
    assert _state(machine, "a") is State.WAITING
    machine.apply(c.WorkerProbed(look, is_pending=True, instance_state="running"), NOW)
    assert _state(machine, "a") is State.ASSIGNED


def test_a_worker_is_not_dropped_as_soon_as_an_operator_brings_it_back(
    machine: StateMachine,
) -> None:
    """It was set aside for days, and its engine, which starts too, does not answer at once."""
    robot = worker("c1", "i1")
    machine.apply(c.Register(robot), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.DeliveryRefused("a", 1, "status 404"), NOW)
    machine.apply(c.SetAside(robot.id), NOW)
    days_s = 2 * machine.policy.worker_patience_s
    later = Now(NOW.wall_s + days_s, NOW.monotonic_s + days_s)
    (look,) = _looks(machine.apply(c.BringBack(robot.id), later))
    machine.apply(c.WorkerProbed(look, is_pending=None, instance_state=None), later)
    assert robot.id in machine.tables.workers


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
    assert _free(machine) == set()
    machine.apply(c.Register(worker("c3", "i1")), later)
    assert _free(machine) == {worker("c3", "i1").id}


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
    look = c.LookAtJob("a", job.hold, 0, 0.0, 0.0)
    found = ProbeResult(is_pending, state, state)
    later = Now(NOW.wall_s + 40, 40.0)
    machine.apply(c.HoldProbed(look, is_timed=True, found=found), later)
    assert _state(machine, "a") is not State.ASSIGNED
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
        _probe(machine, "a", ProbeResult(True, "running", "running"))
    else:
        machine.apply(c.DeliveryInDoubt("a", 1, "time-out"), NOW)
    later = Now(NOW.wall_s + 60, 60.0)
    machine.apply(c.PutBack("a"), later)
    soon = Now(NOW.wall_s + 70, 70.0)
    assert isinstance(machine.apply(c.DropWorker(worker("c1", "i1").id), soon).reply, WrongState)
    machine.apply(c.BringBack(worker("c1", "i1").id), Now(NOW.wall_s + 80, 80.0))
    assert _state(machine, "a") is State.WAITING
    aside = machine.tables.workers.get(worker("c1", "i1").id)
    assert aside is not None
    assert aside.aside is not None
    assert aside.aside.cause is Cause.REFUSED


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
    _probe_used(machine, "a")
    assert _state(machine, "a") is State.DONE
    machine.apply(c.StaleProbed(worker("c1", "i1").id, is_pending=False), NOW)
    assert _free(machine) == set()
    machine.apply(c.BringBack(worker("c2", "i1").id), NOW)
    assert _free(machine) == {worker("c2", "i1").id}


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
    assert _state(machine, "a") is State.DONE
    assert _free(machine) == {worker("c2", "i1").id}


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


def _state(machine: StateMachine, job_id: str) -> State:
    job = machine.tables.jobs.get(job_id)
    assert job is not None
    return job.state


def _probe_used(machine: StateMachine, job_id: str, state: str | None = None) -> None:
    """Find the callback of a job in doubt used up, while its instance is in this state."""
    _probe(machine, job_id, ProbeResult(False, state, state))


def _probe(machine: StateMachine, job_id: str, found: ProbeResult) -> None:
    job = machine.tables.jobs.get(job_id)
    assert job is not None
    assert job.hold is not None
    look = c.LookAtJob(job_id, job.hold, 0, 0.0, 0.0)
    machine.apply(c.HoldProbed(look, is_timed=True, found=found), NOW)


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


def test_events_have_the_time_of_their_command() -> None:
    """Also those of an edit of a file that was made earlier: a replay goes by their times."""
    machine = StateMachine(Policy())
    machine.apply(c.Recover("5e" * 32), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    edited = [Job("b", 0, b"2", "2024-11-24T01:38:00Z", 0.0)]
    later = NOW._replace(wall_s=NOW.wall_s + 5)
    events = machine.apply(c.ReplaceJobs(edited, NOW.wall_s - 60), later).events
    assert [event.kind for event in events] == [EventKind.JOB_CANCELLED, EventKind.JOB_SUBMITTED]
    assert {event.at_s for event in events} == {later.wall_s}


def test_an_edit_of_an_older_copy_makes_nothing_twice(machine: StateMachine) -> None:
    """Jobs that were done or refused since jobs.json was opened keep that when it is saved."""
    for job_id in "abc":
        machine.apply(c.Submit(job_id, b"1"), NOW)
    given = machine.apply(c.Register(worker("c1", "i1")), NOW).reply
    assert isinstance(given, Job)
    older = [*machine.tables.jobs.assigned(), *machine.tables.jobs.line]
    machine.apply(c.AnswerWritten("a", given.attempt), NOW)
    machine.apply(c.Complete("a", Proof(callback_url=worker("c1", "i1").id)), NOW)
    machine.apply(c.Register(worker("c2", "i2")), NOW)
    older += machine.tables.jobs.assigned()
    machine.apply(c.AnswerLost("b", 1, began=False), NOW)
    machine.apply(c.ReplaceJobs([older[3], *older[:3:2]], NOW.wall_s), NOW)
    states = {job.id: job.state for job in machine.tables.jobs.unordered()}
    assert states == {"a": State.DONE, "b": State.WAITING, "c": State.WAITING}
    machine.apply(c.ReplaceJobs(older[:3][::-1], NOW.wall_s), NOW)
    assert [job.id for job in machine.tables.jobs.line] == ["c", "b"]
    assert _state(machine, "a") is State.DONE


def test_an_edit_of_an_older_copy_forgets_nobody_who_had_a_job() -> None:
    """A late report still counts, and an attempt has a number that no other one had."""
    machine = StateMachine(Policy(lease_s=30.0))
    machine.apply(c.Recover("5e" * 32), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    older = [job._replace(data=b"2") for job in machine.tables.jobs.line]
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.AnswerWritten("a", 1), NOW)
    held = machine.tables.jobs.get("a")
    assert held is not None
    assert held.hold is not None
    later = Now(NOW.wall_s + 31, 31.0)
    machine.apply(c.LookAtJob("a", held.hold, 0, 0.0, 0.0), later)
    assert _state(machine, "a") is State.WAITING
    machine.apply(c.ReplaceJobs(older, later.wall_s), later)
    (edited,) = machine.tables.jobs.line
    assert (edited.data, edited.attempt) == (b"2", 1)
    machine.apply(c.Complete("a", Proof(callback_url=worker("c1", "i1").id)), later)
    assert _state(machine, "a") is State.DONE


def test_an_edit_of_an_older_copy_brings_no_used_callback_back(machine: StateMachine) -> None:
    """A job that is sent there may seem to be taken."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    older = list(machine.tables.workers)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.DeliveryAccepted("a", 1), NOW)
    machine.apply(c.ReplaceWorkers([*older, worker("c2", "i2")], NOW.wall_s), NOW)
    assert [each.id for each in machine.tables.workers] == [worker("c2", "i2").id]
