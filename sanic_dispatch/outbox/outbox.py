"""The outbox: tells webhooks of the topic's committed events, while this process serves the topic.

What is to be sent is derived from the event log: each endpoint has a position, up to which it was
told everything. Positions are committed at most once a second, so after a crash a message may be
sent again, with the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any

import structlog

from sanic_dispatch.clock import Clock
from sanic_dispatch.config.webhook_entry import WebhookEntry
from sanic_dispatch.core import commands as c
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.webhooks import Endpoint, Position, endpoints_in, positions_in
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.errors import (
    DispatchError,
    StorageError,
    UnknownWebhook,
    WebhookConfigured,
)
from sanic_dispatch.history.history_queries import HistoryQueries
from sanic_dispatch.observability.event_bus import EventBus
from sanic_dispatch.observability.log import without_secrets
from sanic_dispatch.observability.request_id import REQUEST_ID
from sanic_dispatch.outbox.endpoint_queue import EndpointQueue, EndpointState
from sanic_dispatch.outbox.message_client import MessageClient, Posted
from sanic_dispatch.outbox.messages import (
    WebhookMessage,
    as_json,
    headers_of,
    message_of,
    trial_message,
)
from sanic_dispatch.outbox.sender import Sender, Work, check_open
from sanic_dispatch.storage.event_log import MAX_LIMIT, Question, check_readable
from sanic_dispatch.storage.event_record import LoggedEvent, logged
from sanic_dispatch.storage.store import Store

COMMIT_S = 1.0
"""How often to commit positions."""

IDLE_EVENTS = 1000
"""After how many events that an endpoint did not want its position is committed, too."""

AGAIN_S = 1.0
"""How long to wait after the store or the event log has failed."""

READERS = 2
"""How many endpoints read the event log at the same time."""

_OF_A_ROTATION = ("secret", "former_secret", "former_until_s")

_log = structlog.get_logger("sanic_dispatch.outbox")

Fields = dict[str, Any]


class OutboxStats:
    """What was sent since the start of the process."""

    def __init__(self) -> None:
        self.delivered = 0
        self.failed = 0


class Outbox:
    """Delivers events to webhooks, and carries out what operators want of them.

    An answer to an operator comes once it is durable. The methods for operators raise
    UnknownWebhook, WebhookConfigured, StorageFailed, and as ``Dispatcher.check_open`` does.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        store: Store,
        history: HistoryQueries,
        bus: EventBus,
        clock: Clock,
        client: MessageClient,
        configured: Sequence[WebhookEntry] = (),
    ) -> None:
        """``configured`` are the webhooks of the settings file."""
        self.stats = OutboxStats()
        self._dispatcher = dispatcher
        self._store = store
        self._history = history
        self._bus = bus
        self._clock = clock
        self._client = client
        self._configured = {_id_of(entry): entry for entry in configured}
        self._sender: Sender[str] = Sender(self._begin)
        self._queues: dict[str, EndpointQueue] = {}
        self._by_kind: dict[str, list[EndpointQueue]] = {}
        self._committed: dict[str, Position] = {}
        """By endpoint: the position that was committed last."""
        self._readers = asyncio.Semaphore(READERS)
        self._is_subscribed = False
        """Whether there was a webhook yet: without one, events cost nothing here."""
        self._may_differ = False
        """Whether an act may have become durable, or may yet, whose endpoints were not loaded."""

    @property
    def queues(self) -> Collection[EndpointQueue]:
        """The queues of all endpoints; none where this process does not serve the topic."""
        return self._queues.values()

    # ---- start and end

    async def start(self) -> None:
        """Begin to deliver, from the committed positions on. Raises StorageFailed."""
        await self._configure()
        await self._load()
        self._sender.start()
        self._sender.spawn(self._commit_regularly())
        for queue in self.queues:
            self._pump(queue)

    async def finish(self) -> None:
        """Begin no delivery, wait a moment for those under way, and commit the positions."""
        await self._sender.finish()
        with suppress(DispatchError):
            await self._commit(idle_events=1)
        await self.abandon()

    async def abandon(self) -> None:
        """Break off all deliveries."""
        await self._sender.abandon()
        self._queues, self._by_kind, self._committed = {}, {}, {}

    async def _configure(self) -> None:
        """Make the configured endpoints those of the settings file."""
        endpoints, _ = await self._read()
        for endpoint in endpoints.values():
            if endpoint.is_configured and endpoint.id not in self._configured:
                await self._execute(c.RemoveEndpoint(endpoint.id))
        for endpoint_id, entry in self._configured.items():
            wanted = Endpoint(endpoint_id, *entry, is_configured=True)
            known = endpoints.get(endpoint_id, wanted)
            former = {name: getattr(known, name) for name in _OF_A_ROTATION}
            await self._execute(c.PutEndpoint(wanted._replace(**former)))
            await self._execute(c.RotateSecret(endpoint_id, entry.secret))

    async def _load(self) -> None:
        """Read the endpoints; make queues for those that are new, or have another position."""
        endpoints, positions = await self._read()
        queues = {}
        for endpoint_id, endpoint in endpoints.items():
            queue, position = self._queues.get(endpoint_id), positions[endpoint_id]
            if queue is None or position != self._committed[endpoint_id]:
                queue = EndpointQueue(endpoint, position, self._offered_to())
                self._committed[endpoint_id] = position
            queue.endpoint = endpoint
            queues[endpoint_id] = queue
        for endpoint_id in self._queues.keys() - queues.keys():
            self._sender.forget(endpoint_id)
        self._queues = queues
        if queues and not self._is_subscribed:
            self._is_subscribed = True
            self._bus.subscribe(self._take_in)
        self._by_kind = {
            kind.value: [queue for queue in queues.values() if queue.endpoint.wants(kind)]
            for kind in EventKind
        }
        for queue in queues.values():  # something may have happened since it was added
            self._pump(queue)

    async def _load_again(self) -> None:
        """Load the endpoints after an act whose outcome was unknown, once its commit has ended."""
        self._may_differ = False
        try:
            await self._load()
        except DispatchError:
            self._may_differ = True
            raise

    async def _read(self) -> tuple[dict[str, Endpoint], dict[str, Position]]:
        read = c.Read(lambda tables: list(tables.facts), REQUEST_ID.get())
        facts = await self._execute(read)
        return endpoints_in(facts), positions_in(facts)

    async def _execute(self, command: c.Command) -> Any:
        return await self._dispatcher.batches.execute(command)

    # ---- events come in

    def _take_in(self, events: Sequence[Event]) -> None:
        """Take in published events."""
        if not self._queues:
            return
        touched: dict[str, EndpointQueue] = {}
        for event in events:
            queues = self._by_kind[event.kind]
            if queues:
                record = logged(event)
                for queue in queues:
                    queue.offer(record)
                    touched[queue.endpoint.id] = queue
        for queue in touched.values():
            self._pump(queue)

    def _offered_to(self) -> int:
        """Return the number of the last published event; all were offered to the queues by then."""
        self._bus.catch_up()
        return self._bus.number

    async def _read_log(self, queue: EndpointQueue) -> None:
        """Load the next events of an endpoint from the event log."""
        page = None
        try:
            async with self._readers:
                queue.begin_reading()
                found = await self._history.find(Question(after=queue.read_to, limit=MAX_LIMIT))
            check_readable(found)
            page = found
            for hole in page.holes:
                _log.warning("webhook.events_missing", webhook=queue.endpoint.id, **hole._asdict())
        except Exception as error:  # whatever it is, also a thread that cannot be started
            is_mistake = not isinstance(error, (DispatchError, OSError))
            _log.warning(
                "webhook.log_not_read",
                webhook=queue.endpoint.id,
                reason=str(error),
                exc_info=is_mistake,
            )
            await self._clock.sleep(AGAIN_S)
        finally:
            queue.end_reading(page, self._offered_to())
        self._pump(queue)

    # ---- messages go out

    def _pump(self, queue: EndpointQueue) -> None:
        """Send what an endpoint may be sent now, and load more for it."""
        if not self._sender.is_running or self._queues.get(queue.endpoint.id) is not queue:
            return
        self._sender.wake(queue.endpoint.id)
        if queue.is_to_read:
            queue.is_reading = True
            self._sender.spawn(self._read_log(queue))

    def _begin(self, endpoint_id: str) -> Work | None:
        """Return what sends the next message of an endpoint, if there is one now."""
        queue = self._queues.get(endpoint_id)
        event = queue.next(self._clock.monotonic_s()) if queue else None
        if queue is None or event is None:
            return None
        queue.begin(event)
        return self._send(queue, event)

    async def _send(self, queue: EndpointQueue, event: LoggedEvent) -> None:
        """Send one message, note what became of it, and go on."""
        try:
            began_s = self._clock.monotonic_s()
            posted = await self._post_event(queue.endpoint, event)
        except Exception as error:
            # Expected: the store does not answer, or another process serves the topic.
            if not isinstance(error, DispatchError):
                _log.exception("call.failed", call="webhook")
            await self._clock.sleep(AGAIN_S)
            queue.give_back(event)
        else:
            self._note(queue, event, posted, self._clock.monotonic_s() - began_s)
        self._pump(queue)

    async def _post_event(self, endpoint: Endpoint, event: LoggedEvent) -> Posted:
        if not self._store.may_act():
            await self._store.confirm()
        payload = None
        if endpoint.payload and event.job:
            payload = await self._dispatcher.queries.data_of(event.job)
        message = message_of(endpoint.id, event, payload, with_payload=endpoint.payload)
        return await self._post(endpoint, message)

    async def _post(self, endpoint: Endpoint, message: WebhookMessage) -> Posted:
        now_s = self._clock.now_s()
        headers = headers_of(message, endpoint.secrets_at(now_s), now_s)
        return await self._client.post(endpoint.url, message.body.encode(), headers)

    def _note(
        self, queue: EndpointQueue, event: LoggedEvent, posted: Posted, took_s: float
    ) -> None:
        """Note whether a message was delivered; if it was not, try again later."""
        if not posted.reason:
            self.stats.delivered += 1
            if queue.attempts:
                _log.info("webhook.delivers_again", webhook=queue.endpoint.id)
            queue.succeed(event, took_s)
            return
        self.stats.failed += 1
        now_s, is_first = self._clock.monotonic_s(), not queue.attempts
        queue.fail(event, posted.reason, now_s, self._clock.now_s(), posted.retry_after_s)
        if queue.disabled or is_first:
            what = "webhook.disabled" if queue.disabled else "webhook.failing"
            url = without_secrets(queue.endpoint.url)
            _log.warning(what, webhook=queue.endpoint.id, url=url, reason=posted.reason)
        if not queue.disabled:
            self._clock.call_later(max(0.0, queue.retry_at_s - now_s), self._pump, queue)

    # ---- positions

    async def _commit_regularly(self) -> None:
        while True:
            await self._clock.sleep(COMMIT_S)
            with suppress(DispatchError):  # then the next one has it, too
                if self._may_differ:
                    await self._load_again()
                await self._commit()

    async def _commit(self, idle_events: int = IDLE_EVENTS) -> None:
        """Commit the positions of endpoints that were sent something, or did not want so many."""
        moved, last_n = list[tuple[EndpointQueue, Position]](), self._offered_to()
        for queue in [queue for queue in self.queues if not queue.is_left]:
            position, known = queue.position(last_n), self._committed[queue.endpoint.id]
            if position != known and (queue.has_news or position.n - known.n >= idle_events):
                moved.append((queue, position))
                queue.has_news = False
        if not moved:
            return
        try:
            await self._execute(c.MovePositions([position for _, position in moved]))
        except DispatchError:
            for queue, _ in moved:
                queue.has_news = True
            raise
        self._committed |= {position.endpoint_id: position for _, position in moved}

    # ---- for operators

    async def endpoints(self) -> list[Fields]:
        """Return all endpoints, without their secrets, and what is pending."""
        self._check_open()
        return [self._fields_of(queue) for queue in self.queues]

    async def add(self, endpoint_id: str, entry: WebhookEntry) -> Fields:
        """Tell an endpoint of what happens from now on; a repeat changes nothing.

        The caller has chosen a random id, and has the guard check the URL. Raises TooManyWebhooks.
        """
        self._check_open()
        await self._change(c.PutEndpoint(Endpoint(endpoint_id, *entry), REQUEST_ID.get()))
        return self._fields_of(self._find(endpoint_id))

    async def remove(self, endpoint_id: str) -> None:
        """Tell an endpoint nothing any more."""
        self._check_open()
        self._check_changeable(endpoint_id)
        await self._change(c.RemoveEndpoint(endpoint_id, REQUEST_ID.get()))

    async def rotate(self, endpoint_id: str, secret: str) -> None:
        """Sign with a new secret, and for a day with the one before, too."""
        self._check_open()
        self._check_changeable(endpoint_id)
        await self._change(c.RotateSecret(endpoint_id, secret, REQUEST_ID.get()))

    async def resume_endpoint(self, endpoint_id: str, *, drop: bool = False) -> Fields:
        """Try again at once, from where it stopped; ``drop``: without what is pending now."""
        self._check_open()
        queue = self._find(endpoint_id)
        with suppress(DispatchError):
            await self._commit()
        queue.is_left = True
        try:
            await self._change(c.ContinueEndpoint(endpoint_id, drop, REQUEST_ID.get()), endpoint_id)
        finally:
            queue.is_left = False
        return self._fields_of(self._find(endpoint_id))

    async def send_test(self, endpoint_id: str, message_id: str) -> Fields:
        """Send a message that tells of nothing; return whether it was delivered, and why not."""
        self._check_open()
        endpoint = self._find(endpoint_id).endpoint
        posted = await self._post(endpoint, trial_message(message_id, self._clock.now_s()))
        return {"id": message_id, "delivered": not posted.reason, "reason": posted.reason}

    async def events(self, endpoint_id: str, since: int, limit: int) -> Fields:
        """Return what an endpoint is told of the events after number ``since``, and the next one.

        At most ``limit`` events are looked at. Jobs' data is left out.
        """
        self._check_open()
        endpoint = self._find(endpoint_id).endpoint
        page = await self._history.find(Question(after=since, limit=limit))
        found = [as_json(endpoint.id, each) for each in page.events if endpoint.wants(each.event)]
        return {"events": found, "next": page.next}

    async def _change(self, act: c.Command, restarted: str = "") -> None:
        """Carry out an act that changes endpoints, and load them; one may be ``restarted`` by it.

        If the request is cut off, the act may be carried out all the same. Raises as
        ``Batches.execute``.
        """
        try:
            await self._execute(act)
            self._queues.pop(restarted, None)
            await self._load()
        except (StorageError, asyncio.CancelledError):
            self._may_differ = True
            raise

    def _check_open(self) -> None:
        check_open(self._dispatcher, self._sender)

    def _check_changeable(self, endpoint_id: str) -> None:
        """Raise WebhookConfigured if the settings file has the endpoint."""
        if self._find(endpoint_id).endpoint.is_configured:
            raise WebhookConfigured

    def _find(self, endpoint_id: str) -> EndpointQueue:
        try:
            return self._queues[endpoint_id]
        except KeyError:
            raise UnknownWebhook from None

    def _fields_of(self, queue: EndpointQueue) -> Fields:
        """Return an endpoint as operators see it."""
        endpoint, last_n = queue.endpoint, self._offered_to()
        position, oldest = queue.position(last_n), queue.oldest
        since_s, wait_s = queue.failing_since_s, queue.retry_at_s - self._clock.monotonic_s()
        is_retrying = queue.state is EndpointState.RETRYING
        return {
            "id": endpoint.id,
            "url": without_secrets(endpoint.url),
            "events": list(endpoint.events),
            "payload": endpoint.payload,
            "configured": endpoint.is_configured,
            "state": queue.state.value,
            "reason": queue.disabled or queue.error,
            "failing_since": None if since_s is None else to_rfc3339(since_s),
            "retry_in_s": round(max(0.0, wait_s), 1) if is_retrying else None,
            "pending": queue.pending,
            "oldest": None if oldest is None else to_rfc3339(oldest.at_s),
            "told_to": position.n,
            "last": last_n,
        }


def _id_of(entry: WebhookEntry) -> str:
    """Return the id of a configured webhook: the same at each start."""
    return sha256(entry.url.encode()).hexdigest()[:16]
