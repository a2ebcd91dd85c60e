"""The schemas and the AsyncAPI document of the live channel."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ujson

from sanic_dispatch import __version__
from sanic_dispatch.core.line import Ordering
from sanic_dispatch.live.asyncapi import asyncapi
from sanic_dispatch.live.connection import ViewKey
from sanic_dispatch.live.projection import Projection
from sanic_dispatch.live.schema import VIEWS, frame_schema, schemas
from tests.support.story import FakeConnection, Story, secret

OFFICIAL = Path(__file__).parent / "asyncapi/3.0.0.json"

DOCUMENT = asyncapi(__version__)

ORDER = {"n": 1, "logo": "lion", "drink": "Mojito", "state": "waiting", "t": 1.0}
BAR = {"robots": 0, "waiting": 1, "assigned": 0, "paused": False, "unavailable": []}


def is_valid(view: str, frame: Any) -> bool:
    return jsonschema.Draft7Validator(frame_schema(view)).is_valid(frame)


def references(value: Any) -> list[str]:
    """Yield every $ref in a document."""
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [ref for part in value.values() for ref in references(part)]
    return [ref for part in value for ref in references(part)] if isinstance(value, list) else []


def test_the_official_schema_accepts_the_document() -> None:
    """The official AsyncAPI 3.0 schema accepts it, and rejects a broken one."""
    official = jsonschema.Draft7Validator(json.loads(OFFICIAL.read_text()))
    official.validate(DOCUMENT)
    assert not official.is_valid({**DOCUMENT, "channels": []})


def test_the_document_holds_together() -> None:
    """Each reference resolves; each operation sends the frames of its own channel."""
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT["info"]["version"] == __version__
    for ref in references(DOCUMENT):
        target: Any = DOCUMENT
        for part in ref.removeprefix("#/").split("/"):
            target = target[part]
    for view in VIEWS:
        operation = DOCUMENT["operations"][f"follow_{view}"]
        assert operation["channel"]["$ref"] == f"#/channels/{view}"
        assert operation["action"] == "send"


def test_the_document_is_json() -> None:
    """It survives a round trip."""
    assert ujson.loads(ujson.dumps(DOCUMENT)) == DOCUMENT


@pytest.mark.parametrize("name", schemas())
def test_schemas_are_schemas(name: str) -> None:
    """Draft 7, on which AsyncAPI's schema objects are based."""
    jsonschema.Draft7Validator.check_schema(schemas()[name])


@pytest.mark.parametrize("view", VIEWS)
def test_the_frames_of_a_view_fit_its_schema(view: str) -> None:
    """State, patch and heartbeat with every kind of entry."""
    story = Story()
    hub = story.hub(new_projection=partial(Projection, ordering=Ordering(300.0)))
    connection = FakeConnection()
    worker = story.register("r1")
    ticket = story.submit({"name": "Ada", "logo": "lion", "drink": "Mojito"})
    hub.follow(connection, ViewKey(view, secret(ticket) if view == "order" else ""))
    for step in (story.assign, story.doubt, story.put_back, story.assign, story.fail):
        step(ticket)
        story.loop.run(25.0)
    story.put_back(ticket)
    story.assign(ticket)
    for percent, text in ((40, "shaking"), (None, ""), (100, "")):
        story.make_progress(ticket, percent, text)
        story.loop.run(25.0)
    story.ask_to_cancel(ticket)
    story.loop.run(25.0)
    story.stop(ticket)
    story.register("r2", rule="match.drink=beer")
    for priority in (3, 0):
        story.submit({"drink": "Mojito"}, priority=priority)
        story.loop.run(25.0)
    story.serve(10.0)
    story.leave(worker)
    story.loop.run(25.0)
    for frame in connection.taken:
        jsonschema.validate(frame, frame_schema(view), jsonschema.Draft7Validator)
    assert len(connection.taken) > 5


@pytest.mark.parametrize(
    "frame",
    [
        {"at": "a:1", "now": 1.0, "state": {"order/1": ORDER | {"name": "Ada"}}},
        {"at": "a:1", "now": 1.0, "state": {"order/1": ORDER | {"state": "failed"}}},
        {"at": "a:1", "now": 1.0, "state": {"order/1": None}},
        {"at": "a:1", "now": 1.0, "state": {"order/x": ORDER}},
        {"at": "a:1", "now": 1.0, "state": {"order/1": ORDER | {"why": {"reason": "paused"}}}},
        {"at": "a:1", "now": 1.0, "state": {"line": {"tickets": ["1"]}}},
        {"at": "a:1", "now": 1.0, "state": {"bar": BAR}, "patch": {}},
        {"at": "a:1", "now": 1.0, "state": {"bar": BAR | {"waiting": -1}}},
        {"at": "a:1", "now": "1", "state": {}},
        {"at": "1", "now": 1.0},
        {"at": "a:1"},
        {"at": "a:1", "now": 1.0, "extra": 1},
    ],
)
def test_the_schema_rejects_other_frames(frame: dict[str, Any]) -> None:
    """Control: the schema rejects other frames, above all names."""
    assert not is_valid("board", frame)
    state = {"order/1": ORDER, "bar": BAR, "line": {"tickets": [1]}}
    assert is_valid("board", {"at": "a:1", "now": 1.0, "state": state})
    assert is_valid("board", {"at": "a:1", "now": 1.0, "patch": {"order/1": None}})
