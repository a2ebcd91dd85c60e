"""The service below the web, without sockets, on a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import ujson

from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core.events import Event
from sanic_dispatch.core.job import Job, Stage
from sanic_dispatch.core.state_machine import Placed
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Key, Worker
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.observability.event_bus import EventBus
from sanic_dispatch.storage.open_store import open_store
from sanic_dispatch.storage.store import Store
from tests.support.clock import FakeClock, settle
from tests.support.free_workers import free_workers
from tests.support.network import FakeNetwork


class World:
    """A dispatcher with its store, network, clock and event bus, and shortcuts for tests."""

    def __init__(self, store: Store, network: FakeNetwork, policy: Policy) -> None:
        self.store, self.network = store, network
        self._calls: set[asyncio.Task[Any]] = set()
        for name in ("commit", "refresh", "erase"):
            setattr(store, name, self._watched(getattr(store, name)))
        self.clock = FakeClock()
        self.bus = EventBus()
        self._history: list[Event] = []
        self.bus.subscribe(self._history.extend)
        self.dispatcher = Dispatcher(store, network, self.bus, self.clock, policy)

    def _watched(self, call: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        """Make the same call, and count it as under way."""

        async def watched(*args: Any) -> Any:
            task = asyncio.ensure_future(call(*args))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
            return await task

        return watched

    async def start(self) -> None:
        await self.dispatcher.load()
        await self.dispatcher.start()
        await self.quiet()

    async def submit(self, data: Any) -> Placed:
        return await self.dispatcher.submit(ujson.dumps(data).encode())

    async def register(self, worker: Worker, *, lost: bool = False) -> Any:
        """Register as the web does, and write the answer at once; return the job's data or None."""
        job = await self.dispatcher.register(worker, lost=lost)
        if job is None:
            await self.quiet()
            return None
        self.dispatcher.answer_written(job)
        await self.quiet()
        return ujson.loads(job.data)

    def never(self) -> asyncio.Future[Any]:
        """Return an outcome that does not come."""
        return asyncio.get_running_loop().create_future()

    async def job(self, job_id: str) -> Job:
        return (await self.dispatcher.look_up(job_id)).job

    async def stage(self, job_id: str) -> Stage | None:
        """Return the stage of a job's hold, or None if it is not held."""
        hold = (await self.job(job_id)).hold
        return hold.stage if hold else None

    def jobs(self) -> list[Job]:
        """Return the jobs that wait or are held, in order."""
        return self.dispatcher.snapshot().jobs

    def workers(self) -> list[Worker]:
        """Return the workers that wait, in order; also those that are held or set aside."""
        return self.dispatcher.snapshot().workers

    def free_workers(self) -> list[Worker]:
        """Return the workers that may get a job now, in order."""
        return free_workers(self.dispatcher._machine.tables)

    def waiting_jobs(self) -> list[Job]:
        """Return the jobs that may be assigned now, in order."""
        return [job for job in self.jobs() if job.is_waiting]

    async def quiet(self) -> None:
        """Wait until nothing happens without time passing, including what the store does."""
        await settle()
        while self._calls:
            await asyncio.wait(self._calls)
            await settle()

    @property
    def delivered(self) -> list[Any]:
        """The data of each delivery by PUT, in order."""
        return [data for _, data in self.network.deliveries]

    @property
    def history(self) -> list[Event]:
        """All events that were published."""
        self.bus.catch_up()
        return self._history

    def kinds(self) -> list[str]:
        """Return the kinds of all events."""
        return [event.kind.value for event in self.history]


def worker(callback: str, instance: str = "", activity: str = "a1") -> Worker:
    """Return a worker as the web layer makes it: with a key if it has an instance."""
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
    """Run a world in memory, or in the modes of the settings."""
    settings = settings or Settings(job_queue_mode=Mode.IN_MEMORY, worker_queue_mode=Mode.IN_MEMORY)
    async with open_store(settings) as store:
        world = World(store, network or FakeNetwork(), policy or Policy())
        await world.start()
        try:
            yield world
        finally:
            await world.dispatcher.stop(0)
