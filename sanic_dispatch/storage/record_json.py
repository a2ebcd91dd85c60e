"""Encode and decode jobs, workers and facts as JSON, as every store keeps them.

The entries of the original service's files are decoded too: what they lack has its default, and a
job gets its ticket from ``external_edits.arranged_jobs``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from sanic_dispatch.core.job import DEFAULT_PRIORITY, FINAL, Hold, Job, Progress, Stage, State, Way
from sanic_dispatch.core.rules import ANYTHING, rule_in
from sanic_dispatch.core.tables import FORGETTING, FORWARDED, Fact
from sanic_dispatch.core.timestamps import from_rfc3339
from sanic_dispatch.core.worker import Aside, Cause, Key, Worker
from sanic_dispatch.errors import InvalidMatch
from sanic_dispatch.strict_json import Entry

N = TypeVar("N", int, float)

MAX_NUMBER = 2**53
"""The largest place, ticket or count: every integer up to it is exact as a double."""

PLAIN = re.compile(r"[ !#-\[\]-~]+")
"""Printable ASCII without the quotation mark and the backslash: needs no escaping in JSON."""


class _StoredWorker(Struct, omit_defaults=True, gc=False):
    """A worker's members: first the original service's two keys, then ours."""

    callback_url: str
    registered_at: str
    key: Key | None = None
    instance_url: str = ""
    label: str = ""
    aside: list[Any] | None = None
    refusals: int = 0
    rule: str = ANYTHING
    expires: float | None = None
    session: str = ""
    place: float | None = None


class _StoredHold(Struct, omit_defaults=True, gc=False):
    """A hold's members."""

    worker: _StoredWorker
    way: Way
    stage: Stage
    since: float
    is_again: bool = False
    unused: int = 0
    refused_report: str = ""
    reported: float | None = None
    began: int = 0


class _StoredJob(Struct, omit_defaults=True, gc=False):
    """A job's members: first the original service's three keys, then ours."""

    id: str
    data: Raw
    submitted_at: str
    ticket: int
    place: float | None = None
    state: State = State.WAITING
    hold: _StoredHold | None = None
    former: _StoredHold | None = None
    spent: tuple[str, ...] = ()
    attempt: int = 0
    refusals: int = 0
    finished_s: float | None = None
    reason: str = ""
    result: Raw | None = None
    forgotten: bool = False
    priority: int = DEFAULT_PRIORITY
    turn: int = 0
    progress: tuple[float | None, str] | None = None
    cancelling: bool = False


_encode = msgspec.json.Encoder().encode
"""It omits the defaults of the classes above; a float is compared by identity, so its is None."""


def encode_job(job: Job) -> bytes:
    """Encode a job; defaults are omitted, and the data of a forgotten job is null."""
    progress, data = job.progress, job.data
    return _encode(
        _StoredJob(
            job.id,
            Raw(data or b"null"),
            job.submitted_at,
            job.ticket,
            job.place if job.place != job.ticket else None,
            job.state,
            _stored_hold(job.hold) if job.hold else None,
            _stored_hold(job.former) if job.former else None,
            job.spent,
            job.attempt,
            job.refusals,
            job.finished_s,
            job.reason,
            Raw(job.result) if job.result is not None else None,
            not data,
            job.priority,
            job.turn,
            (progress.percent, progress.text) if progress else None,
            job.cancelling,
        )
    )


def _stored_hold(hold: Hold) -> _StoredHold:
    return _StoredHold(
        _stored_worker(hold.worker),
        hold.way,
        hold.stage,
        hold.since_s,
        hold.is_again,
        hold.times_unused,
        hold.refused_report,
        hold.reported_s or None,
        hold.began,
    )


def encode_worker(worker: Worker) -> bytes:
    """Encode a worker; defaults are omitted."""
    return _encode(_stored_worker(worker))


def encode_placed_worker(worker: Worker) -> bytes:
    """Encode a worker with its place, for stores whose entries are in no order."""
    return _encode(_stored_worker(worker, worker.place))


def _stored_worker(worker: Worker, place: float | None = None) -> _StoredWorker:
    return _StoredWorker(
        worker.callback_url,
        worker.registered_at,
        worker.key,
        worker.instance_url,
        worker.label,
        _encode_aside(worker.aside) if worker.aside else None,
        worker.refusals,
        worker.rule,
        worker.expires_s,
        worker.session,
        place,
    )


def decode_job(entry: Entry) -> Job:
    """Decode a job in any state.

    A job written by the original service has no ticket. It gets ticket 0 and place 0 here, and
    its real ones when the state machine loads it. Raises one of UNREADABLE for any other entry.
    """
    values = entry.values
    ticket = _count(values.get("ticket", 0))
    extras = {
        name: _OPTIONAL_DECODERS[name](value)
        for name, value in values.items()
        if name in _OPTIONAL_DECODERS
    }
    if "result" in values:
        extras["result"] = entry.raw("result").encode()
    place = extras.pop("place", ticket)
    job = Job(
        _plain_text(values["id"]),
        ticket,
        b"" if values.get("forgotten") else entry.raw("data").encode(),
        _plain_text(values["submitted_at"]),
        place if ticket else 0,
        **extras,
    )
    job.check()
    return job


def encode_fact(fact: Fact) -> bytes:
    """Encode the value of a fact."""
    return _encode(fact.value)


def decode_worker(values: Mapping[str, Any]) -> Worker:
    """Decode a worker; its place is 0 if the entry has none.

    Raises one of UNREADABLE if the values are not a worker.
    """
    aside, key, expires_s = values.get("aside"), values.get("key"), values.get("expires")
    worker = Worker(
        callback_url=_text(values["callback_url"]),
        registered_at=_text(values["registered_at"]),
        key=Key(_text(key[0]), _text(key[1])) if key else None,
        instance_url=_text(values.get("instance_url", "")),
        label=_text(values.get("label", "")),
        aside=_decode_aside(aside) if aside else None,
        refusals=int(values.get("refusals", 0)),
        place=_number(values.get("place", 0)),
        rule=_rule(values.get("rule", ANYTHING)),
        expires_s=None if expires_s is None else _number(expires_s),
        session=_text(values.get("session", "")),
    )
    from_rfc3339(worker.registered_at)
    return worker


def decode_fact(name: str, value: Any) -> Fact:
    """Decode a fact. Raises TypeError or ValueError if the value does not fit the name."""
    if not isinstance(value, (str, int)) or not _check_of(name)(value):
        raise TypeError(f"{name} cannot be {value!r}")
    return Fact(name, value)


def _check_of(name: str) -> Callable[[str | int], bool]:
    if name.startswith(FORGETTING):
        return _is_ticket
    return _are_numbers if name.startswith(FORWARDED) else _FACT_CHECKS.get(name, _accept)


def _accept(_: str | int) -> bool:
    return True


def _is_ticket(value: str | int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_NUMBER


def _are_numbers(value: str | int) -> bool:
    return isinstance(value, str) and all(each.isdecimal() for each in value.split())


def _is_secret(value: str | int) -> bool:
    """Accept whole bytes in hex; an empty HMAC key would let anyone forge ids and receipts."""
    return isinstance(value, str) and len(value) > 1 and len(bytes.fromhex(value)) * 2 == len(value)


UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
"""The errors that decoding raises for an entry that is not a record."""


def describe_error(error: Exception) -> str:
    """Return the text of a decoding error, for people."""
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)


def order_of(record: Job | Worker) -> tuple[float, int, str]:
    """Return the sort key: place for workers and unfinished jobs, end time for finished jobs."""
    if isinstance(record, Worker):
        return record.place, 0, record.id
    if record.finished_s is not None and record.state in FINAL:
        return record.finished_s, record.ticket, record.id
    return record.place, record.ticket, record.id


def in_queue_order(jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs of the queue by place, then finished jobs by end time."""
    queued: list[Job] = []
    finished: list[Job] = []
    for job in jobs:
        (finished if job.state in FINAL else queued).append(job)
    queued.sort(key=attrgetter("ticket"))
    queued.sort(key=attrgetter("place"))  # by numbers twice: a fifth of the time of pairs
    finished.sort(key=order_of)
    return queued + finished


def _encode_aside(aside: Aside) -> list[Any]:
    values = [aside.cause, aside.since_s, aside.reason, aside.job_id]
    return [*values, True] if aside.may_arrive else values


def _decode_hold(values: Mapping[str, Any]) -> Hold:
    return Hold(
        decode_worker(values["worker"]),
        Way(values["way"]),
        Stage(values["stage"]),
        _number(values["since"]),
        bool(values.get("is_again", False)),
        _count(values.get("unused", 0)),
        _text(values.get("refused_report", "")),
        _number(values.get("reported", 0)),
        _count(values.get("began", 0)),
    )


def _decode_progress(value: Any) -> Progress:
    percent, text = value
    return Progress(None if percent is None else _number(percent), _text(text))


def _decode_aside(values: Sequence[Any]) -> Aside:
    cause, since_s, reason, job_id, *rest = values
    may_arrive = rest == [True]
    return Aside(Cause(cause), float(since_s), _text(reason), _text(job_id), may_arrive)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected a number, not {value!r}")
    return float(_in_range(value))


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError(f"expected a whole number, not {value!r}")
    return _in_range(value)


def _in_range(value: N) -> N:
    if not -MAX_NUMBER <= value <= MAX_NUMBER:
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


def _rule(value: object) -> str:
    """Return a rule in its normal form; an edited file may have it in another one."""
    try:
        return rule_in(_text(value))
    except InvalidMatch as error:
        raise ValueError(str(error)) from None


def _plain_text(value: object) -> str:
    """Return a string that needs no escaping in JSON."""
    if not isinstance(value, str):
        raise TypeError(f"expected a plain string, not {value!r}")
    if not PLAIN.fullmatch(value):
        raise ValueError(f"{value!r} cannot be spliced into JSON")
    return value


_FACT_CHECKS: dict[str, Callable[[str | int], bool]] = {
    "last_ticket": _is_ticket,
    "paused": lambda value: isinstance(value, bool),
    "secret": _is_secret,
}
"""Checks of each fact's value."""

_OPTIONAL_DECODERS: dict[str, Callable[[Any], Any]] = {
    "place": _number,
    "state": State,
    "hold": _decode_hold,
    "former": _decode_hold,
    "spent": _texts,
    "attempt": _count,
    "refusals": _count,
    "finished_s": _number,
    "reason": _text,
    "priority": _count,
    "turn": _count,
    "progress": _decode_progress,
    "cancelling": bool,
}
"""Decoders of the members that are stored only if they differ from a new job's."""
