"""Events as operators see them."""

from __future__ import annotations

import json

import pytest

from sanic_dispatch.history.event_fields import NAMES, fields_of, json_line, step_of
from sanic_dispatch.observability import log
from sanic_dispatch.storage.event_record import LoggedEvent
from tests.history.stories import LoggedStory, change_of_mind, evening


@pytest.mark.parametrize("story", [evening(), change_of_mind()], ids=["evening", "change of mind"])
def test_a_step_has_the_fields_of_the_log(story: LoggedStory) -> None:
    """Under the same names, and escaped and cut in the same way."""
    for event, record in zip(story.told, story.events, strict=True):
        step = step_of(record)
        assert list(step)[:2] == ["timestamp", "event"]
        del step["timestamp"], step["event"]
        assert step == log.fields_of(event)


def test_an_event_always_has_six_members() -> None:
    """Those of which nothing is known are null, or an empty reason; others are left out."""
    assert fields_of(LoggedEvent(7, 1732412340.5, "dispatch.paused")) == {
        "n": 7,
        "at": "2024-11-24T01:39:00.500000Z",
        "event": "dispatch.paused",
        "ticket": None,
        "worker": None,
        "reason": "",
    }


def test_all_fields() -> None:
    """A job's id is cut, and so are ids and the query in a callback."""
    whole = LoggedEvent(
        8, 0.0, "job.done", 42, "0123456789abcdef" * 2, "Ada",
        "http://e/callbacks/5480964890e4a865b1cee2b2fe93f45a/?key=s3cret", "why\n", "r-1", 2,
        1.5, 3.0, None, 40,
    )  # fmt: skip
    assert fields_of(whole) == {
        "n": 8,
        "at": "1970-01-01T00:00:00.000000Z",
        "event": "job.done",
        "ticket": 42,
        "job": "01234567",
        "attempt": 2,
        "waiting_s": 1.5,
        "service_s": 3.0,
        "worker": "Ada",
        "callback": "http://e/callbacks/54809648…/",
        "reason": "why\\n",
        "request": "r-1",
        "percent": 40,
    }
    assert tuple(fields_of(whole)) == NAMES


def test_progress() -> None:
    """It has how far the worker is, if it said that, and its text as reason."""
    said = [each for each in change_of_mind().events if each.event == "job.progressed"]
    fields = [fields_of(each) for each in said]
    assert [each.get("percent") for each in fields] == [40, None]
    assert [each["reason"] for each in fields] == ["adding gin", "stopping"]


def test_a_line_of_json() -> None:
    """Each event is one line, and reads back as it was."""
    for record in evening().events:
        line = json_line(fields_of(record))
        assert line.index("\n") == len(line) - 1
        assert json.loads(line) == fields_of(record)
