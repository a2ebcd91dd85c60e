"""The records of one queue in memory: in order, and found by id, by key and by callback."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from typing import Generic

from sortedcontainers import SortedDict

from sanic_dispatch.job import Job
from sanic_dispatch.queues.base import R
from sanic_dispatch.worker import Key, Worker


class Index(Generic[R]):
    """Committed records, each of which is free to be paired or not.

    A record that is free can be hidden: somebody is about to hold it. Every step is O(log n).
    """

    def __init__(self) -> None:
        self._records: dict[str, R] = {}
        self._free: SortedDict[float, str] = SortedDict()
        self._rest: SortedDict[float, str] = SortedDict()
        self._by_key: dict[Key, dict[str, None]] = {}
        self._by_callback: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[R]:
        in_order = merge(self._free.items(), self._rest.items())
        return (self._records[record_id] for _, record_id in in_order)

    def get(self, record_id: str) -> R | None:
        """The record of that id."""
        return self._records.get(record_id)

    def fill(self, records: Iterable[R]) -> None:
        """Add many records to an empty index, in order."""
        for record in records:
            self._records[record.id] = record
            self._note_worker(record)
        everything = self._records.values()
        self._free.update((record.place, record.id) for record in everything if record.is_free)
        self._rest.update((record.place, record.id) for record in everything if not record.is_free)

    def put(self, record: R) -> None:
        """Add or replace a record; a hidden one comes out of hiding."""
        self.drop(record.id)
        self._records[record.id] = record
        line = self._free if record.is_free else self._rest
        line[record.place] = record.id
        self._note_worker(record)

    def drop(self, record_id: str) -> None:
        """Forget a record, if it is there."""
        record = self._records.pop(record_id, None)
        if record is None:
            return
        if self._free.pop(record.place, None) is None:
            del self._rest[record.place]
        self._forget_worker(record)

    def hide(self, record_id: str) -> bool:
        """Let nobody else find this record free; False where it was not."""
        record = self._records.get(record_id)
        if record is None or self._free.pop(record.place, None) is None:
            return False
        self._rest[record.place] = record_id
        return True

    def show(self, record_id: str) -> None:
        """A hidden record is free again, at its old place, if it is still there and free."""
        record = self._records.get(record_id)
        if record is not None and record.is_free and self._rest.pop(record.place, None):
            self._free[record.place] = record_id

    def is_visible(self, record_id: str) -> bool:
        """Whether the record is free, and nobody is about to hold it."""
        record = self._records.get(record_id)
        return record is not None and record.place in self._free

    def oldest_free(self) -> R | None:
        """The free record that has waited longest."""
        if not self._free:
            return None
        return self._records[self._free.peekitem(0)[1]]

    def free(self) -> int:
        """How many records are free."""
        return len(self._free)

    def position_of(self, record_id: str) -> int:
        """How many free records stand up to and including this one; 0 where it is not free."""
        if not self.is_visible(record_id):
            return 0
        return int(self._free.bisect_right(self._records[record_id].place))

    def id_at(self, place: float) -> str | None:
        """Who stands at this place."""
        at: str | None = self._free.get(place) or self._rest.get(place)
        return at

    def of_key(self, key: Key) -> list[R]:
        """The records that belong to that key."""
        return [self._records[record_id] for record_id in self._by_key.get(key, ())]

    def at_callback(self, callback_url: str) -> R | None:
        """The record that belongs to that callback."""
        record_id = self._by_callback.get(callback_url)
        return None if record_id is None else self._records[record_id]

    def _note_worker(self, record: R) -> None:
        worker = _worker_of(record)
        if worker is not None:
            self._by_callback[worker.callback_url] = record.id
            if worker.key:
                self._by_key.setdefault(worker.key, {})[record.id] = None

    def _forget_worker(self, record: R) -> None:
        worker = _worker_of(record)
        if worker is None:
            return
        if self._by_callback.get(worker.callback_url) == record.id:
            del self._by_callback[worker.callback_url]
        if worker.key:
            ids = self._by_key[worker.key]
            del ids[record.id]
            if not ids:
                del self._by_key[worker.key]


def _worker_of(record: Job | Worker) -> Worker | None:
    """Whose record it is; a job also counts as its last holder's while nobody else has it."""
    if isinstance(record, Worker):
        return record
    hold = record.hold or record.former
    return hold.worker if hold else None
