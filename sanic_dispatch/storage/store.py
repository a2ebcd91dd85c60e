"""The contract of a store: what every backend promises, and what the dispatcher relies on.

- ``commit`` is called with one batch at a time, in the order of their numbers.
- It ends in one of three ways. It returns: the batch is durable, with all that came before it. It
  raises StorageFailed: nothing of the batch can ever come back. It raises OutcomeUnknown: the batch
  may be durable; the same batch is given again, under its number, until its fate is known. A batch
  that turns out to be durable already is not applied twice.
- A batch has at most one change of a record. Its ``before`` is what the store has, its ``after``
  what it is to have.
- What ``load`` returned, and each ``after`` since, is what another ``load`` returns, also after a
  crash; jobs and workers in order, workers with places that rise.
- What a file has in another order than its places, or without tickets, is loaded in the order of
  the file; the first batch has to have everything that makes places agree with it.
- Damage is never taken for emptiness: ``load`` raises NotAQueue, and leaves the file as it was.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from sanic_dispatch.cluster.ownership import Ownership
from sanic_dispatch.core.events import Event
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Change, Fact
from sanic_dispatch.core.worker import Worker


class Batch(NamedTuple):
    """What is to become durable together; numbers count up by one from 1 at each start."""

    number: int
    changes: Sequence[Change]
    events: Sequence[Event]


class Stored(NamedTuple):
    """All that a store has: jobs in any state and workers, in order; facts."""

    jobs: Sequence[Job] = ()
    workers: Sequence[Worker] = ()
    facts: Sequence[Fact] = ()


class Edit(NamedTuple):
    """A file was edited from outside; what it has now, in order, and since when (Unix seconds).

    ``jobs`` or ``workers`` is None where that file was not edited; ``jobs`` are those that wait or
    are held.
    """

    jobs: Sequence[Job] | None
    workers: Sequence[Worker] | None
    at_s: float


class EditedMeanwhile(Exception):
    """The files were edited from outside since the last ``refresh``; nothing was written."""


class Store(ABC):
    """Where the records of a topic last, or one half of them: jobs with the facts, or workers."""

    lasts: bool = True
    """Whether there is anything to commit: memory alone does not last."""

    rereads: bool = False
    """Whether edits from outside are looked for: then ``refresh`` comes before each batch."""

    ownership: Ownership | None = None
    """The lease by which several processes take turns, where they share the store."""

    async def open(self) -> bool:
        """Look at the store for the first time; whether this process may use it now."""
        return True

    @abstractmethod
    async def load(self) -> Stored:
        """Open the store and read everything. Raises NotAQueue or another StartError."""

    @abstractmethod
    async def commit(self, batch: Batch) -> None:
        """Make a batch durable. Raises StorageFailed, OutcomeUnknown or EditedMeanwhile."""

    async def refresh(self) -> Edit | None:
        """Read what was edited from outside since the last look; None where nothing was.

        An edit is returned again until a batch was committed after it, be it an empty one: what the
        edit took out of a file, and the state machine kept, is written again by that.

        Raises StorageFailed where a file cannot be read now.
        """
        return None

    def may_act(self) -> bool:
        """Whether this process may hand out and answer now, without asking the store first."""
        return self.ownership is None or self.ownership.may_act()

    async def confirm(self) -> None:
        """Ask the store whether this process may still act. Raises LostOwnership, StorageFailed."""
        if self.ownership is not None:
            await self.ownership.confirm()

    async def check_unedited(self) -> None:
        """Raise EditedMeanwhile where the files are not what was last seen; StorageFailed."""
        return

    @abstractmethod
    async def try_writing(self) -> None:
        """Write something that changes nothing, as durably as a batch. Raises StorageFailed."""

    @abstractmethod
    async def close(self) -> None:
        """Write what is still to be written, and let go of everything."""
