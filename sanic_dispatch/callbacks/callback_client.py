"""The client for calls to workers: what the dispatcher knows of HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sanic_dispatch.callbacks import probe
from sanic_dispatch.callbacks.address_client import AddressClient
from sanic_dispatch.callbacks.guard import Guard, is_address
from sanic_dispatch.callbacks.http_client import (
    Broken,
    HttpClient,
    NotSent,
    Timeouts,
    not_allowed,
)
from sanic_dispatch.callbacks.outcome import InDoubt, Outcome, Refused, outcome_of
from sanic_dispatch.callbacks.resolver import GuardedResolver, Lookup, system_lookup
from sanic_dispatch.callbacks.url import split_url
from sanic_dispatch.config.settings import DEFAULTS
from sanic_dispatch.errors import CallbackForbidden

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_JSON = {"Content-Type": "application/json"}

_KEEP_ALIVE_S = 2.0
"""How long an idle connection is kept: for less time than most servers keep theirs.

A PUT that crosses the server's close is in doubt.
"""


class CallbackClient:
    """The HTTP client for calls to workers: the guard checks each call, connections are pooled.

    The pool has no upper limit, so that a slow worker cannot hold up another one. At most one
    delivery per waiting worker is under way.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        timeout_s: float = DEFAULTS.callback_timeout_s,
        connect_timeout_s: float = 2.0,
        body_limit_bytes: int = 65536,
        lookup: Lookup = system_lookup,
    ) -> None:
        """Create the pool; needs the running event loop.

        ``timeout_s`` limits a whole call, ``connect_timeout_s`` resolving and connecting. At most
        ``body_limit_bytes`` of an answer's body are read.
        """
        self._guard = guard
        self._timeouts = Timeouts(timeout_s, connect_timeout_s, _KEEP_ALIVE_S)
        self._body_limit_bytes = body_limit_bytes
        self._resolver = GuardedResolver(guard, lookup)
        self._by_address = AddressClient(self._timeouts)
        self._by_name: HttpClient | None = None

    async def close(self) -> None:
        """Cancel all calls and close all connections."""
        await self._by_address.close()
        if self._by_name is not None:
            await self._by_name.close()
        self._resolver.close()

    async def check(self, callback_url: str) -> None:
        """Raise CallbackForbidden as ``GuardedResolver.check``."""
        await self._resolver.check(callback_url)

    async def deliver(
        self, callback_url: str, body: bytes, headers: Mapping[str, str] = _NO_HEADERS
    ) -> Outcome:
        """PUT the JSON ``body`` to the callback, exactly once, and return the outcome.

        Takes at most ``timeout_s``. Raises only ValueError, for headers that cannot be sent.
        """
        try:
            client = self._client(callback_url)
        except CallbackForbidden as error:
            return Refused(not_allowed(error))
        try:
            status = await client.put(callback_url, body, {**headers, **_JSON})
        except NotSent as error:
            return Refused(str(error))
        except Broken as error:
            return InDoubt(str(error))
        return outcome_of(status)

    async def is_pending(self, callback_url: str, if_silent: bool | None = None) -> bool | None:
        """Return whether the callback is pending; None if that is unclear.

        Returns ``if_silent`` if there is no answer in time.
        """
        if (client := self._probing(callback_url)) is None:
            return None
        return await probe.is_pending(client, callback_url, if_silent)

    async def instance_state(self, instance_url: str) -> str | None:
        """Return the instance's state in the engine's word; None if that is unclear.

        Or ``gone``, our word for an instance that the engine does not know.
        """
        if (client := self._probing(instance_url)) is None:
            return None
        return await probe.instance_state(client, instance_url, self._body_limit_bytes)

    async def instance_uuid(self, instance_url: str) -> str | None:
        """Return the UUID of the instance that has this address now.

        Empty if the engine does not say, None if that is unclear.
        """
        if (client := self._probing(instance_url)) is None:
            return None
        return await probe.instance_uuid(client, instance_url, self._body_limit_bytes)

    def _probing(self, url: str) -> HttpClient | None:
        """Return the client for a probe; None if the URL may not be called."""
        try:
            return self._client(url)
        except CallbackForbidden:
            return None

    def _client(self, url: str) -> HttpClient:
        """Return the client for a URL: aiohttp, unless it is plain HTTP to a literal address.

        Raises CallbackForbidden if the URL may not be called.
        """
        self._guard.check_url(url)
        target = split_url(url)
        if target.scheme == "http" and is_address(target.host):
            return self._by_address
        return self._named()

    def _named(self) -> HttpClient:
        """Return the client for https and for names; it is made for the first of them."""
        if self._by_name is None:
            # slow to import, and many a service calls addresses only
            from sanic_dispatch.callbacks.aiohttp_client import AiohttpClient

            self._by_name = AiohttpClient(self._resolver, self._timeouts, self._body_limit_bytes)
        return self._by_name
