"""Read the entries of JSON arrays, ours and the original's: each record with its own text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.value import Value
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import InvalidJson, NotAQueue
from sanic_dispatch.storage.record_json import (
    MAX_NUMBER,
    PLAIN,
    UNREADABLE,
    decode_job,
    decode_worker,
    describe_error,
    encode_job,
    encode_worker,
)
from sanic_dispatch.strict_json import (
    NOT_JSON,
    Entry,
    array_entries,
    byte_at,
    elements,
    is_value,
    object_at,
    one_object,
)

R = TypeVar("R", Job, Worker)


class DecodedEntry(Value, Generic[R], frozen=True):
    """A decoded record and its text."""

    record: R
    raw: Raw | bytes

    @property
    def stored(self) -> bytes:
        """The record's text; copied on demand, so that a long queue is not in memory twice."""
        return bytes(self.raw)


def _no_shortcut(_: Raw | bytes) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Kind(Generic[R]):
    """One kind of entry: how to decode and encode it.

    ``shortcut`` decodes the usual entries, and returns None for any other.
    """

    name: str
    decode: Callable[[Entry], R]
    encode: Callable[[Any], bytes]
    shortcut: Callable[[Raw | bytes], R | None] = _no_shortcut

    def read(self, raw: Raw | bytes, number: int = 0) -> R:
        """Decode an entry; ``number`` (from 1) becomes the place of a worker that has none.

        Raises InvalidJson, or one of UNREADABLE if the entry is not such a record.
        """
        return self.shortcut(raw) or self.read_any(one_object(bytes(raw)), number)

    def read_any(self, entry: Entry, number: int) -> R:
        """Decode an entry that was parsed; as ``read``."""
        record = self.decode(entry)
        if "\\u" in entry.text[entry.at : entry.end]:
            self.encode(record)  # raises for a lone surrogate, which could not be written again
        if isinstance(record, Worker) and not record.place:
            record = record._replace(place=float(number))
        return record


def read_array(path: Path, kind: Kind[R], content: bytes) -> list[DecodedEntry[R]]:
    """Return the decoded entries of a JSON array.

    Raises NotAQueue, naming entry and byte, for an invalid entry or a duplicate id.
    """
    with suppress(InvalidJson, *UNREADABLE):
        numbered = enumerate(elements(content), 1)
        found = [DecodedEntry(kind.read(raw, number), raw) for number, raw in numbered]
        if len({each.record.id for each in found}) == len(found):
            return found
    return list(_entry_by_entry(path, kind, content))


def _entry_by_entry(path: Path, kind: Kind[R], content: bytes) -> Iterator[DecodedEntry[R]]:
    """Do the same at a tenth of the speed, and know where the damage is."""
    seen: set[str] = set()
    try:
        for number, entry in enumerate(array_entries(content, object_at)):
            try:
                record = kind.read_any(entry, number + 1)
                if record.id in seen:
                    raise ValueError(f"the id {record.id!r} is there twice")
            except UNREADABLE as error:
                where = f"entry {number}, at byte {byte_at(content, entry.at)}"
                raise NotAQueue(path, f"{where}: {describe_error(error)}") from error
            seen.add(record.id)
            yield DecodedEntry(record, entry.encoded())
    except InvalidJson as error:
        raise NotAQueue(path, f"is no JSON array of objects: {error}") from None


class _NewJob(Struct, forbid_unknown_fields=True, gc=False):
    """The members of a new job, as most waiting jobs have them."""

    id: Annotated[str, Meta(min_length=1)]
    data: Raw
    submitted_at: str
    ticket: Annotated[int, Meta(ge=1, le=MAX_NUMBER)]


_new_job = msgspec.json.Decoder(_NewJob).decode


def new_job(raw: Raw | bytes) -> Job | None:
    """Decode a job that has only the members of a new one; return None for any other entry."""
    try:
        new = _new_job(raw)
        is_utc = datetime.fromisoformat(new.submitted_at).tzinfo is UTC
    except NOT_JSON:
        return None
    texts = new.id + new.submitted_at  # neither is empty
    if is_utc and PLAIN.fullmatch(texts) and is_value(new.data):
        return Job(new.id, new.ticket, bytes(new.data), new.submitted_at, new.ticket)
    return None


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


QUEUED = Kind("jobs", _decode_queued, encode_job, new_job)
"""Jobs that are waiting or assigned."""

FINISHED = Kind("finished", _decode_finished, encode_job)
"""Jobs that are done, failed or cancelled."""

ANY_JOB = Kind("jobs", decode_job, encode_job, new_job)
"""Jobs in any state."""

WORKERS = Kind("workers", _decode_worker, encode_worker)
"""Workers; a worker without a place gets the number of its entry."""
