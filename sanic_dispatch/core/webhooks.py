"""Webhooks: who is told of events, and up to which event each of them has been told.

Both are facts of the topic, so they are committed, undone and handed over like every record. What
is to be sent follows from the event log and the position alone, and is stored nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.tables import Fact, Tables
from sanic_dispatch.core.value import Value
from sanic_dispatch.errors import TooManyWebhooks, UnknownWebhook

if TYPE_CHECKING:
    from sanic_dispatch.core.state_machine import StateMachine

MAX_ENDPOINTS = 1000
"""The most endpoints of a topic."""

FORMER_SECRET_S = 24 * 3600.0
"""How long messages are also signed with the secret from before a rotation."""

ENDPOINT = "webhook:"
"""The name of a fact begins so: an endpoint's id follows, and the value is the endpoint's JSON."""

POSITION = "webhook-position:"
"""The name of a fact begins so: an endpoint's id follows, and the value is its position's JSON."""


class Endpoint(Value, frozen=True):
    """A URL that is told of events.

    ``events`` are kinds, or ``job.*`` and so on. ``former_secret`` signs, too, until
    ``former_until_s`` (Unix seconds). ``is_configured``: it is in the settings file.
    """

    id: str
    url: str
    events: tuple[str, ...]
    payload: bool
    secret: str
    is_configured: bool = False
    former_secret: str = ""
    former_until_s: float = 0.0

    def wants(self, kind: str) -> bool:
        """Return whether it is told of this kind of event."""
        return kind in self.events or f"{kind.partition('.')[0]}.*" in self.events

    def secrets_at(self, now_s: float) -> Sequence[str]:
        """Return the secrets to sign with at a time (Unix seconds)."""
        is_rotating = self.former_secret and now_s < self.former_until_s
        return (self.secret, self.former_secret) if is_rotating else (self.secret,)


class Position(Value, frozen=True):
    """How far an endpoint is: it was told of every event up to number ``n``.

    ``failing_since_s`` (Unix seconds) is when the present run of failures began.
    ``disabled`` says why nothing is sent any more; empty while it is.
    """

    endpoint_id: str
    n: int
    failing_since_s: float | None = None
    disabled: str = ""


def endpoints_in(facts: Iterable[Fact]) -> dict[str, Endpoint]:
    """Return the endpoints by id, in the order in which they were added."""
    found = [_endpoint_of(str(fact.value)) for fact in facts if fact.id.startswith(ENDPOINT)]
    return {endpoint.id: endpoint for endpoint in found}


def positions_in(facts: Iterable[Fact]) -> dict[str, Position]:
    """Return the positions by the endpoint's id."""
    found = [_position_of(str(fact.value)) for fact in facts if fact.id.startswith(POSITION)]
    return {position.endpoint_id: position for position in found}


def on_put_endpoint(machine: StateMachine, command: c.PutEndpoint) -> None:
    """Add an endpoint that is told of what happens from now on, or change one.

    One that is there keeps its position. Raises TooManyWebhooks.
    """
    tables, endpoint = machine.tables, command.endpoint
    if not tables.facts.text(ENDPOINT + endpoint.id):
        if sum(fact.id.startswith(ENDPOINT) for fact in tables.facts) >= MAX_ENDPOINTS:
            raise TooManyWebhooks(MAX_ENDPOINTS)
        _put_position(tables, Position(endpoint.id, machine.number))
    _put_endpoint(tables, endpoint)


def on_remove_endpoint(machine: StateMachine, command: c.RemoveEndpoint) -> None:
    """Remove an endpoint. Raises UnknownWebhook."""
    endpoint = _find(machine.tables, command.endpoint_id)
    machine.tables.remove_fact(ENDPOINT + endpoint.id)
    machine.tables.remove_fact(POSITION + endpoint.id)


def on_rotate_secret(machine: StateMachine, command: c.RotateSecret) -> None:
    """Sign with a new secret, and with the one before for a day. Raises UnknownWebhook."""
    endpoint = _find(machine.tables, command.endpoint_id)
    if endpoint.secret != command.secret:  # a repeat changes nothing
        until_s = machine.now.wall_s + FORMER_SECRET_S
        rotated = endpoint._replace(
            secret=command.secret, former_secret=endpoint.secret, former_until_s=until_s
        )
        _put_endpoint(machine.tables, rotated)


def on_continue_endpoint(machine: StateMachine, command: c.ContinueEndpoint) -> None:
    """Send again from where it stopped; ``drop``: from now on. Raises UnknownWebhook."""
    endpoint = _find(machine.tables, command.endpoint_id)
    position = _position_of(machine.tables.facts.text(POSITION + endpoint.id))
    n = machine.number if command.drop else position.n
    _put_position(machine.tables, Position(endpoint.id, n))


def on_move_positions(machine: StateMachine, command: c.MovePositions) -> None:
    """Store the positions of endpoints; ignore endpoints that were removed meanwhile."""
    for position in command.positions:
        if machine.tables.facts.text(ENDPOINT + position.endpoint_id):
            _put_position(machine.tables, position)


def _find(tables: Tables, endpoint_id: str) -> Endpoint:
    text = tables.facts.text(ENDPOINT + endpoint_id)
    if not text:
        raise UnknownWebhook
    return _endpoint_of(text)


def _endpoint_of(text: str) -> Endpoint:
    values = json.loads(text)
    return Endpoint(**{**values, "events": tuple(values["events"])})


def _position_of(text: str) -> Position:
    return Position(**json.loads(text))


def _put_endpoint(tables: Tables, endpoint: Endpoint) -> None:
    tables.put_fact(Fact(ENDPOINT + endpoint.id, _json_of(endpoint)))


def _put_position(tables: Tables, position: Position) -> None:
    tables.put_fact(Fact(POSITION + position.endpoint_id, _json_of(position)))


def _json_of(value: Endpoint | Position) -> str:
    values = {name: getattr(value, name) for name in value.__struct_fields__}
    return json.dumps(values, separators=(",", ":"))
