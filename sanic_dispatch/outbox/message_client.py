"""The client for messages: one POST, whose answer is a status and nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

import structlog

from sanic_dispatch.callbacks.guard import Guard
from sanic_dispatch.callbacks.http_client import NOT_SENT, Broken, NotSent, Timeouts, not_allowed
from sanic_dispatch.callbacks.resolver import GuardedResolver, Lookup, system_lookup
from sanic_dispatch.clock import Clock
from sanic_dispatch.errors import CallbackForbidden

if TYPE_CHECKING:
    from sanic_dispatch.callbacks.aiohttp_client import AiohttpClient

TIMEOUTS = Timeouts(total_s=10.0, connect_s=5.0, keep_alive_s=2.0)
"""How long a message may take, from resolving the name to the head of the answer."""

MAX_RETRY_AFTER_S = 24 * 3600.0
"""The longest time that an endpoint can ask to be left alone."""


GONE = (404, 410)
"""The statuses that say that there is nothing at a URL any more."""

_log = structlog.get_logger("sanic_dispatch.outbox")


class Posted(NamedTuple):
    """What became of a message: the reason is empty if it was delivered."""

    reason: str = ""
    retry_after_s: float | None = None
    """How long the endpoint asks to be left alone."""
    is_gone: bool = False
    """Whether the answer says that there is nothing at this URL any more."""


class MessageClient:
    """Sends messages to what the guard allows, at each of the addresses that a name resolves to."""

    def __init__(
        self,
        guard: Guard,
        clock: Clock,
        *,
        timeouts: Timeouts = TIMEOUTS,
        lookup: Lookup = system_lookup,
    ) -> None:
        self._guard = guard
        self._clock = clock
        self._timeouts = timeouts
        self._resolver = GuardedResolver(guard, lookup)
        self._http: AiohttpClient | None = None

    async def check(self, url: str) -> None:
        """Raise CallbackForbidden as ``GuardedResolver.check``."""
        await self._resolver.check(url)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """POST a message; only a status 2xx means that it was delivered. Raises nothing."""
        try:
            self._guard.check_url(url)
            status, retry_after = await self._client().post(url, body, headers)
        except CallbackForbidden as error:
            return Posted(not_allowed(error))
        except (NotSent, Broken) as error:
            return Posted(str(error))
        except ValueError:
            return Posted(NOT_SENT)
        except Exception:  # a mistake of ours must not keep the messages after this one
            _log.exception("call.failed", call="post")
            return Posted(NOT_SENT)
        if 200 <= status < 300:
            return Posted()
        return Posted(f"status {status}", self._seconds(retry_after), status in GONE)

    async def close(self) -> None:
        """Cancel all calls and close all connections."""
        if self._http is not None:
            await self._http.close()
        self._resolver.close()

    def _client(self) -> AiohttpClient:
        """Return the client; it is made for the first message, since aiohttp is slow to import."""
        if self._http is None:
            from sanic_dispatch.callbacks.aiohttp_client import AiohttpClient

            self._http = AiohttpClient(self._resolver, self._timeouts, 0)
        return self._http

    def _seconds(self, retry_after: str) -> float | None:
        """Return Retry-After, which has seconds or a date, in seconds; None if it has neither."""
        try:
            if retry_after.isascii() and retry_after.isdecimal():
                seconds = float(retry_after[:9])
            else:
                seconds = parsedate_to_datetime(retry_after).timestamp() - self._clock.now_s()
        except (ValueError, TypeError, OverflowError):
            return None
        return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
