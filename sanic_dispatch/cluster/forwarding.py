"""Forwarding: the process at which a request arrives calls the one that owns the topic.

A call has a number. If the link breaks before the reply, the same call is sent again, under the
same number, to whoever owns the topic then, which may be this process itself. ``sessions.py`` and
the state machine make sure that it has one effect.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from math import inf
from typing import Any, NamedTuple, TypeVar

import structlog

from sanic_dispatch.cluster.codec import decode_error
from sanic_dispatch.cluster.forwarded_origin import ORIGIN, Origin
from sanic_dispatch.cluster.link import (
    Identity,
    LinkLost,
    LinkRefused,
    Message,
    OutgoingLink,
    open_link,
)
from sanic_dispatch.cluster.members import Member
from sanic_dispatch.errors import LostOwnership, OwnerUnreachable, ShuttingDown, StandingBy
from sanic_dispatch.observability.request_id import REQUEST_ID

PATIENCE_S = 4.5
"""How long a request waits for an owner that can be reached."""

RETRY_S = 0.05
"""How long to wait before a call is sent again."""

REOPEN_S = 0.2
"""How long after a link could not be opened it is tried again; calls fail at once until then."""

SAY_AGAIN_S = 60.0
"""How often the same trouble is logged."""

NO_ANSWER = "it does not answer"

FOLLOW, LEAVE = "follow", "leave"
"""The names of the calls that begin and end a stream."""

TakeWord = Callable[[str, Any], None]
"""Takes what comes: a word and a value; ``lost`` if the link breaks."""

Leave = Callable[[], None]
"""Ends a stream, unless it has ended."""

R = TypeVar("R")

_log = structlog.get_logger("sanic_dispatch.cluster")


class RemoteCall(NamedTuple):
    """A function of the owner, by name, with its arguments, for a topic."""

    topic: str
    name: str
    arguments: Sequence[Any]
    keywords: dict[str, Any]


class SeldomLog:
    """Logs the same trouble once in SAY_AGAIN_S."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._said_s: dict[tuple[str, str], float] = {}

    def warning(self, event: str, who: str, reason: str) -> None:
        """Log that there is trouble with a process, unless that was said lately."""
        now_s = self._now_s()
        self._said_s = {
            each: said_s for each, said_s in self._said_s.items() if now_s - said_s < SAY_AGAIN_S
        }
        if (event, who) not in self._said_s:
            self._said_s[event, who] = now_s
            _log.warning(event, process=who, reason=reason)


class Forwarder:
    """Calls the owners of topics for this process, over one link to each."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._loop = asyncio.get_running_loop()
        self._numbers = count(1)
        self._unanswered: dict[int, None] = {}
        """The numbers of the calls that have no reply yet, the oldest first.

        Without those that are kept: else an owner that is away for long would have the others keep
        all their replies.
        """
        self._peers: dict[Member, _Peer] = {}
        self._kept: set[asyncio.Task[None]] = set()
        self._log = SeldomLog(self._loop.time)

    async def call(
        self,
        call: RemoteCall,
        owner: Callable[[], Member],
        here: Callable[[], Awaitable[R]],
        is_here: Callable[[], bool],
        patience_s: float = PATIENCE_S,
        reply_s: float = PATIENCE_S,
    ) -> Any | R:
        """Return the owner's reply as JSON, or that of ``here`` if this process owns the topic.

        Raises the owner's error; StandingBy if the owner's URL is not known, and OwnerUnreachable
        if there is no owner for ``patience_s`` that can be reached. With infinite patience the
        function has to be repeatable by itself: its replies are not kept.

        An owner that can be reached at once may take its time, as for a backup, while the link
        holds. After a failed attempt its reply has to come within ``reply_s`` of the beginning.
        """
        number = next(self._numbers)
        if patience_s < inf:
            self._unanswered[number] = None
        began_s, was_sent = self._loop.time(), False
        until_s, reply_until_s = began_s + patience_s, None
        try:
            while True:
                there = owner()
                if there.name and not there.url and not is_here():
                    raise StandingBy(there.name)
                try:
                    if is_here():
                        return await self._call_here(number, here)
                    peer = await self._reach(there, until_s)
                    was_sent = True
                    async with asyncio.timeout_at(reply_until_s):
                        return await peer.call(self._message(number, call))
                except TimeoutError:
                    reason = NO_ANSWER
                except (LinkLost, LinkRefused, StandingBy, ShuttingDown, LostOwnership) as error:
                    reason = str(error)
                reply_until_s = began_s + reply_s
                if self._loop.time() + RETRY_S >= until_s:
                    raise OwnerUnreachable(there.name or "nobody", reason, was_sent=was_sent)
                await asyncio.sleep(RETRY_S)
        finally:
            self._unanswered.pop(number, None)

    async def follow(
        self, owner: Member, topic: str, arguments: Sequence[Any], take: TakeWord
    ) -> Leave:
        """Begin a stream from the owner of a topic. Raises LinkLost or LinkRefused.

        ``take`` gets its first words before this returns, or later.
        """
        peer = await self._reach(owner, self._loop.time() + PATIENCE_S)
        number = next(self._numbers)
        call = [number, self._oldest(number), topic, FOLLOW, arguments, {}, REQUEST_ID.get()]
        peer.follow(call, take)
        return partial(peer.leave, number)

    async def check_address(self, own: Member) -> None:
        """Log a warning if the URL of this process does not lead here, as seen from itself."""
        probe = replace(self._identity, run=secrets.token_hex(8))
        try:
            link = await open_link(own.url, probe, own.name, _ignore, _ignore)
        except (LinkLost, LinkRefused) as error:
            _log.warning(
                "link.leads_elsewhere",
                url=own.url,
                reason=str(error),
                hint="--advertise has to lead to this process from where the others are",
            )
        else:
            link.close()

    def trouble_with(self, owner: Member) -> str:
        """Return why a process does not answer, as far as that is known."""
        peer = self._peers.get(owner)
        return peer.trouble if peer is not None else NO_ANSWER

    def keep(self, report: Coroutine[Any, Any, None]) -> None:
        """Run what has to reach an owner, until it has."""
        task = self._loop.create_task(report)
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)

    async def close(self, grace_s: float) -> None:
        """Wait for what was kept, and close all links."""
        if self._kept:
            await asyncio.wait(self._kept, timeout=grace_s)
        for task in self._kept:
            task.cancel()
        for peer in self._peers.values():
            peer.close()

    def _oldest(self, number: int) -> int:
        return next(iter(self._unanswered), number)

    def _message(self, number: int, call: RemoteCall) -> Message:
        return [number, self._oldest(number), *call, REQUEST_ID.get()]

    async def _call_here(self, number: int, here: Callable[[], Awaitable[R]]) -> R:
        before = ORIGIN.set(Origin(self._identity.run, number, self._oldest(number)))
        try:
            return await here()
        finally:
            ORIGIN.reset(before)

    async def _reach(self, owner: Member, until_s: float) -> _Peer:
        """Return a process with an open link to it. Raises LinkLost or LinkRefused."""
        if not owner.name or owner.name == self._identity.name:
            raise LinkLost("the topic is being taken over")
        peer = self._peers.get(owner)
        if peer is None:
            peer = self._peers[owner] = _Peer(owner, self._identity, self._log)
        if not peer.is_open:
            try:
                async with asyncio.timeout_at(until_s):
                    await peer.open()
            except TimeoutError:
                raise LinkLost(peer.trouble) from None
        return peer


class _Peer:
    """Another process, the link to it, and what is awaited from it."""

    def __init__(self, owner: Member, identity: Identity, log: SeldomLog) -> None:
        self._owner = owner
        self._identity = identity
        self._log = log
        self.trouble = NO_ANSWER
        """Why the link could not be opened at the last attempt, as far as that is known."""
        self._link: OutgoingLink | None = None
        self._opening: asyncio.Task[OutgoingLink] | None = None
        self._reopen_s = 0.0
        """When it may be tried again, by the loop's clock."""
        self._awaited: dict[int, asyncio.Future[Any]] = {}
        self._streams: dict[int, TakeWord] = {}

    @property
    def is_open(self) -> bool:
        """Whether calls can be sent."""
        return self._link is not None and self._link.is_open

    async def open(self) -> None:
        """Open the link. Raises LinkLost or LinkRefused."""
        if self._opening is None:
            if asyncio.get_running_loop().time() < self._reopen_s:
                raise LinkLost(self.trouble)
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(_look_at_error)
        await asyncio.shield(self._opening)

    async def call(self, message: Message) -> Any:
        """Send a call and return the reply. Raises LinkLost, or the owner's error."""
        if self._link is None:
            raise LinkLost("the link has just broken")
        number = message[0]
        self._link.send(message)
        reply = self._awaited[number] = asyncio.get_running_loop().create_future()
        try:
            return await reply
        finally:
            self._awaited.pop(number, None)

    def follow(self, message: Message, take: TakeWord) -> None:
        """Send the call that begins a stream. Raises LinkLost."""
        if self._link is None:
            raise LinkLost("the link has just broken")
        self._streams[message[0]] = take
        self._link.send(message)

    def leave(self, number: int) -> None:
        """End a stream, unless it has ended."""
        if self._streams.pop(number, None) is not None and self._link is not None:
            self._link.send([0, 0, "", LEAVE, [number], {}, ""])

    def close(self) -> None:
        """Close the link."""
        if self._link is not None:
            self._link.close()

    async def _open(self) -> OutgoingLink:
        owner = self._owner
        if self._link is not None:  # it is closing; later its loss would be taken for the new one's
            self._link.abort()
        try:
            link = await open_link(owner.url, self._identity, owner.name, self._take, self._lost)
        except (LinkLost, LinkRefused) as error:
            self.trouble = str(error)
            self._log.warning("link.not_opened", f"{owner.name} at {owner.url}", str(error))
            self._reopen_s = asyncio.get_running_loop().time() + REOPEN_S
            raise
        finally:
            self._opening = None
        self._link, self.trouble = link, NO_ANSWER
        return link

    def _take(self, message: Message) -> None:
        number, word, value = message
        if (take := self._streams.get(number)) is not None:
            take(word, decode_error(*value) if word == "error" else value)
            return
        reply = self._awaited.get(number)
        if reply is None or reply.done():
            return
        if word == "error":
            reply.set_exception(decode_error(*value))
        else:
            reply.set_result(value)

    def _lost(self) -> None:
        self._link = None
        streams, self._streams = self._streams, {}
        for take in streams.values():
            take("lost", None)
        awaited, self._awaited = self._awaited, {}
        for reply in awaited.values():
            if not reply.done():
                reply.set_exception(LinkLost("the link broke"))


def _ignore(*_: object) -> None:
    """Do nothing: a probe gets no replies, and may be lost."""


def _look_at_error(task: asyncio.Task[Any]) -> None:
    """Read a task's error, which asyncio would log: the requests that waited may have gone."""
    if not task.cancelled():
        task.exception()
