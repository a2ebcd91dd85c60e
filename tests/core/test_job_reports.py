"""What the holder of a job reports at its end: done, failed or cancelled."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.job import State
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.errors import WrongState
from tests.support.job_maker import Maker


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (lambda proof: c.Complete("a", proof), State.DONE),
        (lambda proof: c.Fail("a", proof, "stopped", cancelled=True), State.CANCELLED),
        (lambda proof: c.Fail("a", proof, "no ice"), State.FAILED),
        (lambda proof: c.Fail("a", proof, "no ice", retry=True), State.CANCELLED),
        (lambda proof: c.PutBack("a"), State.WAITING),
    ],
)
def test_the_end_of_a_job_that_is_to_be_cancelled(
    end: Callable[[Proof], c.Command], state: State
) -> None:
    """Its holder says which; it never waits again, unless an operator puts it back."""
    maker = Maker()
    maker.apply(c.Pause(True))
    maker.apply(c.Cancel("a", is_operators=True))
    maker.apply(end(maker.proof))
    assert (maker.job.state, maker.job.cancelling) == (state, False)


def test_a_job_that_nobody_asked_to_cancel_fails() -> None:
    """Its holder's ``cancelled`` has no effect; an operator may put it back as any failed job."""
    maker = Maker()
    for events in (["job.failed"], []):
        failed = maker.apply(c.Fail("a", maker.proof, "no ice", cancelled=True))
        assert [event.kind for event in failed.events] == events
        assert not isinstance(failed.reply, WrongState)
    assert (maker.job.state, maker.job.reason) == (State.FAILED, "no ice")
    maker.apply(c.PutBack("a"))
    assert maker.job.state is State.WAITING


def test_a_repeat_of_cancelled_changes_nothing() -> None:
    """Only a repeat of the same report is one."""
    maker = Maker()
    maker.apply(c.Cancel("a", is_operators=True))
    maker.apply(c.Fail("a", maker.proof, "stopped", cancelled=True))
    assert maker.apply(c.Fail("a", maker.proof, "stopped", cancelled=True)).events == []
    assert isinstance(maker.apply(c.Fail("a", maker.proof, "no ice")).reply, WrongState)
    assert maker.job.state is State.CANCELLED
