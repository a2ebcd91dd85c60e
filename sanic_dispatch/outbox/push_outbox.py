"""The push outbox: notifies phones about their orders, while this process serves the topic.

What a phone is to be told follows from its order's record each time that a message begins: what
has become untrue while it waited is dropped. What a phone was told is a fact of the topic,
reported once its push service has taken the message; after a crash before that is durable it is
sent again, with the same push topic.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any

import structlog

from sanic_dispatch.clock import Clock
from sanic_dispatch.core import commands as c
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Job, State
from sanic_dispatch.core.push_subscriptions import (
    Prospects,
    PushKind,
    PushSubscription,
    all_subscriptions,
    kinds_true_of,
    subscriptions_of,
)
from sanic_dispatch.core.tables import Tables
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.errors import DispatchError, UnknownJob, UnknownSubscription
from sanic_dispatch.live.projection import Projection
from sanic_dispatch.observability.event_bus import EventBus
from sanic_dispatch.observability.request_id import REQUEST_ID
from sanic_dispatch.outbox.destination import Destination
from sanic_dispatch.outbox.message_client import Posted
from sanic_dispatch.outbox.outbox import AGAIN_S, Fields
from sanic_dispatch.outbox.push_client import PushClient
from sanic_dispatch.outbox.push_messages import (
    headers_of_push,
    origin_of,
    payload_of,
    push_topic,
    signed_until_s,
    subscription_id,
    ttl_s,
)
from sanic_dispatch.outbox.sender import Sender, Work, check_open

LOOK_S = 0.5
"""How often to see which orders have come near, or are late: no event of theirs says so."""

SLICE, REST_S = 100, 0.01
"""How many orders to look at in one go, some 1 ms, and how long to rest then."""

MOST_OF_A_SERVICE = 250
"""The most messages under way to one push service: while it hangs, the others are told."""

_CHANGES = (EventKind.JOB_CONFIRMED, EventKind.JOB_DONE, EventKind.JOB_FAILED)
"""The events with which there may be something to tell."""

_ENDS = (EventKind.JOB_CANCELLED, EventKind.JOB_FORGOTTEN)
"""The events with which there is nothing more to tell."""

_log = structlog.get_logger("sanic_dispatch.push")

PhoneKey = tuple[str, str]
"""A job's id and an endpoint."""


class PushCounts:
    """What became of messages to phones since the start of the process."""

    def __init__(self) -> None:
        self.delivered = 0
        """The push service has taken it."""
        self.failed = 0
        """It has not, and will be asked again."""
        self.dropped = 0
        """It was not true any more when it could be sent again, or an operator has dropped it."""
        self.gone = 0
        """The push service does not know the subscription any more, which ended."""


class Phone(Destination):
    """A phone that is told of one order."""

    def __init__(self, job_id: str, subscription: PushSubscription) -> None:
        super().__init__()
        self.job_id = job_id
        self.subscription = subscription
        self.id = subscription_id(job_id, subscription.endpoint)
        self.service = origin_of(subscription.endpoint)
        self.ticket = 0
        """The order's number, once something is to be told."""
        self.pending: PushKind | None = None
        """What is being sent, or could not be sent yet."""
        self.is_under_way = False
        self.is_due = True
        """Whether to see if there is something to tell."""

    @property
    def key(self) -> PhoneKey:
        return self.job_id, self.subscription.endpoint


class PushOutbox:
    """Notifies phones about their orders. The methods for requests raise as ``Outbox`` does."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        projection: Callable[[], Projection],
        bus: EventBus,
        clock: Clock,
        client: PushClient,
        contact: str = "",
    ) -> None:
        """``projection`` returns the present one; ``contact`` is a URI for the push services."""
        self.counts = PushCounts()
        self._dispatcher = dispatcher
        self._projection = projection
        self._bus = bus
        self._clock = clock
        self._client = client
        self._contact = contact
        self._sender: Sender[PhoneKey] = Sender(self._begin)
        self._phones: dict[PhoneKey, Phone] = {}
        self._by_job: dict[str, list[Phone]] = {}
        self._under_way: Counter[str] = Counter()
        """By push service: how many messages are under way."""
        self._held_back: dict[str, dict[PhoneKey, None]] = {}
        """By push service that has as many as it may: the phones that are next."""
        self._ended: set[PhoneKey] = set()
        """Phones whose subscriptions ended here, while that may not be durable yet."""
        self._is_subscribed = False
        """Whether there was a phone yet: without one, events cost nothing here."""

    @property
    def phones(self) -> Collection[Phone]:
        """All phones; none where this process does not serve the topic."""
        return self._phones.values()

    # ---- start and end

    async def start(self) -> None:
        """Begin to tell phones what they were not told yet. Raises StorageFailed."""
        self._sender.start()

        def read(tables: Tables) -> list[tuple[str, list[PushSubscription], Job | None]]:
            found = all_subscriptions(tables.facts).items()
            return [(job_id, each, tables.jobs.get(job_id)) for job_id, each in found]

        for job_id, subscriptions, job in await self._read(read):
            self._set(job_id, subscriptions)
            if job is not None and job.state is not State.WAITING:
                self._wake_all(job_id)
        self._sender.spawn(self._look_regularly())

    async def finish(self) -> None:
        """Begin no message, and wait a moment for those under way."""
        await self._sender.finish()
        await self.abandon()

    async def abandon(self) -> None:
        """Break off all messages."""
        await self._sender.abandon()
        self._phones, self._by_job = {}, {}
        self._ended.clear()
        self._under_way.clear()
        self._held_back.clear()

    # ---- for pages

    async def key(self) -> str:
        """Return the topic's public key (RFC 8292) in base64url: 65 bytes."""
        self._dispatcher.check_open()
        from sanic_dispatch.outbox.push_crypto import public_key_of  # slow to import

        return public_key_of(await self._read(lambda tables: tables.facts.secret))

    async def subscribe(self, job_id: str, subscription: PushSubscription) -> None:
        """Notify a phone about a job, but not of what is true already: its page shows that.

        The caller has the guard check the endpoint. Raises UnknownJob, WrongState and
        TooManySubscriptions.
        """
        self._dispatcher.check_open()
        job = await self._read(lambda tables: tables.jobs.get(job_id))
        if job is None:
            raise UnknownJob
        known = tuple(kind.value for kind in self._true_of(job))
        told = subscription._replace(told=known)
        try:
            await self._execute(c.PutSubscription(job_id, told, REQUEST_ID.get()))
            await self._load_anew(job_id, subscription.endpoint)
        except asyncio.CancelledError:  # the page is closed; its phone is told all the same
            with suppress(DispatchError):
                await self._load_anew(job_id, subscription.endpoint)
            raise

    async def unsubscribe(self, job_id: str, endpoint: str) -> None:
        """Tell a phone nothing more of a job. Raises UnknownJob."""
        self._dispatcher.check_open()
        await self._execute(c.RemoveSubscription(job_id, endpoint, REQUEST_ID.get()))
        await self._load(job_id)

    # ---- for operators

    async def overview(self) -> Fields:
        """Return how many subscriptions there are, and those with a message that is pending."""
        self._check_open()
        pending = [self._fields_of(phone) for phone in self.phones if phone.pending is not None]
        return {"subscriptions": len(self._phones), "pending": pending}

    async def resume_phone(self, subscription: str) -> None:
        """Try again at once to tell a phone. Raises UnknownSubscription."""
        self._check_open()
        phone = self._find(subscription)
        phone.retry_at_s = 0.0
        self._wake(phone)

    async def drop(self, subscription: str) -> None:
        """Never tell a phone what is pending, if anything is. Raises UnknownSubscription."""
        self._check_open()
        phone = self._find(subscription)
        if phone.pending is not None:
            await self._execute(c.NoteTold(*phone.key, phone.pending.value, REQUEST_ID.get()))
            self._drop_pending(phone)
            await self._load(phone.job_id)

    def _check_open(self) -> None:
        check_open(self._dispatcher, self._sender)

    def _find(self, subscription: str) -> Phone:
        for phone in self.phones:
            if phone.id == subscription:
                return phone
        raise UnknownSubscription

    def _fields_of(self, phone: Phone) -> Fields:
        """Return a phone as operators see it: of its endpoint only the push service."""
        wait_s = phone.retry_at_s - self._clock.monotonic_s()
        return {
            "id": phone.id,
            "ticket": phone.ticket,
            "service": phone.service,
            "kind": phone.pending,
            "told": list(phone.subscription.told),
            "attempts": phone.attempts,
            "reason": phone.error,
            "retry_in_s": round(max(0.0, wait_s), 1) if phone.attempts else None,
        }

    # ---- which phones there are

    async def _load_anew(self, job_id: str, endpoint: str) -> None:
        """Make the phones of a job those of its subscriptions, after one has come."""
        self._ended.discard((job_id, endpoint))
        await self._load(job_id)

    async def _load(self, job_id: str) -> None:
        """Make the phones of a job those of its subscriptions."""
        self._set(job_id, await self._read(lambda tables: subscriptions_of(tables, job_id)))

    def _set(self, job_id: str, subscriptions: Sequence[PushSubscription]) -> None:
        """Make the phones of a job those of these subscriptions, unless this outbox is ending."""
        if not self._sender.is_running:
            return
        if self._ended:
            subscriptions = [
                each for each in subscriptions if (job_id, each.endpoint) not in self._ended
            ]
        endpoints = [each.endpoint for each in subscriptions]
        for phone in self._by_job.get(job_id, ()):
            if phone.subscription.endpoint not in endpoints:
                del self._phones[phone.key]
                self._sender.forget(phone.key)
        self._by_job.pop(job_id, None)
        if not subscriptions:
            return
        if not self._is_subscribed:
            self._is_subscribed = True
            self._bus.subscribe(self._take_in)
        phones = [self._phone(job_id, each) for each in subscriptions]
        self._by_job[job_id] = phones
        self._phones |= {phone.key: phone for phone in phones}
        for phone in phones:
            if phone.is_due:
                self._sender.wake(phone.key, is_urgent=False)

    def _phone(self, job_id: str, subscription: PushSubscription) -> Phone:
        """Return the phone of a subscription, with what is known of it."""
        phone = self._phones.get((job_id, subscription.endpoint))
        if phone is None:
            return Phone(job_id, subscription)
        told = (*subscription.told, *phone.subscription.told)  # some of it may not be durable yet
        phone.subscription = subscription._replace(told=tuple(dict.fromkeys(told)))
        return phone

    # ---- what there is to tell

    def _take_in(self, events: Sequence[Event]) -> None:
        """Take in published events."""
        for event in events:
            if event.job is None or event.job.id not in self._by_job:
                continue
            if event.kind in _ENDS:
                self._set(event.job.id, ())
            elif event.kind in _CHANGES:
                self._wake_all(event.job.id)

    async def _look_regularly(self) -> None:
        """Wake phones whose order has come near, or is late."""
        while True:
            await self._clock.sleep(LOOK_S)
            if self._dispatcher.batches.is_idle:
                self._ended.clear()
            for at, phone in enumerate(list(self.phones), 1):
                if self._has_come_near(phone):
                    self._wake(phone)
                if at % SLICE == 0:
                    await self._clock.sleep(REST_S)

    def _has_come_near(self, phone: Phone) -> bool:
        order = self._projection().get(phone.job_id)
        if order is None or order.job.state.is_final:
            return False
        return self._next(order.job, phone.subscription) is not None

    def _next(self, job: Job, subscription: PushSubscription) -> PushKind | None:
        """Return what a phone is to be told now."""
        kinds = self._true_of(job)
        return next((kind for kind in kinds if kind not in subscription.told), None)

    def _true_of(self, job: Job) -> Sequence[PushKind]:
        """Return what is true of a job now."""
        now_s, prospects = self._clock.now_s(), Prospects()
        projection = self._projection()
        order = projection.get(job.id)
        if order is not None and not order.job.state.is_final:
            is_waiting = order.job.state is State.WAITING
            prospects = Prospects(
                projection.ahead(order) if is_waiting else None, order.is_late(now_s)
            )
        return kinds_true_of(job, prospects, now_s)

    def _wake_all(self, job_id: str) -> None:
        """See soon if there is something to tell the phones of a job."""
        for phone in self._by_job.get(job_id, ()):
            self._wake(phone)

    def _wake(self, phone: Phone) -> None:
        """See soon if there is something to tell a phone."""
        if self._phones.get(phone.key) is phone:
            phone.is_due = True
            self._sender.wake(phone.key)

    # ---- messages go out

    def _begin(self, key: PhoneKey) -> Work | None:
        """Return what tells a phone the next thing, if it may be told something now."""
        phone = self._phones.get(key)
        if phone is None or phone.is_under_way or not phone.is_due:
            return None
        if self._clock.monotonic_s() < phone.retry_at_s:
            return None
        if self._under_way[phone.service] >= MOST_OF_A_SERVICE:
            self._held_back.setdefault(phone.service, {})[key] = None
            return None
        self._under_way[phone.service] += 1
        self._held_back.get(phone.service, {}).pop(key, None)
        phone.is_due, phone.is_under_way = False, True
        return self._tell(phone)

    async def _tell(self, phone: Phone) -> None:
        """Tell a phone what is true and it was not told yet, note what became of it, and go on."""
        try:
            job, kind, secret = await self._next_of(phone)
            if job is not None and kind is not None:
                phone.pending, phone.ticket = kind, job.ticket
                self._note(phone, kind, await self._post(phone, job, kind, secret))
        except Exception as error:
            # Expected: the store does not answer, or another process serves the topic.
            if not isinstance(error, DispatchError):
                _log.exception("call.failed", call="push")
            await self._clock.sleep(AGAIN_S)
            phone.is_due = True
        finally:
            phone.is_under_way = False
            self._end_one_of(phone.service)
        if phone.is_due:
            self._wake(phone)

    def _end_one_of(self, service: str) -> None:
        """Note that a message to a push service is not under way any more; let the next begin."""
        self._under_way[service] -= 1
        if not self._under_way[service]:
            del self._under_way[service]
        held_back = self._held_back.get(service, {})
        while held_back:
            key = next(iter(held_back))
            del held_back[key]
            if key in self._phones:
                self._sender.wake(key)
                return
        self._held_back.pop(service, None)

    async def _next_of(self, phone: Phone) -> tuple[Job | None, PushKind | None, str]:
        """Return a phone's job, what it is to be told now, and the topic's secret.

        To read is also to be sure that this process still serves the topic.
        """

        def read(tables: Tables) -> tuple[Job | None, list[PushSubscription], str]:
            jobs, secret = tables.jobs, tables.facts.secret
            return jobs.get(phone.job_id), subscriptions_of(tables, phone.job_id), secret

        job, subscriptions, secret = await self._read(read)
        self._set(phone.job_id, subscriptions)
        kind = None
        if job is not None and self._phones.get(phone.key) is phone:
            kind = self._next(job, phone.subscription)
        if phone.pending not in (None, kind):
            self._drop_pending(phone)
        if kind is None and job is not None and job.state.is_final:
            self._end(phone)
        return job, kind, secret

    async def _post(self, phone: Phone, job: Job, kind: PushKind, secret: str) -> Posted:
        from sanic_dispatch.outbox.push_crypto import authorization, encrypt  # slow to import

        subscription, now_s = phone.subscription, self._clock.now_s()
        projection = self._projection()
        order = projection.get(job.id)
        window = projection.window(order, now_s) if order else None
        endpoint = subscription.endpoint
        headers = headers_of_push(
            kind,
            push_topic(secret, job.id, endpoint),
            ttl_s(kind, window[0] if window else None, now_s),
            authorization(secret, phone.service, self._contact, signed_until_s(now_s)),
        )
        said = payload_of(subscription, job.id, job.ticket, kind)
        body = encrypt(said, subscription.p256dh, subscription.auth)
        return await self._client.post(endpoint, body, headers)

    def _note(self, phone: Phone, kind: PushKind, posted: Posted) -> None:
        """Note whether a message was delivered; if it was not, try again later."""
        phone.pending = kind if posted.reason else None
        if posted.is_gone:
            self.counts.gone += 1
            _log.info("push.gone", subscription=phone.id, ticket=phone.ticket, reason=posted.reason)
            endpoint = phone.subscription.endpoint
            for each in [each for each in self.phones if each.subscription.endpoint == endpoint]:
                self._end(each)
        elif not posted.reason:
            self.counts.delivered += 1
            if phone.attempts:
                _log.info("push.delivers_again", subscription=phone.id, ticket=phone.ticket)
            phone.note_success()
            self._note_told(phone, kind)
        else:
            self.counts.failed += 1
            now_s = self._clock.monotonic_s()
            if not phone.attempts:
                reason = posted.reason
                _log.warning(
                    "push.failing", subscription=phone.id, ticket=phone.ticket, reason=reason
                )
            phone.note_failure(posted.reason, now_s, posted.retry_after_s)
            self._clock.call_later(max(0.0, phone.retry_at_s - now_s), self._wake, phone)

    def _note_told(self, phone: Phone, kind: PushKind) -> None:
        """Note that a phone knows something, and see if there is more to tell."""
        told = (*phone.subscription.told, kind.value)
        phone.subscription = phone.subscription._replace(told=told)
        self._dispatcher.batches.report(c.NoteTold(*phone.key, kind.value))
        phone.is_due = True

    def _drop_pending(self, phone: Phone) -> None:
        self.counts.dropped += 1
        phone.pending = None

    def _end(self, phone: Phone) -> None:
        """End a subscription."""
        if self._phones.get(phone.key) is phone:
            self._dispatcher.batches.report(c.RemoveSubscription(*phone.key))
            self._ended.add(phone.key)
            left = [each for each in self._by_job[phone.job_id] if each is not phone]
            self._set(phone.job_id, [each.subscription for each in left])

    def _read(self, read: Callable[[Tables], Any]) -> Any:
        return self._execute(c.Read(read, REQUEST_ID.get()))

    async def _execute(self, command: c.Command) -> Any:
        return await self._dispatcher.batches.execute(command)
