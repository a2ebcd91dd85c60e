"""The dispatcher against a model of two deques, in any order of events that hypothesis finds."""

from __future__ import annotations

import asyncio
import os
import tempfile
from bisect import insort
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from sanic_dispatch.callbacks.outcome import Refused
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core.job import State
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Worker
from tests.support.machine import run_machine
from tests.support.network import FakeNetwork
from tests.support.redis import redis_values
from tests.support.world import World, running_world, worker

ROBOTS = 4
PATIENT = Policy(max_attempts=10_000, probe_after_s=1e9)


class DispatcherModel(RuleBasedStateMachine):
    """Robots that work, stop and continue; customers that order and cancel; restarts.

    C1: acknowledged jobs are delivered or wait. C2: no others are delivered. C3: no job goes to two
    workers. C4: FIFO on both sides, and a job or worker that came back has its own place. C5: a
    free job and a usable worker never wait together.
    """

    mode = Mode.IN_MEMORY

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.network = FakeNetwork()
        self.stack = AsyncExitStack()
        self.jobs: list[int] = []
        self.waiting: list[tuple[int, Worker]] = []
        self.aside: list[tuple[int, Worker]] = []
        self.working: dict[int, int] = {}
        self.expected: list[tuple[str, Any]] = []
        self.ids: dict[int, str] = {}
        self.answered: list[int] = []
        self.registrations = 0
        self.submitted = 0

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @initialize()
    def start(self) -> None:
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.world: World = self.run(self.open())

    async def open(self) -> World:
        settings = Settings(
            job_queue_mode=self.mode,
            worker_queue_mode=self.mode,
            data_dir=self.folder,
            fsync=False,
            **redis_values(self.mode, self.folder),
        )
        return await self.stack.enter_async_context(running_world(settings, self.network, PATIENT))

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()
        self.temporary.cleanup()

    async def advance(self, seconds: int) -> None:
        """Let time pass in seconds, so that the writes keep up."""
        for _ in range(seconds // 10):
            await self.world.clock.advance(10)
            await self.world.quiet()

    # ---- what can happen

    @rule()
    def submit(self) -> None:
        n = self.submitted = self.submitted + 1
        self.ids[n] = self.run(self.world.submit(n)).job.id
        self.jobs.append(n)
        self.pair()

    @rule(robot=st.integers(1, ROBOTS))
    def register(self, robot: int) -> None:
        if any(f"/i{robot}/" in w.id for _, w in (*self.waiting, *self.aside)):
            return
        self.registrations += 1
        self.working.pop(robot, None)
        new = worker(f"c{self.registrations}", f"i{robot}")
        answer = self.run(self.world.register(new))
        if self.jobs:
            assert answer == self.jobs.pop(0)
            self.working[robot] = answer
            self.answered.append(answer)
        else:
            assert answer is None
            self.waiting.append((self.registrations, new))

    @precondition(lambda self: self.waiting and not self.jobs)
    @rule()
    def stop_the_next_robot(self) -> None:
        """Its callback answers 503 until it is continued, as the next order finds out."""
        place, stopped = self.waiting.pop(0)
        self.network.outcomes[stopped.id] = [Refused("503")]
        self.network.pending[stopped.id] = False
        self.network.states[stopped.instance_url] = "stopped"
        self.aside.append((place, stopped))
        n = self.submitted = self.submitted + 1
        self.expected.append((stopped.id, n))
        self.ids[n] = self.run(self.world.submit(n)).job.id
        self.jobs.append(n)
        self.pair()

    @precondition(lambda self: self.aside)
    @rule(data=st.data())
    def continue_a_robot(self, data: st.DataObject) -> None:
        """Its callback waits again: it gets its old place, or the oldest job."""
        place, back = self.aside.pop(data.draw(st.integers(0, len(self.aside) - 1)))
        self.network.pending[back.id] = True
        self.run(self.advance(200))
        insort(self.waiting, (place, back), key=lambda entry: entry[0])
        self.pair()

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        n = self.jobs.pop(data.draw(st.integers(0, len(self.jobs) - 1)))
        self.run(self.world.dispatcher.cancel(self.ids[n]))

    @precondition(lambda self: self.mode.is_durable)
    @rule()
    def restart(self) -> None:
        self.run(self.stack.aclose())
        self.world = self.run(self.open())

    # ---- what must come of it

    def pair(self) -> None:
        while self.jobs and self.waiting:
            _, taker = self.waiting.pop(0)
            n = self.jobs.pop(0)
            self.expected.append((taker.id, n))
            self.working[int(taker.key.instance[1:])] = n if taker.key else 0

    @invariant()
    def each_delivery_is_the_expected_one(self) -> None:
        if hasattr(self, "world"):
            self.run(self.world.quiet())
            assert self.network.deliveries == self.expected

    @invariant()
    def what_waits_is_what_should_wait(self) -> None:
        if not hasattr(self, "world"):
            return
        jobs = self.world.jobs()
        assert [int(job.data) for job in jobs if job.is_waiting] == self.jobs
        workers = self.world.workers()
        assert [w.id for w in workers if w.aside is None] == [w.id for _, w in self.waiting]
        assert {w.id for w in workers if w.aside} == {w.id for _, w in self.aside}

    @invariant()
    def who_works_holds_its_job(self) -> None:
        if not hasattr(self, "world"):
            return
        for robot, n in self.working.items():
            job = self.run(self.world.job(self.ids[n]))
            assert job.state is State.ASSIGNED
            assert job.worker is not None
            assert job.worker.key == (f"i{robot}", "a1")


def model_of(tested: Mode) -> type[DispatcherModel]:
    return type(f"{tested.value}Model", (DispatcherModel,), {"mode": tested})


@pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.value)
@pytest.mark.timeout(300)
def test_the_dispatcher_behaves_like_two_deques(mode: Mode) -> None:
    """C1 to C5 over generated histories; fewer where restarts are all that differs."""
    factor = int(os.environ.get("MODEL_FACTOR", "1"))
    run_machine(model_of(mode), (6 if mode.is_durable else 40) * factor, 50)
