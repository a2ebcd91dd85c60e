"""The client for push services: https to public addresses, and what the operator allows besides."""

from __future__ import annotations

from collections.abc import Mapping

from sanic_dispatch.callbacks.guard import Guard
from sanic_dispatch.callbacks.http_client import Timeouts, not_allowed
from sanic_dispatch.callbacks.resolver import Lookup, system_lookup
from sanic_dispatch.callbacks.url import split_url
from sanic_dispatch.clock import Clock
from sanic_dispatch.errors import CallbackForbidden
from sanic_dispatch.outbox.message_client import TIMEOUTS, MessageClient, Posted


class PushClient:
    """Sends messages to push services; plain http has a guard of its own.

    What is allowed by a network is known only once a name is resolved, so a name that is called by
    plain http must not be judged by the guard that lets public addresses pass.
    """

    def __init__(
        self,
        guard: Guard,
        plain_guard: Guard | None,
        clock: Clock,
        *,
        timeouts: Timeouts = TIMEOUTS,
        lookup: Lookup = system_lookup,
    ) -> None:
        """``plain_guard`` allows plain http; None if nothing may be called so."""
        self._tls = MessageClient(guard, clock, timeouts=timeouts, lookup=lookup)
        self._plain: MessageClient | None = None
        if plain_guard is not None:
            self._plain = MessageClient(plain_guard, clock, timeouts=timeouts, lookup=lookup)

    async def check(self, url: str) -> None:
        """Raise CallbackForbidden as ``GuardedResolver.check``, and for plain http."""
        await self._client_for(url).check(url)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """POST a message as ``MessageClient.post``."""
        try:
            client = self._client_for(url)
        except CallbackForbidden as error:
            return Posted(not_allowed(error))
        return await client.post(url, body, headers)

    async def close(self) -> None:
        """Cancel all calls and close all connections."""
        await self._tls.close()
        if self._plain is not None:
            await self._plain.close()

    def _client_for(self, url: str) -> MessageClient:
        try:
            is_plain = split_url(url).scheme == "http"
        except ValueError as error:
            raise CallbackForbidden(str(error)) from error
        if not is_plain:
            return self._tls
        if self._plain is None:
            raise CallbackForbidden("push services are called by https only")
        return self._plain
