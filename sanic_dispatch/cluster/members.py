"""Members: the living processes that share a store.

Each announces itself once in ANNOUNCE_S, and counts as living for LIFETIME_S after that. Nothing
depends on it for safety: who owns a topic is decided by its lease (``ownership.py``).
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple, Protocol

import structlog

from sanic_dispatch.config.settings import Settings
from sanic_dispatch.errors import OutcomeUnknown, StorageFailed

ANNOUNCE_S = 0.8
"""How often a process announces itself."""

LIFETIME_S = 2.5
"""For how long an announcement is good: less than a lease, so that whoever takes over knows who is
dead."""

ANNOUNCE_RETRY_S = 0.1
"""How long to wait after a failed announcement."""

_log = structlog.get_logger("sanic_dispatch.cluster")


class Member(NamedTuple):
    """A process: its public name, the URL at which others reach it, and the topics it serves.

    The URL is empty if the process does not know it.
    """

    name: str
    url: str
    topics: tuple[str, ...] = ()


class MemberStore(Protocol):
    """Where members are announced. All methods raise StorageFailed or OutcomeUnknown."""

    async def announce(self, own: Member, lifetime_s: float) -> list[Member]:
        """Announce a process for ``lifetime_s``; return all living ones, in no order."""

    async def withdraw(self, own: Member) -> None:
        """Remove a process from the living ones."""

    async def close(self) -> None:
        """Disconnect."""


class Members:
    """Announces this process, and knows which others live."""

    def __init__(self, store: MemberStore, own: Member) -> None:
        self.own = own
        self.living: tuple[Member, ...] = (own,)
        """The living processes by name, as of the last announcement; this one is among them."""
        self._store = store
        self._changed_s = time.monotonic()
        self._announcing: asyncio.Task[None] | None = None

    @property
    def unchanged_s(self) -> float:
        """For how long the same processes have been living, seconds."""
        return time.monotonic() - self._changed_s

    async def join(self) -> None:
        """Announce this process from now on. Raises StorageFailed or OutcomeUnknown."""
        await self._announce()
        self._announcing = asyncio.create_task(self._announce_regularly())

    async def leave(self) -> None:
        """Withdraw this process, so that nothing is handed over to it any more."""
        await self._stop()
        with suppress(StorageFailed, OutcomeUnknown):
            await self._announce()  # to know who has just joined: it may be the only successor
            await self._store.withdraw(self.own)
        self._note([each for each in self.living if each.name != self.own.name])

    async def close(self) -> None:
        """Stop announcing, and disconnect."""
        await self._stop()
        await self._store.close()

    async def _stop(self) -> None:
        if self._announcing is not None:
            self._announcing.cancel()
            await asyncio.gather(self._announcing, return_exceptions=True)
            self._announcing = None

    async def _announce_regularly(self) -> None:
        pause_s = ANNOUNCE_S
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self._announce()
                pause_s = ANNOUNCE_S
            except (StorageFailed, OutcomeUnknown):  # Ownership logs that the store is unreachable
                pause_s = ANNOUNCE_RETRY_S

    async def _announce(self) -> None:
        self._note(await self._store.announce(self.own, LIFETIME_S))

    def _note(self, found: Iterable[Member]) -> None:
        living = tuple(sorted({each.name: each for each in found}.values()))
        if living != self.living:
            joined, gone = set(living) - set(self.living), set(self.living) - set(living)
            self.living, self._changed_s = living, time.monotonic()
            _log.info("members.changed", joined=_names_of(joined), gone=_names_of(gone))


def _names_of(members: Iterable[Member]) -> str:
    return " ".join(sorted(member.name for member in members))


def member_of(settings: Settings) -> Member:
    """Return this process as others see it."""
    name = f"{socket.gethostname()}:{settings.port}"
    if settings.process:
        name += f"/{settings.process}"
    topics = [each.topic for each in (settings, *settings.topics.values()) if each.is_shared]
    return Member(name, settings.advertised_url, tuple(topics))
