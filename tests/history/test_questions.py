"""The arguments of questions, and what is said of invalid ones."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nextafter
from typing import Any

import pytest

from sanic_dispatch.core.timestamps import from_rfc3339, to_rfc3339
from sanic_dispatch.errors import InvalidRequest
from sanic_dispatch.history.event_fields import fields_of
from sanic_dispatch.history.questions import question_of, span_of
from sanic_dispatch.history.statistics import By
from sanic_dispatch.storage.event_log import Question
from sanic_dispatch.storage.event_record import LoggedEvent
from tests.support.clock import START_S

START = "2024-11-24T01:39:00Z"


def given(**arguments: str) -> dict[str, list[str]]:
    """Arguments; ``from_`` is from."""
    return {name.rstrip("_"): [value] for name, value in arguments.items()}


def test_no_arguments() -> None:
    """All events, a page of 100; statistics of everything by hour."""
    assert question_of({}) == Question(limit=100)
    assert span_of({}) == (By.HOUR, None, None)


def test_all_arguments() -> None:
    """Each has its place."""
    arguments = given(
        ticket="42", worker="Ada", kind="job.done", from_=START, to="2024-11-24T02:40:00+01:00",
        text="ice", after="7", limit="1000",
    )  # fmt: skip
    begin_s, end_s = pytest.approx(START_S, abs=1e-6), pytest.approx(START_S + 60, abs=1e-6)
    assert question_of(arguments) == Question(42, "Ada", "job.done", begin_s, end_s, "ice", 7, 1000)
    span = given(from_=START, to=START, by="robot")
    assert span_of(span) == (By.ROBOT, START_S, START_S)


def test_times_that_are_shown() -> None:
    """An event is in a span that begins with the time that is shown of it, and not before it."""
    for nanoseconds in range(0, 2000, 7):
        at_s = START_S + nanoseconds * 1234.567e-9
        event = LoggedEvent(1, at_s, "job.done")
        at = fields_of(event)["at"]
        assert question_of(given(from_=at)).matches(event)
        assert not question_of(given(to=at)).matches(event)


@pytest.mark.parametrize("at_s", [0.0, 1e-6, -1e-6, 0.25, 1.0, 3599.5, -7200.0, 1e5 + 3e-6])
def test_times_around_1970(at_s: float) -> None:
    """There, where doubles are very close to each other, it takes no longer."""
    first_s = question_of(given(from_=to_rfc3339(at_s))).from_s
    assert first_s is not None
    assert to_rfc3339(first_s) == to_rfc3339(at_s)
    assert to_rfc3339(nextafter(first_s, -inf)) != to_rfc3339(at_s)


def test_a_plus_that_became_a_blank() -> None:
    """As in any query that nobody encoded."""
    assert question_of(given(from_="2024-11-24T02:39:00 01:00")).from_s == pytest.approx(START_S)


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_times_that_are_far_away(at: str) -> None:
    """They are times like others."""
    assert question_of(given(from_=at)).from_s == pytest.approx(from_rfc3339(at))


@pytest.mark.parametrize(
    ("parse", "arguments", "allowed"),
    [
        (question_of, {"tiket": ["1"]}, "there are ticket, worker, kind, from, to, text, after"),
        (question_of, {"by": ["hour"]}, "by is unknown"),
        (span_of, {"ticket": ["1"]}, "there are from, to, by"),
        (question_of, {"kind": ["job.done", "job.failed"]}, "kind is there twice"),
        (question_of, given(ticket="0"), "ticket is a number from 1 to 9007199254740992"),
        (question_of, given(ticket="x"), "ticket is a number"),
        (question_of, given(ticket=""), "ticket is a number"),
        (question_of, given(ticket="9007199254740993"), "ticket is a number"),
        (question_of, given(ticket="٣"), "ticket is a number"),
        (question_of, given(after="-1"), "after is a number from 0"),
        (question_of, given(limit="0"), "limit is a number from 1 to 1000"),
        (question_of, given(limit="1001"), "limit is a number from 1 to 1000"),
        (question_of, given(kind="job.eaten"), "kind is one of job.submitted, job.assigned"),
        (question_of, given(worker=""), "worker is a callback or a label"),
        (question_of, given(text=""), "text is part of a reason or a label"),
        (
            question_of,
            given(from_="yesterday"),
            "from is a time with its zone in ISO 8601, such as",
        ),
        (question_of, given(from_="2024-11-24"), "from is a time with its zone"),
        (question_of, given(to="1732412340"), "to is a time with its zone"),
        (question_of, given(to=""), "to is a time with its zone"),
        (question_of, given(from_=START, to="2024-11-24T01:38:59Z"), "to is before from"),
        (span_of, given(from_=START, to="2024-11-24T01:38:59Z"), "to is before from"),
        (span_of, given(by="day"), "by is one of hour, drink, robot"),
    ],
)
def test_what_is_refused(
    parse: Callable[[Any], object], arguments: dict[str, list[str]], allowed: str
) -> None:
    """Unknown names, invalid times, and numbers out of range; with what is allowed."""
    with pytest.raises(InvalidRequest, match=allowed):
        parse(arguments)
