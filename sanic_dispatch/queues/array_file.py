"""``jobs.json`` and ``workers.json``, the original's files: one array, written whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from sanic_dispatch.errors import InvalidJson, NotAQueue
from sanic_dispatch.queues.atomic_file import fsync_found, refuse_link_to_nothing, replace_file
from sanic_dispatch.queues.blocks import Blocks
from sanic_dispatch.queues.row import Row
from sanic_dispatch.queues.store import (
    FINDERS,
    UNREADABLE,
    Change,
    Edited,
    Shelf,
    described,
    read_row,
)
from sanic_dispatch.strict_json import array_entries, byte_at

NOTHING = b"[]\n"


class ArrayFile:
    """One shelf in one file. With ``rereads`` the file may be edited while the service runs.

    What is kept in memory are the entries' bytes, so that a write encodes nothing.
    """

    def __init__(self, path: Path, shelf: Shelf, *, rereads: bool, fsync: bool) -> None:
        self.shelves: tuple[Shelf, ...] = (shelf,)
        self._given = path
        self._path = Path(os.path.realpath(path))
        self._shelf = shelf
        self._rereads = rereads
        self._fsync = fsync
        self._blocks = Blocks()
        self._on_disk: Blocks | None = self._blocks
        self._seen: Sequence[bytes] = ()

    def load(self, shelf: Shelf) -> list[Row]:
        """All rows; none where there is no file. Raises NotAQueue."""
        return self._rows(read_found(self._given, fsync=self._fsync) or NOTHING)

    def adopt(self, shelf: Shelf, rows: Sequence[Row]) -> None:
        """What was loaded, with the places that the queue gave."""
        self._blocks = self._on_disk = Blocks.of((row.place, row.stored) for row in rows)
        pieces = array_of(self._blocks.joined())
        if _is_made_of(b"".join(self._seen), pieces):
            self._note_seen(pieces)  # the same bytes need not be there twice

    def check(self) -> None:
        """Raises Edited if the file's content is not what was last read or written."""
        if not self._rereads:
            return
        content = read_regular(self._path) or NOTHING
        if not _is_made_of(content, self._seen):
            raise Edited(self._shelf, self._rows(content), _edited_s(self._path))

    def draft(self, changes: Sequence[Change]) -> Blocks:
        """The content with these changes, not yet written; the present one if there are none."""
        mine = [change for change in changes if change.shelf is self._shelf]
        return self._blocks.changed(edits_of(mine)) if mine else self._blocks

    def save(self, draft: Blocks) -> None:
        """Replace the file, unless it is as it should be. Raises OSError."""
        if draft is self._on_disk:
            return
        self._on_disk = None
        pieces = array_of(draft.joined())
        try:
            replace_file(self._path, pieces, fsync=self._fsync)
        except OSError:
            self._note_half_done()
            raise
        self._on_disk = draft
        self._note_seen(pieces)

    def keep(self, draft: Blocks) -> None:
        """What was saved is the present content from now on."""
        self._blocks = draft

    def go_back(self) -> None:
        """Have the file as it was before a draft that is not kept. Raises OSError."""
        self.save(self._blocks)

    def _rows(self, content: bytes) -> list[Row]:
        rows = list(rows_of(self._path, self._shelf, content))
        self._note_seen([content])
        return rows

    def _note_half_done(self) -> None:
        """Whatever a write that failed has left there is no edit from outside."""
        if self._rereads:
            with suppress(NotAQueue):
                self._note_seen([read_regular(self._path) or NOTHING])

    def _note_seen(self, pieces: Sequence[bytes]) -> None:
        if self._rereads:
            self._seen = pieces


def array_of(joined: Sequence[bytes]) -> list[bytes]:
    """An array of entries, which come with their separators: a line each, for people and diff."""
    return [b"[\n", *joined, b"\n]\n"] if joined else [NOTHING]


def edits_of(changes: Sequence[Change]) -> dict[float, bytes | None]:
    """What comes to stand at which place, in the order of the changes."""
    edits: dict[float, bytes | None] = {}
    for change in changes:
        if change.was is not None:
            edits[change.was] = None
        if change.place is not None:
            edits[change.place] = change.stored
    return edits


def read_found(path: Path, *, fsync: bool) -> bytes | None:
    """What is there at the start, made durable before anybody acts on it; None where there is
    nothing. Raises NotAQueue."""
    refuse_link_to_nothing(path)
    real = Path(os.path.realpath(path))
    content = read_regular(real)
    if fsync and content is not None:
        try:
            fsync_found(real)
        except OSError as error:
            raise NotAQueue(real, f"cannot be synced: {error.strerror}") from error
    return content


def read_regular(path: Path) -> bytes | None:
    """The content of a regular file; None where there is none. Raises NotAQueue otherwise."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise NotAQueue(path, "is no regular file")
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotAQueue(path, f"cannot be read: {error.strerror}") from error
    if not content.strip():
        raise NotAQueue(path, "is empty")
    return content


def rows_of(path: Path, shelf: Shelf, content: bytes) -> Iterator[Row]:
    """The rows of an array's entries. Raises NotAQueue, naming entry and byte."""
    seen: set[str] = set()
    try:
        for number, entry in enumerate(array_entries(content, FINDERS[shelf])):
            try:
                row = read_row(shelf, entry, number + 1.0)
                if row.record.id in seen:
                    raise ValueError(f"the id {row.record.id!r} is there twice")
            except UNREADABLE as error:
                where = f"entry {number}, at byte {byte_at(content, entry.at)}"
                raise NotAQueue(path, f"{where}: {described(error)}") from error
            seen.add(row.record.id)
            yield row
    except InvalidJson as error:
        raise NotAQueue(path, f"is no JSON array of objects: {error}") from None


def _is_made_of(content: bytes, pieces: Sequence[bytes]) -> bool:
    at = 0
    for piece in pieces:
        if not content.startswith(piece, at):
            return False
        at += len(piece)
    return at == len(content)


def _edited_s(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else path.parent.stat().st_mtime
