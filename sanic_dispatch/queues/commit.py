"""Commits: a change is made durable first, then applied; memory follows the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass
from time import monotonic
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from sanic_dispatch.errors import StorageFailed
from sanic_dispatch.job import Job
from sanic_dispatch.queues.row import Row
from sanic_dispatch.queues.store import Change, Edited, Shelf, Store
from sanic_dispatch.tally import CommitTally
from sanic_dispatch.worker import Worker

T = TypeVar("T")


class Merged(NamedTuple):
    """An edit from outside, taken over: all rows as they now stand, and what is to be stored."""

    rows: list[Row]
    changes: list[Change]


Merge = Callable[[Edited], Merged]


class Commit:
    """Without a store: each change is applied at once, and nothing outlives the process."""

    lasts: ClassVar[bool] = False
    """Whether a change is written: until then it is under way, and others may see it so."""

    rereads = False
    """Whether edits from outside are to be seen: then each operation begins with ``refresh``."""

    def __init__(self) -> None:
        self.tally = CommitTally()

    def stored(self, record: Job | Worker) -> bytes:
        """A record as the store is to have it: here nobody wants it."""
        return b""

    async def load(self, shelf: Shelf) -> list[Row]:
        """What is stored on a shelf, in order. Raises NotAQueue."""
        return []

    async def adopt(self, shelf: Shelf, rows: Sequence[Row], merge: Merge | None = None) -> None:
        """How the queue has arranged what was loaded; ``merge`` takes over later edits."""

    async def refresh(self) -> None:
        """See edits from outside, in the mode that allows them. Raises StorageFailed."""

    def run(
        self, changes: Sequence[Change], apply: Callable[[], T], undo: Callable[[], None]
    ) -> asyncio.Future[T]:
        """Make changes durable together, then apply them. Raises StorageFailed after ``undo``.

        Both run on the event loop, whether or not the caller still waits. Nothing else runs
        between the call and the moment from which the changes are under way.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        done.set_result(apply())
        return done

    async def try_writing(self) -> None:
        """Find out whether a change could be written now. Raises StorageFailed."""

    async def close(self) -> None:
        """Write what is pending; after that nothing more is taken."""


@dataclass(slots=True)
class _Pending(Generic[T]):
    changes: Sequence[Change]
    apply: Callable[[], T]
    undo: Callable[[], None]
    done: asyncio.Future[T]
    context: Context
    """Of whoever wants it: what follows from the change knows which request began it."""


class GroupCommit(Commit):
    """Runs a store in a thread of its own; changes that come during a write share the next one."""

    lasts = True

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.rereads = store.rereads
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._pending: list[_Pending[Any]] = []
        self._writer: asyncio.Task[None] | None = None
        self._merges: dict[Shelf, Merge] = {}
        self._is_closed = False

    def stored(self, record: Job | Worker) -> bytes:
        return record.to_stored()

    async def load(self, shelf: Shelf) -> list[Row]:
        return await self._in_thread(self._store.load, shelf)

    async def adopt(self, shelf: Shelf, rows: Sequence[Row], merge: Merge | None = None) -> None:
        if merge is not None:
            self._merges[shelf] = merge
        await self._in_thread(self._store.adopt, shelf, rows)

    async def refresh(self) -> None:
        if self.rereads:
            await self.run((), _nothing, _nothing)

    def run(
        self, changes: Sequence[Change], apply: Callable[[], T], undo: Callable[[], None]
    ) -> asyncio.Future[T]:
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._pending.append(_Pending(changes, apply, undo, done, copy_context()))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all())
        return done

    async def try_writing(self) -> None:
        try:
            await self._in_thread(self._store.try_writing)
        except Exception as error:
            raise StorageFailed(f"nothing can be written: {error}") from error

    async def close(self) -> None:
        if self._writer is not None:
            await self._writer
        if not self._is_closed:
            self._is_closed = True
            await self._in_thread(self._store.close)
            self._thread.shutdown()

    async def _write_all(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, []
            began_s, changes = monotonic(), [change for each in batch for change in each.changes]
            try:
                await self._write(changes)
            except Exception as error:
                self.tally.failed()
                _fail(batch, error)
            else:
                if changes:
                    self.tally.succeeded(len(changes), monotonic() - began_s)
                _succeed(batch)
        self._writer = None

    async def _write(self, changes: list[Change]) -> None:
        """Write; where there was an edit from outside, take it over first, then try again."""
        while True:
            try:
                return await self._in_thread(self._store.write, changes)
            except Edited as edited:
                merged = self._merges[edited.shelf](edited)
                await self._in_thread(self._store.adopt, edited.shelf, merged.rows)
                changes = [*merged.changes, *changes]

    async def _in_thread(self, call: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)


def _succeed(batch: list[_Pending[Any]]) -> None:
    """Apply all, in order; one that fails in this must not take the others with it."""
    for each in batch:
        try:
            result = each.context.run(each.apply)
        except Exception as error:
            _tell(each.done, error)
        else:
            if not each.done.done():  # else the caller was cut off
                each.done.set_result(result)


def _fail(batch: list[_Pending[Any]], error: Exception) -> None:
    for each in reversed(batch):
        each.context.run(each.undo)
    for each in batch:
        failure = StorageFailed(f"the change could not be written: {error}")
        failure.__cause__ = error
        _tell(each.done, failure)


def _tell(done: asyncio.Future[Any], error: Exception) -> None:
    """Raise it to the caller, unless that was cut off."""
    if not done.done():
        done.set_exception(error)


def _nothing() -> None:
    """For a change that changes nothing in memory."""
