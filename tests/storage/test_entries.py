"""The shortcut for a new job's entry gives the same result as the general way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import ujson
from hypothesis import given, settings
from hypothesis import strategies as st

from sanic_dispatch.core.job import Hold, Job, Stage, State, Way
from sanic_dispatch.core.worker import Key, Worker
from sanic_dispatch.errors import InvalidJson, NotAQueue
from sanic_dispatch.storage.entries import QUEUED, new_job, read_array
from sanic_dispatch.storage.record_json import MAX_NUMBER, UNREADABLE, encode_job
from sanic_dispatch.strict_json import one_object

AT = "2024-11-24T01:39:00.000000Z"
FIRST = Job("a", 1, b"1", AT, 1)
SECOND = Job("b", 2, b"{}", AT, 1.5)
THIRD = Job("c", 3, b'"\\ud800"', AT, 3)
NEW = encode_job(Job("ab", 7, b'{"drink": "mojito"}', AT, 7))

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def read(content: bytes, *, short: bool) -> tuple[float, Job] | str:
    """Read one entry, with the shortcut or without."""
    try:
        job = QUEUED.read(content) if short else QUEUED.read_any(one_object(content), 1)
    except (*UNREADABLE, InvalidJson):
        return "no job"
    return job.place, job


@given(data=ANY_JSON, indent=st.sampled_from([None, 2]), ticket=st.integers(1, 10**15 - 1))
def test_any_data(data: Any, indent: int | None, ticket: int) -> None:
    """A new job with any data is read by the shortcut, and equals the stored one."""
    raw = json.dumps(data, indent=indent).encode()
    job = Job("ab", ticket, raw, AT, ticket)
    assert new_job(encode_job(job)) == job
    assert read(encode_job(job), short=False) == (ticket, job)


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
        (b'"mojito"', b"[" * 500 + b"]" * 500),
        (b'"mojito"', b"9" * 5000),
        (b'"mojito"', b'"\xff"'),
        (b'"mojito"', b'"\\ud800"'),
        (b'"ticket":7', b'"ticket":7.0'),
        (b'"ticket":7', b'"ticket":-7'),
        (AT.encode(), AT.encode().replace(b"T", b'\\"')),
        (b'"ab"', b'"a\\"b"'),
        (b'"ab"', b'"a\x7fb"'),
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
    moved = json.dumps(json.loads(encode_job(SECOND)), indent=1).encode()
    content = b"[%b , \n%b,%b]" % (encode_job(FIRST), moved, encode_job(THIRD))
    found = read_array(Path("jobs.json"), QUEUED, content)
    assert [entry.record for entry in found] == [FIRST, SECOND, THIRD]
    assert found[0].stored == encode_job(FIRST)


@pytest.mark.parametrize(
    "damage", [b"1e999", b'"\xff"', b"[" * 100_000, b"", b"tru", b"1}", b'"\x01"']
)
def test_damage_in_an_array(damage: bytes) -> None:
    """Damage is refused, with its place, whatever is before it."""
    content = b"[\n%b,\n%b\n]\n" % (encode_job(FIRST), encode_job(SECOND))
    damaged = content.replace(b"{}", damage)
    with pytest.raises(NotAQueue, match="at byte"):
        read_array(Path("jobs.json"), QUEUED, damaged)


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
