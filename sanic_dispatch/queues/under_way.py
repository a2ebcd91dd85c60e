"""Which records are being written, and the places that they will have."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections.abc import Callable


class UnderWay:
    """Changes that have begun and are not settled; at most one per record."""

    def __init__(self) -> None:
        self.places: set[float] = set()
        """The places of records that are being stored: nobody else can have them."""
        self._busy: dict[str, asyncio.Event | None] = {}
        """By record what is set when its change is settled, made for the first who waits."""
        self._coming: list[tuple[float, str]] = []
        """Where records will be free, in order: mostly one behind the other."""

    def __contains__(self, record_id: str) -> bool:
        return record_id in self._busy

    def begin(self, record_id: str, place: float | None, *, is_free: bool) -> Callable[[], None]:
        """A change begins; it ends when the result is called.

        ``place`` is where the record will stand, None where it leaves; ``is_free``, whether it
        will be free there.
        """
        self._busy[record_id] = None
        if place is not None:
            self.places.add(place)
            if is_free:
                insort(self._coming, (place, record_id))

        def end() -> None:
            if place is not None:
                self.places.discard(place)
                if is_free:
                    del self._coming[bisect_left(self._coming, (place, record_id))]
            if settled := self._busy.pop(record_id):
                settled.set()

        return end

    async def turn(self, record_id: str) -> None:
        """Return when no change of this record is under way."""
        while record_id in self._busy:
            await self._settled(record_id).wait()

    def before(self, place: float) -> asyncio.Event | None:
        """Is set when the first record that will be free before this place is settled."""
        if not self._coming or self._coming[0][0] > place:
            return None
        return self._settled(self._coming[0][1])

    def coming(self) -> int:
        """How many records are under way that will be free."""
        return len(self._coming)

    def _settled(self, record_id: str) -> asyncio.Event:
        settled = self._busy[record_id] = self._busy[record_id] or asyncio.Event()
        return settled
