"""The fast path for a new job's entry gives the same result as the general one."""

from __future__ import annotations

import json
from typing import Any

import pytest
import ujson
from hypothesis import given, settings
from hypothesis import strategies as st

from sanic_dispatch.core.job import Hold, Job, Stage, State, Way
from sanic_dispatch.core.worker import Key, Worker
from sanic_dispatch.errors import InvalidJson
from sanic_dispatch.storage.entries import QUEUED, DecodedEntry
from sanic_dispatch.storage.record_json import MAX_NUMBER, UNREADABLE, encode_job
from sanic_dispatch.strict_json import array_entries, object_at, one_entry

AT = "2024-11-24T01:39:00.000000Z"
NEW = encode_job(Job("ab", 7, b'{"drink": "mojito"}', AT, 7))

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def read(content: bytes, *, short: bool) -> tuple[float, Job, bytes] | str:
    """Read one entry, or return None."""
    try:
        entry: Any = one_entry(content, QUEUED.find if short else object_at)
        found = QUEUED.read(entry, 1)
    except (*UNREADABLE, InvalidJson):
        return "no job"
    return found.record.place, found.record, found.stored


@given(data=ANY_JSON, indent=st.sampled_from([None, 2]), ticket=st.integers(1, 10**15 - 1))
def test_any_data(data: Any, indent: int | None, ticket: int) -> None:
    """A new job with any data is read by the fast path, and equals the stored one."""
    raw = json.dumps(data, indent=indent).encode()
    job = Job("ab", ticket, raw, AT, ticket)
    entry, _ = QUEUED.find(encode_job(job).decode(), 0)
    assert isinstance(entry, DecodedEntry)
    assert read(encode_job(job), short=True) == (ticket, job, encode_job(job))


@given(at=st.integers(0, len(NEW)), end=st.integers(0, 3), piece=st.binary(max_size=3))
def test_damage(at: int, end: int, piece: bytes) -> None:
    """A damaged entry is read, or refused, as by the general path."""
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
    """Entries that look like a new job's are read, or refused, as by the general path."""
    content = NEW.replace(old, new)
    assert content != NEW
    assert read(content, short=True) == read(content, short=False)


def test_among_others() -> None:
    """An array can have new jobs and other entries in any spelling."""
    content = b"[%b , \n%b,%b]" % (NEW, json.dumps(json.loads(NEW)).encode(), NEW)
    entries = list(array_entries(content, QUEUED.find))
    assert [isinstance(entry, DecodedEntry) for entry in entries] == [True, False, True]
    new = [entry.stored for entry in entries if isinstance(entry, DecodedEntry)]
    assert new == [NEW, NEW]


HOLDS = st.none() | st.builds(
    Hold,
    st.just(Worker("http://w/ä", AT, Key("i", '"'))),
    st.sampled_from(Way),
    st.sampled_from(Stage),
    st.just(2.5),
    st.booleans(),
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "ticket": st.integers(0, MAX_NUMBER),
        "place": st.sampled_from([7, 7.0, 7.5]),
        "state": st.sampled_from([State.WAITING, State.CANCELLED]),
        "spent": st.just(("http://engine/1/",)),
        "hold": HOLDS,
        "former": HOLDS,
        "attempt": st.integers(0, 2),
        "finished_s": st.sampled_from([None, 1.0]),
        "reason": st.sampled_from(["", "once more"]),
        "result": st.sampled_from([None, b"null"]),
    },
)


@settings(max_examples=300)
@given(changes=CHANGES)
def test_as_one_object(changes: dict[str, Any]) -> None:
    """The spliced text is the object with these members, without defaults."""
    job = Job("ab", 7, b"{}", AT, 7)._replace(**changes)
    members: dict[str, Any] = {"id": "ab", "data": {}, "submitted_at": AT, "ticket": job.ticket}
    if job.place != job.ticket:
        members["place"] = job.place
    if job.state is not State.WAITING:
        members["state"] = job.state.value
    for name in ("hold", "former"):
        if hold := getattr(job, name):
            worker = {"callback_url": "http://w/ä", "registered_at": AT, "key": ["i", '"']}
            members[name] = {"worker": worker, "way": hold.way, "stage": hold.stage, "since": 2.5}
            members[name] |= {"is_again": True} if hold.is_again else {}
            members[name] |= {"unused": hold.times_unused} if hold.times_unused else {}
            refused = hold.refused_report
            members[name] |= {"refused_report": refused} if refused else {}
    members |= {"spent": list(job.spent)} if job.spent else {}
    members |= {"attempt": job.attempt} if job.attempt else {}
    members |= {"finished_s": job.finished_s} if job.finished_s is not None else {}
    members |= {"reason": job.reason} if job.reason else {}
    members |= {"result": None} if job.result is not None else {}
    assert (
        encode_job(job)
        == ujson.dumps(members, ensure_ascii=False, escape_forward_slashes=False).encode()
    )
