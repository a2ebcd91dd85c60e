"""Queues of one process: an index in memory, and a commit that makes each change last.

The index follows the store: a change is applied once it is durable. Until then its record is
busy, and whoever wants to change it too waits for the outcome.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf, nextafter
from typing import Any, ClassVar, Generic, TypeVar

from sanic_dispatch.errors import AlreadyQueued, Outdated
from sanic_dispatch.events import Events, Kind, Note
from sanic_dispatch.queues.arrange import Arranged, arrange, is_arranged
from sanic_dispatch.queues.base import Enqueued, Queue, R
from sanic_dispatch.queues.commit import Commit, Merged
from sanic_dispatch.queues.index import Index
from sanic_dispatch.queues.ledger import NO_DRAFT, Draft
from sanic_dispatch.queues.row import Row
from sanic_dispatch.queues.store import Change, Edited, Shelf
from sanic_dispatch.queues.under_way import UnderWay
from sanic_dispatch.worker import Key, Worker

T = TypeVar("T")
Undo = Callable[[], None]
Coming = asyncio.Future[Enqueued[R]]


def nothing() -> None:
    """Where there is nothing more to be undone."""


class LocalQueue(Queue[R], Generic[R]):
    """What both queues of one process have in common.

    The methods that are not in the contract are for the pairing: they begin at once, without
    giving way, so that a choice is still right when it is carried out.
    """

    shelf: ClassVar[Shelf]
    added: ClassVar[Kind]
    changed: ClassVar[Kind]
    """The events of edits from outside."""

    def __init__(self, events: Events, commit: Commit) -> None:
        self.index: Index[R] = Index()
        self.freed: Undo = nothing
        self._events = events
        self.commit = commit
        self._under_way = UnderWay()
        self._last_place = 0.0

    async def open(self) -> None:
        rows, changes = self._take_over(await self.commit.load(self.shelf))
        self.index.fill(row.record for row in rows)
        await self.commit.adopt(self.shelf, rows, self._merge)
        if changes:  # what had to be changed to take it over is stored at once
            await self.commit.run(changes, nothing, nothing)

    async def close(self) -> None:
        await self.commit.close()

    async def enqueue(self, record: R, *notes: Note) -> R:
        await self.refresh()
        await self.turn(record.id)
        return (await self.append(record, notes)).record

    async def replace(self, record: R, *notes: Note) -> R:
        await self.refresh()
        await self.turn(record.id)
        return await self.change(record, notes)

    async def remove(self, record_id: str, *notes: Note) -> bool:
        await self.refresh()
        await self.turn(record_id)
        record = self.index.get(record_id)
        if record is not None:
            await self._drop(record, notes, NO_DRAFT)
        return record is not None

    async def get(self, record_id: str) -> R | None:
        await self.refresh()
        return self.index.get(record_id)

    async def items(self) -> list[R]:
        await self.refresh()
        return list(self.index)

    async def size(self) -> int:
        await self.refresh()
        return self.index.free()

    async def depth(self) -> int:
        await self.refresh()
        return self.coming_and_free()

    async def position(self, record_id: str) -> int:
        await self.refresh()
        return self.index.position_of(record_id)

    async def of_key(self, key: Key) -> list[R]:
        await self.refresh()
        return self.index.of_key(key)

    # ---- for the pairing

    async def refresh(self) -> None:
        """See what was done to the store from outside meanwhile, in the mode that allows it."""
        await self.commit.refresh()

    async def turn(self, record_id: str) -> None:
        """Wait until no change of this record is under way."""
        await self._under_way.turn(record_id)

    def append(self, record: R, notes: Sequence[Note], undo: Undo = nothing) -> Coming[R]:
        """Begin to store a new record, whose turn it is, at the end. Raises AlreadyQueued."""
        self.check_new(record.id)
        return self._put(self._at_end(record), notes, NO_DRAFT, undo)

    async def change(self, record: R, notes: Sequence[Note], undo: Undo = nothing) -> R:
        """Store a changed record whose turn it is."""
        self._check_version(record)
        renewed = record._replace(version=record.version + 1)
        return (await self._put(renewed, notes, NO_DRAFT, undo)).record

    def hold(self, record_id: str) -> Callable[[], None]:
        """Hide a free record, which another queue's record is about to name; the way back."""
        self.index.hide(record_id)
        return lambda: self.index.show(record_id)

    def oldest(self) -> R | None:
        """The oldest free record, unless one before it is being written and will be free."""
        return None if self.blocker() else self.index.oldest_free()

    def blocker(self) -> asyncio.Event | None:
        """Is set when the record that holds up the oldest free one is settled."""
        oldest = self.index.oldest_free()
        return self._under_way.before(oldest.place) if oldest else None

    def coming_and_free(self) -> int:
        """How many are free, or will be once they are written."""
        return self._under_way.coming() + self.index.free()

    def check_new(self, record_id: str) -> None:
        """Raises AlreadyQueued where a record of that id is there."""
        if self.knows(record_id):
            raise AlreadyQueued(record_id)

    def knows(self, record_id: str) -> bool:
        """Whether a record of that id is there, on its way, or still kept."""
        return self.index.get(record_id) is not None or record_id in self._under_way

    # ---- writing

    def _check_version(self, record: R) -> None:
        stored = self.index.get(record.id)
        if stored is None or stored.version != record.version:
            raise Outdated(record.id)

    def _put(
        self, record: R, notes: Sequence[Note], draft: Draft, undo: Undo = nothing
    ) -> Coming[R]:
        """Store a record along with a draft; hidden and busy until that is settled."""
        old = self.index.get(record.id)
        if old is None or old.place != record.place:
            record = self._at_vacant_place(record)
        stored = self.commit.stored(record)
        put = Change(self.shelf, record.id, old.place if old else None, record.place, stored)

        def apply() -> Enqueued[R]:
            self.index.put(record)
            draft.apply()
            position = self.index.position_of(record.id)
            self._publish(notes, record)
            return Enqueued(record, position)

        return self._settle(record, [put, *draft.changes], apply, undo)

    def _drop(self, record: R, notes: Sequence[Note], draft: Draft) -> asyncio.Future[None]:
        """Take a record out along with a draft; hidden and busy until that is settled."""
        old = self.index.get(record.id)
        assert old is not None
        drop = Change(self.shelf, record.id, old.place, None)

        def apply() -> None:
            self.index.drop(record.id)
            draft.apply()
            self._publish(notes, record)

        return self._settle(record, [drop, *draft.changes], apply)

    def _settle(
        self, record: R, changes: Sequence[Change], apply: Callable[[], T], undo: Undo = nothing
    ) -> asyncio.Future[T]:
        """What happens at the end does not depend on the caller, who may be cancelled meanwhile."""
        if not self.commit.lasts:
            return self.commit.run(changes, apply, undo)
        was_visible = self.index.hide(record.id)
        end = self._under_way.begin(record.id, changes[0].place, is_free=record.is_free)

        def applied() -> T:
            end()
            return apply()

        def undone() -> None:
            end()
            if was_visible:
                self.index.show(record.id)
            undo()
            self.freed()

        return self.commit.run(changes, applied, undone)

    def _publish(self, notes: Sequence[Note], record: Any) -> None:
        name = "worker" if isinstance(record, Worker) else "job"
        for note in notes:
            self._events.publish(note, **{name: record})

    # ---- places

    @abstractmethod
    def _at_end(self, record: R) -> R:
        """A new record with the place, and the number, that it gets behind all others."""

    @abstractmethod
    def _taken_over(self, row: Row, known: R | None) -> R:
        """A record that was read, with the place, and the number, that it has or gets."""

    def _at_vacant_place(self, record: R) -> R:
        """At its place, or right behind the one that stands there, or will."""
        place = record.place
        if place > self._last_place:
            self._last_place = place
            return record
        while place in self._under_way.places or self.index.id_at(place) not in (None, record.id):
            place = nextafter(place, inf)
        self._last_place = max(self._last_place, place)
        return record if place == record.place else record._replace(place=place)

    # ---- what comes from outside

    def _take_over(self, rows: list[Row]) -> tuple[list[Row], list[Change]]:
        """What was loaded, as it is to stand, and what has to be stored for that."""
        if is_arranged(rows):
            self._last_place = rows[-1].place if rows else 0.0
            return rows, []
        arranged = list(self._arrange(rows))
        changes = [each.change(self.shelf) for each in arranged if each.differs()]
        return [each.row() for each in arranged], changes

    def _arrange(self, rows: Iterable[Row]) -> Iterator[Arranged[R]]:
        """What was read, in its order, with places that say the same."""
        places = self._under_way.places
        for each in arrange(rows, self.index, self._stays, places, self._taken_over):
            self._last_place = max(self._last_place, each.record.place)
            yield each

    def _stays(self, record: R) -> bool:
        """What is held or being written is not to be changed from outside."""
        return record.id in self._under_way or not self.index.is_visible(record.id)

    def _merge(self, edited: Edited) -> Merged:
        """Take over an edit from outside, and publish what it did."""
        arranged: list[Arranged[R]] = list(self._arrange(edited.rows))
        there = {each.record.id for each in arranged}
        missing = [record for record in self.index if record.id not in there]
        kept: list[Arranged[R]] = [
            Arranged(record, None) for record in missing if self._stays(record)
        ]
        gone = [record for record in missing if not self._stays(record)]
        new = [each for each in arranged if each.record is not self.index.get(each.record.id)]
        self._swap(gone, [each.record for each in new], edited.at_s)
        everything = sorted([*arranged, *kept], key=lambda each: each.record.place)
        changes = [each.change(self.shelf) for each in everything if each.differs()]
        return Merged([each.row() for each in everything], changes)

    def _swap(self, gone: Sequence[R], new: Sequence[R], at_s: float) -> None:
        """First all out, then all in: a place may go from one record to another."""
        known = {record.id for record in new if self.index.get(record.id)}
        for record_id in [record.id for record in (*gone, *new)]:
            self.index.drop(record_id)
        for record in new:
            self.index.put(record)
        for old in gone:
            self._publish_gone(old, at_s)
        for record in new:
            kind = self.changed if record.id in known else self.added
            self._publish([Note(kind, at_s, EDITED)], record)

    @abstractmethod
    def _publish_gone(self, record: R, at_s: float) -> None:
        """Say that a record was taken out from outside."""


EDITED = "the file was edited"
