"""An engine whose robots get everything wrong that a network and an engine can."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from sanic_dispatch.outcome import Accepted, InDoubt, Outcome, Refused
from sanic_dispatch.worker import Worker


class Fault(Enum):
    """What goes wrong with the next PUT to a robot that waits."""

    REFUSED = "no connection"
    LOST_ON_THE_WAY = "the connection broke before the engine had read it"
    LOST_ON_THE_WAY_BACK = "the engine took it, then the connection broke"
    HANGS = "no answer, and the engine never read it"
    HANGS_WITH_IT = "no answer, although the engine took it"

    @property
    def takes(self) -> bool:
        """Whether the robot gets the job."""
        return self in (Fault.LOST_ON_THE_WAY_BACK, Fault.HANGS_WITH_IT)

    @property
    def hangs(self) -> bool:
        """Whether nothing answers."""
        return self in (Fault.HANGS, Fault.HANGS_WITH_IT)


@dataclass(eq=False, repr=False)
class WornRobot:
    """A process instance of one robot: the callback at which it waits, or the job that it mixes."""

    number: int
    state: str = "running"
    callback: Worker | None = None
    job: int | None = None
    faults: list[Fault] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"robot {self.number}"

    @property
    def is_waiting(self) -> bool:
        """Whether a PUT to its callback would move it on."""
        return self.state == "running" and self.callback is not None


class WornEngine:
    """The network of a dispatcher: counts what was mixed, and sees who gets what."""

    def __init__(self) -> None:
        self.is_up = True
        self.robots: list[WornRobot] = []
        self.mixed: Counter[int] = Counter()
        self.unsure: dict[str, int] = {}
        self.used_up: set[str] = set()
        self._hanging: list[asyncio.Event] = []
        self._callbacks: dict[str, WornRobot] = {}

    def hire(self) -> WornRobot:
        """One robot more."""
        robot = WornRobot(len(self.robots) + 1)
        self.robots.append(robot)
        return robot

    def waits(self, robot: WornRobot, callback: Worker) -> None:
        """The robot is about to register with a new callback."""
        robot.callback, robot.job = callback, None
        self._callbacks[callback.id] = robot

    def takes(self, robot: WornRobot, job: int) -> None:
        """The robot got this job, and mixes it."""
        assert robot.callback
        self.used_up.add(robot.callback.id)
        robot.callback, robot.job = None, job
        self.mixed[job] += 1

    def robot_at(self, callback: Worker) -> WornRobot:
        """Whose callback it is, or was."""
        return self._callbacks[callback.id]

    def time_out(self) -> None:
        """Who waits for an answer that will not come gives up."""
        for given_up in self._hanging:
            given_up.set()
        self._hanging.clear()

    # ---- what the dispatcher asks of it

    async def deliver(self, callback_url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        robot, job = self._callbacks[callback_url], json.loads(body)["Job"]["data"]
        assert self.unsure.get(callback_url, job) == job, "another job while one is in doubt"
        if not self.is_up:
            return Refused("no connection")
        if robot.state != "running" or robot.callback is None or robot.callback.id != callback_url:
            return Refused("404")
        fault = robot.faults.pop(0) if robot.faults else None
        if fault is None or fault.takes:
            self.takes(robot, job)
        if fault is None:
            return Accepted()
        if fault is Fault.REFUSED:
            return Refused(fault.value)
        self.unsure[callback_url] = job
        if fault.hangs:
            self._hanging.append(given_up := asyncio.Event())
            await given_up.wait()
        return InDoubt(fault.value)

    async def is_pending(self, callback_url: str, silence: bool | None = None) -> bool | None:
        if not self.is_up:
            return None
        robot = self._callbacks[callback_url]
        waits_here = robot.callback is not None and robot.callback.id == callback_url
        return robot.is_waiting and waits_here

    async def instance_state(self, instance_url: str) -> str | None:
        if not self.is_up:
            return None
        number = int(instance_url.rstrip("/").rpartition("i")[2])
        return self.robots[number - 1].state
