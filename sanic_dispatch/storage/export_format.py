"""The export format: all records of a topic as JSON lines, with counts and a SHA-256.

The first line says how many records of each kind follow, the last one has the SHA-256 of all lines
before. In between are the facts, the workers, the jobs of the queue and the finished jobs, each
kind in order and encoded as in a store.

A job's data keeps every byte, and may have line breaks between its tokens. Such a record is written
with blanks for them, and once more, exactly, as the text ``exact``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import ujson

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Fact
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import BrokenTransfer, InvalidJson
from sanic_dispatch.storage.entries import FINISHED, QUEUED, WORKERS
from sanic_dispatch.storage.record_json import (
    UNREADABLE,
    decode_fact,
    describe_error,
    encode_job,
    encode_worker,
    order_of,
)
from sanic_dispatch.strict_json import Entry, one_object

VERSION = 1
FORMAT = "sanic-dispatch"
EXACT = "exact"

_BLANKS = bytes.maketrans(b"\r\n", b"  ")


@dataclass(frozen=True, slots=True)
class Content:
    """All records of a topic: facts by name, workers and jobs in order."""

    facts: Sequence[Fact]
    workers: Sequence[Worker]
    jobs: Sequence[Job]
    finished: Sequence[Job]

    @property
    def counts(self) -> dict[str, int]:
        """The number of records of each kind, without facts."""
        return {
            "workers": len(self.workers),
            "jobs": len(self.jobs),
            "finished": len(self.finished),
        }


def renumber_workers(workers: Iterable[Worker]) -> list[Worker]:
    """Return workers with the places 1, 2, 3 …, since only their order matters."""
    return [worker._replace(place=float(n)) for n, worker in enumerate(workers, 1)]


def lines_of(content: Content) -> Iterator[bytes]:
    """Yield the lines of an export, header and checksum included."""
    seen = hashlib.sha256()
    head = {FORMAT: VERSION, **content.counts}
    for line in (_json_line(head), *_records(content)):
        seen.update(line)
        yield line
    yield _json_line({"sha256": seen.hexdigest()})


def _records(content: Content) -> Iterator[bytes]:
    for fact in content.facts:
        yield _json_line({"fact": fact.id, "value": fact.value})
    yield from (_record_line("worker", encode_worker(worker)) for worker in content.workers)
    yield from (_record_line("job", encode_job(job)) for job in content.jobs)
    yield from (_record_line("finished", encode_job(job)) for job in content.finished)


def _record_line(kind: str, record: bytes) -> bytes:
    one_line = record.translate(_BLANKS)
    if one_line == record:
        return b'{"%b":%b}\n' % (kind.encode(), record)
    exact = ujson.dumps(record.decode(), ensure_ascii=False, escape_forward_slashes=False)
    return b'{"%b":%b,"exact":%b}\n' % (kind.encode(), one_line, exact.encode())


def _json_line(value: dict[str, Any]) -> bytes:
    return ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False).encode() + b"\n"


class Reader:
    """Decodes the lines of an export, one by one."""

    def __init__(self) -> None:
        self.expected = 0
        """How many records the first line promises."""
        self._counts: dict[str, int] = {}
        self._facts: list[Fact] = []
        self._workers: list[Worker] = []
        self._jobs: list[Job] = []
        self._finished: list[Job] = []
        self._seen = hashlib.sha256()
        self._number = 0
        self._is_complete = False

    def take(self, line: bytes) -> None:
        """Decode the next line. Raises BrokenTransfer if it is invalid."""
        self._number += 1
        try:
            self._take_entry(one_object(line), line)
        except (*UNREADABLE, InvalidJson) as error:
            raise BrokenTransfer(f"line {self._number}: {describe_error(error)}") from error

    def content(self) -> Content:
        """Return all records. Raises BrokenTransfer if lines are missing."""
        if not self._is_complete:
            raise BrokenTransfer(
                f"it ends after {self._number} lines, without the last line's checksum"
            )
        finished = sorted(self._finished, key=order_of)
        facts = sorted(self._facts, key=attrgetter("id"))
        found = Content(facts, renumber_workers(self._workers), self._jobs, finished)
        if found.counts != self._counts:
            raise BrokenTransfer(f"it should have {self._counts}, but has {found.counts}")
        return found

    def _take_entry(self, entry: Entry, line: bytes) -> None:
        values = entry.values
        if self._is_complete:
            raise ValueError("something follows the last line")
        if self._number == 1:
            self._begin(values)
        elif "sha256" in values:
            if values["sha256"] != self._seen.hexdigest():
                raise ValueError("the checksum is wrong: an earlier line was changed or is missing")
            self._is_complete = True
        elif "fact" in values:
            self._facts.append(decode_fact(values["fact"], values["value"]))
        else:
            self._take_record(entry, *(name for name in values if name != EXACT))
        self._seen.update(line)

    def _begin(self, head: dict[str, Any]) -> None:
        version = head.pop(FORMAT, None)
        if version != VERSION:
            raise ValueError(f"this is no export of version {VERSION}")
        self._counts = {name: int(head[name]) for name in ("workers", "jobs", "finished")}
        self.expected = sum(self._counts.values())

    def _take_record(self, entry: Entry, name: str) -> None:
        """Decode the record of a line; ``name`` is the kind of record, its only other member."""
        if name == "worker":
            self._workers.append(WORKERS.decode(_member_entry(entry, name)))
        elif name == "job":
            self._jobs.append(QUEUED.decode(_member_entry(entry, name)))
        elif name == "finished":
            self._finished.append(FINISHED.decode(_member_entry(entry, name)))
        else:
            raise KeyError(name)


def _member_entry(entry: Entry, name: str) -> Entry:
    exact = entry.values.get(EXACT)
    return one_object((entry.raw(name) if exact is None else exact).encode())
