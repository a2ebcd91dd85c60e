"""Progress, and jobs that are cancelled while they are made."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import Progress, State
from sanic_dispatch.core.progress import KEEP_EVERY_S
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import NotTheHolder, WrongState
from tests.support.job_maker import LEASE_S, Maker

TABLET = Worker("ws:tablet", "2024-11-24T01:39:00Z")


def test_progress_is_kept_and_renews_the_lease() -> None:
    """What is not said stays; the lease ends that long after the last word."""
    maker = Maker(holder=TABLET)
    maker.at_s = 20.0
    maker.progress(40.0, "adding gin")
    maker.at_s = 40.0
    maker.progress(text="shaking")
    assert maker.job.progress == Progress(40.0, "shaking")
    (timer,) = maker.timers
    assert timer.after_s == LEASE_S
    maker.at_s = 69.0
    maker.apply(timer.command)
    assert maker.job.state is State.ASSIGNED
    maker.at_s = 70.0
    maker.apply(timer.command)
    assert (maker.job.state, maker.job.progress) == (State.WAITING, None)


def test_progress_in_quick_succession_is_kept_together() -> None:
    """The first at once, then the last one of those that came since."""
    maker = Maker()
    assert [event.kind for event in maker.progress(1.0).events] == [EventKind.JOB_PROGRESSED]
    maker.at_s = KEEP_EVERY_S / 2
    assert maker.progress(2.0).events == []
    (timer,) = maker.timers
    assert maker.progress(3.0, "x").events == []
    assert maker.timers == []
    maker.at_s += timer.after_s
    assert [event.kind for event in maker.apply(timer.command).events] == ["job.progressed"]
    assert maker.job.progress == Progress(3.0, "x")
    assert maker.apply(timer.command).events == []


def test_no_progress_is_kept_over_what_was_said_later() -> None:
    """What comes as the timer is due is kept at once, and the timer finds nothing."""
    maker = Maker()
    maker.progress(1.0)
    maker.at_s = KEEP_EVERY_S * 0.9
    maker.progress(2.0)
    (timer,) = maker.timers
    maker.at_s += timer.after_s
    maker.progress(3.0)
    maker.apply(timer.command)
    assert maker.job.progress == Progress(3.0)


def test_no_lease_ends_while_progress_is_to_be_kept() -> None:
    """The timer that keeps it may wait for a commit that takes longer than the lease."""
    maker = Maker(holder=TABLET)
    maker.progress(1.0)
    (lease,) = maker.timers
    maker.progress(2.0)
    maker.at_s = LEASE_S
    maker.apply(lease.command)
    assert maker.job.progress == Progress(2.0)


def test_nothing_is_remembered_of_a_job_that_is_over() -> None:
    """Also if a commit has failed, so that no progress was kept."""
    maker = Maker()
    maker.undone(lambda: maker.progress(1.0))
    maker.progress(2.0)
    maker.apply(c.Complete("a", maker.proof))
    assert not maker.machine.tables.progress


def test_progress_of_a_commit_that_failed_was_not_kept() -> None:
    """The next report is kept at once, so that its sender hears whether it is stored."""
    maker = Maker()
    maker.undone(lambda: maker.progress(1.0))
    maker.progress(2.0)
    assert maker.job.progress == Progress(2.0)


def test_progress_is_due_again_if_it_could_not_be_kept() -> None:
    """The timer's command is applied again after a commit that failed, and finds it."""
    maker = Maker()
    maker.progress(1.0)
    maker.progress(2.0)
    (timer,) = maker.timers
    maker.at_s += timer.after_s
    maker.undone(lambda: maker.apply(timer.command))
    maker.apply(timer.command)
    assert maker.job.progress == Progress(2.0)


def test_only_the_holder_reports_progress() -> None:
    """A wrong receipt, and a job that is over, are refused."""
    maker = Maker()
    wrong = c.ReportProgress("a", Proof(receipt="0" * 32), 1.0)
    assert isinstance(maker.apply(wrong).reply, NotTheHolder)
    maker.apply(c.Complete("a", maker.proof))
    assert isinstance(maker.progress(1.0).reply, WrongState)
    assert maker.job.progress is None


def test_a_customer_cancels_where_the_holder_can_hear_of_it() -> None:
    """A callback worker can once it has reported; an operator may always ask."""
    maker = Maker()
    assert isinstance(maker.apply(c.Cancel("a")).reply, WrongState)
    maker.progress(10.0)
    assert [event.kind for event in maker.apply(c.Cancel("a")).events] == ["job.cancelling"]
    assert maker.apply(c.Cancel("a")).events == []
    assert (maker.job.state, maker.job.cancelling) == (State.ASSIGNED, True)
    never = Maker(Policy(lease_s=LEASE_S, cancel_assigned=False))
    never.progress(10.0)
    assert isinstance(never.apply(c.Cancel("a")).reply, WrongState)
    never.apply(c.Cancel("a", is_operators=True))
    assert never.job.cancelling


def test_a_connected_worker_is_told_to_stop() -> None:
    """By its connection, while it has one."""
    maker = Maker(holder=TABLET)
    told = [each for each in maker.apply(c.Cancel("a")).effects if isinstance(each, e.AskToStop)]
    assert [(each.job_id, each.connection) for each in told] == [("a", "1")]


def test_an_offer_that_is_not_accepted_is_cancelled_at_once() -> None:
    """Nothing was begun."""
    maker = Maker(holder=TABLET)
    maker.apply(c.Complete("a", maker.proof))
    maker.apply(c.RegisterConnected(maker.holder, "2"))
    maker.apply(c.Submit("b", b"1"))
    maker.apply(c.Cancel("b"))
    cancelled = maker.machine.tables.jobs.get("b")
    assert cancelled is not None
    assert cancelled.state is State.CANCELLED
    assert maker.machine.tables.workers.free_count() == 1


def test_the_lease_of_a_job_that_is_to_be_cancelled_ends_it() -> None:
    """Nobody makes it any more, and it is not made again."""
    maker = Maker(holder=TABLET)
    maker.progress(1.0)
    (lease,) = maker.timers
    maker.apply(c.Cancel("a"))
    maker.at_s += lease.after_s
    maker.apply(lease.command)
    assert maker.job.state is State.CANCELLED


ENDS = ("progress", "done", "cancelled", "cancel", "lease", "put back", "retry")


@given(st.permutations(ENDS), st.booleans())
def test_no_job_is_both_served_and_cancelled(order: list[str], is_connected: bool) -> None:
    """Whatever comes in whatever order, the first end stands, and everybody is told the same."""
    maker = Maker(holder=TABLET if is_connected else None)
    (lease,) = maker.progress(1.0).effects
    assert isinstance(lease, e.StartTimer)
    acts: dict[str, Callable[[], c.Command]] = {
        "progress": lambda: c.ReportProgress("a", maker.proof, 50.0),
        "done": lambda: c.Complete("a", maker.proof),
        "cancelled": lambda: c.Fail("a", maker.proof, "", cancelled=True),
        "cancel": lambda: c.Cancel("a"),
        "lease": lambda: lease.command,
        "put back": lambda: c.PutBack("a"),
        "retry": lambda: c.Fail("a", maker.proof, "", retry=True),
    }
    ends = []
    for number, act in enumerate(itertools.chain(order, order)):
        if act == "lease":
            maker.at_s += LEASE_S * 2
        applied = maker.apply(acts[act]())
        finals = {EventKind.JOB_DONE, EventKind.JOB_CANCELLED, EventKind.JOB_FAILED}
        ends += [event.kind for event in applied.events if event.kind in finals]
        if ends and act != "put back" and number:
            assert maker.job.state.is_final or EventKind.JOB_FAILED in ends
    assert len([each for each in ends if each is not EventKind.JOB_FAILED]) <= 1
