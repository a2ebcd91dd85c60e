"""Records as JSON: what stands in ``jobs.json``, ``workers.json`` and every other store."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import ujson

from sanic_dispatch.core.job import Hold, Job, Stage, State, Way
from sanic_dispatch.core.tables import Fact
from sanic_dispatch.core.timestamps import from_rfc3339
from sanic_dispatch.core.worker import Aside, Cause, Key, Worker
from sanic_dispatch.strict_json import Entry

N = TypeVar("N", int, float)

MOST = 2**53
"""The greatest place, ticket or count: up to here a double is exact, and there is a next one."""

PLAIN = re.compile(r"[ !#-\[\]-~]+")
"""Printable ASCII, but for the quotation mark and the backslash."""

_NEW = Job("", 0, b"", "", 0.0)[5:]
"""The fields of a job that has only been submitted, from its state on."""


def encode_job(job: Job) -> bytes:
    """Encode a job: the original's three keys first, then ours; defaults are left out."""
    head = b'{"id":"%b","data":%b,"submitted_at":"%b","ticket":%d' % (
        job.id.encode(),
        job.data,
        job.submitted_at.encode(),
        job.ticket,
    )
    if job[5:] == _NEW and job.place == job.ticket:
        return head + b"}"
    return b"%b%b}" % (head, b"".join(_members(job)))


def _members(job: Job) -> Iterator[bytes]:
    """Encode what a job has that a new one has not."""
    if job.place != job.ticket:
        yield b',"place":%b' % _dumps(job.place)
    if job.state is not State.WAITING:
        yield b',"state":"%b"' % job.state.value.encode()
    if job.hold:
        yield b',"hold":%b' % _encode_hold(job.hold)
    if job.former:
        yield b',"former":%b' % _encode_hold(job.former)
    if job.spent:
        yield b',"spent":%b' % _dumps(job.spent)
    if job.attempt:
        yield b',"attempt":%d' % job.attempt
    if job.refusals:
        yield b',"refusals":%d' % job.refusals
    if job.finished_s is not None:
        yield b',"finished_s":%b' % _dumps(job.finished_s)
    if job.reason:
        yield b',"reason":%b' % _dumps(job.reason)
    if job.result is not None:
        yield b',"result":%b' % job.result


def _encode_hold(hold: Hold) -> bytes:
    return b'{"worker":%b,"way":"%b","stage":"%b","since":%b%b%b%b}' % (
        encode_worker(hold.worker),
        hold.way.value.encode(),
        hold.stage.value.encode(),
        _dumps(hold.since_s),
        b',"is_again":true' if hold.is_again else b"",
        b',"unused":%d' % hold.unused if hold.unused else b"",
        b',"refused_report":%b' % _dumps(hold.refused_report) if hold.refused_report else b"",
    )


@lru_cache(maxsize=1024)
def encode_worker(worker: Worker) -> bytes:
    """Encode a worker: the original's two keys first, then ours; defaults are left out.

    One that holds a job is encoded again with each change of that job: 4 µs less each time.
    """
    return _dumps(_worker_dict(worker))


def encode_placed_worker(worker: Worker) -> bytes:
    """Encode a worker with its place, for where the order of the entries does not say it."""
    return b'%b,"place":%b}' % (encode_worker(worker)[:-1], _dumps(worker.place))


def decode_job(entry: Entry) -> Job:
    """Decode a job in any state.

    A job of the original has no ticket: it gets ticket 0, and a number and its place when it is
    taken over. Raises KeyError, TypeError or ValueError where the entry is no job.
    """
    values = entry.values
    ticket = _count(values.get("ticket", 0))
    extras = {name: _READERS[name](value) for name, value in values.items() if name in _READERS}
    if "result" in values:
        extras["result"] = entry.raw("result").encode()
    place = extras.pop("place", ticket)
    job = Job(
        _plain(values["id"]),
        ticket,
        entry.raw("data").encode(),
        _plain(values["submitted_at"]),
        place if ticket else 0,
        **extras,
    )
    job.check()
    return job


def encode_fact(fact: Fact) -> bytes:
    """Encode the value of a fact."""
    return _dumps(fact.value)


def decode_worker(values: Mapping[str, Any]) -> Worker:
    """Decode a worker; its place is 0 where the entry says none.

    Raises KeyError, TypeError or ValueError where it is none.
    """
    aside, key = values.get("aside"), values.get("key")
    worker = Worker(
        callback_url=_text(values["callback_url"]),
        registered_at=_text(values["registered_at"]),
        key=Key(_text(key[0]), _text(key[1])) if key else None,
        instance_url=_text(values.get("instance_url", "")),
        label=_text(values.get("label", "")),
        aside=_decode_aside(aside) if aside else None,
        refusals=int(values.get("refusals", 0)),
        place=_number(values.get("place", 0)),
    )
    from_rfc3339(worker.registered_at)
    return worker


def decode_fact(name: str, value: Any) -> Fact:
    """Decode a fact. Raises TypeError or ValueError where it cannot be what its name says."""
    if not isinstance(value, (str, int)) or not _FITS.get(name, _fits)(value):
        raise TypeError(f"{name} cannot be {value!r}")
    return Fact(name, value)


def _fits(_: str | int) -> bool:
    return True


def _is_ticket(value: str | int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST


def _is_secret(value: str | int) -> bool:
    """With an empty one anybody could derive what only this service can."""
    return isinstance(value, str) and len(value) > 1 and len(bytes.fromhex(value)) * 2 == len(value)


UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
"""What decoding raises where an entry is no record."""


def described(error: Exception) -> str:
    """Say what is wrong with an entry."""
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)


def order_of(record: Job | Worker) -> tuple[float, int, str]:
    """Sort key: jobs of the queue by place, finished ones by their end, workers by place."""
    if isinstance(record, Worker):
        return record.place, 0, record.id
    if record.finished_s is not None and record.state.is_final:
        return record.finished_s, record.ticket, record.id
    return record.place, record.ticket, record.id


def _worker_dict(worker: Worker) -> dict[str, Any]:
    stored: dict[str, Any] = {
        "callback_url": worker.callback_url,
        "registered_at": worker.registered_at,
    }
    if worker.key:
        stored["key"] = list(worker.key)
    if worker.instance_url:
        stored["instance_url"] = worker.instance_url
    if worker.label:
        stored["label"] = worker.label
    if worker.aside:
        aside = worker.aside
        stored["aside"] = list(aside if aside.may_arrive else aside[:-1])
    if worker.refusals:
        stored["refusals"] = worker.refusals
    return stored


def _decode_hold(values: Mapping[str, Any]) -> Hold:
    return Hold(
        decode_worker(values["worker"]),
        Way(values["way"]),
        Stage(values["stage"]),
        _number(values["since"]),
        bool(values.get("is_again", False)),
        _count(values.get("unused", 0)),
        _text(values.get("refused_report", "")),
    )


def _decode_aside(values: Sequence[Any]) -> Aside:
    cause, since_s, reason, job_id, *rest = values
    may_arrive = rest == [True]
    return Aside(Cause(cause), float(since_s), _text(reason), _text(job_id), may_arrive)


def _dumps(value: Any) -> bytes:
    return ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False).encode()


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected a number, not {value!r}")
    return float(_in_range(value))


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError(f"expected a whole number, not {value!r}")
    return _in_range(value)


def _in_range(value: N) -> N:
    if not -MOST <= value <= MOST:
        raise ValueError("a number is out of range")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a string, not {value!r}")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, not {value!r}")
    return tuple(_text(one) for one in value)


def _plain(value: object) -> str:
    """A string that can be spliced into JSON as it is."""
    if not isinstance(value, str):
        raise TypeError(f"expected a plain string, not {value!r}")
    if not PLAIN.fullmatch(value):
        raise ValueError(f"{value!r} cannot be spliced into JSON")
    return value


_FITS: dict[str, Callable[[str | int], bool]] = {
    "last_ticket": _is_ticket,
    "paused": lambda value: isinstance(value, bool),
    "secret": _is_secret,
}
"""What each fact may be."""

_READERS: dict[str, Callable[[Any], Any]] = {
    "place": _number,
    "state": State,
    "hold": _decode_hold,
    "former": _decode_hold,
    "spent": _texts,
    "attempt": _count,
    "refusals": _count,
    "finished_s": _number,
    "reason": _text,
}
"""The members that a stored job has only where they differ from a new job's."""
