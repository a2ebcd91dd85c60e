"""Robots with every kind of fault, in every order of events that hypothesis finds."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core.job import State
from sanic_dispatch.core.state_machine import StateMachine
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Key, Worker
from tests.support.machine import run_machine
from tests.support.world import World, running_world, worker
from tests.support.worn_engine import Fault, WornEngine, WornRobot

ROBOTS = 3
MOST_DELETED = 4
LONGEST_BUSY_S = 20.0
"""An evaluator that is busy for longer than ``unconsumed_after_s`` looks like a dead process."""
PATIENT = Policy(max_attempts=10_000)
FACTOR = int(os.environ.get("MODEL_FACTOR", "1"))
MODES = [Mode.IN_MEMORY, Mode.CACHED_JSON_FILE, Mode.SQLITE]


class WorkerFaults(RuleBasedStateMachine):
    """Robots refuse, hang, lose jobs, are stopped, continued, killed, repaired, deleted and
    replaced under their number; their engine's evaluator is busy; the dispatcher restarts.

    No order is mixed twice, none is done without being mixed, and no order or robot is forgotten:
    once all faults have ended, every order is mixed, or failed with its robot, and every robot
    waits. A callback that got a job gets no other one until it is used (checked by the engine).
    """

    mode = Mode.IN_MEMORY
    policy = PATIENT
    instances_suffer = True
    """Whether instances are killed and deleted, and the engine is busy."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.engine = WornEngine()
        self.stack = AsyncExitStack()
        self.ids: list[str] = []
        self.used: list[Worker] = []
        self.registrations = 0
        self.busy_s = 0.0
        self.world: World | None = None

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @initialize()
    def start(self) -> None:
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.run(self.open())
        for _ in range(ROBOTS):
            self.engine.hire()

    async def open(self) -> None:
        chosen = Settings.of(self.mode, data_dir=self.folder)
        running = running_world(chosen, self.engine, self.policy)
        self.world = await self.stack.enter_async_context(running)
        await self.world.quiet()

    @property
    def here(self) -> World:
        assert self.world
        return self.world

    @property
    def robots(self) -> list[WornRobot]:
        """Return the robots that were not deleted."""
        return [robot for robot in self.engine.robots if not robot.is_deleted]

    def draw(self, data: st.DataObject, robots: list[WornRobot]) -> WornRobot:
        return data.draw(st.sampled_from(robots), label="robot")

    # ---- customers

    @rule()
    def order(self) -> None:
        self.ids.append(self.run(self.submit(len(self.ids))))

    async def submit(self, number: int) -> str:
        submitting = asyncio.ensure_future(self.here.submit(number))
        await self.here.quiet()
        if not submitting.done():
            await self.advance(3)
        return (await submitting).job.id

    # ---- robots at work

    def idle(self) -> list[WornRobot]:
        return [r for r in self.robots if r.is_alive and r.callback is None]

    def new_callback(self, robot: WornRobot) -> Worker:
        """Return a new callback for a robot that has mixed its job."""
        self.registrations += 1
        asks = worker(f"c{self.registrations}", f"i{robot.number}")
        asks = asks._replace(key=Key(robot.uuid, "a1"))
        self.engine.waits(robot, asks)
        self.used.append(asks)
        return asks

    def ask(self, robot: WornRobot, *, lost: bool = False) -> None:
        asks = self.new_callback(robot)
        job = self.run(self.here.register(asks, lost=lost))
        if job is not None:
            self.engine.takes(robot, job)

    @precondition(lambda self: self.idle())
    @rule(data=st.data())
    def come_for_the_next(self, data: st.DataObject) -> None:
        self.ask(self.draw(data, self.idle()))

    @precondition(lambda self: self.idle())
    @rule(rounds=st.integers(1, 3))
    def all_come_for_the_next(self, rounds: int) -> None:
        for _ in range(rounds):
            for robot in self.idle():
                self.ask(robot)

    @precondition(lambda self: self.idle())
    @rule(data=st.data(), fate=st.sampled_from(["unwritten", "broken", "lost"]))
    def come_and_miss_the_answer(self, data: st.DataObject, fate: str) -> None:
        """The connection breaks before, during or after the answer; the robot registers again."""
        robot = self.draw(data, self.idle())
        if self.run(self.miss(self.new_callback(robot), fate)):
            self.ask(robot, lost=fate == "lost")

    async def miss(self, asks: Worker, fate: str) -> bool:
        """Register and lose the answer; return whether there was a job in it."""
        job = await self.here.dispatcher.register(asks)
        if job and fate == "lost":
            self.here.dispatcher.answer_written(job)
        elif job:
            self.here.dispatcher.answer_lost(job, began=fate == "broken")
        await self.here.quiet()
        return job is not None

    @precondition(lambda self: self.used)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """A repeated registration, however late, changes nothing."""
        asks = data.draw(st.sampled_from(self.used), label="callback")
        robot = self.engine.robot_at(asks)
        if robot.is_alive and robot.callback is asks and not robot.is_heir:
            job = self.run(self.here.register(asks))
            if job is not None:
                self.engine.takes(robot, job)
        elif asks.id in self.engine.used_up:
            known = self.run(self.workers())
            again = self.run(self.here.register(asks))
            assert again is None or again in self.engine.got
            assert self.run(self.workers()) <= known

    async def workers(self) -> set[str]:
        return {each.id for each in self.here.workers()}

    async def usable(self) -> set[str]:
        return {each.id for each in self.here.workers() if each.aside is None}

    # ---- what befalls them

    @precondition(lambda self: self.robots)
    @rule(data=st.data(), fault=st.sampled_from(Fault))
    def will_fail(self, data: st.DataObject, fault: Fault) -> None:
        self.draw(data, self.robots).faults.append(fault)

    @precondition(lambda self: [r for r in self.robots if r.state == "running"])
    @rule(data=st.data())
    def stop_a_robot(self, data: st.DataObject) -> None:
        self.engine.stop(self.draw(data, [r for r in self.robots if r.state == "running"]))

    @precondition(lambda self: [r for r in self.robots if r.state != "running"])
    @rule(data=st.data())
    def continue_a_robot(self, data: st.DataObject) -> None:
        """Continue a robot, which also repairs one that was killed."""
        self.engine.resume(self.draw(data, [r for r in self.robots if r.state != "running"]))

    @precondition(lambda self: self.instances_suffer and [r for r in self.robots if r.is_alive])
    @rule(data=st.data())
    def kill_a_robot(self, data: st.DataObject) -> None:
        """Kill a robot's process, without any sign of it."""
        self.draw(data, [r for r in self.robots if r.is_alive]).is_dead = True

    @precondition(lambda self: [r for r in self.robots if r.is_heir])
    @rule(data=st.data())
    def begin_again(self, data: st.DataObject) -> None:
        """An operator removes the position of a hanging robot and sets it again."""
        self.engine.begin_again(self.draw(data, [r for r in self.robots if r.is_heir]))

    @precondition(
        lambda self: self.instances_suffer and len(self.engine.robots) < ROBOTS + MOST_DELETED
    )
    @rule(data=st.data(), later=st.sampled_from([None, 0, 10, 100]))
    def delete_a_robot(self, data: st.DataObject, later: int | None) -> None:
        """Delete a robot and hire another: under its number, at once or later, or a new one."""
        robot = self.draw(data, self.robots)
        self.engine.delete(robot)
        if later is None:
            self.engine.hire()
            return
        self.time_passes(later)
        self.engine.reuse(robot)

    @precondition(lambda self: self.instances_suffer and not self.engine.is_busy)
    @rule()
    def some_code_sleeps(self) -> None:
        """Block the evaluator."""
        self.engine.is_busy = True

    @precondition(lambda self: self.engine.is_busy)
    @rule(data=st.data())
    def it_wakes_up(self, data: st.DataObject) -> None:
        self.wake_up(lambda n: data.draw(st.integers(0, n - 1), label="comes through"))

    def wake_up(self, pick: Callable[[int], int] = lambda _: 0) -> None:
        self.busy_s = 0.0
        self.engine.evaluate(pick)

    @rule(orders=st.integers(0, 2), seconds=st.sampled_from([1, 10, 100]))
    def the_engine_is_away(self, orders: int, seconds: int) -> None:
        """Make the engine unreachable for a while."""
        self.engine.is_up = False
        for _ in range(orders):
            self.order()
        self.time_passes(seconds)
        self.engine.is_up = True

    @rule(seconds=st.sampled_from([1, 10, 100]))
    def time_passes(self, seconds: int) -> None:
        self.run(self.advance(seconds))

    @precondition(lambda self: self.mode.is_durable)
    @rule()
    def restart(self) -> None:
        self.run(self.stack.aclose())
        self.run(self.open())

    async def advance(self, seconds: float) -> None:
        """Let time pass slowly enough for the writes."""
        self.engine.now_s += seconds
        if seconds >= 10:
            self.engine.time_out()
        for _ in range(max(int(seconds // 10), 1)):
            self.busy_s += min(seconds, 10) if self.engine.is_busy else 0
            if self.busy_s > LONGEST_BUSY_S:
                self.wake_up()
            await self.here.clock.advance(min(seconds, 10))
            await self.here.quiet()

    # ---- what must come of it

    @invariant()
    def nothing_is_mixed_twice(self) -> None:
        assert all(times == 1 for times in self.engine.mixed.values())

    @invariant()
    def nothing_waits_that_could_be_made(self) -> None:
        if self.world:
            self.run(self.here.quiet())
            assert not (self.here.free_workers() and self.here.waiting_jobs())

    @invariant()
    def what_is_done_was_mixed(self) -> None:
        for number, job_id in enumerate(self.ids):
            state = self.run(self.here.job(job_id)).state
            assert state is not State.DONE or self.engine.mixed[number] == 1

    def teardown(self) -> None:
        try:
            if self.world:
                self.mend_everything()
        finally:
            self.run(self.stack.aclose())
            self.runner.close()
            self.temporary.cleanup()

    def mend_everything(self) -> None:
        """End all faults, and let everyone work until nothing is left to do.

        Someone looks after each instance that hangs: a killed process is stopped and continued, and
        one that inherited a number begins again, since the dispatcher does not know that it waits.
        """
        self.wake_up()
        for robot in self.robots:
            self.engine.resume(robot)
            robot.faults = []
            if robot.is_heir:
                self.engine.begin_again(robot)
        for _ in range(5 * len(self.ids) + 15):
            self.run(self.advance(60))
            for robot in self.idle():
                self.ask(robot)
            if self.run(self.is_all_over()):
                break
        self.nothing_is_mixed_twice()
        for number, job_id in enumerate(self.ids):
            job = self.run(self.here.job(job_id))
            assert self.engine.mixed[number] == 1 or self.died_with_its_robot(job), job
        waiting = {robot.callback.id for robot in self.robots if robot.callback}
        assert waiting <= self.run(self.usable()), "a robot was forgotten"

    async def is_all_over(self) -> bool:
        """Return whether no order is left, and every robot is usable."""
        states = {(await self.here.job(job_id)).state for job_id in self.ids}
        waiting = {robot.callback.id if robot.callback else "" for robot in self.robots}
        return states <= {State.DONE, State.FAILED} and waiting <= await self.usable()

    def died_with_its_robot(self, job: Any) -> bool:
        """Return whether an order failed because its robot was deleted, mixed or not."""
        gone = {robot.uuid for robot in self.engine.robots if robot.is_deleted}
        return job.state is State.FAILED and job.worker.key.instance in gone


def look_for_trouble(examples: int, **chosen: Any) -> None:
    """Run so many generated histories."""
    run_machine(type("Chosen", (WorkerFaults,), chosen), examples, 40, phases=[Phase.generate])


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.timeout(300 * FACTOR)
def test_no_order_or_robot_is_lost(mode: Mode) -> None:
    """W1, W2: in all generated histories each order is mixed once, and no robot is forgotten."""
    examples = 8 if mode.is_durable else 25
    look_for_trouble(examples * FACTOR, mode=mode)


@pytest.mark.timeout(300)
def test_a_drink_mixed_twice_is_noticed() -> None:
    """Control: if jobs in doubt are sent to the next robot, some order is mixed twice."""
    with pytest.raises(AssertionError):
        look_for_trouble(500, policy=replace(PATIENT, resend_doubt=True), instances_suffer=False)


@pytest.mark.timeout(300)
def test_a_forgotten_robot_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: if robots that were set aside are not probed, some robot gets no more jobs."""
    monkeypatch.setattr(StateMachine, "bring_back", lambda _, worker, reason="": worker)
    with pytest.raises(AssertionError):
        look_for_trouble(500, instances_suffer=False)


@pytest.mark.timeout(300)
def test_an_unconsumed_job_is_noticed() -> None:
    """Control: if callbacks are not probed after a 2xx, some order is never mixed."""
    with pytest.raises(AssertionError):
        look_for_trouble(500, policy=replace(PATIENT, unconsumed_after_s=1e9))


@pytest.mark.timeout(300)
def test_a_reused_number_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: if UUIDs are not compared, some order waits for a robot that is gone."""

    async def does_not_say(engine: WornEngine, instance_url: str) -> str:
        return ""

    monkeypatch.setattr(WornEngine, "instance_uuid", does_not_say)
    with pytest.raises(AssertionError):
        look_for_trouble(500)
