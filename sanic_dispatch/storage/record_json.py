"""Encode and decode jobs, workers and facts as JSON, as every store keeps them.

The entries of the original service's files are decoded too: what they lack has its default, and a
job gets its ticket from ``external_edits.arranged_jobs``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeVar

import ujson

from sanic_dispatch.core.job import DEFAULT_PRIORITY, Hold, Job, Progress, Stage, State, Way
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


def encode_job(job: Job) -> bytes:
    """Encode a job: first the original service's three keys, then ours; defaults are omitted."""
    head = b'{"id":"%b","data":%b,"submitted_at":"%b","ticket":%d' % (
        job.id.encode(),
        job.data,
        job.submitted_at.encode(),
        job.ticket,
    )
    if job == Job(job.id, job.ticket, job.data, job.submitted_at, job.ticket):
        return head + b"}"  # as it was submitted
    return b"%b%b}" % (head, b"".join(_encode_optional(job)))


def _encode_optional(job: Job) -> Iterator[bytes]:
    """Encode the fields in which a job differs from a newly submitted one."""
    if job.place != job.ticket:
        yield b',"place":%b' % _dumps(job.place)
    if job.state is not State.WAITING:
        yield b',"state":"%b"' % job.state.encode()
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
    if job.forgotten:
        yield b',"forgotten":true'
    if job.priority != DEFAULT_PRIORITY:
        yield b',"priority":%d' % job.priority
    if job.turn:
        yield b',"turn":%d' % job.turn
    if job.progress:
        yield b',"progress":%b' % _dumps([job.progress.percent, job.progress.text])
    if job.cancelling:
        yield b',"cancelling":true'


def _encode_hold(hold: Hold) -> bytes:
    return b'{"worker":%b,"way":"%b","stage":"%b","since":%b%b%b%b%b%b}' % (
        encode_worker(hold.worker),
        hold.way.encode(),
        hold.stage.encode(),
        _dumps(hold.since_s),
        b',"is_again":true' if hold.is_again else b"",
        b',"unused":%d' % hold.times_unused if hold.times_unused else b"",
        b',"refused_report":%b' % _dumps(hold.refused_report) if hold.refused_report else b"",
        b',"reported":%b' % _dumps(hold.reported_s) if hold.reported_s else b"",
        b',"began":%d' % hold.began if hold.began else b"",
    )


@lru_cache(maxsize=1024)
def encode_worker(worker: Worker) -> bytes:
    """Encode a worker: first the original service's two keys, then ours; defaults are omitted.

    Cached because the worker that holds a job is encoded with each change of the job: saves 4 µs.
    """
    return _dumps(_worker_dict(worker))


def encode_placed_worker(worker: Worker) -> bytes:
    """Encode a worker with its place, for stores whose entries are in no order."""
    return b'%b,"place":%b}' % (encode_worker(worker)[:-1], _dumps(worker.place))


def decode_job(entry: Entry) -> Job:
    """Decode a job in any state.

    A job written by the original service has no ticket. It gets ticket 0 and place 0 here, and
    its real ones when the state machine loads it. Raises one of UNREADABLE if the entry is no job.
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
        entry.raw("data").encode(),
        _plain_text(values["submitted_at"]),
        place if ticket else 0,
        **extras,
    )
    job.check()
    return job


def encode_fact(fact: Fact) -> bytes:
    """Encode the value of a fact."""
    return _dumps(fact.value)


def decode_worker(values: Mapping[str, Any]) -> Worker:
    """Decode a worker; its place is 0 if the entry has none.

    Raises one of UNREADABLE if the values are no worker.
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
"""The errors that decoding raises for an entry that is no record."""


def describe_error(error: Exception) -> str:
    """Return the text of a decoding error, for people."""
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)


def order_of(record: Job | Worker) -> tuple[float, int, str]:
    """Return the sort key: place for workers and unfinished jobs, end time for finished jobs."""
    if isinstance(record, Worker):
        return record.place, 0, record.id
    if record.finished_s is not None and record.state.is_final:
        return record.finished_s, record.ticket, record.id
    return record.place, record.ticket, record.id


def in_queue_order(jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs of the queue by place, then finished jobs by end time."""
    queued: list[Job] = []
    finished: list[Job] = []
    for job in jobs:
        (finished if job.state.is_final else queued).append(job)
    queued.sort(key=attrgetter("ticket"))
    queued.sort(key=attrgetter("place"))  # by numbers twice: a fifth of the time of pairs
    finished.sort(key=order_of)
    return queued + finished


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
        stored["aside"] = _encode_aside(worker.aside)
    if worker.refusals:
        stored["refusals"] = worker.refusals
    if worker.rule:
        stored["rule"] = worker.rule
    if worker.expires_s is not None:
        stored["expires"] = worker.expires_s
    if worker.session:
        stored["session"] = worker.session
    return stored


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
    "forgotten": bool,
    "priority": _count,
    "turn": _count,
    "progress": _decode_progress,
    "cancelling": bool,
}
"""Decoders of the members that are stored only if they differ from a new job's."""
