"""A view as a flat map of keys to objects, with delta encoding between its versions.

Being live, lagging and reconnecting are one case: a cursor behind the head. One frame holds the
newest objects of all keys that changed since, so there is no queue of frames per client.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from sanic_dispatch.live.connection import MAX_BUFFERED_BYTES
from sanic_dispatch.live.frames import Cursor, Entries, Frame

RING_PATCHES = 512
"""How many patches are kept; a client further behind gets the whole state."""

REMEMBERED_REFRESHES = 4 * RING_PATCHES
"""How many event numbers at which the view was refreshed are remembered."""

FRAME_REUSE_S = 0.5
"""How long an encoded frame is reused: its ``now`` corrects clients' clocks."""


SKEW_S = 5.0
"""By how much the expiration of an entry may differ between processes."""


class Version(NamedTuple):
    """A version of a view: the last event in it, and the number of expirations since.

    Event numbers are the same in all processes; each process counts expirations on its own.
    """

    number: int
    age: int = 0


class Patch(NamedTuple):
    """The keys that changed with a version, and when, Unix seconds."""

    version: Version
    keys: tuple[str, ...]
    at_s: float


class EarlierNumber(NamedTuple):
    """The number of the last event in what a client got from an earlier run."""

    number: int


KnownVersion = Version | int | EarlierNumber | None
"""What a client has: a version sent by this process; an event number, perhaps from another
process; one of an earlier run; or nothing."""


class DeltaView:
    """The entries of a view, the keys of its last patches, and a frame per known version."""

    def __init__(self, epoch: str, now_s: Callable[[], float]) -> None:
        self.entries: Entries = {}
        self.head = self._now = self._oldest = Version(0)
        self._epoch = epoch
        self._now_s = now_s
        self._ring: deque[Patch] = deque(maxlen=RING_PATCHES)
        self._refreshed_at: dict[int, None] = {0: None}
        """The event numbers at which the view was refreshed. Another process may have shown what
        came and went between two of them, so other numbers are not resumed from."""
        self._frames: dict[KnownVersion, Frame] = {}
        self._fresh_until_s = 0.0

    @property
    def at(self) -> Cursor:
        """The cursor of the view, also when the last events did not change it."""
        return Cursor(self._epoch, self._now.number)

    def begin(self, version: Version, entries: Entries) -> None:
        """Set the first entries; no earlier version can be resumed from."""
        self.entries = entries
        self.head = self._now = self._oldest = version
        self._refreshed_at = {version.number: None}

    def apply(self, version: Version, patch: Entries) -> None:
        """Apply the changes up to a version: whole new objects, or None to delete a key."""
        self._now = version
        self._refreshed_at[version.number] = None
        if len(self._refreshed_at) > REMEMBERED_REFRESHES:
            del self._refreshed_at[next(iter(self._refreshed_at))]
        if not patch:
            return
        for key, value in patch.items():
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value
        if len(self._ring) == RING_PATCHES:
            self._oldest = self._ring[0].version
        self._ring.append(Patch(version, tuple(patch), self._now_s()))
        self.head = version
        self._frames.clear()

    def frame_since(self, known: KnownVersion, keys: Iterable[str] | None = None) -> Frame:
        """Return the frame that leads from a known version to the head.

        It is a patch if the known version is within the ring and the patch is no larger than the
        state; the whole state otherwise; a heartbeat if nothing changed. For a number of an earlier
        run ``keys`` says what may have changed since; None if any of them may have.
        """
        now_s = self._now_s()
        if not 0 <= self._fresh_until_s - now_s <= FRAME_REUSE_S:
            self._frames.clear()
            self._fresh_until_s = now_s + FRAME_REUSE_S
        frame = self._frames.get(known)
        if frame is None:
            if not isinstance(known, EarlierNumber):
                keys = self._keys_since(known, now_s)
            frame = self._frames[known] = self._compose(keys, now_s)
        return frame

    def _compose(self, changed: Iterable[str] | None, now_s: float) -> Frame:
        keys = None if changed is None else dict.fromkeys(changed)
        if keys is not None and not keys:
            return Frame(self.at, now_s)
        if keys is None or len(keys) > len(self.entries):
            return Frame(self.at, now_s, state=self.entries)
        patch = Frame(self.at, now_s, patch={key: self.entries.get(key) for key in keys})
        if len(patch.json) > MAX_BUFFERED_BYTES:  # the keys of deleted entries can be that long
            return Frame(self.at, now_s, state=self.entries)
        return patch

    def _keys_since(self, known: Version | int | None, now_s: float) -> Iterable[str] | None:
        """Return the keys that changed after a version; None if that is not known."""
        since, aged_s = known, now_s
        if isinstance(known, int):
            since = Version(known) if self._may_resume_from(known) else None
            aged_s = now_s - SKEW_S
        if not isinstance(since, Version) or not self._oldest <= since <= self._now:
            return None
        return self._patched_since(since, aged_s)

    def _may_resume_from(self, number: int) -> bool:
        """Whether the ring has all that changed after an event number."""
        return number in self._refreshed_at

    def _patched_since(self, since: Version, aged_s: float) -> Iterator[str]:
        """Yield the keys that changed after ``since``, newest patch first.

        An expiration after ``aged_s`` is included even before ``since``: in another process that
        entry may not have expired yet.
        """
        for patch in reversed(self._ring):
            is_old = patch.version <= since
            if is_old and patch.at_s < aged_s:
                break
            if not is_old or (patch.version.age and patch.at_s > aged_s):
                yield from patch.keys
