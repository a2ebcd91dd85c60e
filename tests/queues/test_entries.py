"""The short way to a new job's entry leads where the long one does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanic_dispatch.errors import InvalidJson
from sanic_dispatch.job import MOST, Job, State
from sanic_dispatch.queues.row import Row
from sanic_dispatch.queues.store import FINDERS, UNREADABLE, Shelf, read_row
from sanic_dispatch.strict_json import array_entries, object_at, one_entry

AT = "2024-11-24T01:39:00.000000Z"
NEW = Job("ab", 7, b'{"drink": "mojito"}', AT, 7).to_stored()

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def read(content: bytes, *, short: bool) -> tuple[float, Job, bytes] | str:
    """What the row says, or that there is none."""
    try:
        entry: Any = one_entry(content, FINDERS[Shelf.JOBS] if short else object_at)
        row = read_row(Shelf.JOBS, entry, 1.0)
    except (*UNREADABLE, InvalidJson):
        return "no job"
    return row.place, row.record, row.stored


@given(data=ANY_JSON, indent=st.sampled_from([None, 2]), ticket=st.integers(1, 10**15 - 1))
def test_any_data(data: Any, indent: int | None, ticket: int) -> None:
    """A new job is found by the short way, whatever its data is, and is the job that was stored."""
    raw = json.dumps(data, indent=indent).encode()
    job = Job("ab", ticket, raw, AT, ticket)
    entry, _ = FINDERS[Shelf.JOBS](job.to_stored().decode(), 0)
    assert isinstance(entry, Row)
    assert read(job.to_stored(), short=True) == (ticket, job, job.to_stored())


@given(at=st.integers(0, len(NEW)), end=st.integers(0, 3), piece=st.binary(max_size=3))
def test_damage(at: int, end: int, piece: bytes) -> None:
    """What was damaged is read, or refused, just as key by key."""
    damaged = NEW[:at] + piece + NEW[at + end :]
    assert read(damaged, short=True) == read(damaged, short=False)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"ticket":7', b'"ticket":07'),
        (b'"ticket":7', b'"ticket":0'),
        (b'"ticket":7', b'"ticket":9999999999999999'),
        (b'"ticket":7', b'"ticket":7,"state":"done"'),
        (b'"ticket":7', b'"ticket":7,"place":3'),
        (b'"ticket":7', b'"ticket":7,"ticket":8'),
        (AT.encode(), b"tomorrow"),
        (AT.encode(), b"2024-11-24T01:39:00"),
        (b'{"drink"', b'[{"drink"'),
        (b'"mojito"', b"NaN"),
        (b'"mojito"', b"1e999"),
        (b'"mojito"', b"[" * 100_000),
        (b'"ab"', b'"a\\u0062"'),
        (b'"ab"', b'""'),
        (b'"ab"', '"ä"'.encode()),
    ],
)
def test_other_forms(old: bytes, new: bytes) -> None:
    """What a new job's entry could be taken for is read, or refused, just as key by key."""
    content = NEW.replace(old, new)
    assert content != NEW
    assert read(content, short=True) == read(content, short=False)


def test_among_others() -> None:
    """In an array, new jobs and others follow each other in any spelling."""
    content = b"[%b , \n%b,%b]" % (NEW, json.dumps(json.loads(NEW)).encode(), NEW)
    entries = list(array_entries(content, FINDERS[Shelf.JOBS]))
    assert [isinstance(entry, Row) for entry in entries] == [True, False, True]
    assert entries[0].stored == entries[2].stored == NEW


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "ticket": st.integers(0, MOST),
        "place": st.sampled_from([7, 7.0, 7.5]),
        "state": st.sampled_from([State.WAITING, State.CANCELLED]),
        "spent": st.just(("http://engine/1/",)),
        "attempt": st.integers(0, 2),
        "finished_s": st.sampled_from([None, 1.0]),
        "reason": st.sampled_from(["", "once more"]),
        "result": st.sampled_from([None, b"null"]),
        "version": st.integers(0, 2),
    },
)


@settings(max_examples=300)
@given(changes=CHANGES)
def test_both_ways_of_writing(changes: dict[str, Any]) -> None:
    """A new job's entry is written directly; it is what the way of all others writes."""
    job = Job("ab", 7, b"{}", AT, 7)._replace(**changes)
    long_way = b"%b%b,%b" % (job._head(), job.data, job._tail())
    assert job.to_stored() == long_way
