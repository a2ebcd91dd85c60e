"""A held job that is to be cancelled, and that its worker is known not to have."""

from __future__ import annotations

import pytest

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core.evidence import LATE_S, ProbeResult
from sanic_dispatch.core.job import Job, Stage, State
from sanic_dispatch.core.state_machine import Applied, Now, StateMachine
from sanic_dispatch.core.topic import Policy
from tests.support.world import worker

START_S = 1_732_412_340.0
OLD, NEW = worker("c1", "i1"), worker("c2", "i1")
PENDING = ProbeResult(True, "running", "running")


class Bar:
    """A state machine with a job ``a``, and a clock."""

    def __init__(self) -> None:
        self.machine = StateMachine(Policy())
        self.at_s = 0.0
        self.apply(c.Recover("5e" * 32))

    def apply(self, command: c.Command) -> Applied:
        return self.machine.apply(command, Now(START_S + self.at_s, self.at_s))

    def put(self, outcome: c.Command) -> Applied:
        """Send the job to OLD, with this outcome."""
        self.apply(c.Register(OLD))
        self.apply(c.Submit("a", b"1"))
        return self.apply(outcome)

    def cancel(self) -> None:
        """Have the operator cancel the job."""
        self.apply(c.Cancel("a", "he left", is_operators=True))
        assert self.job.cancelling

    def probe(self, looked: Applied, found: ProbeResult = PENDING) -> Applied:
        """Apply the result of the probe that is asked for."""
        (probe,) = (each for each in looked.effects if isinstance(each, e.ProbeHold))
        return self.apply(c.HoldProbed(probe.look, is_timed=True, found=found))

    def look(self, before: Applied) -> Applied:
        """Let the job's timer fire."""
        (timer,) = (
            each
            for each in before.effects
            if isinstance(each, e.StartTimer) and isinstance(each.command, c.LookAtJob)
        )
        self.at_s += timer.after_s
        return self.apply(timer.command)

    @property
    def job(self) -> Job:
        job = self.machine.tables.jobs.get("a")
        assert job is not None
        return job

    @property
    def free(self) -> set[str]:
        return {each.id for each in self.machine.tables.workers if each.aside is None}

    def is_cancelled(self, applied: Applied) -> bool:
        """Whether the job was cancelled, and not handed out again."""
        sent = [each for each in applied.effects if isinstance(each, e.PutJob)]
        return self.job.state is State.CANCELLED and sent == []


@pytest.fixture
def bar() -> Bar:
    return Bar()


IN_DOUBT = c.DeliveryInDoubt("a", 1, "time-out")
TAKEN = c.DeliveryAccepted("a", 1)


def test_a_job_in_doubt_whose_callback_waits_is_cancelled(bar: Bar) -> None:
    """Not sent again; its worker is probed before it gets another one, since it may arrive yet."""
    doubt = bar.put(IN_DOUBT)
    bar.cancel()
    cancelled = bar.probe(bar.look(doubt))
    assert bar.is_cancelled(cancelled)
    assert bar.free == set()
    (look,) = (each for each in cancelled.effects if isinstance(each, e.StartTimer))
    bar.at_s += LATE_S
    assert isinstance(look.command, c.LookAtWorker)
    bar.apply(c.WorkerProbed(look.command, is_pending=True, instance_state="running"))
    assert bar.free == {OLD.id}


def test_an_answer_in_doubt_whose_callback_waits_is_cancelled(bar: Bar) -> None:
    """Its worker is not in the queue, and is to get the next job: so it is put there."""
    bar.apply(c.Submit("a", b"1"))
    bar.apply(c.Register(OLD))
    doubt = bar.apply(c.AnswerLost("a", 1, began=True))
    bar.cancel()
    assert bar.is_cancelled(bar.probe(bar.look(doubt)))
    assert OLD.id in bar.machine.tables.workers


def test_a_job_that_its_worker_has_lost_is_cancelled(bar: Bar) -> None:
    """Its worker took it, and waits on the same callback all the same."""
    taken = bar.put(TAKEN)
    bar.cancel()
    assert bar.is_cancelled(bar.probe(bar.look(taken)))
    aside = bar.machine.tables.workers.get(OLD.id)
    assert aside is not None
    assert aside.aside is not None


def test_a_job_that_was_lost_before_it_was_to_be_cancelled(bar: Bar) -> None:
    """It is cancelled where it would be sent again."""
    lost = bar.probe(bar.look(bar.put(TAKEN)))
    assert bar.job.hold is not None
    assert bar.job.hold.is_unused
    bar.cancel()
    assert bar.is_cancelled(bar.probe(bar.look(lost)))


def test_a_worker_that_is_back_with_a_new_callback_does_not_get_it(bar: Bar) -> None:
    """Where it would be sent there, its worker is free for the next job."""
    lost = bar.probe(bar.look(bar.put(TAKEN)))
    bar.cancel()
    bar.apply(c.Register(NEW))
    assert bar.is_cancelled(bar.probe(bar.look(lost), ProbeResult(None, None, None)))
    assert bar.free == {NEW.id}
    assert OLD.id not in bar.machine.tables.workers


@pytest.mark.parametrize("outcome", [IN_DOUBT, TAKEN])
def test_a_worker_that_says_so_before_the_outcome_is_known(bar: Bar, outcome: c.Command) -> None:
    """It waits for that, and gets the next job then."""
    bar.put(c.LookUp("a"))
    bar.cancel()
    bar.apply(c.Register(NEW, lost=True))
    assert bar.job.hold is not None
    assert bar.job.hold.stage is Stage.UNDER_WAY
    assert bar.is_cancelled(bar.apply(outcome))
    assert bar.free == {NEW.id}


@pytest.mark.parametrize("is_put", [True, False])
def test_a_worker_that_says_it_lost_the_job_gets_the_next_one(bar: Bar, is_put: bool) -> None:
    """The worker gets the next job instead of the one that is to be cancelled."""
    if is_put:
        bar.put(IN_DOUBT)
    else:
        bar.apply(c.Submit("a", b"1"))
        bar.apply(c.Register(OLD))
        bar.apply(c.AnswerWritten("a", 1))
    bar.cancel()
    bar.apply(c.Submit("b", b"2"))
    given = bar.apply(c.Register(NEW, lost=True))
    assert isinstance(given.reply, Job)
    assert given.reply.id == "b"
    assert bar.is_cancelled(given)
    assert list(bar.machine.tables.workers) == []
