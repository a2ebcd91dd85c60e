"""Which phones are told of a job, what is true of it, and when they are forgotten."""

from __future__ import annotations

import pytest

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.job import Job, Stage, State
from sanic_dispatch.core.push_subscriptions import (
    END_TRUE_S,
    MAX_SUBSCRIPTIONS,
    Prospects,
    PushKind,
    PushSubscription,
    all_subscriptions,
    kinds_true_of,
    subscriptions_of,
)
from sanic_dispatch.core.state_machine import Now, StateMachine
from sanic_dispatch.core.tables import PUSH
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.errors import TooManySubscriptions, UnknownJob, WrongState
from tests.support.world import worker

NOW_S = 1_732_412_340.0
PHONE = PushSubscription("https://push.example/1", "p256dh", "auth", "de")
JOB = Job("a" * 32, 1, b"1", "2024-11-24T01:39:00Z", 1)


class Line:
    """A state machine with an order."""

    def __init__(self, **policy: int) -> None:
        self.machine = StateMachine(Policy(**policy))
        self.do(c.Recover("5e" * 32))
        self.do(c.Submit(JOB.id, b"1"))

    def do(self, command: c.Command) -> object:
        return self.machine.apply(command, Now(NOW_S, 0.0)).reply

    @property
    def phones(self) -> list[PushSubscription]:
        return subscriptions_of(self.machine.tables, JOB.id)

    @property
    def is_anything_kept(self) -> bool:
        return any(fact.id.startswith(PUSH) for fact in self.machine.tables.facts)

    def assign(self) -> None:
        """Let a robot take the order, and hold it."""
        self.do(c.Register(worker("c1", "i1")))
        self.do(c.AnswerWritten(JOB.id, 1))

    def finish(self) -> None:
        """Let a robot take the order that reports no end."""
        self.do(c.Register(worker("c1")))
        self.do(c.AnswerWritten(JOB.id, 1))


@pytest.fixture
def line() -> Line:
    line = Line()
    line.do(c.PutSubscription(JOB.id, PHONE))
    return line


def test_a_phone_is_kept_with_the_order(line: Line) -> None:
    """As a fact, which is undone like every record."""
    assert all_subscriptions(line.machine.tables.facts) == {JOB.id: [PHONE]}
    mark = line.machine.tables.take_changes()
    line.machine.undo(mark, 0)
    assert not line.is_anything_kept


def test_the_same_endpoint_replaces(line: Line) -> None:
    """It keeps what it was told, so that it is not told twice."""
    line.do(c.NoteTold(JOB.id, PHONE.endpoint, "making"))
    line.do(c.PutSubscription(JOB.id, PHONE._replace(auth="other", lang="en")))
    assert line.phones == [PHONE._replace(auth="other", lang="en", told=("making",))]


def test_so_many_phones_and_no_more(line: Line) -> None:
    """One that is there already does not count."""
    others = [PHONE._replace(endpoint=f"https://push.example/{n}") for n in range(2, 5)]
    assert [line.do(c.PutSubscription(JOB.id, each)) for each in others[:2]] == [None, None]
    assert isinstance(line.do(c.PutSubscription(JOB.id, others[2])), TooManySubscriptions)
    assert line.do(c.PutSubscription(JOB.id, PHONE)) is None
    assert len(line.phones) == MAX_SUBSCRIPTIONS


def test_the_end_of_a_subscription(line: Line) -> None:
    """A repeat changes nothing, and other phones stay."""
    other = PHONE._replace(endpoint="https://push.example/2")
    line.do(c.PutSubscription(JOB.id, other))
    for _ in range(2):
        assert line.do(c.RemoveSubscription(JOB.id, PHONE.endpoint)) is None
        assert line.phones == [other]
    line.do(c.RemoveSubscription(JOB.id, other.endpoint))
    assert not line.is_anything_kept


def test_unknown_orders() -> None:
    line = Line()
    assert isinstance(line.do(c.PutSubscription("none", PHONE)), UnknownJob)
    assert isinstance(line.do(c.RemoveSubscription("none", PHONE.endpoint)), UnknownJob)
    assert line.do(c.NoteTold("none", PHONE.endpoint, "ready")) is None
    assert not line.is_anything_kept


def test_a_cancelled_order_keeps_no_phone(line: Line) -> None:
    """At once, and it takes none any more."""
    line.do(c.Cancel(JOB.id))
    assert not line.is_anything_kept
    assert isinstance(line.do(c.PutSubscription(JOB.id, PHONE)), WrongState)


def test_the_last_message_ends_it(line: Line) -> None:
    """Not the one before, and not the end of the order: the phone has to be told of that."""
    line.do(c.NoteTold(JOB.id, PHONE.endpoint, "making"))
    line.finish()
    assert line.machine.find(JOB.id).state is State.DONE
    assert line.phones == [PHONE._replace(told=("making",))]
    line.do(c.NoteTold(JOB.id, PHONE.endpoint, "ready"))
    assert not line.is_anything_kept


def test_a_forgotten_order_keeps_no_phone(line: Line) -> None:
    """Also if the phone was not told the last thing yet."""
    line.finish()
    line.do(c.Forget(JOB.id))
    assert not line.is_anything_kept


def test_an_order_that_is_not_kept_any_more_keeps_no_phone() -> None:
    """Its record and its phones go together."""
    line = Line(keep_finished=1)
    line.do(c.PutSubscription(JOB.id, PHONE))
    line.finish()
    line.do(c.Submit("b" * 32, b"2"))
    line.do(c.Cancel("b" * 32))
    assert line.machine.tables.jobs.get(JOB.id) is None
    assert not line.is_anything_kept


def test_nothing_confidential_is_shown() -> None:
    """Also in the commands, which a failure may log."""
    for value in (PHONE, c.PutSubscription(JOB.id, PHONE)):
        assert all(word not in repr(value) for word in ("push.example", "p256dh", "auth"))


def held(stage: Stage, **changes: object) -> Job:
    """Return the order, held at this stage."""
    line = Line()
    line.assign()
    job = line.machine.find(JOB.id)
    assert job.hold is not None
    return job._replace(hold=job.hold._replace(stage=stage), **changes)


NEAR, LATE = Prospects(ahead=2), Prospects(ahead=2, is_late=True)


@pytest.mark.parametrize(
    ("job", "prospects", "kinds"),
    [
        (JOB, Prospects(), []),
        (JOB, Prospects(ahead=3), []),
        (JOB, NEAR, [PushKind.TWO_BEFORE]),
        (JOB, Prospects(ahead=1), []),
        (JOB, LATE, [PushKind.TWO_BEFORE, PushKind.LATE]),
        (held(Stage.UNDER_WAY), NEAR, []),
        (held(Stage.IN_DOUBT), Prospects(is_late=True), [PushKind.LATE]),
        (held(Stage.CONFIRMED), LATE, [PushKind.MAKING, PushKind.LATE]),
        (held(Stage.CONFIRMED, cancelling=True), Prospects(), []),
        (JOB._replace(state=State.DONE, finished_s=NOW_S), LATE, [PushKind.READY]),
        (JOB._replace(state=State.FAILED, finished_s=NOW_S), LATE, [PushKind.FAILED]),
        (JOB._replace(state=State.CANCELLED, finished_s=NOW_S), LATE, []),
        (JOB._replace(state=State.DONE, finished_s=NOW_S - END_TRUE_S), NEAR, []),
    ],
)
def test_what_is_true(job: Job, prospects: Prospects, kinds: list[PushKind]) -> None:
    """In the order to tell it."""
    assert kinds_true_of(job, prospects, NOW_S) == kinds
