"""The records of one queue in memory: in order, and found by id, by key and by callback."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from operator import attrgetter
from typing import Generic

from sortedcontainers import SortedKeyList

from sanic_dispatch.job import Job
from sanic_dispatch.queues.base import R
from sanic_dispatch.worker import Key, Worker

_place_of = attrgetter("place")


class Index(Generic[R]):
    """Committed records, each of which is free to be paired or not.

    A record that is free can be hidden: somebody is about to hold it. Every step is O(log n).
    """

    def __init__(self) -> None:
        self._records: dict[str, R] = {}
        self._free: SortedKeyList[R, float] = SortedKeyList(key=_place_of)
        self._rest: SortedKeyList[R, float] = SortedKeyList(key=_place_of)
        self._hidden: set[str] = set()
        """Those in ``_rest`` that are free."""
        self._by_key: dict[Key, dict[str, None]] = {}
        self._by_callback: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[R]:
        return merge(self._free, self._rest, key=_place_of)

    def get(self, record_id: str) -> R | None:
        """The record of that id."""
        return self._records.get(record_id)

    def fill(self, records: Iterable[R]) -> None:
        """Add many records to an empty index, in order."""
        free: list[R] = []
        rest: list[R] = []
        for record in records:
            self._records[record.id] = record
            (free if record.is_free else rest).append(record)
            if record.callbacks:  # else nobody has had it
                self._note_worker(record)
        self._free.update(free)
        self._rest.update(rest)

    def put(self, record: R) -> None:
        """Add or replace a record; a hidden one comes out of hiding."""
        self.drop(record.id)
        self._records[record.id] = record
        (self._free if record.is_free else self._rest).add(record)
        self._note_worker(record)

    def drop(self, record_id: str) -> None:
        """Forget a record, if it is there."""
        record = self._records.pop(record_id, None)
        if record is None:
            return
        (self._free if self._is_visible(record) else self._rest).remove(record)
        self._hidden.discard(record_id)
        self._forget_worker(record)

    def hide(self, record_id: str) -> bool:
        """Let nobody else find this record free; False where it was not."""
        if not self.is_visible(record_id):
            return False
        record = self._records[record_id]
        self._free.remove(record)
        self._rest.add(record)
        self._hidden.add(record_id)
        return True

    def show(self, record_id: str) -> None:
        """A hidden record is free again, at its old place, if it is still there and free."""
        if record_id in self._hidden:
            record = self._records[record_id]
            self._hidden.discard(record_id)
            self._rest.remove(record)
            self._free.add(record)

    def is_visible(self, record_id: str) -> bool:
        """Whether the record is free, and nobody is about to hold it."""
        record = self._records.get(record_id)
        return record is not None and self._is_visible(record)

    def oldest_free(self) -> R | None:
        """The free record that has waited longest."""
        return self._free[0] if self._free else None

    def free(self) -> int:
        """How many records are free."""
        return len(self._free)

    def position_of(self, record_id: str) -> int:
        """How many free records stand up to and including this one; 0 where it is not free."""
        record = self._records.get(record_id)
        if self._free and record is self._free[-1]:
            return len(self._free)
        if record is None or not self._is_visible(record):
            return 0
        return int(self._free.bisect_key_right(record.place))

    def id_at(self, place: float) -> str | None:
        """Who stands at this place."""
        there = _at(self._free, place) or _at(self._rest, place)
        return there.id if there else None

    def of_key(self, key: Key) -> list[R]:
        """The records that belong to that key."""
        return [self._records[record_id] for record_id in self._by_key.get(key, ())]

    def of_instance(self, instance: str) -> list[R]:
        """The records that belong to any key of that instance."""
        keys = [key for key in self._by_key if key.instance == instance]
        return [record for key in keys for record in self.of_key(key)]

    def at_callback(self, callback_url: str) -> R | None:
        """The record that belongs to that callback."""
        record_id = self._by_callback.get(callback_url)
        return None if record_id is None else self._records[record_id]

    def _is_visible(self, record: R) -> bool:
        return record.is_free and record.id not in self._hidden

    def _note_worker(self, record: R) -> None:
        for callback_url in record.callbacks:
            self._by_callback[callback_url] = record.id
        worker = _worker_of(record)
        if worker and worker.key:
            self._by_key.setdefault(worker.key, {})[record.id] = None

    def _forget_worker(self, record: R) -> None:
        for callback_url in record.callbacks:
            if self._by_callback.get(callback_url) == record.id:
                del self._by_callback[callback_url]
        worker = _worker_of(record)
        if worker and worker.key:
            ids = self._by_key[worker.key]
            del ids[record.id]
            if not ids:
                del self._by_key[worker.key]


def _at(line: SortedKeyList[R, float], place: float) -> R | None:
    at = line.bisect_key_left(place)
    return line[at] if at < len(line) and line[at].place == place else None


def _worker_of(record: Job | Worker) -> Worker | None:
    """Whose record it is; a job also counts as its last holder's while nobody else has it."""
    if isinstance(record, Worker):
        return record
    hold = record.hold or record.former
    return hold.worker if hold else None
