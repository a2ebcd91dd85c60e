"""The hub: all clients of the live channel, and the pushing of frames to them.

There is no queue and no task per client. A client is a cursor and a connection; a client behind
the head of its view gets one frame with everything since, as soon as its connection has room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from sanic_dispatch.clock import Clock
from sanic_dispatch.config.settings import DEFAULTS
from sanic_dispatch.core.events import Event
from sanic_dispatch.dispatch.queries import TopicSnapshot
from sanic_dispatch.errors import UnknownJob
from sanic_dispatch.live import close_codes
from sanic_dispatch.live.connection import Connection, ViewKey
from sanic_dispatch.live.delta_view import EarlierNumber, KnownVersion
from sanic_dispatch.live.forecast import NO_EXPERIENCE, Experience
from sanic_dispatch.live.frames import Cursor, Frame
from sanic_dispatch.live.pacer import Loop, Pacer
from sanic_dispatch.live.projection import Projection
from sanic_dispatch.live.relay import FirstFrame, Follow, Relay
from sanic_dispatch.live.stats import PushStats
from sanic_dispatch.live.subscription import Channel, Client, OutOfReach, TooManyClients
from sanic_dispatch.live.views import HEARTBEAT_S, NEAR, Board, Monitor, OrderView, View
from sanic_dispatch.observability.event_bus import EventBus
from sanic_dispatch.storage.event_log import is_good

MAX_CLIENTS = DEFAULTS.max_connections
"""How many clients may be connected at the same time."""

CHUNK_CLIENTS = 16
"""How many clients are written to before the pacer looks at the clock."""

STALL_TIMEOUT_S = 10.0
"""How long a connection may have no room before it is dropped."""

TICK_S = 0.25
"""Interval of the check for connections with room, stalled ones, and heartbeats that are due."""

SWEEP_S = 2.0
"""Interval at which an order that is not near the front is checked for changes."""


class Hub:
    """Folds events into the projection once per turn of the event loop, and pushes frames.

    The pacer says when to push.
    """

    def __init__(
        self,
        bus: EventBus,
        clock: Clock,
        loop: Loop | None = None,
        max_clients: int = MAX_CLIENTS,
        new_projection: Callable[[], Projection] = Projection,
    ) -> None:
        self._new_projection = new_projection
        self._projection = self._new_projection()
        self._bus = bus
        self._clock = clock
        self._loop = loop or asyncio.get_running_loop()
        self._max_clients = max_clients
        self._pacer = Pacer(self._loop, clock.monotonic_s, self._push_round)
        self._shared = self._new_channels()
        self._orders: dict[str, Channel] = {}
        self._changed_order_ids: dict[str, None] = {}
        self._unpushed_since_s: float | None = None
        self._sweep: deque[tuple[float, Channel]] = deque()
        self._clients: set[Client] = set()
        self._stalled: dict[Client, float] = {}
        self._heartbeat_at_s = 0.0
        self._is_out_of_reach = False
        self._relay: Relay | None = None
        """What is shown while another process owns the topic."""
        self._timer: Any = None
        self._is_stopped = False
        self._is_matching = False
        self.stats = PushStats()
        bus.subscribe(self._fold)

    @property
    def projection(self) -> Projection:
        """The projection, with all published events folded in."""
        self._bus.catch_up()
        return self._projection

    def promised(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return the events of a batch that is about to be committed, with promises."""
        return self.projection.promised(events)

    @property
    def size(self) -> int:
        """The number of connected clients."""
        return len(self._clients)

    def project(
        self, snapshot: TopicSnapshot, experience: Experience = NO_EXPERIENCE
    ) -> Projection:
        """Return a projection of a snapshot of the tables as of the last event.

        It may be called in a thread while nothing happens in the topic.
        """
        projection = self._new_projection()
        projection.seed(snapshot, self._bus.number, self._clock.now_s())
        projection.restore_experience(experience)
        return projection

    def show(self, projection: Projection) -> None:
        """Start over from a projection as of the last event.

        Clients are disconnected, so that they reconnect for the new state.
        """
        self._bus.catch_up()
        self._end_relay()
        self._projection = projection
        self._disconnect_all()
        self._shared = self._new_channels()

    def set_out_of_reach(self, is_out_of_reach: bool) -> None:
        """Refuse clients while this process does not own the topic.

        Pages show that their content is old when they are not connected, so they are disconnected.
        """
        self._is_out_of_reach = is_out_of_reach
        if is_out_of_reach:
            self._disconnect_all()

    def relay_from(self, follow: Follow) -> None:
        """Show the views of the process that owns the topic from now on."""
        self._end_relay()
        self._projection = self._new_projection()
        self._disconnect_all()
        self._shared = {}
        self._relay = Relay(self._clock, follow, self._note_relayed, self._end_relayed)
        self._is_out_of_reach = False

    async def reach(self, key: ViewKey, since: Cursor | None) -> FirstFrame | None:
        """Return once a view can be followed; if it is another process's, with the first frame.

        Raises UnknownJob, TooManyClients and OutOfReach.
        """
        return None if self._relay is None else await self._relay.reach(key, since)

    async def look(self, key: ViewKey) -> Frame:
        """Return a frame with the whole state of a view. Raises as ``reach``."""
        if self._relay is not None:
            return (await self._relay.fetch(key)).frame
        return self.state_frame(key)

    def start(self) -> None:
        """Start the periodic tick."""
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def stop(self) -> None:
        """Stop the tick and disconnect all clients; later ones are disconnected at once."""
        self._is_stopped = True
        if self._timer:
            self._timer.cancel()
        self._end_relay()
        self._disconnect_all()

    def follow(
        self,
        connection: Connection,
        key: ViewKey,
        since: Cursor | None = None,
        first: FirstFrame | None = None,
    ) -> Client:
        """Add a client to a view, and send it a frame that leads from ``since`` to now.

        ``first`` is what ``reach`` returned. Raises UnknownJob, TooManyClients and OutOfReach.
        """
        self._catch_up()
        if len(self._clients) >= self._max_clients:
            raise TooManyClients(self._max_clients)
        channel = self._channel(key)
        known = self._version_of(since) if first is None else first.version
        client = Client(connection, channel, known)
        channel.clients[client] = None
        self._clients.add(client)
        self.stats.clients[connection.transport, key.view] += 1
        if first is not None and connection.offer(first.frame):
            self.stats.frames += 1
        self._send(channel, [client], also_if_current=first is None)
        if self._is_stopped:
            self._disconnect(client, close_codes.RESTART)
        return client

    def leave(self, client: Client) -> None:
        """Remove a client; no-op if it was removed before."""
        channel = client.channel
        if client not in self._clients:
            return
        self._clients.discard(client)
        channel.clients.pop(client, None)
        self.stats.clients[client.connection.transport, channel.key.view] -= 1
        self._stalled.pop(client, None)
        if not channel.clients and channel.key.order_id:
            self._orders.pop(channel.key.order_id, None)
        elif not channel.clients and self._relay is not None:
            self._shared.pop(channel.key, None)

    def state_frame(self, key: ViewKey) -> Frame:
        """Return a frame with the whole state of a view. Raises UnknownJob and OutOfReach."""
        self._catch_up()
        view = self._shared[key].view if key in self._shared else self._order(key.order_id)
        view.refresh()
        return view.frame_since(None)

    def _version_of(self, cursor: Cursor | None) -> KnownVersion:
        """Return what a client has that had this cursor; None if the cursor is not good."""
        if cursor is None:
            return None
        if self._relay is not None or cursor.epoch == self._bus.epoch:
            return cursor.number
        is_known = is_good(self._projection.earlier.epochs, cursor.epoch, cursor.number)
        return EarlierNumber(cursor.number) if is_known else None

    # ---- channels

    def _channel(self, key: ViewKey) -> Channel:
        channel = self._shared.get(key) or self._orders.get(key.order_id)
        if channel is None and key.order_id:
            channel = self._orders[key.order_id] = Channel(key, self._view(key))
            self._sweep.append((self._clock.monotonic_s() + SWEEP_S, channel))
        elif channel is None:
            channel = self._shared[key] = Channel(key, self._view(key))
        channel.view.refresh()
        return channel

    def _view(self, key: ViewKey) -> View:
        return self._order(key.order_id) if self._relay is None else self._relay.view(key)

    def _order(self, order_id: str) -> OrderView:
        return OrderView(self._projection, self._bus.epoch, self._clock.now_s, order_id)

    def _new_channels(self) -> dict[ViewKey, Channel]:
        views = ((ViewKey("board"), Board), (ViewKey("monitor"), Monitor))
        epoch, now_s = self._bus.epoch, self._clock.now_s
        return {key: Channel(key, view(self._projection, epoch, now_s)) for key, view in views}

    def _catch_up(self) -> None:
        """Fold all published events. Raises OutOfReach while the topic is out of reach."""
        if self._is_out_of_reach:
            raise OutOfReach
        self._bus.catch_up()

    # ---- the views of another process

    def _note_relayed(self, key: ViewKey) -> None:
        """Push a view that has changed."""
        if key.order_id:
            self._changed_order_ids[key.order_id] = None
        if self._unpushed_since_s is None:
            self._unpushed_since_s = self._clock.monotonic_s()
        self._pacer.wake()

    def _end_relayed(self, key: ViewKey, code: int) -> None:
        """Disconnect the clients of a view that ends."""
        channel = self._shared.get(key) or self._orders.get(key.order_id)
        for client in list(channel.clients if channel else ()):
            self._disconnect(client, code)

    def _end_relay(self) -> None:
        if self._relay is not None:
            self._relay.close()
            self._relay = None

    def _followed(self) -> set[ViewKey]:
        channels = (*self._shared.values(), *self._orders.values())
        return {channel.key for channel in channels if channel.clients}

    # ---- events

    def _fold(self, events: Sequence[Event]) -> None:
        self._projection.fold(*events)
        now_s = self._clock.now_s()
        if now_s - events[0].at_s > TICK_S:  # late: a page may have seen elsewhere what has expired
            self._projection.expire(now_s)
        self._keep_matching()
        if self._clients:
            self._changed_order_ids.update((event.job.id, None) for event in events if event.job)
            if self._unpushed_since_s is None:
                self._unpushed_since_s = self._clock.monotonic_s()
            self._pacer.wake()

    def _keep_matching(self) -> None:
        """Match rules with more of the waiting orders soon, unless all are matched."""
        if self._projection.line.is_matching and not self._is_matching:
            self._is_matching = True
            self._loop.call_later(0, self._match_more)

    def _match_more(self) -> None:
        self._is_matching = False
        self._projection.match_more()
        self._keep_matching()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._tick)
        self.projection.expire(self._clock.now_s())
        if self._relay is not None:
            self._relay.keep(self._followed())
        if self._clients:
            self._pacer.wake()

    # ---- pushing

    def _push_round(self) -> Iterator[None]:
        """Push everything there is to push; yields after each small piece of work."""
        now_s, since_s = self._clock.monotonic_s(), self._unpushed_since_s
        self._unpushed_since_s = None
        yield from self._retry_stalled(now_s)
        is_heartbeat = now_s >= self._heartbeat_at_s
        if is_heartbeat:
            self._heartbeat_at_s = now_s + HEARTBEAT_S
        for channel in list(self._shared.values()):
            if channel.clients:
                yield from self._push(channel, is_heartbeat)
        for channel in self._orders_to_push():
            yield from self._push(channel)
        if since_s is not None:
            self.stats.lag_s.observe(self._clock.monotonic_s() - since_s)
        yield from self._sweep_orders(now_s)

    def _orders_to_push(self) -> list[Channel]:
        """Return the followed orders that changed or are near the front: these get every step."""
        due, self._changed_order_ids = self._changed_order_ids, {}
        if not self._orders:
            return []
        near = (order.job.id for order in self.projection.first(NEAR + 1))
        due |= dict.fromkeys(near)
        return [self._orders[order_id] for order_id in due if order_id in self._orders]

    def _sweep_orders(self, now_s: float) -> Iterator[None]:
        """Check every followed order in turn, each at most once per ``SWEEP_S``."""
        while self._sweep and self._sweep[0][0] <= now_s:
            _, channel = self._sweep.popleft()
            if channel.clients:
                self._sweep.append((now_s + SWEEP_S, channel))
                yield from self._push(channel)
            yield

    def _push(self, channel: Channel, is_heartbeat: bool = False) -> Iterator[None]:
        try:
            yield from self._push_frames(channel, is_heartbeat)
        except UnknownJob:
            self._end_unknown(channel)

    def _push_frames(self, channel: Channel, is_heartbeat: bool) -> Iterator[None]:
        """Send what is new to the clients of a view. Raises UnknownJob if its order is gone."""
        channel.view.refresh()
        if channel.view.head == channel.pushed_head and not is_heartbeat:
            return
        channel.pushed_head = channel.view.head
        clients = list(channel.clients)
        for at in range(0, len(clients), CHUNK_CLIENTS):
            some = clients[at : at + CHUNK_CLIENTS]
            self._send(channel, some, also_if_current=is_heartbeat)
            yield

    def _end_unknown(self, channel: Channel) -> None:
        """Disconnect the clients of an order that is not shown any more."""
        for client in list(channel.clients):
            self._disconnect(client, close_codes.UNKNOWN_JOB)

    def _retry_stalled(self, now_s: float) -> Iterator[None]:
        """Send to clients whose connections had no room; drop those stalled for too long."""
        for client, since_s in list(self._stalled.items()):
            try:
                self._send(client.channel, [client], also_if_current=True)
            except UnknownJob:
                self._end_unknown(client.channel)
            if client in self._stalled and now_s - since_s >= STALL_TIMEOUT_S:
                client.connection.abort()
                self.stats.dropped += 1
                self.leave(client)
            yield

    def _send(self, channel: Channel, clients: Iterable[Client], *, also_if_current: bool) -> None:
        """Send each client of the channel a frame up to the head of its view, if it has room.

        With ``also_if_current``, clients at the head get a heartbeat.
        """
        view, followers, cursor, frame = channel.view, channel.clients, None, None
        head, stats = view.head, self.stats
        for client in clients:
            if client not in followers or (not also_if_current and client.cursor == head):
                continue
            if frame is None or client.cursor is not cursor:  # most clients are at the same cursor
                cursor = client.cursor
                frame = view.frame_since(cursor)
            if client.connection.offer(frame):
                client.cursor = head
                stats.frames += 1
                self._stalled.pop(client, None)
            else:
                self._stalled.setdefault(client, self._clock.monotonic_s())

    def _disconnect_all(self) -> None:
        for client in list(self._clients):
            self._disconnect(client, close_codes.RESTART)

    def _disconnect(self, client: Client, code: int) -> None:
        self.leave(client)
        client.connection.close(code)
