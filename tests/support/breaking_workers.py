"""Workers without an address that break at random: cut, frozen, half-open, replaced, aborted."""

from __future__ import annotations

import asyncio
import json
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from sanic_dispatch.client import DispatchClient, Unreachable, Worker
from tests.support.tablet import Tablet

MIX_S = 0.004
FROZEN_S = 1.5
"""The longest that a worker is frozen."""

LONGEST_POLL_S = 0.5
ABORT_S = 0.05
"""The latest that a request is aborted."""

SHARE = 0.08
"""The share of steps in which a worker breaks."""

BREAKS = {
    *(f"is cut before {kind}" for kind in ("register", "accept", "progress", "done")),
    *(f"is cut after {kind}" for kind in ("register", "accept", "progress", "done")),
    "freezes",
    "comes by a second connection",
    "aborts a poll",
    "aborts a report",
    "polls twice",
    "forgets its job",
}


class BreakingWorker(ABC):
    """Mixes orders, each once, until it is cancelled; it breaks in a share of its steps.

    ``on_mixed`` is called with the data of each order that it has begun; ``happened`` counts how
    the workers broke, each way at its first chance. A calm one does not break.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        rng: random.Random,
        *,
        on_mixed: Callable[[Any], None],
        happened: Counter[str],
    ) -> None:
        self.name = name
        self.is_calm = False
        self.mixed = 0
        self._base_url = base_url
        self._random = rng
        self._on_mixed = on_mixed
        self._happened = happened
        self._last_id = ""

    @property
    @abstractmethod
    def worker_id(self) -> str:
        """The id of its registrations."""

    @abstractmethod
    async def run(self) -> None:
        """Work until cancelled."""

    def _breaks(self, how: str) -> bool:
        """Throw the dice whether it breaks in this way now."""
        dice = self._random.random()
        if self.is_calm or (dice >= SHARE and how in self._happened):
            return False
        self._happened[how] += 1
        return True

    async def _mix(self, job_id: str, data: Any) -> None:
        """Mix an order, unless it is the one that was mixed last."""
        if job_id != self._last_id:
            self._last_id = job_id
            self.mixed += 1
            self._on_mixed(data)
            await asyncio.sleep(self._random.uniform(0, 2 * MIX_S))


class Cut(Exception):
    """The worker does not use its connection any more."""


class BreakingTablet(BreakingWorker):
    """A worker at a websocket; it always comes back, with its session."""

    _session = ""

    @property
    def worker_id(self) -> str:
        """The id of its registrations."""
        return f"ws:{self.name}"

    async def run(self) -> None:
        """Work until cancelled."""
        url = self._base_url.replace("http", "ws", 1) + "work"
        async with AsyncExitStack() as half_open:
            while True:
                query = f"?session={self._session}" if self._session else ""
                websocket = await connect(url + query, compression=None, ping_interval=None)
                half_open.callback(websocket.transport.abort)
                with suppress(Cut, ConnectionClosed):
                    await self._work(Tablet(websocket))

    async def _work(self, tablet: Tablet) -> None:
        tablet.session = (await tablet.hear("welcome"))["session"]
        is_registered = tablet.session == self._session
        self._session = tablet.session
        while True:
            if not is_registered:
                assert await self._say(tablet, "register", {"worker": self.name}) is None
            await self._serve(tablet, await self._offer(tablet))
            is_registered = False

    async def _offer(self, tablet: Tablet) -> dict[str, Any]:
        """Return the next offer."""
        while True:
            if self._breaks("freezes"):
                tablet.websocket.transport.pause_reading()
                await asyncio.sleep(self._random.uniform(0, FROZEN_S))
                tablet.websocket.transport.resume_reading()
            if self._breaks("comes by a second connection"):
                tablet.websocket.transport.pause_reading()  # this one stays, half-open
                raise Cut
            with suppress(TimeoutError):
                offer: dict[str, Any] = await tablet.hear("job")
                return offer

    async def _serve(self, tablet: Tablet, job: dict[str, Any]) -> None:
        report = {"job": job["id"], "receipt": job["receipt"]}
        refusal = await self._say(tablet, "accept", report)
        if refusal is not None:
            assert refusal == "NotTheHolder"  # it was frozen for too long
            return
        await self._mix(job["id"], job["data"])
        assert await self._say(tablet, "progress", report | {"percent": 50}) is None
        assert await self._say(tablet, "done", report) is None

    async def _say(self, tablet: Tablet, kind: str, members: dict[str, Any]) -> str | None:
        """Say something, and return the name of the error in the reply, if it is one."""
        if self._breaks(f"is cut before {kind}"):
            tablet.websocket.transport.abort()
            raise Cut
        if self._breaks(f"is cut after {kind}"):
            await tablet.websocket.send(json.dumps({kind: members}))
            tablet.websocket.transport.abort()
            raise Cut
        reply = await tablet.ask({kind: members})
        return reply["error"]["Error"] if "error" in reply else None


class BreakingClient(BreakingWorker):
    """Our client's worker; its network breaks, not the worker."""

    @property
    def worker_id(self) -> str:
        """The id of its registrations."""
        return f"ws:{self.name}"

    async def run(self) -> None:
        """Work until cancelled."""
        async for job in Worker(self._base_url, self.name, rng=self._random):
            await self._mix(job.id, job.data)
            assert await job.progress(50)
            assert await job.done()


class BreakingPoller(BreakingWorker):
    """A worker that polls; its network breaks too."""

    @property
    def worker_id(self) -> str:
        """The id of its registrations."""
        return f"poll:{self.name}"

    async def run(self) -> None:
        """Work until cancelled."""
        async with DispatchClient(self._base_url) as client:
            while True:
                with suppress(Unreachable, TimeoutError):
                    await self._round(client)

    async def _round(self, client: DispatchClient) -> None:
        job = await self._poll(client)
        if job is None:
            return
        await self._mix(job["id"], job["data"])
        if self._breaks("forgets its job"):
            return  # and gets it again
        async with self._aborting("aborts a report"):
            await client.complete(job["id"], job["receipt"])

    async def _poll(self, client: DispatchClient) -> dict[str, Any] | None:
        wait_s = round(self._random.uniform(0, LONGEST_POLL_S), 3)
        async with self._aborting("aborts a poll"):
            if not self._breaks("polls twice"):
                return await client.poll(self.name, wait_s=wait_s)
            both = (client.poll(self.name, wait_s=wait_s) for _ in range(2))
            first, second = await asyncio.gather(*both)
            return first or second

    @asynccontextmanager
    async def _aborting(self, how: str) -> AsyncIterator[None]:
        """Abort requests in the block at a random time, if the dice say so."""
        aborts = self._breaks(how)
        async with asyncio.timeout(self._random.uniform(0, ABORT_S) if aborts else None):
            yield
