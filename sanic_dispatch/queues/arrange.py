"""Taking over rows that were read: in a file, the order of the entries is what counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf, nextafter
from typing import Generic

from sanic_dispatch.queues.base import R
from sanic_dispatch.queues.index import Index
from sanic_dispatch.queues.row import Row
from sanic_dispatch.queues.store import Change, Shelf


@dataclass(slots=True)
class Arranged(Generic[R]):
    """A record as the queue takes it, and the row that was read; None where there was none."""

    record: R
    read: Row | None

    def row(self) -> Row:
        """The record as it is to stand on the shelf."""
        if self.read is not None and self.read.record is self.record:
            return self.read
        return Row.of(self.record)

    def differs(self) -> bool:
        """Whether the shelf has it otherwise."""
        if self.read is None or self.read.record is self.record:
            return self.read is None
        return self.read.stored != self.record.to_stored()

    def change(self, shelf: Shelf) -> Change:
        """What makes the shelf have it so."""
        row = self.row()
        return Change(shelf, self.record.id, row.place, row.place, row.stored)


def is_arranged(rows: Sequence[Row]) -> bool:
    """Whether each record has the place that its row says, behind the one before."""
    last = -inf
    for row in rows:
        if row.place <= last or row.record.place != row.place:
            return False
        last = row.place
    return True


def arrange(
    rows: Iterable[Row],
    index: Index[R],
    stays: Callable[[R], bool],
    claims: set[float],
    taken_over: Callable[[Row, R | None], R],
) -> Iterator[Arranged[R]]:
    """Rows in their order, with places that never contradict it.

    A record that ``stays`` is taken as it is in the index, whatever was read. The others keep
    their places where they are known; where such a place is not behind the one before, it becomes
    the next one that is.
    """
    fixed = claims | {record.place for record in index if stays(record)}
    last = -inf
    for row in rows:
        record = index.get(row.record.id)
        if record is None or not stays(record):
            record = _known_or_newer(_behind(last, taken_over(row, record), fixed), record)
        yield Arranged(record, row)
        last = max(last, record.place)


def _behind(last: float, record: R, fixed: set[float]) -> R:
    place = record.place if record.place > last else nextafter(last, inf)
    while place in fixed:
        place = nextafter(place, inf)
    return record if place == record.place else record._replace(place=place)


def _known_or_newer(record: R, known: R | None) -> R:
    """An edit is a change like any other: what was decided on the version before is outdated."""
    if known is None:
        return record
    same = record._replace(version=known.version) == known
    return known if same else record._replace(version=known.version + 1)
