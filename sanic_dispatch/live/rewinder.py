"""The monitor as it was at any moment of the kept history.

It is folded from the event log, from the nearest snapshot before that moment. Snapshots are made on
the way, and regularly of what is new, so that never more than some thousand events are folded. All
of that is done in threads, in slices: the event loop waits for a millisecond or two at a time.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from threading import Event as Flag
from typing import Any, NamedTuple

import structlog

from sanic_dispatch.clock import Clock
from sanic_dispatch.core.job import JobRef
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.errors import InvalidRequest, MomentInHole, StorageFailed
from sanic_dispatch.live.past_projection import PastProjection
from sanic_dispatch.live.views import Monitor
from sanic_dispatch.storage.checkpoint import Pace
from sanic_dispatch.storage.event_log import (
    Epoch,
    EventLog,
    EventWithPayload,
    Question,
    check_readable,
)
from sanic_dispatch.storage.event_record import LoggedEvent
from sanic_dispatch.storage.snapshots import MemorySnapshots, SnapshotRef, has_any

SNAPSHOT_EVENTS = 2500
"""How many events are folded after a snapshot: 50 ms of work. There are as many more as it has
orders, so that snapshots are no longer than the log."""

MAX_PLAYERS = 16
"""How many views of the past are kept to go on from: those that are played."""

IDLE_S = 60.0
"""After how long without a look such a view is dropped, since its client has gone: it has every
order that was open."""

UPKEEP_S = 30.0
"""How often a snapshot is made of what is new, if that is enough."""

REST_S, UPKEEP_REST_S = 0.001, 0.05
"""How long to rest after each millisecond of work: where somebody waits for it, and else."""

LAST = SnapshotRef(2**62, 2**62)
"""No snapshot is after this one."""

EPOCH = "past"
"""The epoch in the cursors of past views, from which no client can resume."""

_log = structlog.get_logger("sanic_dispatch")


IsCancelled = Callable[[], bool]


class PastView(NamedTuple):
    """What the monitor showed at a moment (Unix seconds), as of the event with this number."""

    number: int
    moment_s: float
    entries: dict[str, Any]


class Gap(NamedTuple):
    """Between which times the history has a hole."""

    from_s: float
    to_s: float


class Stamp(NamedTuple):
    """What must not change while something that was read is used: other events, erased data."""

    epoch: Epoch | None
    erased: int
    withheld: frozenset[JobRef]


class _PastMonitor:
    """The monitor at one moment; it moves forward event by event."""

    def __init__(self, projection: PastProjection, stamp: Stamp) -> None:
        self.stamp = stamp
        self.now_s = 0.0
        self.looked_s = 0.0
        """When its player last looked (Unix seconds)."""
        self.continue_from(projection)

    def continue_from(self, projection: PastProjection) -> None:
        """Go on from what another projection knows."""
        self.projection = projection
        self.monitor = Monitor(projection, EPOCH, lambda: self.now_s)

    def show(self, moment_s: float) -> PastView:
        """Return the monitor's view as it was at a moment (Unix seconds)."""
        self.now_s = moment_s
        self.projection.catch_up(moment_s)
        self.monitor.refresh()
        return PastView(self.projection.number, moment_s, self.monitor.entries())

    def close(self) -> None:
        """Break the cycles in it: its thousands of objects need no garbage collection then."""
        for each in (self.projection, self.monitor):
            vars(each).clear()


class Rewinder:
    """Shows the monitor as it was.

    ``catch_up`` passes the events of this turn of the event loop to the log.
    """

    def __init__(
        self,
        log: EventLog,
        catch_up: Callable[[], None],
        clock: Clock,
        new_projection: Callable[[], PastProjection] = PastProjection,
    ) -> None:
        self._log = log
        self._catch_up = catch_up
        self._clock = clock
        self._new_projection = new_projection
        self._one_at_a_time = asyncio.Lock()
        self._looking = 0
        """How many looks are under way, or wait."""
        self._monitors: OrderedDict[str, _PastMonitor] = OrderedDict()
        """By player: its monitor, to go on from."""
        self._recent = MemorySnapshots()
        """Snapshots of events that may still be lost, of this run."""
        self._recent_stamp = self._stamp()
        self._good: dict[SnapshotRef, Stamp] = {}
        """The snapshots that are known to be of this log."""

    async def look(self, moment_s: float, player: str = "") -> PastView:
        """Return the monitor at a moment (Unix seconds).

        A ``player`` looks at later and later moments, so each step costs little; one in the future
        is the present, since its process may have another clock. Raises InvalidRequest for any
        other moment in the future, one before the kept history, or in a hole of it; StorageFailed
        if the history cannot be read.
        """
        self._catch_up()
        now_s = self._clock.now_s()
        if player:
            moment_s = min(moment_s, now_s)
        if moment_s > now_s:
            raise InvalidRequest(f"moment is in the future: it is {to_rfc3339(now_s)} now")
        is_cancelled = Flag()
        self._looking += 1  # upkeep ends, and goes on later
        try:
            async with self._one_at_a_time:
                return await asyncio.to_thread(self._look, moment_s, player, is_cancelled.is_set)
        except OSError as error:
            raise StorageFailed(f"the history cannot be read: {error}") from error
        finally:
            self._looking -= 1
            is_cancelled.set()

    async def keep_up(self) -> None:
        """Make snapshots of new events, and drop idle views, until cancelled.

        Pause while somebody looks at the past.
        """
        is_cancelled = Flag()
        try:
            while True:
                await self._clock.sleep(UPKEEP_S)
                try:
                    async with self._one_at_a_time:
                        is_over = partial(self._is_upkeep_over, is_cancelled)
                        await asyncio.to_thread(self._save_new, is_over)
                except (OSError, StorageFailed, ValueError, LookupError) as error:
                    _log.warning("snapshot.not_made", reason=str(error))
        finally:
            is_cancelled.set()

    def _is_upkeep_over(self, is_cancelled: Flag) -> bool:
        return self._looking > 0 or is_cancelled.is_set()

    def _unsaved(self) -> int:
        """Return how many events there are after the last snapshot."""
        refs = self._refs_before(LAST)
        return self._log.last_number - (refs[-1].n if refs else 0)

    def _save_new(self, is_cancelled: IsCancelled) -> None:
        self._drop_idle()
        self._check_recent()
        if self._unsaved() < SNAPSHOT_EVENTS:
            return
        first = self._first_event()
        if first is not None:
            self._log.snapshots.remove_before(first.n - 1)
        for ref in self._recent.refs():
            if ref.n <= self._log.settled_n and (content := self._recent.get(ref)) is not None:
                self._log.snapshots.put(ref, content, self._recent_stamp.erased)
                self._recent.remove(ref)
        past, pace = self._monitor_before(LAST), Pace(UPKEEP_REST_S)
        for _ in self._fold_until(past, None, pace, is_cancelled):
            pass
        past.close()

    def _drop_idle(self) -> None:
        """Drop the views of players that look no more."""
        now_s = self._clock.now_s()
        for player, past in list(self._monitors.items()):
            if not 0 <= now_s - past.looked_s < IDLE_S:
                self._monitors.pop(player).close()

    def _check_recent(self) -> None:
        """Forget the recent snapshots if their events may be others by now, or data was erased."""
        stamp = self._stamp()
        if stamp != self._recent_stamp:
            self._recent, self._recent_stamp = MemorySnapshots(), stamp

    # ---- in a thread

    def _look(self, moment_s: float, player: str, is_cancelled: IsCancelled) -> PastView:
        stamp = self._stamp()
        self._check_recent()
        begin_s = self._begin_s()
        if begin_s is None or moment_s < begin_s:
            raise InvalidRequest(_before_history(begin_s))
        past, pace = self._nearest(moment_s, player), Pace(REST_S)
        for gap in self._fold_until(past, moment_s, pace, is_cancelled):
            if gap.from_s < moment_s < gap.to_s:
                past.close()
                begin, end = to_rfc3339(gap.from_s), to_rfc3339(gap.to_s)
                raise MomentInHole(gap.from_s, begin, end)
        if self._stamp() != stamp:
            past.close()
            return self._look(moment_s, player, is_cancelled)
        view = past.show(moment_s)
        self._keep(past, player)
        return view

    def _keep(self, past: _PastMonitor, player: str) -> None:
        if not player:
            past.close()
            return
        past.looked_s = self._clock.now_s()
        self._monitors[player] = past
        if len(self._monitors) > MAX_PLAYERS:
            self._monitors.popitem(last=False)[1].close()

    def _first_event(self, after: int = 0) -> LoggedEvent | None:
        """Return the first event after this number that the log still has. Raises StorageFailed."""
        page = self._log.find(Question(after=after, limit=1))
        check_readable(page)
        return next(iter(page.events), None)

    def _stamp(self) -> Stamp:
        log = self._log
        return Stamp(next(reversed(log.epochs), None), log.snapshots.erased, log.withheld)

    def _begin_s(self) -> float | None:
        """Return from when on the monitor can be rewound.

        That is the first event, or where it is not known what was before it the next snapshot.
        """
        first = self._first_event()
        if first is None:
            return None
        refs = self._log.snapshots.refs()
        later = [ref.at_us / 1e6 for ref in refs if ref.n >= first.n]
        is_known = first.n == 1 or any(ref.n == first.n - 1 for ref in refs)
        return first.at_s if is_known or not later else later[0]

    def _nearest(self, moment_s: float, player: str) -> _PastMonitor:
        """Return a monitor before this moment, the nearest that there is."""
        past, last = self._monitors.pop(player, None), LAST._replace(at_us=round(moment_s * 1e6))
        if past is not None:
            newest = max((ref.n for ref in self._refs_before(last)), default=0)
            is_before = max(past.now_s, past.projection.at_s) <= moment_s
            if is_before and newest <= past.projection.number and past.stamp == self._stamp():
                return past
            past.close()
        return self._monitor_before(last)

    def _refs_before(self, last: SnapshotRef) -> list[SnapshotRef]:
        refs = sorted({*self._log.snapshots.refs(), *self._recent.refs()})
        return [ref for ref in refs if ref.n <= last.n and ref.at_us <= last.at_us]

    def _remove(self, ref: SnapshotRef) -> None:
        self._log.snapshots.remove(ref)
        self._recent.remove(ref)

    def _monitor_before(self, last: SnapshotRef) -> _PastMonitor:
        """Return a monitor that goes on from the last good snapshot, or else the first event.

        Raises OSError if what was before the first event may be in a snapshot that cannot be read.
        """
        snapshots, stamp, unread = self._log.snapshots, self._stamp(), list[OSError]()
        for ref in reversed(self._refs_before(last)):
            try:
                content = snapshots.get(ref) or self._recent.get(ref)
            except OSError as error:
                unread.append(error)
                continue
            if content is None or not self._is_of_this_log(ref):
                self._remove(ref)
                continue
            if has_any(content, stamp.withheld):
                continue
            projection = self._new_projection()
            try:
                projection.restore(content, Pace(REST_S).rest)
            except (ValueError, KeyError) as error:
                _log.warning("snapshot.unreadable", event=ref.n, reason=str(error))
                self._remove(ref)
                continue
            return _PastMonitor(projection, stamp)
        first = self._first_event() if unread else None
        if first is not None and first.n > 1:
            raise unread[0]
        return _PastMonitor(self._new_projection(), stamp)

    def _is_of_this_log(self, ref: SnapshotRef) -> bool:
        """Return whether the log has the last event of a snapshot, or has dropped it."""
        known, stamp = self._good.get(ref), self._stamp()
        if known == stamp:
            return True
        first = self._first_event(after=ref.n - 1)
        if first is None:
            return False
        is_good = first.n > ref.n or SnapshotRef.of(first.n, first.at_s).at_us <= ref.at_us
        if is_good:
            self._good[ref] = stamp
        return is_good

    def _fold_until(
        self, past: _PastMonitor, moment_s: float | None, pace: Pace, is_cancelled: IsCancelled
    ) -> Iterator[Gap]:
        """Fold the events up to a moment, or all; yield the gaps on the way, and make snapshots."""
        projection, saved_n = past.projection, past.projection.number
        cuts, withheld = self._log.cuts(), past.stamp.withheld
        for entry in self._log.events_with_payloads(projection.number):
            event = entry.event
            gap = self._gap_before(projection, entry)
            if gap is not None:
                yield gap
            if moment_s is not None and event.at_s > moment_s:
                return
            if gap is not None:
                projection = self._begin_again(past)
            if withheld and entry.payload is not None and entry.payload.is_of(withheld):
                entry = entry._replace(payload=None)
            projection.tell(entry)
            pace.rest()
            if is_cancelled():
                return
            is_due = event.n - saved_n >= SNAPSHOT_EVENTS + projection.orders or event.n in cuts
            if is_due:
                saved_n = event.n
                self._save(past, pace)

    def _gap_before(self, projection: PastProjection, entry: EventWithPayload) -> Gap | None:
        """Return the gap before an event; what was before the first one was dropped."""
        n, event = projection.number, entry.event
        return None if n in (0, event.n - 1) else Gap(projection.at_s, event.at_s)

    def _begin_again(self, past: _PastMonitor) -> PastProjection:
        """Forget what was before a gap: what has become of it is not known."""
        past.close()
        past.continue_from(self._new_projection())
        return past.projection

    def _save(self, past: _PastMonitor, pace: Pace) -> None:
        projection = past.projection
        ref = SnapshotRef.of(projection.number, projection.at_s)
        if ref not in self._refs_before(LAST):
            kept = self._log.snapshots if ref.n <= self._log.settled_n else self._recent
            kept.put(ref, projection.encode(pace.rest), past.stamp.erased)


def _before_history(begin_s: float | None) -> str:
    if begin_s is None:
        return "there is no history yet"
    return f"moment is before the history that is kept: it begins at {to_rfc3339(begin_s)}"
