"""The contract of a store: what every backend guarantees, and what the dispatcher relies on.

- The dispatcher calls ``commit`` with one batch at a time, in the order of their numbers.
- ``commit`` ends in one of three ways. It returns: this batch and all before it are durable. It
  raises StorageFailed: the batch is not durable and never will be. It raises OutcomeUnknown: the
  batch may be durable; the caller commits the same batch again, under the same number, until one
  of the other two ways ends it. So it does after any other error, such as MemoryError. A batch that
  is durable already is not applied twice.
- A batch changes each record at most once. ``Change.before`` is the stored record,
  ``Change.after`` the new one, or None for a deletion.
- ``load`` returns the records as of the last durable batch, also after a crash: jobs and workers
  in order, workers with increasing places.
- Records whose order in the file contradicts their places, or that have no tickets, are loaded in
  the order of the file; the first batch has to renumber them accordingly.
- The events of a batch are in the event log exactly if its changes are durable, once and in order.
- Damaged data is never read as empty: ``load`` raises NotAQueue and leaves the file as it was.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from sanic_dispatch.cluster.ownership import Ownership
from sanic_dispatch.core.events import Event
from sanic_dispatch.core.job import Job, JobRef
from sanic_dispatch.core.tables import Change, Fact
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import StorageFailed
from sanic_dispatch.storage.event_log import EventLog, Rest


class Batch(NamedTuple):
    """Changes to commit atomically; numbers count up from 1 after each ``load``."""

    number: int
    changes: Sequence[Change]
    events: Sequence[Event]


class Stored(NamedTuple):
    """Everything in a store: jobs in any state and workers, both in order, and facts."""

    jobs: Sequence[Job] = ()
    workers: Sequence[Worker] = ()
    facts: Sequence[Fact] = ()


class Edit(NamedTuple):
    """The new content of files that another program edited, in the order of the file.

    ``jobs`` or ``workers`` is None if that file was not edited; ``jobs`` are the waiting and the
    assigned ones. ``at_s`` is when the edit was made (Unix seconds).
    """

    jobs: Sequence[Job] | None
    workers: Sequence[Worker] | None
    at_s: float


class DatabaseCopy(NamedTuple):
    """The number of records in the copy of a database, and of events.

    Older events, up to number ``flushed_n``, are in segments and not in the database.
    """

    jobs: int
    workers: int
    events: int
    flushed_n: int


class EditedMeanwhile(Exception):
    """Another program edited the files since the last ``refresh``; nothing was written."""


class Store(ABC):
    """Stores all records of a topic, or one half of them: jobs and facts, or workers.

    ``open_store.store_of`` chooses the backend.
    """

    lasts: bool = True
    """Whether batches have to be committed; False for a store in memory."""

    rereads: bool = False
    """Whether other programs may edit the files; then ``refresh`` has to precede each batch."""

    is_as_committed: bool = True
    """Whether ``load`` returned what was committed last, so that the events tell of all changes.

    False for a store in memory, and where another program may have edited the files since.
    """

    history: EventLog
    """The event log; that of the jobs, if workers are stored elsewhere."""

    ownership: Ownership | None = None
    """The lease on a store that several processes share; None if one process has it to itself."""

    async def open(self, *, is_our_turn: bool = True) -> bool:
        """Connect to the store; return whether this process owns it.

        If it is not this process's turn, a shared store is left to others.
        """
        return True

    @abstractmethod
    async def load(self) -> Stored:
        """Open the store and return all records. Raises NotAQueue or another StartError."""

    @abstractmethod
    async def commit(self, batch: Batch) -> None:
        """Apply a batch atomically and make it durable.

        Raises StorageFailed, OutcomeUnknown or EditedMeanwhile.
        """

    async def refresh(self) -> Edit | None:
        """Return what another program edited since the last call, or None.

        The same edit is returned until a batch, possibly an empty one, is committed after it: that
        commit restores entries that the edit removed and the state machine kept.

        Raises StorageFailed if a file cannot be read.
        """
        return None

    async def begin_epoch(self, name: str, at_s: float) -> None:
        """Begin an epoch of events after ``load``. Raises StorageFailed."""
        try:
            self.history.begin_epoch(name, at_s)
        except OSError as error:
            raise StorageFailed(f"the history cannot be written: {error}") from error

    async def erase(self, jobs: Collection[JobRef]) -> None:
        """Erase the data of forgotten jobs from all that earlier batches have left of it.

        The batches that made them forgotten are durable; others may be committed meanwhile. Raises
        StorageFailed, after which it has to be called again.
        """
        self.history.erase(jobs)

    def may_act(self) -> bool:
        """Return whether this process may deliver and answer without asking the store first."""
        return self.ownership is None or self.ownership.may_act()

    async def confirm(self) -> None:
        """Ask the store whether this process may still act. Raises LostOwnership, StorageFailed."""
        if self.ownership is not None:
            await self.ownership.confirm()

    async def check_unedited(self) -> None:
        """Raise EditedMeanwhile if the files differ from what was last read or written.

        Raises StorageFailed if they cannot be read.
        """
        return

    @abstractmethod
    async def try_writing(self) -> None:
        """Check that a batch could be written now, by a durable write that changes no record.

        Raises StorageFailed.
        """

    def copy_database(self, folder: Path, rest: Rest) -> DatabaseCopy | None:
        """Copy the database of all records to a folder, as of one batch, and sync it.

        Return None if there is none. Blocks, and is called in a thread of its own; ``rest`` is
        called often. Raises StorageFailed or OSError.
        """
        return None

    @abstractmethod
    async def close(self) -> None:
        """Write all pending data and release files, locks and connections."""
