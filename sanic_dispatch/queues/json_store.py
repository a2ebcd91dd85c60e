"""The store of the modes JsonFile and CachedJsonFile: files, written one after the other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Protocol

from sanic_dispatch.queues.array_file import ArrayFile
from sanic_dispatch.queues.dispatch_file import DispatchFile
from sanic_dispatch.queues.folder import LOCK, Anchor
from sanic_dispatch.queues.row import Row
from sanic_dispatch.queues.store import Change, Shelf

TRIAL = bytes(4096)
"""What is written to see whether that can be done: a block, since a disk can be full."""


class ShelfFile(Protocol):
    """A file with one or several shelves; a write is drafted, saved and then kept."""

    shelves: tuple[Shelf, ...]

    def load(self, shelf: Shelf) -> list[Row]: ...
    def adopt(self, shelf: Shelf, rows: Sequence[Row]) -> None: ...
    def check(self) -> None: ...
    def draft(self, changes: Sequence[Change]) -> Any: ...
    def save(self, draft: Any) -> None: ...
    def keep(self, draft: Any) -> None: ...
    def go_back(self) -> None: ...


class JsonStore:
    """Writes its files in their order; what could not be written as a whole is not kept."""

    def __init__(self, folder: Path, files: Sequence[ShelfFile], *, rereads: bool) -> None:
        self.rereads = rereads
        self._folder = folder
        self._files = files
        self._by_shelf = {shelf: file for file in files for shelf in file.shelves}
        self._anchor = Anchor((folder, folder / LOCK))

    def load(self, shelf: Shelf) -> list[Row]:
        """Read the shelf's file."""
        return self._by_shelf[shelf].load(shelf)

    def adopt(self, shelf: Shelf, rows: Sequence[Row]) -> None:
        """Take the rows for what the shelf's file has, or will have after the next write."""
        self._by_shelf[shelf].adopt(shelf, rows)

    def write(self, changes: Sequence[Change]) -> None:
        """Replace the files that change. Raises Edited, NotAQueue or OSError."""
        self._anchor.check()
        for file in self._files:
            file.check()
        if not changes:
            return
        drafts = [(file, file.draft(changes)) for file in self._files]
        try:
            for file, draft in drafts:
                file.save(draft)
        except OSError:
            self._go_back()
            raise
        for file, draft in drafts:
            file.keep(draft)

    def _go_back(self) -> None:
        """Have all files as they were; where the disk does not let us, the next write does it."""
        for file in self._files:
            with suppress(OSError):
                file.go_back()

    def try_writing(self) -> None:
        """A file that is gone right after."""
        self._anchor.check()
        with NamedTemporaryFile(dir=self._folder, prefix=".dispatch.") as file:
            file.write(TRIAL)
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """Nothing is open between writes."""


def jobs_store(folder: Path, *, rereads: bool, fsync: bool) -> JsonStore:
    """``dispatch.json``, then ``jobs.json``: a finished job is in at least one of them."""
    ledger = DispatchFile(folder / "dispatch.json", fsync=fsync)
    jobs = ArrayFile(folder / "jobs.json", Shelf.JOBS, rereads=rereads, fsync=fsync)
    return JsonStore(folder, [ledger, jobs], rereads=rereads)


def workers_store(folder: Path, *, rereads: bool, fsync: bool) -> JsonStore:
    """``workers.json``."""
    workers = ArrayFile(folder / "workers.json", Shelf.WORKERS, rereads=rereads, fsync=fsync)
    return JsonStore(folder, [workers], rereads=rereads)
