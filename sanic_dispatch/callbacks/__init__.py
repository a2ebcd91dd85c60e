"""Calls to workers: the delivery of a job, and the probes that clear up what became of one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType

import aiohttp

from sanic_dispatch.callbacks import probe
from sanic_dispatch.callbacks.guard import Guard, is_address
from sanic_dispatch.callbacks.outcome import Outcome, Refused
from sanic_dispatch.callbacks.put import notes_of_sending, put, why_not_sent
from sanic_dispatch.callbacks.resolver import GuardedResolver, Lookup, system_lookup
from sanic_dispatch.callbacks.url import parse_callback, split_url
from sanic_dispatch.config.settings import DEFAULTS
from sanic_dispatch.errors import CallbackForbidden

__all__ = ["Callbacks", "Guard", "parse_callback"]

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})

_LOOKUP_S = 1.0
"""How long a registration waits at most to see what a name resolves to."""

_KEEP_ALIVE_S = 2.0
"""Less than servers usually wait before they close: a PUT that meets a close is in doubt."""


class Callbacks:
    """The HTTP client for all calls to workers: one pool of connections, every call guarded.

    The pool itself has no upper limit, so that no slow worker takes another one's place in it;
    there is never more than one delivery under way per worker that waits.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        timeout_s: float = DEFAULTS.callback_timeout_s,
        connect_timeout_s: float = 2.0,
        body_limit: int = 65536,
        lookup: Lookup = system_lookup,
    ) -> None:
        """``timeout_s`` bounds a whole call, ``connect_timeout_s`` its resolving and connecting.

        ``body_limit`` is how many bytes of an answer are read at most.
        """
        self._guard = guard
        self._timeout = aiohttp.ClientTimeout(
            total=timeout_s,
            connect=connect_timeout_s,
            ceil_threshold=timeout_s + 1,  # no rounding up to whole seconds
        )
        self._body_limit = body_limit
        self._lookup = lookup
        self._resolver: GuardedResolver | None = None
        self._open_session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the pool; call once, inside the event loop."""
        self._resolver = GuardedResolver(self._guard, self._lookup)
        self._open_session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=_KEEP_ALIVE_S,
                use_dns_cache=False,
                resolver=self._resolver,
            ),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "sanic-dispatch"},
            skip_auto_headers=("Accept-Encoding",),
            auto_decompress=False,
            trust_env=False,
            trace_configs=[notes_of_sending()],
            read_bufsize=max(1, self._body_limit // 2),  # it reads up to twice as much ahead
        )

    async def close(self) -> None:
        """Break off what is under way and close all connections; harmless if never opened."""
        if self._open_session is not None:
            await self._open_session.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def check(self, callback_url: str) -> None:
        """Raises CallbackForbidden where the URL, or all that its name is now, may not be called.

        A name that does not resolve in time may: it is judged again at each call.
        """
        self._guard.check_url(callback_url)
        target = split_url(callback_url)
        if self._resolver is None or is_address(target.host):
            return
        with suppress(OSError):
            async with asyncio.timeout(_LOOKUP_S):
                await self._resolver.resolve(target.host, target.port)

    async def deliver(
        self, callback_url: str, body: bytes, headers: Mapping[str, str] = _NO_HEADERS
    ) -> Outcome:
        """PUT the JSON ``body`` to the callback, exactly once, and say what became of it.

        Takes at most ``timeout_s``. Raises nothing but for headers that cannot be sent.
        """
        session = self._session
        try:
            self._guard.check_url(callback_url)
        except CallbackForbidden as error:
            return Refused(why_not_sent(error))
        return await put(session, callback_url, body, headers)

    async def is_pending(self, callback_url: str, silence: bool | None = None) -> bool | None:
        """Ask whether the callback still waits; None where that cannot be known now.

        ``silence`` is what it means if nothing answers in time.
        """
        if not self._may_call(callback_url):
            return None
        return await probe.is_pending(self._session, callback_url, silence)

    async def instance_state(self, instance_url: str) -> str | None:
        """Ask for the instance's state: the engine's word, ``gone``, or None where unknown."""
        if not self._may_call(instance_url):
            return None
        return await probe.instance_state(self._session, instance_url, self._body_limit)

    async def instance_uuid(self, instance_url: str) -> str | None:
        """Ask which instance has this address now: its UUID, empty where the engine does not say,
        None where that cannot be known now."""
        if not self._may_call(instance_url):
            return None
        return await probe.instance_uuid(self._session, instance_url, self._body_limit)

    def _may_call(self, url: str) -> bool:
        try:
            self._guard.check_url(url)
        except CallbackForbidden:
            return False
        return True

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._open_session is None:
            raise RuntimeError("not open")
        return self._open_session
