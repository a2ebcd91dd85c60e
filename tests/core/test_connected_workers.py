"""Workers without a callback: presence, offers, sessions, polls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core.connected_workers import POLL_AGAIN_S, RESUME_S, Resumed
from sanic_dispatch.core.job import Job, Stage, State, Way
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.state_machine import Applied, Now, Placed, StateMachine
from sanic_dispatch.core.topic import CONNECTED_LEASE_S, Policy
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import (
    AlreadyRegistered,
    DispatchError,
    NotTheHolder,
    QueueFull,
    TooManyRules,
    UnknownWorker,
    WorkerHasJob,
    WrongState,
)
from tests.support.world import worker

START_S = 1_732_412_340.0
TABLET, POLLER = "ws:tablet", "poll:shell"
RULE = "match.drink=gin"


class Bar:
    """A state machine, its clock, and what it has asked for."""

    def __init__(self) -> None:
        self.machine = StateMachine(Policy())
        self.at_s = 0.0
        self.apply(c.Recover("5e" * 32))

    def apply(self, command: c.Command) -> Applied:
        applied = self.machine.apply(command, Now(START_S + self.at_s, self.at_s))
        self.offers = [each for each in applied.effects if isinstance(each, e.OfferJob)]
        self.timers = [each for each in applied.effects if isinstance(each, e.StartTimer)]
        self.effects = applied.effects
        return applied

    def register(self, name: str, connection: str, session: str = "") -> Applied:
        registered = connected(name, session)
        return self.apply(c.RegisterConnected(registered, connection))

    def let_pass(self, timer: e.StartTimer) -> Applied:
        self.at_s += timer.after_s
        return self.apply(timer.command)

    def restart(self) -> None:
        before, self.machine = self.machine.tables, StateMachine(Policy())
        self.machine.load(before.jobs.unordered(), before.workers, before.facts)
        self.apply(c.Recover(""))

    def job(self, job_id: str = "a") -> Job:
        job = self.machine.tables.jobs.get(job_id)
        assert job is not None
        return job

    def holder(self, job_id: str = "a") -> str:
        holder = self.job(job_id).worker
        return holder.id if holder else ""

    def accept(self, job_id: str = "a") -> Applied:
        return self.apply(c.Accept(job_id, self.proof(job_id)))

    def proof(self, job_id: str = "a") -> Proof:
        return Proof(receipt=self.machine.receipts.receipt(self.job(job_id)))

    @property
    def waiting(self) -> list[str]:
        return [each.id for each in self.machine.tables.workers]


def _last_report(bar: Bar, ends: type[c.Complete | c.Fail]) -> c.Complete | c.Fail:
    if ends is c.Fail:
        return c.Fail("a", bar.proof(), "no ice")
    return c.Complete("a", bar.proof(), b"1")


def connected(name: str, session: str = "") -> Worker:
    return Worker(name, "2024-11-24T01:39:00Z", session=session)


@pytest.fixture
def bar() -> Bar:
    return Bar()


def test_all_workers_stand_in_one_line(bar: Bar) -> None:
    """A job goes to the one that has waited longest, whatever its channel."""
    bar.register(TABLET, "1")
    bar.apply(c.Register(worker("c1", "i1")))
    bar.register(POLLER, "2")
    for job_id in "abc":
        bar.apply(c.Submit(job_id, b"1"))
    assert [bar.holder(each) for each in "abc"] == [TABLET, worker("c1", "i1").id, POLLER]


@pytest.mark.parametrize("name", [TABLET, POLLER])
def test_a_worker_that_is_back_with_another_rule_waits_as_a_new_one(bar: Bar, name: str) -> None:
    """It is last in line among the workers with this rule, since it begins to wait again."""
    mojito, beer = "match.drink=mojito", "match.drink=beer"
    bar.apply(c.RegisterConnected(connected(name)._replace(rule=mojito), "1"))
    bar.apply(c.Leave("1"))
    bar.apply(c.RegisterConnected(connected("ws:other")._replace(rule=beer), "2"))
    back = bar.apply(c.RegisterConnected(connected(name)._replace(rule=beer), "3"))
    assert [event.kind for event in back.events] == ["worker.dropped", "worker.registered"]
    bar.apply(c.Submit("a", b'{"drink":"mojito"}'))
    assert bar.offers == []
    for job_id, connection in (("b", "2"), ("c", "3")):
        bar.apply(c.Submit(job_id, b'{"drink":"beer"}'))
        assert [offer.connection for offer in bar.offers] == [connection]


def test_a_worker_that_an_operator_set_aside_is_that_with_another_rule(bar: Bar) -> None:
    """It waits as a new one, and gets nothing."""
    bar.register(TABLET, "1")
    bar.apply(c.SetAside(TABLET, "smells burnt"))
    bar.apply(c.RegisterConnected(connected(TABLET)._replace(rule="match.drink=beer"), "2"))
    bar.apply(c.Submit("a", b'{"drink":"beer"}'))
    assert bar.offers == []
    bar.apply(c.BringBack(TABLET))
    assert [offer.connection for offer in bar.offers] == ["2"]


def test_a_rule_too_many_leaves_a_worker_as_it_was(bar: Bar) -> None:
    """A waiting worker that asks for one rule too many is refused, and keeps its place."""
    bar.machine.policy = Policy(max_rules=1)
    bar.apply(c.RegisterConnected(connected("ws:other")._replace(rule="match.drink=beer"), "1"))
    bar.register(TABLET, "2")
    wine = connected(TABLET)._replace(rule="match.drink=wine")
    assert isinstance(bar.apply(c.RegisterConnected(wine, "3")).reply, TooManyRules)
    bar.apply(c.Submit("a", b"1"))
    assert [offer.connection for offer in bar.offers] == ["2"]


def test_a_job_is_offered_and_accepted(bar: Bar) -> None:
    """The worker leaves the queue by accepting; its lease is that of connected workers."""
    bar.register(TABLET, "1")
    bar.apply(c.Submit("a", b"1"))
    (offer,) = bar.offers
    assert (offer.connection, offer.lease_s) == ("1", CONNECTED_LEASE_S)
    assert bar.waiting == [TABLET]
    bar.apply(c.Accept("a", Proof(receipt=offer.receipt)))
    hold = bar.job().hold
    assert hold is not None
    assert (hold.way, hold.stage) == (Way.OFFER, Stage.CONFIRMED)
    assert bar.waiting == []
    assert bar.accept().events == []  # a repeat


def test_a_worker_that_was_away_hears_that_its_job_is_to_be_cancelled(bar: Bar) -> None:
    """With the job, when it resumes."""
    bar.register(TABLET, "1", session="s")
    bar.apply(c.Submit("a", b"1"))
    bar.accept()
    bar.apply(c.Leave("1"))
    bar.apply(c.Cancel("a"))
    bar.apply(c.Resume("s", "2"))
    assert [type(each) for each in bar.effects] == [e.OfferJob, e.AskToStop]


def test_an_offer_that_is_not_accepted_lapses(bar: Bar) -> None:
    """The job goes to the next worker, the registration is over, and a late accept is refused."""
    bar.register(TABLET, "1")
    bar.register("ws:other", "2")
    bar.apply(c.Submit("a", b"1"))
    proof = bar.proof()
    bar.let_pass(bar.timers[-1])
    assert [each.connection for each in bar.offers] == ["2"]
    assert bar.waiting == ["ws:other"]
    assert isinstance(bar.apply(c.Accept("a", proof)).reply, NotTheHolder)


def test_a_worker_that_is_away_is_passed_over_and_keeps_its_place(bar: Bar) -> None:
    """What it was offered goes back at once; it is dropped if it does not come back."""
    bar.register(TABLET, "1", session="s")
    bar.apply(c.Submit("a", b"1"))
    bar.apply(c.Leave("1"))
    assert bar.job().state is State.WAITING
    (timer,) = bar.timers
    assert timer.after_s == RESUME_S
    bar.register("ws:other", "2")
    assert bar.holder() == "ws:other"
    resumed = bar.apply(c.Resume("s", "3")).reply
    assert resumed == Resumed(TABLET, is_waiting=True)
    bar.let_pass(timer)
    assert TABLET in bar.waiting
    bar.apply(c.Leave("1"))  # the old connection's end, seen late
    bar.apply(c.Submit("b", b"1"))
    assert [each.connection for each in bar.offers] == ["3"]
    bar.apply(c.Leave("3"))
    bar.let_pass(bar.timers[-1])
    assert TABLET not in bar.waiting


def test_an_accepted_job_stays_with_a_worker_that_is_away(bar: Bar) -> None:
    """Resumed, it gets the job once more; its lease ends the wait, and it is told what it lost."""
    bar.register(TABLET, "1", session="s")
    bar.apply(c.Submit("a", b"1"))
    bar.accept()
    (lease,) = bar.timers
    bar.apply(c.Leave("1"))
    resumed = bar.apply(c.Resume("s", "2")).reply
    assert isinstance(resumed, Resumed)
    assert (resumed.is_waiting, resumed.job) == (False, bar.job())
    assert [each.connection for each in bar.offers] == ["2"]
    bar.apply(c.Leave("2"))
    bar.let_pass(lease)
    assert bar.job().state is State.WAITING
    for connection in ("3", "4"):  # the first reply may not have left, if a commit failed
        assert bar.apply(c.Resume("s", connection)).reply == Resumed(lost="a")


@pytest.mark.parametrize("ends", [c.Complete, c.Fail])
def test_a_last_report_may_register_its_worker_again(
    bar: Bar, ends: type[c.Complete | c.Fail]
) -> None:
    """As it was, at the end of the line; the next job is offered with the same command."""
    bar.apply(c.RegisterConnected(connected(TABLET, "s")._replace(label="Left", rule=RULE), "1"))
    bar.apply(c.Submit("a", b'{"drink":"gin"}'))
    bar.accept()
    bar.apply(c.Submit("b", b'{"drink":"rum"}'))
    report = _last_report(bar, ends)._replace(connection="1")

    placed = bar.apply(report).reply

    assert isinstance(placed, Placed)
    assert placed.is_registered
    (again,) = bar.machine.tables.workers
    assert (again.id, again.label, again.rule, again.session) == (TABLET, "Left", RULE, "s")
    assert again.registered_s == START_S + bar.at_s
    assert bar.apply(report).reply == placed  # a repeat, which changes nothing
    assert bar.waiting == [TABLET]
    bar.apply(c.Submit("c", b'{"drink":"gin"}'))
    assert [(each.job.id, each.connection) for each in bar.offers] == [("c", "1")]
    assert bar.apply(report).reply == placed  # it is asked to accept its next job
    bar.accept("c")
    assert bar.apply(report).reply == placed._replace(is_registered=False)
    assert bar.waiting == []


def test_a_worker_that_gives_a_job_back_may_be_offered_it_again(bar: Bar) -> None:
    """With the command that gave it back, if no other worker is free: it asked for a job."""
    bar.register(TABLET, "1")
    bar.apply(c.Submit("a", b"1"))
    bar.accept()
    fail = c.Fail("a", bar.proof(), "no ice", retry=True, connection="1")
    placed = bar.apply(fail).reply
    assert isinstance(placed, Placed)
    assert (placed.job.state, placed.position, placed.is_registered) == (State.WAITING, 1, True)
    assert [(each.job.id, each.job.attempt) for each in bar.offers] == [("a", 2)]


def test_a_job_that_was_given_back_twice(bar: Bar) -> None:
    """The repeat says that the worker waits, though the job does not say any more whose it was."""
    bar.register(TABLET, "1")
    bar.apply(c.Submit("a", b"1"))
    bar.accept()
    bar.apply(c.Pause(paused=True))
    fail = c.Fail("a", bar.proof(), "no ice", retry=True, connection="1")
    placed = bar.apply(fail).reply
    assert isinstance(placed, Placed)
    assert placed.is_registered
    assert bar.apply(fail).reply == placed
    assert bar.waiting == [TABLET]


def test_a_last_report_registers_nobody_who_cannot_wait(bar: Bar) -> None:
    """It counts all the same; the worker registers itself, and hears why it cannot."""
    bar.machine.policy = replace(bar.machine.policy, max_workers=1)
    bar.register(TABLET, "1")
    for job_id, connection in (("a", "other"), ("b", "1")):
        bar.apply(c.Submit(job_id, b"1"))
        bar.accept(job_id)
        if connection == "1":
            bar.register("ws:other", "9")
        complete = c.Complete(job_id, bar.proof(job_id), connection=connection)
        placed = bar.apply(complete).reply
        assert isinstance(placed, Placed)
        assert (placed.job.state, placed.is_registered) == (State.DONE, False)
        if connection == "other":
            bar.register(TABLET, "1")
    assert isinstance(bar.register(TABLET, "1").reply, QueueFull)


def test_a_connection_that_resumes_what_it_has_is_sent_nothing_again(bar: Bar) -> None:
    """A worker that is asked to accept an offer can go on with just that."""
    bar.register(TABLET, "1", "s")
    bar.apply(c.Submit("a", b"1"))
    offered = bar.job()
    assert bar.apply(c.Resume("s", "1")).reply == Resumed(TABLET, job=offered)
    assert (bar.offers, bar.job()) == ([], offered)


def test_a_second_socket_of_one_name_takes_over(bar: Bar) -> None:
    """Place and job are its own now, and the first one is closed."""
    bar.register(TABLET, "1", session="s")
    bar.register("ws:other", "9")
    assert isinstance(bar.register(TABLET, "1").reply, AlreadyRegistered)
    bar.register(TABLET, "2", session="t")
    assert bar.effects == [e.EndConnection("1", "")]
    assert bar.waiting == [TABLET, "ws:other"]
    bar.apply(c.Submit("a", b"1"))
    bar.accept()
    bar.register(TABLET, "3", session="u")
    assert [each.connection for each in bar.offers] == ["3"]
    assert isinstance(bar.register(TABLET, "3").reply, AlreadyRegistered)
    assert bar.apply(c.Resume("t", "4")).reply == Resumed()


def test_a_connection_is_of_one_worker_at_a_time(bar: Bar) -> None:
    """It is registered under one name; under another once that has neither place nor job."""
    bar.register(TABLET, "1")
    assert isinstance(bar.register("ws:other", "1").reply, AlreadyRegistered)
    bar.apply(c.Withdraw(TABLET))
    bar.register("ws:other", "1")
    bar.register(TABLET, "2")
    bar.apply(c.Leave("1"))
    bar.apply(c.Submit("a", b"1"))
    assert [each.connection for each in bar.offers] == ["2"]


def test_an_undo_brings_connections_back(bar: Bar) -> None:
    """What comes again afterwards, since it has happened, begins everything again."""
    bar.register(TABLET, "1", session="s")
    bar.machine.tables.take_changes()
    number = bar.machine.number
    bar.register(TABLET, "2", session="t")
    bar.apply(c.Leave("2"))
    bar.machine.undo(bar.machine.tables.take_changes(), number)
    bar.apply(c.Leave("2"))
    bar.apply(c.Submit("a", b"1"))
    assert [each.connection for each in bar.offers] == ["1"]
    bar.apply(c.Leave("1"))
    bar.machine.undo(bar.machine.tables.take_changes(), number)
    bar.apply(c.Leave("1"))
    bar.let_pass(bar.timers[-1])
    assert bar.waiting == []


@pytest.mark.parametrize("has", ["a place", "an offer", "a job"])
def test_what_a_second_socket_has_taken_over_is_resumed_by_its_session(bar: Bar, has: str) -> None:
    """The lease of its job goes on as before."""
    bar.register(TABLET, "1", session="s")
    if has != "a place":
        bar.apply(c.Submit("a", b"1"))
    if has == "a job":
        bar.accept()
        (lease,) = bar.timers
    bar.register(TABLET, "2", session="t")
    resumed = bar.apply(c.Resume("t", "3")).reply
    assert isinstance(resumed, Resumed)
    assert (resumed.is_waiting, resumed.job is not None) == (has == "a place", has != "a place")
    if has == "a job":
        bar.let_pass(lease)
        assert bar.job().state is State.WAITING


def test_a_poll_never_finishes_a_job(bar: Bar) -> None:
    """While the worker has one it gets the same again; the answers before do not count any more."""
    bar.register(POLLER, "1")
    bar.apply(c.Submit("a", b"1"))
    receipt = bar.offers[0].receipt
    again = bar.register(POLLER, "2").reply
    assert isinstance(again, Job)
    assert (again.id, again.attempt) == ("a", 2)
    bar.apply(c.AnswerLost("a", 1, began=False))
    bar.apply(c.AnswerWritten("a", 2))
    assert bar.waiting == []
    third = bar.register(POLLER, "3").reply
    assert third == bar.job()
    assert bar.machine.receipts.receipt(bar.job()) == receipt
    bar.apply(c.Complete("a", Proof(receipt=receipt)))
    assert bar.register(POLLER, "4").reply is None
    assert bar.waiting == [POLLER]


def test_a_poll_that_ends_without_a_job_keeps_its_place_for_a_while(bar: Bar) -> None:
    """Between two polls it is passed over."""
    bar.register(POLLER, "1")
    bar.register("ws:other", "9")
    assert bar.apply(c.EndPoll(POLLER, "1")).reply is None
    (timer,) = bar.timers
    assert timer.after_s == POLL_AGAIN_S
    bar.apply(c.Submit("a", b"1"))
    assert [each.connection for each in bar.offers] == ["9"]
    bar.register(POLLER, "2")
    bar.let_pass(timer)
    assert bar.waiting[0] == POLLER
    bar.apply(c.Submit("b", b"1"))
    assert bar.apply(c.EndPoll(POLLER, "2")).reply == bar.job("b")  # offered meanwhile


def test_the_end_of_a_poll_takes_nothing_from_a_later_one(bar: Bar) -> None:
    """What that was offered is not for the earlier poll, whose worker may have hung up."""
    bar.register(POLLER, "1")
    bar.register(POLLER, "2")
    bar.apply(c.Submit("a", b"1"))
    assert bar.apply(c.EndPoll(POLLER, "1")).reply is None
    assert bar.apply(c.EndPoll(POLLER, "2")).reply == bar.job()


def test_a_poll_that_is_not_attached_any_more_gets_its_offer_when_it_ends(bar: Bar) -> None:
    """It may be one that was offered to another poll: that one's outcome does not count then."""
    bar.register(POLLER, "1")
    bar.apply(c.Submit("a", b"1"))
    bar.apply(c.Leave("1"))
    job = bar.apply(c.EndPoll(POLLER, "1")).reply
    assert isinstance(job, Job)
    assert (job.id, job.attempt) == ("a", 2)


@pytest.mark.parametrize("began", [True, False])
def test_an_answer_to_a_poll_that_was_cut_off(bar: Bar, began: bool) -> None:
    """If some of it was sent the worker may have the job; else that goes to the next."""
    bar.register(POLLER, "1")
    bar.apply(c.Submit("a", b"1"))
    bar.apply(c.AnswerLost("a", 1, began=began))
    assert bar.job().state is (State.ASSIGNED if began else State.WAITING)
    assert bar.waiting == ([] if began else [POLLER])


def test_a_restart(bar: Bar) -> None:
    """No offer is in doubt, and everyone has time to come back."""
    bar.register(TABLET, "1", session="s")
    bar.register(POLLER, "2")
    bar.apply(c.Submit("a", b"1"))
    bar.apply(c.Submit("b", b"1"))
    bar.restart()
    assert [bar.job(each).state for each in "ab"] == [State.WAITING, State.ASSIGNED]
    bar.apply(c.Resume("s", "3"))
    assert [each.job.id for each in bar.offers] == ["a"]
    again = bar.register(POLLER, "4").reply
    assert again == bar.job("b")


@pytest.mark.parametrize("name", [TABLET, POLLER])
def test_a_restart_leaves_a_job_with_its_worker(bar: Bar, name: str) -> None:
    """It has the job until its lease ends, and takes it up again."""
    bar.register(name, "1", session="s")
    bar.apply(c.Submit("a", b"1"))
    bar.accept()
    bar.restart()
    (lease,) = bar.timers
    assert bar.job().hold is not None
    bar.register(name, "2", session="s")
    assert bar.holder() == name
    bar.let_pass(lease)
    assert bar.job().state is State.WAITING


def test_an_offer_that_was_resumed_goes_back_all_the_same(bar: Bar) -> None:
    """The worker has not begun: nothing is in doubt."""
    bar.register(TABLET, "1", session="s")
    bar.apply(c.Submit("a", b"1"))
    bar.apply(c.Resume("s", "2"))
    bar.apply(c.Leave("2"))
    assert bar.job().state is State.WAITING


def test_a_job_of_which_an_earlier_poll_may_know_stays_with_its_worker(bar: Bar) -> None:
    """It has the job, perhaps, though nothing of the second answer was sent."""
    bar.register(POLLER, "1")
    bar.apply(c.Submit("a", b"1"))
    bar.register(POLLER, "2")
    bar.apply(c.AnswerLost("a", 2, began=False))
    hold = bar.job().hold
    assert hold is not None
    assert hold.stage is Stage.CONFIRMED


def test_a_worker_that_waits_for_its_next_job_outlives_a_restart(bar: Bar) -> None:
    """Its last job, which is over, names it too."""
    bar.register(TABLET, "1", session="s")
    bar.apply(c.Submit("a", b"1"))
    bar.accept()
    bar.apply(c.Complete("a", bar.proof()))
    bar.register(TABLET, "1", session="s")
    tables, bar.machine = bar.machine.tables, StateMachine(Policy())
    jobs = [job for job in [tables.jobs.get("a")] if job]
    bar.machine.load(jobs, tables.workers, tables.facts)
    bar.apply(c.Recover(""))
    assert bar.waiting == [TABLET]


def test_what_is_offered_goes_back_when_the_service_stops(bar: Bar) -> None:
    """Nobody waits for a human to accept."""
    bar.register(TABLET, "1")
    bar.apply(c.Submit("a", b"1"))
    bar.apply(c.Close())
    assert bar.job().state is State.WAITING


def test_a_withdrawal_is_of_its_connection(bar: Bar) -> None:
    """A late one does not withdraw a worker that has registered again by another connection."""
    bar.register(TABLET, "1")
    bar.apply(c.Leave("1"))
    bar.register(TABLET, "2")
    late = bar.apply(c.Withdraw(TABLET, connection="1"))
    assert isinstance(late.reply, UnknownWorker)
    assert bar.waiting == [TABLET]
    bar.apply(c.Leave("2"))
    bar.apply(c.Withdraw(TABLET, connection="2"))
    assert bar.waiting == []


@pytest.mark.parametrize("name", [TABLET, "http://c1/"])
def test_a_worker_withdraws(bar: Bar, name: str) -> None:
    """Not while it has a job, or may get one by PUT, and not twice."""
    if name == TABLET:
        bar.register(TABLET, "1")
    else:
        bar.apply(c.Register(Worker(name, "2024-11-24T01:39:00Z")))
    bar.apply(c.Withdraw(name))
    assert bar.waiting == []
    assert isinstance(bar.apply(c.Withdraw(name)).reply, UnknownWorker)
    bar.apply(c.Submit("a", b"1"))
    if name == TABLET:
        bar.register(TABLET, "1")
        bar.accept()
    else:
        bar.apply(c.Register(Worker(name, "2024-11-24T01:39:00Z", key=None)))
    refused = bar.apply(c.Withdraw(name)).reply
    assert isinstance(refused, WorkerHasJob)
    assert refused.job == {"id": "a", "ticket": 1}


def test_an_offer_to_a_worker_that_withdraws_goes_back(bar: Bar) -> None:
    """It is told so; the job goes to the next one, and has not been tried."""
    bar.register(TABLET, "1")
    bar.register("ws:other", "2")
    bar.apply(c.Submit("a", b"1"))
    proof = bar.proof()
    assert bar.apply(c.Withdraw(TABLET, connection="1")).reply is None
    assert bar.effects[0] == e.AskToStop("a", "1", "")
    assert [each.connection for each in bar.offers] == ["2"]
    assert (bar.waiting, bar.job().refusals) == (["ws:other"], 0)
    assert isinstance(bar.apply(c.Accept("a", proof)).reply, NotTheHolder)


def test_an_operator_keeps_a_connected_worker_aside(bar: Bar) -> None:
    """Also while it is away, and when it comes back."""
    bar.register(TABLET, "1")
    bar.apply(c.SetAside(TABLET, "too slow"))
    bar.apply(c.Leave("1"))
    bar.let_pass(bar.timers[-1])
    bar.register(TABLET, "2")
    bar.apply(c.Submit("a", b"1"))
    assert bar.offers == []
    bar.apply(c.BringBack(TABLET))
    assert [each.connection for each in bar.offers] == ["2"]


def test_an_offer_to_a_worker_that_is_set_aside_goes_back(bar: Bar) -> None:
    """It is told so, and gets nothing until it is brought back."""
    bar.register(TABLET, "1")
    bar.apply(c.Submit("a", b"1"))
    proof = bar.proof()
    bar.apply(c.SetAside(TABLET, "too slow"))
    assert bar.effects == [e.AskToStop("a", "1", "")]
    assert bar.job().state is State.WAITING
    assert isinstance(bar.apply(c.Accept("a", proof)).reply, NotTheHolder)
    assert isinstance(bar.register(TABLET, "1").reply, AlreadyRegistered)
    assert bar.offers == []
    bar.apply(c.BringBack(TABLET))
    assert [each.job.id for each in bar.offers] == ["a"]


@pytest.mark.parametrize("restarts", [True, False])
def test_a_worker_that_polls_and_is_set_aside_gets_no_other_job(bar: Bar, restarts: bool) -> None:
    """What its poll is just being answered with it may have, so that does not go back."""
    bar.register(POLLER, "1")
    bar.apply(c.Submit("a", b"1"))
    bar.apply(c.SetAside(POLLER, "too slow"))
    bar.apply(c.AnswerWritten("a", 1))
    assert isinstance(bar.apply(c.BringBack(POLLER)).reply, WrongState)
    if restarts:
        bar.restart()
    bar.apply(c.Complete("a", bar.proof()))
    assert bar.job().state is State.DONE
    bar.register(POLLER, "2")
    bar.apply(c.Submit("b", b"1"))
    assert bar.job("b").state is State.WAITING
    bar.apply(c.BringBack(POLLER))
    assert bar.holder("b") == POLLER


def test_a_worker_that_an_operator_brings_back_while_it_is_away_is_dropped(bar: Bar) -> None:
    """Unless it comes back in time."""
    bar.register(TABLET, "1")
    bar.apply(c.SetAside(TABLET, "too slow"))
    bar.apply(c.Leave("1"))
    bar.let_pass(bar.timers[-1])
    bar.apply(c.BringBack(TABLET))
    bar.let_pass(bar.timers[-1])
    assert bar.waiting == []


def test_workers_in_an_edited_file_are_expected_to_come(bar: Bar) -> None:
    """One with a connection goes on as before."""
    bar.register(TABLET, "1")
    tablet = bar.machine.tables.workers.get(TABLET)
    assert tablet is not None
    bar.apply(c.ReplaceWorkers([connected(POLLER), tablet], START_S))
    assert bar.waiting == [POLLER, TABLET]
    bar.let_pass(bar.timers[-1])
    assert bar.waiting == [TABLET]


def test_a_worker_set_aside_is_not_free_by_coming_again(bar: Bar) -> None:
    """It may withdraw, and registers as one that an operator has set aside."""
    bar.register(TABLET, "1")
    bar.apply(c.SetAside(TABLET, "too slow"))
    assert not isinstance(bar.apply(c.Withdraw(TABLET)).reply, DispatchError)
    bar.register(TABLET, "1")
    bar.apply(c.Submit("a", b"1"))
    assert bar.offers == []
    bar.apply(c.BringBack(TABLET))
    assert [each.connection for each in bar.offers] == ["1"]


def test_a_receipt_is_of_one_offer(bar: Bar) -> None:
    """A worker that keeps its name gets another one with the same job at another time."""
    bar.register(POLLER, "1")
    bar.apply(c.Submit("a", b"1"))
    first = bar.proof()
    bar.apply(c.AnswerWritten("a", 1))
    bar.apply(c.Fail("a", first, "no ice", retry=True))
    bar.register(POLLER, "2")
    assert bar.holder() == POLLER
    repeated = bar.apply(c.Fail("a", first, "no ice", retry=True))
    assert isinstance(repeated.reply, NotTheHolder)
    assert bar.holder() == POLLER
    assert bar.proof() != first


def test_a_report_on_an_offer_accepts_it(bar: Bar) -> None:
    """It does not lapse then; to ask whether to stop accepts nothing."""
    bar.register(TABLET, "1")
    bar.apply(c.Submit("a", b"1"))
    lapse = bar.timers[-1]
    bar.apply(c.AskIfCancelling("a", bar.proof()))
    assert bar.waiting == [TABLET]
    bar.apply(c.ReportProgress("a", bar.proof(), 10.0))
    assert bar.waiting == []
    bar.let_pass(lapse)
    assert bar.holder() == TABLET
    bar.apply(c.Complete("a", bar.proof()))
    bar.register(TABLET, "2")
    bar.apply(c.Submit("b", b"1"))
    bar.apply(c.Extend("b", bar.proof("b")))
    assert bar.waiting == []


def test_a_session_hears_of_the_job_that_it_lost_before_a_restart(bar: Bar) -> None:
    """While nobody else has it."""
    bar.register(TABLET, "1", session="s")
    bar.apply(c.Submit("a", b"1"))
    bar.accept()
    (lease,) = bar.timers
    bar.apply(c.Leave("1"))
    bar.let_pass(lease)
    tables, bar.machine = bar.machine.tables, StateMachine(Policy())
    bar.machine.load([job for job in [tables.jobs.get("a")] if job], [], tables.facts)
    bar.apply(c.Recover(""))
    assert bar.apply(c.Resume("s", "3")).reply == Resumed(lost="a")


def test_reports_on_a_job_that_was_cancelled_meanwhile(bar: Bar) -> None:
    """Its holder hears the state, and not that it is somebody else."""
    bar.register(TABLET, "1")
    bar.apply(c.Submit("a", b"1"))
    proof = bar.proof()
    bar.apply(c.Cancel("a"))
    refused = bar.apply(c.Accept("a", proof)).reply
    assert isinstance(refused, DispatchError)
    assert refused.code == "WrongState"
    assert bar.waiting == [TABLET]


def test_the_poll_of_a_worker_that_leaves_is_ended(bar: Bar) -> None:
    """When it withdraws, or is dropped."""
    bar.register(POLLER, "1")
    bar.apply(c.Withdraw(POLLER))
    assert bar.effects == [e.EndConnection("1", "")]


def test_an_offer_that_was_not_sent_goes_back(bar: Bar) -> None:
    """The connection was gone: the worker is away, and the next one gets the job."""
    bar.register(TABLET, "1")
    bar.register("ws:other", "2")
    bar.apply(c.Submit("a", b"1"))
    bar.apply(c.OfferReturned("a", 1))
    assert [each.connection for each in bar.offers] == ["2"]
    assert bar.waiting == [TABLET, "ws:other"]


def test_a_rule_holds_for_connected_workers(bar: Bar) -> None:
    """It is that of all workers."""
    beer = connected(TABLET)._replace(rule="match.drink=beer")
    bar.apply(c.RegisterConnected(beer, "1"))
    bar.apply(c.Submit("a", b'{"drink":"gin"}'))
    assert bar.offers == []
    bar.apply(c.Submit("b", b'{"drink":"beer"}'))
    assert [each.job.id for each in bar.offers] == ["b"]


def test_its_jobs_are_not_indexed_by_its_name(bar: Bar) -> None:
    """It has the same one for all of them, and at most one that it has now."""
    for job_id in "abc":
        bar.register(TABLET, "1")
        bar.apply(c.Submit(job_id, b"1"))
        bar.accept(job_id)
        bar.apply(c.Fail(job_id, bar.proof(job_id), "no ice", retry=job_id == "c"))
    assert bar.machine.tables.jobs.at_callback(TABLET) is None


def test_errors_change_nothing(bar: Bar) -> None:
    """A wrong receipt, a job that is over."""
    bar.register(TABLET, "1")
    bar.apply(c.Submit("a", b"1"))
    wrong = bar.apply(c.Accept("a", Proof(receipt="0" * 32))).reply
    assert isinstance(wrong, NotTheHolder)
    proof = bar.proof()
    bar.apply(c.Complete("a", proof))
    over = bar.apply(c.Accept("a", proof)).reply
    assert isinstance(over, DispatchError)
    assert over.code == "WrongState"
