"""Webhooks in the state machine: what an operator and the outbox say of them."""

from __future__ import annotations

import json

import pytest

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.state_machine import Now, StateMachine
from sanic_dispatch.core.tables import Fact
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.webhooks import (
    FORMER_SECRET_S,
    MAX_ENDPOINTS,
    Endpoint,
    Position,
    endpoints_in,
    positions_in,
)
from sanic_dispatch.errors import TooManyWebhooks, UnknownWebhook

TILL = Endpoint("till", "https://till.example/", ("job.*", "dispatch.paused"), True, "whsec_a")


class Topic:
    """A state machine, and what its facts say."""

    def __init__(self) -> None:
        self.machine = StateMachine(Policy())
        self.do(c.Recover("00"))

    def do(self, command: c.Command, wall_s: float = 1000.0) -> object:
        return self.machine.apply(command, Now(wall_s, wall_s)).reply

    @property
    def endpoint(self) -> Endpoint:
        return endpoints_in(self.machine.tables.facts)["till"]

    @property
    def position(self) -> Position:
        return positions_in(self.machine.tables.facts)["till"]


@pytest.fixture
def topic() -> Topic:
    topic = Topic()
    topic.do(c.Pause(True))  # event 1
    topic.do(c.PutEndpoint(TILL))
    return topic


def test_an_endpoint_is_told_of_what_happens_from_now_on(topic: Topic) -> None:
    """It is kept whole, as text, and begins after the last event."""
    assert topic.endpoint == TILL
    assert topic.position == Position("till", 1)
    assert all(isinstance(fact, Fact) for fact in topic.machine.tables.facts)


@pytest.mark.parametrize(
    ("kind", "is_wanted"),
    [
        ("job.done", True),
        ("dispatch.paused", True),
        ("dispatch.resumed", False),
        ("worker.used", False),
    ],
)
def test_what_it_wants(kind: str, is_wanted: bool) -> None:
    """A group, or the very kind of an event."""
    assert TILL.wants(kind) is is_wanted


def test_a_change_keeps_the_position(topic: Topic) -> None:
    """One that is there, put again, goes on where it is."""
    topic.do(c.MovePositions([Position("till", 7, 900.0)]))
    topic.do(c.PutEndpoint(TILL._replace(url="https://new.example/")))
    assert topic.endpoint.url == "https://new.example/"
    assert topic.position == Position("till", 7, 900.0)


def test_a_rotation_signs_with_both_secrets_for_a_day(topic: Topic) -> None:
    """A repeat of the same rotation changes nothing."""
    topic.do(c.RotateSecret("till", "whsec_b"), wall_s=2000.0)
    topic.do(c.RotateSecret("till", "whsec_b"), wall_s=9000.0)
    end_s = 2000.0 + FORMER_SECRET_S
    assert topic.endpoint.secrets_at(end_s - 1) == ("whsec_b", "whsec_a")
    assert topic.endpoint.secrets_at(end_s) == ("whsec_b",)


def test_going_on(topic: Topic) -> None:
    """It is not failing any more, and goes on where it stopped, or after what has happened."""
    topic.do(c.Pause(False))
    topic.do(c.MovePositions([Position("till", 1, 5.0, "status 500")]))
    topic.do(c.ContinueEndpoint("till"))
    assert topic.position == Position("till", 1)
    topic.do(c.ContinueEndpoint("till", drop=True))
    assert topic.position == Position("till", 2)


def test_what_is_removed_stays_so(topic: Topic) -> None:
    """A position that comes late is not kept, and acts are refused."""
    topic.do(c.RemoveEndpoint("till"))
    topic.do(c.MovePositions([Position("till", 9)]))
    facts = topic.machine.tables.facts
    assert (endpoints_in(facts), positions_in(facts)) == ({}, {})
    for act in (c.RemoveEndpoint("till"), c.RotateSecret("till", "x"), c.ContinueEndpoint("till")):
        assert isinstance(topic.do(act), UnknownWebhook)


def test_there_is_a_limit(topic: Topic) -> None:
    """One more is refused; one that is there may be changed."""
    for n in range(MAX_ENDPOINTS - 2):
        values = {"id": str(n), "url": "", "events": [], "payload": False, "secret": ""}
        topic.machine.tables.put_fact(Fact(f"webhook:{n}", json.dumps(values)))
    assert topic.do(c.PutEndpoint(TILL._replace(id="last"))) is None
    assert isinstance(topic.do(c.PutEndpoint(TILL._replace(id="more"))), TooManyWebhooks)
    assert topic.do(c.PutEndpoint(TILL)) is None
