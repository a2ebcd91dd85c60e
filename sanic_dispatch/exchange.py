"""What a data folder holds, as JSON lines: one line a record, and nothing can be missing.

The first line says how many records follow, the last one that all of them came as they were sent.
In between stand the facts, the workers, the jobs and the finished jobs, each kind in its order;
a record stands there as it is stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ujson

from sanic_dispatch.errors import BrokenTransfer, InvalidJson
from sanic_dispatch.job import Job
from sanic_dispatch.queues.base import Facts
from sanic_dispatch.queues.row import Row
from sanic_dispatch.queues.store import DECODERS, UNREADABLE, Shelf, described
from sanic_dispatch.strict_json import Entry, one_object
from sanic_dispatch.worker import Worker

VERSION = 1
FORMAT = "sanic-dispatch"


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that a data folder holds, each kind in its order."""

    facts: Facts
    workers: Sequence[Worker]
    jobs: Sequence[Job]
    finished: Sequence[Job]

    @property
    def counts(self) -> dict[str, int]:
        """How many records of each kind."""
        return {
            "workers": len(self.workers),
            "jobs": len(self.jobs),
            "finished": len(self.finished),
        }


def in_line(workers: Iterable[Worker]) -> list[Worker]:
    """A worker's place is only its order: count it anew."""
    return [worker._replace(place=float(n)) for n, worker in enumerate(workers, 1)]


def lines_of(content: Content) -> Iterator[bytes]:
    """The content as lines, the first and the last one included."""
    seen = hashlib.sha256()
    head = {FORMAT: VERSION, **content.counts}
    for line in (_json(head), *_records(content)):
        seen.update(line)
        yield line
    yield _json({"sha256": seen.hexdigest()})


def _records(content: Content) -> Iterator[bytes]:
    for name, value in content.facts._asdict().items():
        yield _json({"fact": name, "value": value})
    yield from (b'{"worker":%b}\n' % worker.to_stored() for worker in content.workers)
    yield from (b'{"job":%b}\n' % job.to_stored() for job in content.jobs)
    yield from (b'{"finished":%b}\n' % job.to_stored() for job in content.finished)


def _json(value: dict[str, Any]) -> bytes:
    return ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False).encode() + b"\n"


_SHELVES = {"worker": Shelf.WORKERS, "job": Shelf.JOBS, "finished": Shelf.FINISHED}


class Reader:
    """Takes in the lines of an export, one by one. Raises BrokenTransfer for what is none."""

    def __init__(self) -> None:
        self.expected = 0
        """How many records the first line announces."""
        self._counts: dict[str, int] = {}
        self._facts: dict[str, Any] = {}
        self._found: dict[Shelf, list[Any]] = {shelf: [] for shelf in _SHELVES.values()}
        self._seen = hashlib.sha256()
        self._number = 0
        self._is_complete = False

    def take(self, line: bytes) -> None:
        """The next line."""
        self._number += 1
        try:
            self._take(one_object(line), line)
        except (*UNREADABLE, InvalidJson) as error:
            raise BrokenTransfer(f"line {self._number}: {described(error)}") from error

    def content(self) -> Content:
        """Everything, once the last line has come."""
        if not self._is_complete:
            raise BrokenTransfer(f"it ends after {self._number} lines, before its last one")
        found = {shelf.value: len(records) for shelf, records in self._found.items()}
        if found != self._counts:
            raise BrokenTransfer(f"{self._counts} were announced, and {found} came")
        return Content(
            Facts(**self._facts),
            in_line(self._found[Shelf.WORKERS]),
            self._found[Shelf.JOBS],
            self._found[Shelf.FINISHED],
        )

    def _take(self, entry: Entry, line: bytes) -> None:
        values = entry.values
        if self._is_complete:
            raise ValueError("something follows the last line")
        if self._number == 1:
            self._begin(values)
        elif "sha256" in values:
            if values["sha256"] != self._seen.hexdigest():
                raise ValueError("a line before has been changed, or is missing")
            self._is_complete = True
        elif "fact" in values:
            self._facts[values["fact"]] = Row.fact(values["fact"], values["value"]).record.value
        else:
            self._take_record(entry, *values)
        self._seen.update(line)

    def _begin(self, head: dict[str, Any]) -> None:
        version = head.pop(FORMAT, None)
        if version != VERSION:
            raise ValueError(f"this is no export of version {VERSION}")
        self._counts = {shelf.value: int(head[shelf.value]) for shelf in self._found}
        self.expected = sum(self._counts.values())

    def _take_record(self, entry: Entry, kind: str) -> None:
        shelf = _SHELVES[kind]
        self._found[shelf].append(DECODERS[shelf](one_object(entry.raw(kind).encode())))
