"""A bar in one process: the real dispatcher and its files, and a history of what happens.

A crash abandons everything and goes on with a copy of the folder as it was at that moment.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack, suppress
from itertools import count
from pathlib import Path
from typing import Self
from unittest import mock

import ujson

from sanic_dispatch.callbacks.outcome import Accepted, Outcome, Refused
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core.job import Job, State
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import NotAQueue, QueueFull, StorageFailed
from sanic_dispatch.storage.cached_json_file import CachedJsonFileStore
from tests.crash import records
from tests.crash.records import Delivery, History, Look, Mark, Registration, Submission
from tests.support.network import FakeNetwork
from tests.support.redis import redis_values
from tests.support.world import World, running_world, worker


class Stopwatch:
    """A clock on which no two events have the same time."""

    def __init__(self) -> None:
        self._ticks = count()

    def now_s(self) -> float:
        """Return a time later than all before."""
        return next(self._ticks) * 0.001


class RecordingNetwork(FakeNetwork):
    """Callbacks that record what they receive, byte by byte.

    Those in ``silent`` accept a job without answering; those in ``refusing`` refuse once.
    """

    def __init__(self, history: History, watch: Stopwatch) -> None:
        super().__init__()
        self.refusing: dict[str, asyncio.Event] = {}
        self.silent: set[str] = set()
        self._history, self._watch = history, watch

    async def deliver(self, callback_url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        began_s = self._watch.now_s()
        refusing = self.refusing.pop(callback_url, None)
        if refusing:
            await refusing.wait()
        outcome = records.Outcome.FAILED if refusing else records.Outcome.OK
        self._history.deliveries.append(
            received(body, callback_url, began_s, self._watch.now_s(), outcome)
        )
        self.pending[callback_url] = False
        if callback_url in self.silent:
            await asyncio.Event().wait()
        return Refused("503") if refusing else Accepted()


def received(
    body: bytes,
    callback: str,
    began_s: float,
    ended_s: float,
    outcome: records.Outcome = records.Outcome.OK,
) -> Delivery:
    """Return what a callback received, with the very bytes of the data."""
    head, _, rest = body.partition(b',"data":')
    data, _, _ = rest.rpartition(b',"submitted_at":')
    job_id = ujson.loads(head + b"}}")["Job"]["id"]
    return Delivery(
        data, job_id, callback.split("/callbacks/")[0], callback, began_s, ended_s, outcome
    )


NEW_JOBS = ".jobs.json.new"
"""The name under which ``jobs.json`` is written: a folder of that name makes that fail."""


def write_half(descriptor: int, content: bytes) -> None:
    """Write half of it, then fail: the disk is full."""
    os.write(descriptor, content[: len(content) // 2])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Bar:
    """Customers and robots of one dispatcher, over restarts.

    The files of CachedJsonFile are written by ``checkpoint`` only.
    """

    def __init__(self, folder: Path, mode: Mode) -> None:
        self.history = History()
        self.watch = Stopwatch()
        self.network = RecordingNetwork(self.history, self.watch)
        self.world: World
        self._folder, self._mode = folder, mode
        self._runs = count()
        self._callbacks = count(1)
        self._stack = AsyncExitStack()
        self._full = ExitStack()
        never = {"quiet_s": 3600.0}
        self._unhurried = mock.patch.dict(CachedJsonFileStore.__init__.__kwdefaults__, never)

    async def __aenter__(self) -> Self:
        self._unhurried.start()
        self.data_dir = self._new_folder()
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.free_disk()
        await self._stack.aclose()
        self._unhurried.stop()

    async def start(self) -> None:
        """Start on the folder as it is. Raises NotAQueue."""
        redis = redis_values(self._mode, self._folder)
        settings = Settings.of(self._mode, data_dir=self.data_dir, fsync=False, **redis)
        self.world = await self._stack.enter_async_context(running_world(settings, self.network))

    async def start_or_lose_everything(self) -> None:
        """Start on the folder as it is; if that is refused, start on an empty one."""
        try:
            await self.start()
        except NotAQueue:
            self.data_dir = self._new_folder()
            await self.start()

    async def crash(self) -> None:
        """Stop without warning, and go on with the files as they were; the disk has room again."""
        self.history.restarts_s.append(self.watch.now_s())
        left, self.data_dir = self.data_dir, self._new_folder()
        shutil.copytree(left, self.data_dir, dirs_exist_ok=True)
        shutil.rmtree(self.data_dir / NEW_JOBS, ignore_errors=True)
        self.free_disk()
        await self._stack.aclose()
        self.network.under_way.clear()

    def fill_disk(self) -> None:
        """Fail all writes of orders from now on."""
        self.spoil_checkpoints()
        self._full.enter_context(mock.patch("sanic_dispatch.storage.journal.write_all", write_half))

    def spoil_checkpoints(self) -> None:
        """Fail all writes of ``jobs.json`` from now on."""
        blocker = self.data_dir / NEW_JOBS
        blocker.mkdir()
        self._full.callback(blocker.rmdir)

    def free_disk(self) -> None:
        """Let all writes succeed again."""
        self._full.close()

    async def checkpoint(self) -> None:
        """Write a checkpoint, if that is possible."""
        store = self.world.store
        if isinstance(store, CachedJsonFileStore):
            with suppress(StorageFailed):
                await store.checkpoint()

    async def submit(self, data: bytes, key: str | None = None) -> None:
        """Submit an order; record the answer, at the latest after submit_wait_s."""
        submitting = asyncio.create_task(self._submit(data, key))
        await self.world.quiet()
        if not submitting.done():
            await self.world.clock.advance(2)
        await submitting
        await self.world.quiet()

    async def _submit(self, data: bytes, key: str | None) -> None:
        began_s = self.watch.now_s()
        outcome, job_id = records.Outcome.OK, ""
        try:
            job_id = (await self.world.dispatcher.submit(data, key)).job.id
        except (StorageFailed, QueueFull):
            outcome = records.Outcome.FAILED
        self.history.submissions.append(
            Submission(data, began_s, self.watch.now_s(), outcome, job_id)
        )

    def robot(self, number: int) -> Worker:
        """Return a robot's next callback."""
        return worker(f"c{next(self._callbacks)}", f"i{number}")

    async def register(self, robot: Worker, *, lost: bool = False) -> None:
        """Register a callback, and record the job in the answer, if any."""
        began_s = self.watch.now_s()
        job = await self.world.dispatcher.register(robot, lost=lost)
        self._note_call(robot, began_s, job)
        if job is not None:
            self.world.dispatcher.answer_written(job)
        await self.world.quiet()

    def look(self) -> None:
        """Record the jobs that could be assigned and the workers that could get one."""
        jobs = [job.id for job in self.world.jobs() if job.is_waiting]
        held = {job.worker.id for job in self.world.jobs() if job.worker}
        workers = {each.id for each in self.world.workers() if each.aside is None} - held
        self.history.looks.append(Look(self.watch.now_s(), frozenset(jobs), frozenset(workers)))

    async def look_for_long(self) -> None:
        """Look three times, over more than a second."""
        for _ in range(3):
            self.look()
            self.watch._ticks = count(next(self.watch._ticks) + 600)
            await self.world.clock.advance(0.6)

    async def drain(self, robots: int) -> None:
        """Have robots work until nothing waits; record what is left."""
        for _ in range(100):
            if not self.world.jobs():
                break
            await self.register(self.robot(robots))
        jobs = self.world.jobs()
        self.history.left = {job.id for job in jobs if job.state is State.WAITING}
        self.history.left |= {job.id for job in jobs if job.hold and job.hold.stage != "confirmed"}

    def note_doubts(self, before: int = 0) -> None:
        """Record the interrupted hand-overs that the dispatcher reports."""
        for event in self.world.history[before:]:
            if event.kind == "job.doubted" and event.job:
                self.history.cut_off.append(Mark(event.job.data, self.history.restarts_s[-1]))

    def _note_call(self, robot: Worker, began_s: float, job: Job | None) -> None:
        ended_s = self.watch.now_s()
        self.history.registrations.append(
            Registration(robot.id, robot.id, began_s, ended_s, records.Outcome.OK)
        )
        if job is not None:
            self.history.deliveries.append(received(job.to_wire(), robot.id, began_s, ended_s))

    def _new_folder(self) -> Path:
        folder = self._folder / f"run-{next(self._runs)}"
        folder.mkdir()
        return folder
