"""The messages of the websocket ``/work``: how a worker's are read, and the service's are written.

A message is a JSON object with exactly one member, which names it; a worker's may also have
``ref``, any JSON, which its reply repeats. Their JSON Schemas are in
``live/work_messages_schema.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import ujson

from sanic_dispatch import strict_json
from sanic_dispatch.core.connected_workers import RESUME_S
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.rules import as_argument, member_of, members_of, normal_form
from sanic_dispatch.core.worker import WEBSOCKET, Worker
from sanic_dispatch.dispatch.connections import Message
from sanic_dispatch.errors import BodyTooLarge, InvalidMatch, InvalidRequest
from sanic_dispatch.web.request_body import check_members, text_in

MAX_MESSAGE_BYTES = 64 * 1024
"""The largest message of a worker that is read."""

MAX_NAME_CHARS = 100
"""The longest name of a connected worker."""

_JOB = ("job", "receipt")

MEMBERS = {
    "register": ("worker", "label", "match", "not"),
    "withdraw": (),
    "accept": _JOB,
    "progress": (*_JOB, "percent", "text"),
    "done": (*_JOB, "result", "next"),
    "fail": (*_JOB, "reason", "retry", "cancelled", "next"),
}
"""The messages of a worker, and what each may have.

Any other member is refused: a worker whose ``match`` is misspelt would take every job.
"""

_PAIRS = json.JSONDecoder(object_pairs_hook=list)
"""Made once: that takes four times as long as to read a message."""


class WorkerMessage(NamedTuple):
    """A message of a worker: its name, and what it says."""

    name: str
    fields: dict[str, Any]


def ref_of(data: bytes) -> bytes:
    """Return the JSON with which the reply to a message ends: its ``ref``, or nothing."""
    ref = members_of(data).get("ref")
    return b"" if ref is None else b',"ref":%b' % ref


def read(data: bytes, max_depth: int) -> WorkerMessage:
    """Read a message. Raises BodyTooLarge, InvalidJson and InvalidRequest."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise BodyTooLarge(MAX_MESSAGE_BYTES)
    message = strict_json.parse(data, max_depth)
    names = set(message) - {"ref"} if isinstance(message, dict) else set()
    if len(names) != 1 or not names <= {*MEMBERS} or _has_twins(data):
        raise InvalidRequest(f"send an object with exactly one of {', '.join(MEMBERS)}")
    (name,) = names
    fields = message[name]
    if not isinstance(fields, dict):
        raise InvalidRequest(f"{name} is an object")
    check_members(fields, MEMBERS[name])
    return WorkerMessage(name, fields)


def _has_twins(data: bytes) -> bool:
    """Whether an object, which is JSON, has two members of one name."""
    names = [name for name, _ in _PAIRS.decode(data.decode())]
    return len(set(names)) < len(names)


def result_in(data: bytes) -> bytes | None:
    """Return the result in a message ``done``, byte for byte; None if there is none."""
    return member_of(members_of(data), ("done", "result"))


def job_in(fields: dict[str, Any]) -> tuple[str, Proof]:
    """Return the job that a message is about, and the proof. Raises InvalidRequest."""
    job_id, receipt = fields.get("job"), fields.get("receipt")
    if not (isinstance(job_id, str) and isinstance(receipt, str)):
        raise InvalidRequest("job and receipt are those of the message with the job")
    return job_id, Proof(receipt=receipt)


def worker_in(fields: dict[str, Any], registered_at: str, session: str) -> Worker:
    """Return the worker that registers. Raises InvalidRequest and InvalidMatch."""
    conditions = (*_conditions(fields, "match"), *_conditions(fields, "not"))
    return Worker(
        WEBSOCKET + worker_name(fields.get("worker"), "worker"),
        registered_at,
        label=text_in(fields, "label"),
        rule=normal_form(conditions),
        session=session,
    )


def worker_name(name: object, where: str) -> str:
    """Return the name of a connected worker. Raises InvalidRequest."""
    if not (isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARS and _is_visible(name)):
        raise InvalidRequest(f"{where} is a name of 1 to {MAX_NAME_CHARS} visible ASCII characters")
    return name


def _is_visible(name: str) -> bool:
    return name.isascii() and name.isprintable() and " " not in name


def _conditions(fields: dict[str, Any], kind: str) -> Iterator[tuple[str, str]]:
    members = fields.get(kind, {})
    if not isinstance(members, dict):
        raise InvalidMatch(kind, 'is an object of lists: {"drink":["mojito"]}')
    for path, values in members.items():
        name = f"{kind}.{path}"
        is_list = isinstance(values, list) and bool(values)
        if not is_list or not all(isinstance(each, str) for each in values):
            raise InvalidMatch(name, "is a list of one or more texts")
        yield as_argument(name, values)


def ok(answer: dict[str, Any], ref: bytes) -> bytes:
    """Return the reply to a message that was carried out."""
    return b'{"ok":%b%b}' % (_json(answer), ref)


def error(document: dict[str, Any], ref: bytes = b"") -> bytes:
    """Return the reply to a message that was not; ``document`` is a problem document."""
    return b'{"error":%b%b}' % (_json(document), ref)


def welcome(session: str) -> bytes:
    """Return the first message of a connection."""
    return _json({"welcome": {"session": session, "resume_s": RESUME_S}})


def offer(message: Message) -> bytes:
    """Return the message with a job, its data byte for byte."""
    job = message.job
    assert job
    return b'{"job":{"id":"%b","ticket":%d,"data":%b,"submitted_at":"%b","receipt":"%b",%b}}' % (
        job.id.encode(),
        job.ticket,
        job.data_json,
        job.submitted_at.encode(),
        message.receipt.encode(),
        b'"lease_s":%b' % _json(message.lease_s),
    )


def cancel(job_id: str) -> bytes:
    """Return the message that a job is to be cancelled."""
    return _json({"cancel": {"job": job_id}})


def _json(value: Any) -> bytes:
    return ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False).encode()
