"""A view: a flat map of keys to objects, and what has changed in it lately.

Being live, lagging and coming back are one case: a cursor behind the head. Who is behind gets one
frame that holds everything since; so nobody needs a queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from sanic_dispatch.live.frame import Cursor, Entries, Frame

RING = 512
"""How many patches back a cursor may be before it is told the whole state."""

FRESH_S = 0.5
"""How long a frame may be shared: ``now`` in it corrects the clocks of those who get it."""


class View:
    """Keys and objects, the keys of the last patches, and one frame per cursor."""

    def __init__(self, epoch: str, now_s: Callable[[], float], number: int = 0) -> None:
        self.entries: Entries = {}
        self.head = self._number = self._oldest = number
        self._epoch = epoch
        self._now_s = now_s
        self._ring: deque[tuple[int, tuple[str, ...]]] = deque(maxlen=RING)
        self._frames: dict[int | None, Frame] = {}
        self._fresh_until_s = 0.0

    @property
    def at(self) -> Cursor:
        """How far the view is, also where the last events did not change it."""
        return Cursor(self._epoch, self._number)

    def apply(self, number: int, patch: Entries) -> None:
        """Take in the changes up to an event: whole new objects, or None for a key that is gone."""
        self._number = number
        if not patch:
            return
        for key, value in patch.items():
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value
        if len(self._ring) == RING:
            self._oldest = self._ring[0][0]
        self._ring.append((number, tuple(patch)))
        self.head = number
        self._frames.clear()

    def frame_since(self, cursor: int | None) -> Frame:
        """What leads from there to the head; None stands for knowing nothing.

        One composed patch if the cursor is in the ring and that is not more than the ``state``;
        a heartbeat if nothing changed.
        """
        now_s = self._now_s()
        if not 0 <= self._fresh_until_s - now_s <= FRESH_S:
            self._frames.clear()
            self._fresh_until_s = now_s + FRESH_S
        frame = self._frames.get(cursor)
        if frame is None:
            frame = self._frames[cursor] = self._compose(cursor, now_s)
        return frame

    def _compose(self, cursor: int | None, now_s: float) -> Frame:
        if cursor is None or not self._oldest <= cursor <= self._number:
            return Frame(self.at, now_s, state=self.entries)
        keys = self._keys_since(cursor)
        if not keys:
            return Frame(self.at, now_s)
        if len(keys) > len(self.entries):
            return Frame(self.at, now_s, state=self.entries)
        return Frame(self.at, now_s, patch={key: self.entries.get(key) for key in keys})

    def _keys_since(self, cursor: int) -> dict[str, None]:
        keys: dict[str, None] = {}
        for number, changed in reversed(self._ring):
            if number <= cursor:
                break
            keys.update(dict.fromkeys(changed))
        return keys
