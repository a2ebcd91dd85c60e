"""Which records are being written, and the places that they will have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sortedcontainers import SortedDict


class UnderWay:
    """Changes that have begun and are not settled; at most one per record."""

    def __init__(self) -> None:
        self.places: set[float] = set()
        """The places of records that are being stored: nobody else can have them."""
        self._busy: dict[str, asyncio.Event] = {}
        self._coming: SortedDict[float, str] = SortedDict()

    def __contains__(self, record_id: str) -> bool:
        return record_id in self._busy

    def begin(self, record_id: str, place: float | None, *, is_free: bool) -> Callable[[], None]:
        """A change begins; it ends when the result is called.

        ``place`` is where the record will stand, None where it leaves; ``is_free``, whether it
        will be free there.
        """
        self._busy[record_id] = settled = asyncio.Event()
        if place is not None:
            self.places.add(place)
            if is_free:
                self._coming[place] = record_id

        def end() -> None:
            if place is not None:
                self.places.discard(place)
                self._coming.pop(place, None)
            del self._busy[record_id]
            settled.set()

        return end

    async def turn(self, record_id: str) -> None:
        """Return when no change of this record is under way."""
        while busy := self._busy.get(record_id):
            await busy.wait()

    def before(self, place: float) -> asyncio.Event | None:
        """Is set when the first record that will be free before this place is settled."""
        if not self._coming or self._coming.peekitem(0)[0] > place:
            return None
        return self._busy[self._coming.peekitem(0)[1]]

    def has_coming(self) -> bool:
        """Whether a record is under way that will be free."""
        return bool(self._coming)
