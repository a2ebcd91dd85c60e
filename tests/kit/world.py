"""The core, wired without sockets: queues, dispatcher, supervisor, on a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ujson

from sanic_dispatch.clock import to_rfc3339
from sanic_dispatch.dispatcher import Dispatcher
from sanic_dispatch.events import Event, Events
from sanic_dispatch.job import Job
from sanic_dispatch.queues import open_queues
from sanic_dispatch.queues.base import Pairs
from sanic_dispatch.queues.commit import GroupCommit
from sanic_dispatch.queues.redis_pairs import RedisPairs
from sanic_dispatch.rules import Policy
from sanic_dispatch.settings import Mode, Settings
from sanic_dispatch.submissions import Submission
from sanic_dispatch.supervisor import Supervisor
from sanic_dispatch.worker import Key, Worker
from tests.kit.clock import FakeClock, settle
from tests.kit.network import FakeNetwork


class World:
    """One running dispatcher and everything that a test wants to say to it."""

    def __init__(self, pairs: Pairs, events: Events, network: FakeNetwork, policy: Policy) -> None:
        self.pairs, self.network = pairs, network
        self.clock = FakeClock()
        self.history: list[Event] = []
        self.events = events
        events.subscribe(self.history.append)
        self.dispatcher = Dispatcher(pairs, network, events, self.clock, policy)
        self.supervisor = Supervisor(
            pairs,
            self.dispatcher.steps,
            self.dispatcher.deliveries,
            events,
            self.clock,
            policy,
        )

    async def start(self) -> None:
        await self.dispatcher.start()
        await self.supervisor.start()
        await settle()

    async def submit(self, data: Any) -> Submission:
        return await self.dispatcher.submit(ujson.dumps(data).encode())

    async def register(self, worker: Worker, *, lost: bool = False) -> Any:
        """Register as the web does: a job in the answer is written at once. Its data, or None."""
        job = await self.dispatcher.register(worker, lost=lost)
        if job is None:
            await self.quiet()
            return None
        self.dispatcher.answered(job)
        await self.quiet()
        return ujson.loads(job.data)

    def never(self) -> asyncio.Future[Any]:
        """An outcome that does not come."""
        return asyncio.get_running_loop().create_future()

    async def job(self, job_id: str) -> Job:
        return await self.dispatcher.steps.find(job_id)

    async def quiet(self) -> None:
        """Return when nothing happens any more without time passing; also no write."""
        rounds_of_quiet = 0
        while rounds_of_quiet < 3:
            await settle()
            writers = self._writers()
            rounds_of_quiet = 0 if writers else rounds_of_quiet + 1
            if writers:
                await asyncio.wait(writers)
                await self.pairs.peers.catch_up()

    def _writers(self) -> set[asyncio.Task[None]]:
        """What is on its way to the storage now."""
        if isinstance(self.pairs, RedisPairs):
            return {self.pairs._link._pipe._sender} - {None}
        queues: list[Any] = [self.pairs.jobs, self.pairs.workers]
        commits = [queue.commit for queue in queues if isinstance(queue.commit, GroupCommit)]
        return {commit._writer for commit in commits} - {None}

    @property
    def delivered(self) -> list[Any]:
        """The data of each delivery by PUT, in order."""
        return [data for _, data in self.network.deliveries]

    def kinds(self) -> list[str]:
        """What happened so far."""
        return [event.kind.value for event in self.history]


def worker(callback: str, instance: str = "", activity: str = "a1") -> Worker:
    """A worker as the web layer makes it: with an instance it has a key, without it has none."""
    return Worker(
        callback_url=f"http://engine/{instance or 'x'}/callbacks/{callback}/",
        registered_at=to_rfc3339(FakeClock().now_s()),
        key=Key(instance, activity) if instance else None,
        instance_url=f"http://engine/{instance}/" if instance else "",
    )


@asynccontextmanager
async def running_world(
    settings: Settings | None = None,
    network: FakeNetwork | None = None,
    policy: Policy | None = None,
) -> AsyncIterator[World]:
    """A world in memory, or in the modes that the settings say."""
    events = Events()
    settings = settings or Settings(job_queue_mode=Mode.IN_MEMORY, worker_queue_mode=Mode.IN_MEMORY)
    async with open_queues(settings, events) as pairs:
        world = World(pairs, events, network or FakeNetwork(), policy or Policy())
        await world.start()
        try:
            yield world
        finally:
            await world.supervisor.stop()
            await world.dispatcher.tasks.cancel()
