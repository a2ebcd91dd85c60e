"""The sender: whose turn it is."""

from __future__ import annotations

import asyncio

from sanic_dispatch.outbox.sender import Sender, Work


async def test_what_has_happened_goes_before_what_is_only_looked_at() -> None:
    """After a start thousands of phones are looked at: news of an order do not wait for them."""
    begun: list[str] = []

    def begin(key: str) -> Work | None:
        begun.append(key)
        return None

    sender = Sender(begin)
    sender.start()
    for key in ("a", "b", "c", "d"):
        sender.wake(key, is_urgent=False)
    sender.wake("e")
    sender.wake("c")
    sender.forget("b")
    async with asyncio.timeout(5):
        while len(begun) < 4:  # noqa: ASYNC110 - the sender's own pace
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)
    await sender.abandon()
    assert begun == ["e", "c", "a", "d"]
