"""What a store is: where records last, in rows on shelves. It blocks, and runs in one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from sanic_dispatch.job import Job
from sanic_dispatch.queues.new_entry import job_at
from sanic_dispatch.queues.row import Row
from sanic_dispatch.strict_json import Entry, object_at
from sanic_dispatch.worker import Worker


class Shelf(StrEnum):
    """The kinds of rows; a store has one or several of them."""

    JOBS = "jobs"
    WORKERS = "workers"
    FINISHED = "finished"
    FACTS = "facts"


class Change(NamedTuple):
    """A row to be stored at ``place``, or (None) to be forgotten; ``was`` is where it stood."""

    shelf: Shelf
    id: str
    was: float | None
    place: float | None
    stored: bytes = b""


class Edited(Exception):
    """A shelf was edited from outside; nothing was written. ``at_s`` is when, in Unix seconds."""

    def __init__(self, shelf: Shelf, rows: Sequence[Row], at_s: float) -> None:
        super().__init__(f"{shelf} was edited from outside")
        self.shelf = shelf
        self.rows = rows
        self.at_s = at_s


class Store(Protocol):
    """Where rows last. Every method blocks, and is called in the store's one thread."""

    rereads: bool
    """Whether edits from outside are to be seen: then each operation begins with a ``write``."""

    def load(self, shelf: Shelf) -> list[Row]:
        """All rows in order. Raises NotAQueue, and leaves alone what it could not read."""

    def adopt(self, shelf: Shelf, rows: Sequence[Row]) -> None:
        """What was loaded, or read in an edit, as the queue has arranged it."""

    def write(self, changes: Sequence[Change]) -> None:
        """Make all changes durable, or raise and leave everything as it was.

        Raises Edited, when edits from outside are looked for and there is one.
        """

    def try_writing(self) -> None:
        """Write something that changes nothing, as durably as a change. Raises where it cannot."""

    def close(self) -> None:
        """Let go of files."""


def decode_job(entry: Entry) -> Job:
    """A job of the queue. Raises KeyError, TypeError or ValueError where it is none."""
    job = Job.from_stored(entry)
    if job.state.is_final:
        raise ValueError(f"a job that is {job.state} does not wait")
    return job


def decode_finished(entry: Entry) -> Job:
    """A finished job. Raises KeyError, TypeError or ValueError where it is none."""
    job = Job.from_stored(entry)
    if not job.state.is_final:
        raise ValueError(f"a job that is {job.state} is not finished")
    return job


def decode_worker(entry: Entry) -> Worker:
    """A worker. Raises KeyError, TypeError or ValueError where it is none."""
    return Worker.from_dict(entry.values)


DECODERS: dict[Shelf, Callable[[Entry], Any]] = {
    Shelf.JOBS: decode_job,
    Shelf.WORKERS: decode_worker,
    Shelf.FINISHED: decode_finished,
}
"""How each shelf's records are read."""

FINDERS: dict[Shelf, Callable[[str, int], tuple[Entry | Row, int]]] = {
    **dict.fromkeys(Shelf, object_at),
    Shelf.JOBS: job_at,
}
"""How the entry that begins at a character is found, for ``read_row``."""


def read_row(shelf: Shelf, entry: Entry | Row, place: float) -> Row:
    """A row that was read; a job's entry knows the place itself, if it has a ticket.

    Raises one of UNREADABLE where the entry is no such record.
    """
    if isinstance(entry, Row):
        return entry
    record, stored = DECODERS[shelf](entry), entry.encoded()
    if b"\\u" in stored:
        record.to_stored()  # half a character in one of our texts cannot be encoded again
    if shelf is Shelf.WORKERS:
        record = record._replace(place=place)
    if shelf is Shelf.JOBS and record.ticket:
        place = record.place
    return Row(place, record, stored)


UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
"""What a decoder raises where an entry is no record."""


def described(error: Exception) -> str:
    """What is wrong with an entry, in a plain fact."""
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
