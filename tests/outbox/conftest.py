"""An outbox on a clock that stands still, and a receiver on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sanic_dispatch.callbacks.guard import Guard
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.config.webhook_entry import WebhookEntry
from sanic_dispatch.history.history_queries import HistoryQueries
from sanic_dispatch.outbox.message_client import MessageClient
from sanic_dispatch.outbox.outbox import Outbox
from tests.support.receiver import SECRET, Receiver, running_receiver
from tests.support.world import World, running_world


class Bar:
    """A dispatcher with its outbox, and a receiver."""

    def __init__(self, world: World, receiver: Receiver, *configured: WebhookEntry) -> None:
        self.world, self.receiver = world, receiver
        if not world.store.history.lasts:
            world.bus.subscribe(world.store.history.note)
        self.client = MessageClient(Guard(["127.0.0.0/8"], public_only=True), world.clock)
        history = HistoryQueries(world.store.history, world.bus.catch_up, world.clock.now_s)
        self.outbox = Outbox(
            world.dispatcher, world.store, history, world.bus, world.clock, self.client, configured
        )
        world.dispatcher.companions = (self.outbox,)

    async def add(self, path: str = "hook", *events: str, payload: bool = False) -> str:
        """Add an endpoint of the receiver, and return its id."""
        entry = WebhookEntry(self.receiver.url(path), events or ("job.*",), payload, SECRET)
        await self.outbox.add(path, entry)
        return path

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds, on real sockets."""
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - it depends on sockets
                await asyncio.sleep(0.001)

    async def received(self, count: int, path: str = "hook") -> None:
        """Wait until the receiver has so many messages at a path, and nothing is under way."""
        await self.until(lambda: len(self.receiver.of_path(path)) >= count)
        await self.until(lambda: self.outbox._sender.is_idle)

    @property
    def numbers(self) -> list[int]:
        return [each.n for each in self.receiver.of_path("hook")]


def settings_of(folder: Path | None) -> Settings:
    if folder is None:
        return Settings(job_queue_mode=Mode.IN_MEMORY, worker_queue_mode=Mode.IN_MEMORY)
    return Settings.of(Mode.CACHED_JSON_FILE, data_dir=folder)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as receiver:
        yield receiver


@pytest.fixture
async def bar(receiver: Receiver) -> AsyncIterator[Bar]:
    """A bar in memory."""
    async with running_world(settings_of(None)) as world:
        bar = Bar(world, receiver)
        await bar.outbox.start()
        yield bar
        await bar.outbox.abandon()
        await bar.client.close()
