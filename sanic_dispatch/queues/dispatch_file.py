"""``dispatch.json``: one object with what the dispatcher remembers and the finished jobs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import ujson

from sanic_dispatch.errors import InvalidJson, NotAQueue
from sanic_dispatch.queues.array_file import edits_of, read_found, rows_of
from sanic_dispatch.queues.atomic_file import replace_file
from sanic_dispatch.queues.blocks import Blocks
from sanic_dispatch.queues.row import Row
from sanic_dispatch.queues.store import UNREADABLE, Change, Shelf, described
from sanic_dispatch.strict_json import Entry, one_object

VERSION = 1


class Content(NamedTuple):
    """The whole file; ``leaving`` are the places of finished jobs that the next write leaves out.

    A job that is put back must not be gone from this file before it is in the queue's. So it is
    left out one write later; a job that is in both is in the queue, and nothing is lost by that.
    """

    facts: Mapping[str, bytes]
    finished: Blocks
    leaving: tuple[float, ...] = ()


class DispatchFile:
    """Replaced as a whole at each write, before the queue's own file."""

    shelves: tuple[Shelf, ...] = (Shelf.FACTS, Shelf.FINISHED)

    def __init__(self, path: Path, *, fsync: bool) -> None:
        self._given = path
        self._path = Path(os.path.realpath(path))
        self._fsync = fsync
        self._content = Content({}, Blocks())
        self._on_disk: Content | None = self._content

    def load(self, shelf: Shelf) -> list[Row]:
        """The facts, or the finished jobs in order; nothing where there is no file."""
        content = read_found(self._given, fsync=self._fsync)
        if content is None:
            return []
        entry = self._object(content)
        try:
            _check_version(entry)
            if shelf is Shelf.FINISHED:
                return list(rows_of(self._path, shelf, entry.raw("finished").encode()))
            return [Row.fact(name, value) for name, value in entry.values["facts"].items()]
        except UNREADABLE as error:
            raise NotAQueue(self._path, described(error)) from error

    def adopt(self, shelf: Shelf, rows: Sequence[Row]) -> None:
        """What was loaded, with the places that the ledger gave."""
        if shelf is Shelf.FINISHED:
            finished = Blocks.of((row.place, row.stored) for row in rows)
            self._content = self._on_disk = self._content._replace(finished=finished)
        else:
            facts = {row.record.id: row.stored for row in rows}
            self._content = self._on_disk = self._content._replace(facts=facts)

    def check(self) -> None:
        """Edits from outside are not looked for."""

    def draft(self, changes: Sequence[Change]) -> Content:
        """The content with these changes, not yet written; the present one if there are none."""
        facts = {c.id: c.stored for c in changes if c.shelf is Shelf.FACTS}
        finished = [c for c in changes if c.shelf is Shelf.FINISHED]
        if not facts and not finished:
            return self._content
        edits = dict.fromkeys(self._content.leaving) | edits_of(
            [change for change in finished if change.place is not None]
        )
        return Content(
            {**self._content.facts, **facts},
            self._content.finished.changed(edits),
            tuple(c.was for c in finished if c.place is None and c.was is not None),
        )

    def save(self, draft: Content) -> None:
        """Replace the file, unless it is as it should be. Raises OSError."""
        if draft is self._on_disk:
            return
        self._on_disk = None
        replace_file(self._path, _pieces(draft), fsync=self._fsync)
        self._on_disk = draft

    def keep(self, draft: Content) -> None:
        """What was saved is the present content from now on."""
        self._content = draft

    def go_back(self) -> None:
        """Have the file as it was before a draft that is not kept. Raises OSError."""
        self.save(self._content)

    def _object(self, content: bytes) -> Entry:
        try:
            return one_object(content)
        except InvalidJson as error:
            raise NotAQueue(self._path, f"is no JSON object: {error}") from None


def _pieces(content: Content) -> list[bytes]:
    """One line a job, so that people and diff can read it."""
    facts = b",".join(b"%b:%b" % (_name(name), value) for name, value in content.facts.items())
    head = b'{"version":%d,"facts":{%b},"finished":[\n' % (VERSION, facts)
    return [head, *content.finished.joined(), b"\n]}\n"]


def _name(name: str) -> bytes:
    return ujson.dumps(name).encode()


def _check_version(entry: Entry) -> None:
    version = entry.values["version"]
    if version != VERSION:
        raise ValueError(f"it has version {version!r}, and this program knows {VERSION}")
