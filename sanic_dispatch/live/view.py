"""A view: a flat map of keys to objects, and what has changed in it lately.

Being live, lagging and coming back are one case: a cursor behind the head. Who is behind gets one
frame that holds everything since; so nobody needs a queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from sanic_dispatch.live.connection import MOST_BYTES
from sanic_dispatch.live.frames import Cursor, Entries, Frame

RING = 512
"""How many patches back a cursor may be before it is told the whole state."""

LOOKS = 4 * RING
"""How many of the moments at which it was brought up to date a view remembers."""

FRESH_S = 0.5
"""How long a frame may be shared: ``now`` in it corrects the clocks of those who get it."""


SKEW_S = 5.0
"""What grows old is gone here sooner or later than in another process, by no more than that."""


class Moment(NamedTuple):
    """A moment in the life of a view: after which event, and how often something grew old since.

    The events have the same numbers in all processes; what grows old is counted here alone.
    """

    number: int
    age: int = 0


class Patch(NamedTuple):
    """The keys that changed at a moment, and what the clock said, Unix seconds."""

    moment: Moment
    keys: tuple[str, ...]
    at_s: float


Known = Moment | int | None
"""What a client knows: all up to a moment here; up to an event, maybe elsewhere; or nothing."""


class View:
    """Keys and objects, the keys of the last patches, and one frame per cursor."""

    def __init__(self, epoch: str, now_s: Callable[[], float]) -> None:
        self.entries: Entries = {}
        self.head = self._now = self._oldest = Moment(0)
        self._epoch = epoch
        self._now_s = now_s
        self._ring: deque[Patch] = deque(maxlen=RING)
        self._looks: dict[int, None] = {0: None}
        """After which events it was brought up to date. What came and went in between is unknown
        here, but may have been shown elsewhere."""
        self._frames: dict[Known, Frame] = {}
        self._fresh_until_s = 0.0

    @property
    def at(self) -> Cursor:
        """How far the view is, also where the last events did not change it."""
        return Cursor(self._epoch, self._now.number)

    def begin(self, moment: Moment, entries: Entries) -> None:
        """What there is at first; nobody can know what was before."""
        self.entries = entries
        self.head = self._now = self._oldest = moment
        self._looks = {moment.number: None}

    def apply(self, moment: Moment, patch: Entries) -> None:
        """Take in the changes up to a moment: whole new objects, or None for a key that is gone."""
        self._now = moment
        self._looks[moment.number] = None
        if len(self._looks) > LOOKS:
            del self._looks[next(iter(self._looks))]
        if not patch:
            return
        for key, value in patch.items():
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value
        if len(self._ring) == RING:
            self._oldest = self._ring[0].moment
        self._ring.append(Patch(moment, tuple(patch), self._now_s()))
        self.head = moment
        self._frames.clear()

    def frame_since(self, known: Known) -> Frame:
        """What leads from there to the head.

        One composed patch if what is known is in the ring and that is not more than the ``state``;
        a heartbeat if nothing changed.
        """
        now_s = self._now_s()
        if not 0 <= self._fresh_until_s - now_s <= FRESH_S:
            self._frames.clear()
            self._fresh_until_s = now_s + FRESH_S
        frame = self._frames.get(known)
        if frame is None:
            frame = self._frames[known] = self._compose(known, now_s)
        return frame

    def _compose(self, known: Known, now_s: float) -> Frame:
        since = self._moment_of(known)
        if since is None or not self._oldest <= since <= self._now:
            return Frame(self.at, now_s, state=self.entries)
        aged_s = now_s - SKEW_S if isinstance(known, int) else now_s
        keys = dict.fromkeys(self._keys_since(since, aged_s))
        if not keys:
            return Frame(self.at, now_s)
        if len(keys) > len(self.entries):
            return Frame(self.at, now_s, state=self.entries)
        patch = Frame(self.at, now_s, patch={key: self.entries.get(key) for key in keys})
        if len(patch.json) > MOST_BYTES:  # so long are the keys of what is gone
            return Frame(self.at, now_s, state=self.entries)
        return patch

    def _moment_of(self, known: Known) -> Moment | None:
        if isinstance(known, int):
            return Moment(known) if known in self._looks else None
        return known

    def _keys_since(self, since: Moment, aged_s: float) -> Iterator[str]:
        """Also what grew old after ``aged_s``: it may not have been old yet elsewhere."""
        for patch in reversed(self._ring):
            is_old = patch.moment <= since
            if is_old and patch.at_s < aged_s:
                break
            if not is_old or (patch.moment.age and patch.at_s > aged_s):
                yield from patch.keys
