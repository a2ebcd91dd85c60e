"""Entries of JSON files: records as they were read, with the text that they were read from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import InvalidJson, NotAQueue
from sanic_dispatch.storage.records import (
    PLAIN,
    UNREADABLE,
    decode_job,
    decode_worker,
    described,
    encode_job,
    encode_worker,
)
from sanic_dispatch.strict_json import Entry, array_entries, byte_at, object_at, value_end

R = TypeVar("R", Job, Worker)


class Found(NamedTuple, Generic[R]):
    """A record that was read, and where its text is."""

    record: R
    text: str
    at: int
    end: int

    @property
    def stored(self) -> bytes:
        """Its text, cut out when it is asked for, so that a long queue is not there twice."""
        return self.text[self.at : self.end].encode()


@dataclass(frozen=True, slots=True)
class Kind(Generic[R]):
    """One kind of entry: how its text is found, and how a record is made of it.

    ``find`` may return what it found in place of an entry, where it has read it on the way.
    """

    name: str
    find: Callable[[str, int], tuple[Entry | Found[R], int]]
    decode: Callable[[Entry], R]
    encode: Callable[[Any], bytes]

    def read(self, entry: Entry | Found[R], number: int) -> Found[R]:
        """Read the entry that stands at this place in its file, counted from 1.

        Raises one of UNREADABLE where it is no such record.
        """
        if isinstance(entry, Found):
            return entry
        record = self.decode(entry)
        if "\\u" in entry.text[entry.at : entry.end]:
            self.encode(record)  # half a character in one of our texts cannot be encoded again
        if isinstance(record, Worker) and not record.place:
            record = record._replace(place=float(number))
        return Found(record, entry.text, entry.at, entry.end)


def read_array(path: Path, kind: Kind[R], content: bytes) -> Iterator[Found[R]]:
    """Read the entries of an array. Raises NotAQueue, naming entry and byte."""
    seen: set[str] = set()
    try:
        for number, entry in enumerate(array_entries(content, kind.find)):
            try:
                found = kind.read(entry, number + 1)
                if found.record.id in seen:
                    raise ValueError(f"the id {found.record.id!r} is there twice")
            except UNREADABLE as error:
                where = f"entry {number}, at byte {byte_at(content, entry.at)}"
                raise NotAQueue(path, f"{where}: {described(error)}") from error
            seen.add(found.record.id)
            yield found
    except InvalidJson as error:
        raise NotAQueue(path, f"is no JSON array of objects: {error}") from None


def job_at(text: str, at: int) -> tuple[Entry | Found[Job], int]:
    """Find the job that begins at this character, and the character after its end.

    Jobs that have only been submitted are by far the most of those that wait: one is read at once
    where it looks like that. Anything else is an object, to be read key by key. Raises
    JSONDecodeError where there is none.
    """
    if head := _HEAD.match(text, at):
        end = value_end(text, head.end())
        tail = _TAIL.match(text, end)
        if tail and _is_time(tail[1]):
            data, ticket = text[head.end() : end].encode(), int(tail[2])
            job = Job(head[1], ticket, data, tail[1], ticket)
            return Found(job, text, at, tail.end()), tail.end()
    return object_at(text, at)


_HEAD = re.compile(rf'{{"id":"({PLAIN.pattern})","data":')
_TAIL = re.compile(rf',"submitted_at":"({PLAIN.pattern})","ticket":([1-9][0-9]{{0,14}})}}')
"""No ticket of fifteen digits is out of range."""


def _is_time(text: str) -> bool:
    """Whether it is a time in UTC: such a one can be read later on, too."""
    try:
        return datetime.fromisoformat(text).tzinfo is UTC
    except ValueError:
        return False


def _decode_queued(entry: Entry) -> Job:
    job = decode_job(entry)
    if job.state.is_final:
        raise ValueError(f"a job that is {job.state} does not wait")
    return job


def _decode_finished(entry: Entry) -> Job:
    job = decode_job(entry)
    if not job.state.is_final:
        raise ValueError(f"a job that is {job.state} is not finished")
    return job


def _decode_worker(entry: Entry) -> Worker:
    return decode_worker(entry.values)


QUEUED = Kind("jobs", job_at, _decode_queued, encode_job)
"""Jobs that wait or are held."""

FINISHED = Kind("finished", object_at, _decode_finished, encode_job)
"""Jobs that are done, failed or cancelled."""

ANY_JOB = Kind("jobs", job_at, decode_job, encode_job)
"""Jobs in any state."""

WORKERS = Kind("workers", object_at, _decode_worker, encode_worker)
"""Workers; one without a place gets the number of its entry."""
