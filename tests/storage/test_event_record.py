"""Events as the event log keeps them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Progress, Way
from sanic_dispatch.core.promise import Promise
from sanic_dispatch.core.worker import Key
from sanic_dispatch.observability.log import fields_of
from sanic_dispatch.storage.event_facts import AsideFacts, EventFacts
from sanic_dispatch.storage.event_record import (
    LoggedEvent,
    Payload,
    decode_event,
    decode_events,
    encode_event,
    logged,
    payload_of,
    recorded,
    recorded_again,
)
from tests.storage.samples import done, held, job, worker

ROBOT = worker(4)._replace(label="Ädä")


def event(kind: EventKind, of: Any = None, robot: Any = None, at_s: float = 1795489201.5) -> Event:
    return Event(7, kind, at_s, of, robot, "out of ice", "4711")


def test_the_fields_of_a_job() -> None:
    """An event of a job has its ticket, its whole id, and the worker's label and callback."""
    given = held(job(3), ROBOT)
    assert logged(event(EventKind.JOB_ASSIGNED, given, ROBOT)) == LoggedEvent(
        7, 1795489201.5, "job.assigned", 3, job(3).id, "Ädä", ROBOT.callback_url, "out of ice",
        "4711", 1, 1.377, None,
    )  # fmt: skip


@pytest.mark.parametrize("kind", list(EventKind))
def test_durations_are_those_of_the_log(kind: EventKind) -> None:
    """How long something waited or was served, and how far it is, is told by one rule."""
    taken, begun = done(held(job(3), ROBOT)), held(job(3), ROBOT)._replace(progress=Progress(40))
    for each in (event(kind, taken, ROBOT), event(kind, begun, ROBOT), event(kind, None, ROBOT)):
        fields, record = fields_of(each), logged(each)
        assert record.waiting_s == fields.get("waiting_s")
        assert record.service_s == fields.get("service_s")
        assert record.percent == fields.get("percent")


SECONDS = st.floats(0, 1e9)
ALPHABET = st.characters(exclude_categories=["Cs"])
FACTS = st.builds(
    EventFacts,
    way=st.sampled_from(Way).map(str),
    place=st.none() | SECONDS,
    reason=st.text(ALPHABET),
    key=st.none() | st.builds(Key, st.text(ALPHABET), st.text(ALPHABET)),
    aside=st.none() | st.builds(AsideFacts, SECONDS, st.text(ALPHABET)),
)


def told(event: LoggedEvent, seconds: list[float]) -> LoggedEvent:
    """Return an event with a promise of its time, if there are seconds."""
    return event._replace(promise=Promise(event.at_s, *seconds) if seconds else None)


@given(
    st.lists(
        st.builds(
            told,
            st.builds(
                LoggedEvent,
                st.integers(1, 10**15),
                st.floats(0, 4e9),
                st.sampled_from([*EventKind, "job.praised"]).map(str),
                st.integers(0, 2**53),
                *[st.text(ALPHABET)] * 5,
                st.integers(0, 1000),
                *[st.none() | SECONDS] * 2,
                st.none(),
                st.none() | SECONDS,
                st.none() | FACTS,
                st.text(st.characters(exclude_categories=["Cs"])),
            ),
            st.just([]) | st.lists(SECONDS, min_size=3, max_size=3),
        )
    )
)
def test_encoded_and_decoded(events: list[LoggedEvent]) -> None:
    """Each field is there again, and an encoded event has neither line breaks nor vertical tabs."""
    assert decode_events(b"[%b]" % b",".join(map(encode_event, events))) == events
    for each in events:
        encoded = encode_event(each)
        assert decode_event(json.loads(encoded)) == each
        assert not {10, 11} & set(encoded)


@pytest.mark.parametrize("kind", list(EventKind))
def test_two_ways_to_encode(kind: EventKind) -> None:
    """The fast way says the same as the plain one, for every kind of event."""
    odd = 'Ä "\\/\u2028\n\x7f'
    taken = done(held(job(3), ROBOT._replace(label=odd)), result=b"[1]")
    of_robot = event(kind, None if kind.startswith("worker.") else job(3), ROBOT)
    for each in (
        event(kind, job(3)), event(kind, taken, ROBOT), of_robot, event(kind),
        event(kind, held(job(3), ROBOT)._replace(progress=Progress(40, odd)), ROBOT),
        event(kind, taken, ROBOT._replace(label=odd), at_s=5.0)._replace(reason=odd, request=odd),
        event(kind, job(3), at_s=5.0)._replace(promise=Promise(5.0, 60.0, 30.125, 1e9)),
        event(kind, job(3))._replace(ordering="fair_by=/name"),
    ):  # fmt: skip
        found, plain = recorded(each), logged(each)
        assert decode_event(json.loads(found.line)) == plain
        payload = payload_of(plain.n, plain.event, each.job)
        assert recorded_again(plain, found.line, payload) == found


def test_fields_of_a_later_version() -> None:
    """Fields at the end that this version does not know are left out."""
    record = logged(event(EventKind.JOB_DONE, job(3)))
    assert decode_event([*record, "new", 1]) == record
    assert decode_event([7, 1.5, "job.done"]) == LoggedEvent(7, 1.5, "job.done")


@pytest.mark.parametrize(
    "values",
    [
        None, 5, "x", {}, [], [7, 1.5], [0, 1.5, "x"], [True, 1.5, "x"], ["7", 1.5, "x"],
        [7, "1.5", "x"], [7, None, "x"], [7, 1.5, None], [7, 1.5, "x", "3"], [7, 1.5, "x", 3, 4],
        [7, 1.5, "x", 3, "", "", "", "", "", 0, "1"], [7, float("inf"), "x"],
        *([7, 1.5, "x", 3, "", "", "", "", "", 0, None, None, told]
          for told in (5, [1, 2], [1, 2, "3"], [1, 2, float("nan")])),
    ],
)  # fmt: skip
def test_values_that_are_no_event(values: Any) -> None:
    """What is not an event is refused, and shown."""
    with pytest.raises(ValueError, match="an event cannot be"):
        decode_event(values)


def test_events_that_are_no_array() -> None:
    """A batch's events are an array."""
    with pytest.raises(ValueError, match="no array"):
        decode_events(b"{}")


def test_payloads() -> None:
    """A job's data comes with its submission, its result with its end, and nothing else does."""
    result = done(job(3), result=b"[1]")
    assert payload_of(7, "job.submitted", job(3)) == Payload(7, 3, job(3).id, False, job(3).data)
    assert payload_of(9, "job.done", result) == Payload(9, 3, job(3).id, True, b"[1]")
    assert payload_of(9, "job.done", done(job(3))) is None
    assert payload_of(9, "job.assigned", result) is None
    assert payload_of(9, "worker.used", None) is None
