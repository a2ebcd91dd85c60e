"""The queue of one endpoint: what it is told next, and when. It knows no network and no clock.

A job's events go out in order, one after the other; those of different jobs side by side. While an
endpoint fails, it is sent one message at a time, the oldest first.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from sanic_dispatch.core.webhooks import Endpoint, Position
from sanic_dispatch.outbox.destination import Destination
from sanic_dispatch.storage.event_log import Page
from sanic_dispatch.storage.event_record import LoggedEvent

WINDOW = 4
"""The most messages under way to one endpoint."""

MAX_LOADED = 200
"""The most events of an endpoint in memory; further ones stay in the event log."""

SLOW_S = 1.0
"""An endpoint that takes longer to answer gets one message at a time."""

GIVE_UP_S = 24 * 3600.0
"""After failing for so long, an endpoint is disabled."""


GIVE_UP_HERE_S = 3600.0
"""The least time of these in this process: a day on which the bar was closed proves nothing."""


class EndpointState(StrEnum):
    """The states of an endpoint, as operators and metrics name them."""

    DELIVERING = "delivering"
    RETRYING = "retrying"
    DISABLED = "disabled"


class EndpointQueue(Destination):
    """The events that an endpoint has not been told yet, as far as they are in memory.

    It is live if these are all that there are, up to the last published one; else ``read_to`` is up
    to where the event log was read. Times are monotonic seconds but where they say otherwise.
    """

    def __init__(self, endpoint: Endpoint, position: Position, last_n: int) -> None:
        """``last_n`` is the number of the last event that was published."""
        super().__init__()
        self.endpoint = endpoint
        self.failing_since_s = position.failing_since_s
        """Unix seconds."""
        self._failing_here_since_s: float | None = None
        """The same for this process."""
        self.disabled = position.disabled
        self.is_slow = True
        """Whether to send one message at a time: until it has answered quickly, since hundreds of
        new endpoints that hang would take all connections with a window each."""
        self.has_news = False
        """Whether anything was sent since the position was committed."""
        self.is_left = False
        """Whether an operator is giving the endpoint another position than this queue has."""
        self.is_reading = False
        """Whether the event log is being read for it."""
        self.read_to = min(position.n, last_n)
        self.is_live = self.read_to == last_n
        self._loaded: dict[int, LoggedEvent] = {}
        """By number, in order: what was not delivered yet."""
        self._under_way: dict[int, str] = {}
        """By number: the subject of what is being sent."""
        self._late: list[LoggedEvent] = []
        """What was published while the event log was being read."""

    @property
    def state(self) -> EndpointState:
        """Whether it is told of events, as far as is known."""
        if self.disabled:
            return EndpointState.DISABLED
        is_failing = self.failing_since_s is not None
        return EndpointState.RETRYING if is_failing else EndpointState.DELIVERING

    @property
    def pending(self) -> int:
        """How many events are in memory."""
        return len(self._loaded)

    @property
    def oldest(self) -> LoggedEvent | None:
        """The first event that was not delivered."""
        return next(iter(self._loaded.values()), None)

    @property
    def is_to_read(self) -> bool:
        """Whether there is room for more from the event log."""
        may_read = not (self.is_live or self.is_reading or self.disabled)
        return may_read and len(self._loaded) <= MAX_LOADED // 2

    def position(self, last_n: int) -> Position:
        """Return up to where everything is delivered."""
        oldest = self.oldest
        read_to = last_n if self.is_live else self.read_to
        n = read_to if oldest is None else oldest.n - 1
        return Position(self.endpoint.id, n, self.failing_since_s, self.disabled)

    # ---- events come in

    def offer(self, event: LoggedEvent) -> None:
        """Take in a published event that the endpoint wants."""
        if self.is_live and event.n <= self.read_to:  # the event log had it before
            return
        if self.is_live and (len(self._loaded) >= MAX_LOADED or self.disabled):
            self.is_live, self.read_to = False, event.n - 1
        elif self.is_live:
            self._loaded[event.n] = event
        elif self.is_reading:
            self._late.append(event)

    def begin_reading(self) -> None:
        """Note that the event log is about to be read from ``read_to`` on."""
        self.is_reading, self._late = True, []

    def end_reading(self, page: Page | None, last_n: int) -> None:
        """Take in a page of the event log; None if it could not be read.

        ``last_n`` is the number of the last event that was published by now.
        """
        self.is_reading = False
        late, self._late = self._late, []
        if page is None:
            return
        if not self._load(page.events):
            return
        if page.next is not None:
            self.read_to = page.next
        elif self._load(each for each in late if each.n > self.read_to):
            self.read_to, self.is_live = max(self.read_to, last_n), True

    def _load(self, events: Iterable[LoggedEvent]) -> bool:
        """Load what the endpoint wants, as far as there is room; return whether that was all."""
        for event in events:
            if self.endpoint.wants(event.event):
                if len(self._loaded) >= MAX_LOADED:
                    return False
                self._loaded[event.n] = event
            self.read_to = event.n
        return True

    # ---- messages go out

    def next(self, now_s: float) -> LoggedEvent | None:
        """Return the event to send now, if there is one."""
        if self.disabled or now_s < self.retry_at_s:
            return None
        if len(self._under_way) >= (1 if self.attempts or self.is_slow else WINDOW):
            return None
        busy = self._under_way.values()
        for n, event in self._loaded.items():
            if n not in self._under_way and _subject_of(event) not in busy:
                return event
        return None

    def begin(self, event: LoggedEvent) -> None:
        """Note that an event is being sent."""
        self._under_way[event.n] = _subject_of(event)

    def give_back(self, event: LoggedEvent) -> None:
        """Note that nothing is known of the sending of an event: it will be sent again."""
        self._under_way.pop(event.n, None)

    def succeed(self, event: LoggedEvent, took_s: float) -> None:
        """Note that an event was delivered."""
        self.give_back(event)
        self._loaded.pop(event.n, None)
        self.is_slow, self.has_news = took_s > SLOW_S, True
        self.failing_since_s = self._failing_here_since_s = None
        self.note_success()

    def fail(
        self,
        event: LoggedEvent,
        reason: str,
        now_s: float,
        wall_s: float,
        retry_after_s: float | None = None,
    ) -> None:
        """Note that an event was not delivered; ``retry_after_s`` is what the endpoint asks for.

        Several messages that were under way together count as one failure.
        """
        self.give_back(event)
        self.has_news = True
        if self.failing_since_s is None:
            self.failing_since_s = wall_s
        if self._failing_here_since_s is None:
            self._failing_here_since_s = now_s
        is_long_here = now_s - self._failing_here_since_s >= GIVE_UP_HERE_S
        if wall_s - self.failing_since_s >= GIVE_UP_S and is_long_here:
            self.disabled = reason
        self.note_failure(reason, now_s, retry_after_s)


def _subject_of(event: LoggedEvent) -> str:
    """Return what an event is about: those of one subject are delivered in order."""
    return event.job or event.callback or event.event.partition(".")[0]
