"""The views of a topic that another process owns, relayed to the pages that are connected here.

Of each view that a page follows here, the frames come once over the link, as they would to a page.
They are folded into a view of the same kind, with a ring of patches of its own; cursors are those
of the owner, so a page can go on with its cursor at any process. A cursor from before this ring is
the owner's to answer: it is asked for the frame that leads from there to now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any, NamedTuple

from sanic_dispatch.clock import Clock
from sanic_dispatch.cluster.forwarding import Leave, TakeWord
from sanic_dispatch.cluster.sessions import Sink
from sanic_dispatch.errors import DispatchError
from sanic_dispatch.live import close_codes
from sanic_dispatch.live.connection import ViewKey, has_room
from sanic_dispatch.live.delta_view import DeltaView, KnownVersion, Version
from sanic_dispatch.live.frames import Cursor, Frame
from sanic_dispatch.live.subscription import OutOfReach

LINGER_S = 10.0
"""How long a view goes on that no page follows, since pages come back."""

FIRST_FRAME_S = 4.0
"""How long the first frame of a view may take."""


class FirstFrame(NamedTuple):
    """The first frame for a page, and the version of the view up to which it leads at least."""

    frame: Frame
    version: Version


Follow = Callable[[ViewKey, "str | None", TakeWord], Awaitable[Leave]]
"""Opens a stream of the frames of a view, from a cursor on; returns what ends it.

Its words are ``frame`` with the frame's JSON, ``closed`` with a close code, ``error`` and ``lost``.
Raises OutOfReach.
"""


class RelayedView:
    """A view as the owner's frames tell it."""

    def __init__(self, clock: Clock) -> None:
        self.head = self.version = Version(0)
        """The version of the last change, and that of the last frame."""
        self.epoch = ""
        self._clock = clock
        self._view: _RelayedEntries | None = None
        self._ahead_s = 0.0
        """By how much the owner's clock is ahead of this process's."""

    @property
    def is_known(self) -> bool:
        """Whether a frame with the state has come."""
        return self._view is not None

    def take(self, frame: dict[str, Any]) -> None:
        """Fold a frame of the owner: a state, a patch, or a heartbeat."""
        at = Cursor.parse(frame["at"])
        self._ahead_s = frame["now"] - self._clock.now_s()
        # Another process may have shown this number before what has expired since: age 0.
        view, version = self._view, Version(at.number, 1)
        if at.epoch == self.epoch and at.number == self.version.number:
            version = Version(at.number, self.version.age + 1)
        if "state" in frame:
            self.epoch = at.epoch
            self._view = view = _RelayedEntries(at.epoch, self._now_s)
            view.begin(version, frame["state"])
        elif view is not None:
            view.apply(version, frame.get("patch", {}))
        if view is not None:
            self.version, self.head = version, view.head

    def refresh(self) -> None:
        """Do nothing: frames come by themselves."""

    def frame_since(self, known: KnownVersion) -> Frame:
        """Return the frame that leads from a known version to the head. Raises OutOfReach."""
        if self._view is None:
            raise OutOfReach
        return self._view.frame_since(known)

    def has_since(self, cursor: Cursor) -> bool:
        """Whether it is known what has changed since a cursor."""
        return (
            self._view is not None and cursor.epoch == self.epoch and self._view.has(cursor.number)
        )

    def _now_s(self) -> float:
        return self._clock.now_s() + self._ahead_s


class _RelayedEntries(DeltaView):
    """Entries whose patches name all that changed, also what came and went between two frames."""

    def has(self, number: int) -> bool:
        """Whether the ring has all that changed after an event number."""
        return self._oldest <= Version(number) <= self._now

    def _may_resume_from(self, number: int) -> bool:
        return self.has(number)


class _Followed:
    """A view, and the stream of its frames."""

    def __init__(self, view: RelayedView) -> None:
        self.view = view
        self.leave: Leave | None = None
        self.used_s = 0.0
        """When a page last followed it (monotonic seconds)."""
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the first frame has come."""


class Relay:
    """The views that pages follow here, each over one stream of frames from the owner."""

    def __init__(
        self,
        clock: Clock,
        follow: Follow,
        changed: Callable[[ViewKey], None],
        lost: Callable[[ViewKey, int], None],
    ) -> None:
        """``changed`` is told of views that changed, ``lost`` of those that end: a close code."""
        self._clock = clock
        self._follow = follow
        self._tell_changed = changed
        self._tell_lost = lost
        self._views: dict[ViewKey, _Followed] = {}
        self._fetching: dict[tuple[ViewKey, str], asyncio.Task[FirstFrame]] = {}

    async def reach(self, key: ViewKey, since: Cursor | None) -> FirstFrame | None:
        """Return once a view is known here; with the first frame if ``since`` is the owner's.

        Raises UnknownJob, TooManyClients and OutOfReach.
        """
        followed = self._views.get(key)
        if followed is None:
            followed = await self._begin(key)
        try:
            async with asyncio.timeout(FIRST_FRAME_S):
                await asyncio.shield(followed.first)
        except TimeoutError:
            raise OutOfReach from None
        if since is None or followed.view.has_since(since):
            return None
        return await self.fetch(key, str(since))

    async def fetch(self, key: ViewKey, since: str = "") -> FirstFrame:
        """Return the owner's frame that leads from a cursor to now. Raises as ``reach``.

        The same frame goes to all that ask for it meanwhile.
        """
        fetching = self._fetching.get((key, since))
        if fetching is None:
            fetching = asyncio.create_task(self._fetch(key, since))
            self._fetching[key, since] = fetching
            fetching.add_done_callback(lambda done: self._fetched(key, since, done))
        return await asyncio.shield(fetching)

    def view(self, key: ViewKey) -> RelayedView:
        """Return a view that was reached. Raises OutOfReach."""
        followed = self._views.get(key)
        if followed is None or not followed.view.is_known:
            raise OutOfReach
        return followed.view

    def keep(self, used: Collection[ViewKey]) -> None:
        """Leave the views that no page has followed for LINGER_S; ``used`` are followed now."""
        now_s = self._clock.monotonic_s()
        for key, followed in list(self._views.items()):
            if key in used:
                followed.used_s = now_s
            elif now_s - followed.used_s > LINGER_S:
                self._end(key, followed)

    def close(self) -> None:
        """Leave all views."""
        for key, followed in list(self._views.items()):
            self._end(key, followed)

    def _fetched(self, key: ViewKey, since: str, done: asyncio.Task[FirstFrame]) -> None:
        del self._fetching[key, since]
        if not done.cancelled():
            done.exception()  # those who waited for it may have gone

    async def _begin(self, key: ViewKey) -> _Followed:
        followed = self._views[key] = _Followed(RelayedView(self._clock))
        followed.used_s = self._clock.monotonic_s()

        def take(word: str, value: Any) -> None:
            self._take(key, followed, word, value)

        try:
            followed.leave = await self._follow(key, None, take)
        except BaseException:
            self._end(key, followed)
            raise
        if self._views.get(key) is not followed:
            followed.leave()
        return followed

    def _take(self, key: ViewKey, followed: _Followed, word: str, value: Any) -> None:
        if self._views.get(key) is not followed:
            return
        if word == "frame":
            followed.view.take(value)
            if not followed.first.done():
                followed.first.set_result(None)
            else:
                self._tell_changed(key)
            return
        error = value if word == "error" else OutOfReach()
        self._end(key, followed, error)
        self._tell_lost(key, value if word == "closed" else close_codes.RESTART)

    def _end(self, key: ViewKey, followed: _Followed, error: DispatchError | None = None) -> None:
        if self._views.get(key) is followed:
            del self._views[key]
        if followed.leave is not None:
            followed.leave()
        if not followed.first.done():
            followed.first.set_exception(error or OutOfReach())
            followed.first.exception()  # there may be nobody who waits for it

    async def _fetch(self, key: ViewKey, since: str) -> FirstFrame:
        first: asyncio.Future[FirstFrame] = asyncio.get_running_loop().create_future()

        def take(word: str, value: Any) -> None:
            if first.done():
                return
            if word == "frame":
                followed = self._views.get(key)
                version = followed.view.version if followed else Version(0)
                first.set_result(FirstFrame(_frame_of(value), version))
            else:
                first.set_exception(value if word == "error" else OutOfReach())

        leave = await self._follow(key, since, take)
        try:
            async with asyncio.timeout(FIRST_FRAME_S):
                return await first
        except TimeoutError:
            raise OutOfReach from None
        finally:
            leave()


def _frame_of(frame: dict[str, Any]) -> Frame:
    content = {name: frame[name] for name in ("state", "patch") if name in frame}
    return Frame(Cursor.parse(frame["at"]), frame["now"], **content)


class RelayedConnection:
    """A process that relays a view, as a connection of the owner's hub."""

    transport = "link"

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def buffered(self) -> int:
        """Return the number of bytes that the other process has not taken yet."""
        return self._sink.buffered()

    def offer(self, frame: Frame) -> bool:
        """Send a frame if there is room, and return whether there was."""
        if not has_room(self._sink.buffered(), len(frame.json)):
            return False
        self._sink.send_json("frame", frame.json)
        return True

    def close(self, code: int) -> None:
        """End the stream."""
        self._sink.send_json("closed", b"%d" % code)

    def abort(self) -> None:
        """Break the link, which takes nothing any more."""
        self._sink.abort()
