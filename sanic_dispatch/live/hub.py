"""The hub: everybody who follows a view, and the pushing of frames to them.

Nobody has a queue or a task here. A client is a cursor and a wire; whoever is behind the head of
its view gets one frame with all that it has missed, as soon as its wire has room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from sanic_dispatch.clock import Clock
from sanic_dispatch.config.settings import DEFAULTS
from sanic_dispatch.core.events import Event
from sanic_dispatch.dispatch.queries import Snapshot
from sanic_dispatch.errors import UnknownJob
from sanic_dispatch.live.connection import Topic, Wire
from sanic_dispatch.live.finished import KEEP_FAILED_S
from sanic_dispatch.live.frames import Cursor, Frame
from sanic_dispatch.live.pacer import Loop, Pacer
from sanic_dispatch.live.projection import Line
from sanic_dispatch.live.stats import Pushed
from sanic_dispatch.live.subscription import Channel, Client, OutOfReach, TooManyClients
from sanic_dispatch.live.views import BEAT_S, NEAR, Board, Monitor, OrderView
from sanic_dispatch.observability.event_bus import EventBus

MOST_CLIENTS = DEFAULTS.max_connections
"""How many may follow at the same time."""

PIECE = 16
"""How many are written to between two looks at the clock."""

PATIENCE_S = 10.0
"""How long a wire may have no room before it is cut."""

TICK_S = 0.25
"""How often to look at the clock: who has room again, who is to be cut, who needs a heartbeat."""

SWEEP_S = 2.0
"""How often to look whether a far place in the line has changed enough to be told."""

GONE, RESTART = 4404, 1012
"""Close codes: there is no such order any more; the service stops."""


class Hub:
    """Folds events at once, and pushes what came of them at the pace that the loop can bear."""

    def __init__(
        self,
        bus: EventBus,
        clock: Clock,
        loop: Loop | None = None,
        most_clients: int = MOST_CLIENTS,
        keep_failed_s: float = KEEP_FAILED_S,
    ) -> None:
        self._new_line = partial(Line, keep_failed_s)
        self._line = self._new_line()
        self._bus = bus
        self._clock = clock
        self._loop = loop or asyncio.get_running_loop()
        self._most_clients = most_clients
        self._pacer = Pacer(self._loop, clock.monotonic_s, self._round)
        self._shared = self._new_channels()
        self._orders: dict[str, Channel] = {}
        self._due: dict[str, None] = {}
        self._sweep: deque[tuple[float, Channel]] = deque()
        self._clients: set[Client] = set()
        self._full: dict[Client, float] = {}
        self._beat_at_s = 0.0
        self._is_cut_off = False
        self._timer: Any = None
        self._is_over = False
        self.pushed = Pushed()
        bus.fold_into(self._fold)

    @property
    def line(self) -> Line:
        """All orders, as of the last event."""
        self._bus.catch_up()
        return self._line

    @property
    def size(self) -> int:
        """How many follow now."""
        return len(self._clients)

    def seed(self, snapshot: Snapshot) -> None:
        """Begin with what the tables hold, as of the last event; whoever follows comes back."""
        self._bus.catch_up()
        self._line = self._new_line()
        self._line.seed(
            snapshot.jobs,
            snapshot.finished,
            snapshot.workers,
            paused=snapshot.paused,
            number=self._bus.number,
            now_s=self._clock.now_s(),
        )
        self._dismiss_all()
        self._shared = self._new_channels()

    def cut_off(self, is_cut_off: bool) -> None:
        """Refuse followers, or take them again: this process does not own the topic, or does.

        Pages say that what they show is old where they are not connected; so they are not.
        """
        self._is_cut_off = is_cut_off
        if is_cut_off:
            self._dismiss_all()

    def start(self) -> None:
        """From now on, keep an eye on the clock."""
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def stop(self) -> None:
        """Say good-bye to all, also to who comes now: they come back when the service does."""
        self._is_over = True
        if self._timer:
            self._timer.cancel()
        self._dismiss_all()

    def follow(self, wire: Wire, topic: Topic, since: Cursor | None = None) -> Client:
        """Send what leads from ``since`` to now, and from then on everything that happens.

        Raises UnknownJob, TooManyClients and OutOfReach.
        """
        self._come_up_to_date()
        if len(self._clients) >= self._most_clients:
            raise TooManyClients(self._most_clients)
        channel = self._channel(topic)
        number = since.number if since and since.epoch == self._bus.epoch else None
        client = Client(wire, channel, number)
        channel.clients[client] = None
        self._clients.add(client)
        self.pushed.clients[wire.transport, topic.view] += 1
        self._serve(channel, [client])
        if self._is_over:
            self._dismiss(client, RESTART)
        return client

    def leave(self, client: Client) -> None:
        """Forget a client; also one that was forgotten already."""
        channel = client.channel
        if client not in self._clients:
            return
        self._clients.discard(client)
        channel.clients.pop(client, None)
        self.pushed.clients[client.wire.transport, channel.topic.view] -= 1
        self._full.pop(client, None)
        if not channel.clients and channel.topic.order_id:
            self._orders.pop(channel.topic.order_id, None)

    def look(self, topic: Topic) -> Frame:
        """One look: the whole state. Raises UnknownJob and OutOfReach."""
        self._come_up_to_date()
        view = self._shared[topic].view if topic in self._shared else self._order(topic.order_id)
        view.refresh()
        return view.frame_since(None)

    # ---- channels

    def _channel(self, topic: Topic) -> Channel:
        channel = self._shared.get(topic) or self._orders.get(topic.order_id)
        if channel is None:
            channel = self._orders[topic.order_id] = Channel(topic, self._order(topic.order_id))
            self._sweep.append((self._clock.monotonic_s() + SWEEP_S, channel))
        channel.view.refresh()
        return channel

    def _order(self, order_id: str) -> OrderView:
        return OrderView(self._line, self._bus.epoch, self._clock.now_s, order_id)

    def _new_channels(self) -> dict[Topic, Channel]:
        views = ((Topic("board"), Board), (Topic("monitor"), Monitor))
        epoch, now_s = self._bus.epoch, self._clock.now_s
        return {topic: Channel(topic, view(self._line, epoch, now_s)) for topic, view in views}

    def _come_up_to_date(self) -> None:
        """Before a look. Raises OutOfReach where the events do not come through."""
        if self._is_cut_off:
            raise OutOfReach
        self._bus.catch_up()

    # ---- what happens

    def _fold(self, events: Sequence[Event]) -> None:
        for event in events:
            self._line.fold(event)
        if self._clients:
            self._due.update((event.job.id, None) for event in events if event.job)
            self.pushed.wait(self._clock.monotonic_s())
            self._pacer.wake()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._tick)
        self.line.expire(self._clock.now_s())
        if self._clients:
            self._pacer.wake()

    # ---- pushing

    def _round(self) -> Iterator[None]:
        """Whatever there is to send, in small pieces."""
        now_s, since_s = self._clock.monotonic_s(), self.pushed.begin()
        yield from self._retry(now_s)
        is_beat, self._beat_at_s = self._next_beat(now_s)
        for channel in self._shared.values():
            if channel.clients:
                yield from self._push(channel, is_beat)
        for channel in self._due_orders():
            yield from self._push(channel)
        self.pushed.end(since_s, self._clock.monotonic_s())
        yield from self._sweep_orders(now_s)

    def _next_beat(self, now_s: float) -> tuple[bool, float]:
        is_due = now_s >= self._beat_at_s
        return is_due, now_s + BEAT_S if is_due else self._beat_at_s

    def _due_orders(self) -> list[Channel]:
        """The orders that changed, and those that are near: they are told of every step."""
        due, self._due = self._due, {}
        if not self._orders:
            return []
        near = (order.job.id for order in self.line.first(NEAR + 1))
        due |= dict.fromkeys(near)
        return [self._orders[order_id] for order_id in due if order_id in self._orders]

    def _sweep_orders(self, now_s: float) -> Iterator[None]:
        """Look at every followed order in turn, each at a bounded rate."""
        while self._sweep and self._sweep[0][0] <= now_s:
            _, channel = self._sweep.popleft()
            if channel.clients:
                self._sweep.append((now_s + SWEEP_S, channel))
                yield from self._push(channel)
            yield

    def _push(self, channel: Channel, is_beat: bool = False) -> Iterator[None]:
        try:
            channel.view.refresh()
        except UnknownJob:
            for client in list(channel.clients):
                self._dismiss(client, GONE)
            return
        if channel.view.head == channel.pushed and not is_beat:
            return
        channel.pushed = channel.view.head
        clients = list(channel.clients)
        for at in range(0, len(clients), PIECE):
            self._serve(channel, clients[at : at + PIECE], is_beat)
            yield

    def _retry(self, now_s: float) -> Iterator[None]:
        """Those whose wires had no room."""
        for client, since_s in list(self._full.items()):
            self._serve(client.channel, [client])
            if client in self._full and now_s - since_s >= PATIENCE_S:
                client.wire.abort()
                self.pushed.cut += 1
                self.leave(client)
            yield

    def _serve(self, channel: Channel, clients: Iterable[Client], is_beat: bool = True) -> None:
        """Send what leads to the head to those who follow this channel and have room for it."""
        view, followers, cursor, frame = channel.view, channel.clients, None, None
        head, pushed = view.head, self.pushed
        for client in clients:
            if client not in followers or (not is_beat and client.cursor == head):
                continue
            if frame is None or client.cursor is not cursor:  # most are at the same one
                cursor = client.cursor
                frame = view.frame_since(cursor)
            if client.wire.offer(frame):
                client.cursor = head
                pushed.frames += 1
                self._full.pop(client, None)
            else:
                self._full.setdefault(client, self._clock.monotonic_s())

    def _dismiss_all(self) -> None:
        for client in list(self._clients):
            self._dismiss(client, RESTART)

    def _dismiss(self, client: Client, code: int) -> None:
        self.leave(client)
        client.wire.close(code)
