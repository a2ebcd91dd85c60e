"""Read the entries of JSON arrays, ours and the original's: each record with its own text."""

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
from sanic_dispatch.storage.record_json import (
    PLAIN,
    UNREADABLE,
    decode_job,
    decode_worker,
    describe_error,
    encode_job,
    encode_worker,
)
from sanic_dispatch.strict_json import Entry, array_entries, byte_at, object_at, value_end

R = TypeVar("R", Job, Worker)


class DecodedEntry(NamedTuple, Generic[R]):
    """A decoded record and the span of its text."""

    record: R
    text: str
    at: int
    end: int

    @property
    def stored(self) -> bytes:
        """The record's text; sliced on demand, so that a long queue is not in memory twice."""
        return self.text[self.at : self.end].encode()


@dataclass(frozen=True, slots=True)
class Kind(Generic[R]):
    """One kind of entry: how to find, decode and encode it.

    ``find`` takes a text and an offset, and returns an entry and the offset of its end. It may
    return a ``DecodedEntry`` if decoding is part of finding.
    """

    name: str
    find: Callable[[str, int], tuple[Entry | DecodedEntry[R], int]]
    decode: Callable[[Entry], R]
    encode: Callable[[Any], bytes]

    def read(self, entry: Entry | DecodedEntry[R], number: int) -> DecodedEntry[R]:
        """Decode an entry; ``number`` (from 1) becomes the place of a worker that has none.

        Raises one of UNREADABLE if the entry is not such a record.
        """
        if isinstance(entry, DecodedEntry):
            return entry
        record = self.decode(entry)
        if "\\u" in entry.text[entry.at : entry.end]:
            self.encode(record)  # raises for a lone surrogate, which could not be written again
        if isinstance(record, Worker) and not record.place:
            record = record._replace(place=float(number))
        return DecodedEntry(record, entry.text, entry.at, entry.end)


def read_array(path: Path, kind: Kind[R], content: bytes) -> Iterator[DecodedEntry[R]]:
    """Yield the decoded entries of a JSON array.

    Raises NotAQueue, naming entry and byte, for an invalid entry or a duplicate id.
    """
    seen: set[str] = set()
    try:
        for number, entry in enumerate(array_entries(content, kind.find)):
            try:
                found = kind.read(entry, number + 1)
                if found.record.id in seen:
                    raise ValueError(f"the id {found.record.id!r} is there twice")
            except UNREADABLE as error:
                where = f"entry {number}, at byte {byte_at(content, entry.at)}"
                raise NotAQueue(path, f"{where}: {describe_error(error)}") from error
            seen.add(found.record.id)
            yield found
    except InvalidJson as error:
        raise NotAQueue(path, f"is no JSON array of objects: {error}") from None


def job_at(text: str, at: int) -> tuple[Entry | DecodedEntry[Job], int]:
    """Return the job that begins at this offset, and the offset of its end.

    Most waiting jobs have no members but those of a new job; a regular expression decodes these at
    once. Any other job is returned as an undecoded entry. Raises JSONDecodeError if no object
    begins here.
    """
    if head := _NEW_JOB_HEAD.match(text, at):
        end = value_end(text, head.end())
        tail = _NEW_JOB_TAIL.match(text, end)
        if tail and _is_utc_time(tail[1]):
            data, ticket = text[head.end() : end].encode(), int(tail[2])
            job = Job(head[1], ticket, data, tail[1], ticket)
            return DecodedEntry(job, text, at, tail.end()), tail.end()
    return object_at(text, at)


_NEW_JOB_HEAD = re.compile(rf'{{"id":"({PLAIN.pattern})","data":')
_NEW_JOB_TAIL = re.compile(rf',"submitted_at":"({PLAIN.pattern})","ticket":([1-9][0-9]{{0,14}})}}')
"""At most fifteen digits: below MAX_NUMBER, so the ticket needs no range check."""


def _is_utc_time(text: str) -> bool:
    """Return whether a text is a UTC timestamp in ISO 8601."""
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
"""Jobs that are waiting or assigned."""

FINISHED = Kind("finished", object_at, _decode_finished, encode_job)
"""Jobs that are done, failed or cancelled."""

ANY_JOB = Kind("jobs", job_at, decode_job, encode_job)
"""Jobs in any state."""

WORKERS = Kind("workers", object_at, _decode_worker, encode_worker)
"""Workers; a worker without a place gets the number of its entry."""
