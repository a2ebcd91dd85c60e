"""The resolver of host names: it returns only addresses that the guard allows."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from sanic_dispatch.callbacks.guard import Guard, is_address
from sanic_dispatch.callbacks.url import split_url
from sanic_dispatch.errors import CallbackForbidden

Lookup = Callable[[str], Sequence[str]]
"""Host name → its addresses, in the order to try them. Blocks; raises OSError."""

CHECK_S = 1.0
"""The longest time that a request waits for the name in a URL to resolve."""

_THREADS, _DOOR_THREADS = 32, 8
"""How many names are looked up at once for calls, and for checks of URLs that are handed in."""


def system_lookup(host: str) -> Sequence[str]:
    """Resolve a name by the operating system. Raises OSError if it does not resolve."""
    found = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class GuardedResolver:
    """Resolves for each new connection, so the address that was checked is the one used.

    It has its own threads, so that slow look-ups do not block the threads of the process; and
    others for checks, so that URLs with slow names, which anybody may hand in, hold up no call.
    """

    def __init__(self, guard: Guard, lookup: Lookup = system_lookup) -> None:
        self._guard = guard
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="resolve")
        self._door_threads = ThreadPoolExecutor(_DOOR_THREADS, thread_name_prefix="check")

    async def resolve(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host that may be called at a port, in the order of the look-up.

        Raises OSError if the name does not resolve, and CallbackForbidden if none of its addresses
        may be called.
        """
        return await self._resolve(host, port, self._threads)

    async def check(self, url: str) -> None:
        """Raise CallbackForbidden if the URL, or each address of its host, may not be called.

        A name that does not resolve in time is accepted: it is checked again at each call.
        """
        self._guard.check_url(url)
        target = split_url(url)
        if is_address(target.host):
            return
        with suppress(OSError):
            async with asyncio.timeout(CHECK_S):
                await self._resolve(target.host, target.port, self._door_threads)

    def close(self) -> None:
        """Release the threads, without waiting for look-ups under way."""
        for threads in (self._threads, self._door_threads):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _resolve(self, host: str, port: int, threads: ThreadPoolExecutor) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(threads, self._lookup, host)
        allowed, refusal = self._sift(host, found, port)
        if not allowed:
            raise refusal or OSError("the name has no address")
        return allowed

    def _sift(
        self, host: str, found: Sequence[str], port: int
    ) -> tuple[list[str], CallbackForbidden | None]:
        allowed, refusal = [], None
        for ip in found:
            try:
                self._guard.check_address(host, ip, port)
            except CallbackForbidden as error:
                refusal = error
            else:
                allowed.append(ip)
        return allowed, refusal
