"""The resolver's threads: what is handed in holds up no call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Event

import pytest

from sanic_dispatch.callbacks import resolver as resolver_module
from sanic_dispatch.callbacks.guard import Guard
from sanic_dispatch.callbacks.resolver import GuardedResolver


async def test_slow_names_at_the_door_hold_up_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call resolves its name while more names than there are threads are being checked."""
    goes_on = Event()

    def lookup(host: str) -> Sequence[str]:
        if host.startswith("slow"):
            goes_on.wait(60.0)
        return ["192.0.2.7"]

    monkeypatch.setattr(resolver_module, "CHECK_S", 60.0)
    resolver = GuardedResolver(Guard(["192.0.2.0/24"]), lookup)
    urls = [f"http://slow-{n}.example/" for n in range(100)]
    checks = [asyncio.ensure_future(resolver.check(url)) for url in urls]
    await asyncio.sleep(0)  # now all of them are under way, or wait for a thread
    try:
        async with asyncio.timeout(5.0):
            assert await resolver.resolve("good.example", 80) == ["192.0.2.7"]
    finally:
        goes_on.set()
        await asyncio.gather(*checks)
        resolver.close()
