"""An engine whose robots have every fault that a network and an engine can have."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from sanic_dispatch.callbacks.outcome import Accepted, InDoubt, Outcome, Refused
from sanic_dispatch.core.worker import Worker

KNOWN_AFTER_DELETION_S = 30.0


class Fault(Enum):
    """A fault of the next PUT to a robot that waits."""

    REFUSED = "no connection"
    LOST_ON_THE_WAY = "the connection broke before the engine had read it"
    LOST_ON_THE_WAY_BACK = "the engine took it, then the connection broke"
    HANGS = "no answer, and the engine never read it"
    HANGS_WITH_IT = "no answer, although the engine took it"

    @property
    def takes(self) -> bool:
        """The robot got this job, and mixes it."""
        return self in (Fault.LOST_ON_THE_WAY_BACK, Fault.HANGS_WITH_IT)

    @property
    def hangs(self) -> bool:
        """Whether nothing answers."""
        return self in (Fault.HANGS, Fault.HANGS_WITH_IT)


@dataclass(eq=False, repr=False)
class WornRobot:
    """A process instance of one robot: the callback at which it waits, or the job that it mixes.

    ``is_dead``: its process was killed. ``is_heir``: it continues where the last one of its number
    was, and waits on that one's callback.
    """

    number: int
    uuid: str
    state: str = "running"
    callback: Worker | None = None
    job: int | None = None
    is_dead: bool = False
    is_heir: bool = False
    deleted_at_s: float | None = None
    faults: list[Fault] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"robot {self.uuid}"

    @property
    def is_deleted(self) -> bool:
        return self.deleted_at_s is not None

    @property
    def is_alive(self) -> bool:
        """Whether it works by itself."""
        return self.state == "running" and not self.is_dead

    def waits_on(self, callback_url: str) -> bool:
        """Whether the engine accepts a PUT to this callback."""
        is_here = self.callback is not None and self.callback.id == callback_url
        return self.state == "running" and not self.is_deleted and is_here


class Body(NamedTuple):
    """A PUT that was answered and waits for the evaluator."""

    robot: WornRobot
    callback_url: str
    job: int


class WornEngine:
    """The network of a dispatcher: counts the mixed drinks, and checks who gets which job."""

    def __init__(self) -> None:
        self.is_up = True
        self.is_busy = False
        self.now_s = 0.0
        self.robots: list[WornRobot] = []
        self.got: set[int] = set()
        self.mixed: Counter[int] = Counter()
        self.unsure: dict[str, int] = {}
        self.used_up: set[str] = set()
        self._numbers: dict[int, WornRobot] = {}
        self._bodies: list[Body] = []
        self._ghosts: set[str] = set()
        self._hanging: list[asyncio.Event] = []
        self._callbacks: dict[str, WornRobot] = {}

    def hire(self, number: int | None = None) -> WornRobot:
        """Add a robot, under a number of its own unless one is given."""
        number = number or len(self._numbers) + 1
        robot = WornRobot(number, f"uuid-{len(self.robots) + 1}")
        self.robots.append(robot)
        self._numbers[number] = robot
        return robot

    def waits(self, robot: WornRobot, callback: Worker) -> None:
        """The robot has mixed its job, and is about to register with a new callback."""
        if robot.job is not None:
            self.mixed[robot.job] += 1
        robot.callback, robot.job, robot.is_heir = callback, None, False
        self._callbacks[callback.id] = robot

    def takes(self, robot: WornRobot, job: int) -> None:
        """The robot got this job, and mixes it."""
        assert robot.callback
        self.got.add(job)
        self.used_up.add(robot.callback.id)
        robot.callback, robot.job, robot.is_heir = None, job, False

    def robot_at(self, callback: Worker) -> WornRobot:
        """Return the robot whose callback it is, or was."""
        return self._callbacks[callback.id]

    def time_out(self) -> None:
        """End the calls that wait for an answer that will not come."""
        for given_up in self._hanging:
            given_up.set()
        self._hanging.clear()

    # ---- what befalls instances

    def stop(self, robot: WornRobot) -> None:
        """Stop it as an operator does; a dead process cannot report that."""
        robot.state = "stopping" if robot.is_dead else "stopped"

    def resume(self, robot: WornRobot) -> None:
        """Continue it as an operator does: a dead one gets a process, and waits where it waited."""
        robot.state, robot.is_dead = "running", False

    def begin_again(self, robot: WornRobot) -> None:
        """Remove its position and set it again, as an operator does: it will register once more.

        A dead process cannot unregister its callback, which goes on to accept jobs, and loses them.
        """
        if robot.is_dead and robot.callback:
            self._ghosts.add(robot.callback.id)
        robot.state, robot.is_dead, robot.callback, robot.is_heir = "running", False, None, False

    def delete(self, robot: WornRobot) -> None:
        """Delete it as an operator does; its drink is never ready."""
        robot.deleted_at_s = self.now_s

    def reuse(self, robot: WornRobot) -> WornRobot:
        """Start another instance under the number of a deleted robot."""
        heir = self.hire(robot.number)
        assert robot.deleted_at_s is not None
        if robot.callback and self.now_s - robot.deleted_at_s < KNOWN_AFTER_DELETION_S:
            heir.callback, heir.is_heir = robot.callback, True
            self._callbacks[robot.callback.id] = heir
        return heir

    def evaluate(self, pick: Callable[[int], int]) -> None:
        """Free the evaluator: what waited for it is evaluated, in some order."""
        self.is_busy = False
        while self._bodies:
            self._come_through(self._bodies.pop(pick(len(self._bodies))))

    def _come_through(self, body: Body) -> None:
        waits_here = body.robot.callback and body.robot.callback.id == body.callback_url
        if waits_here and not body.robot.is_dead and not body.robot.is_deleted:
            self.takes(body.robot, body.job)

    # ---- what the dispatcher asks of it

    async def deliver(self, callback_url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        robot, job = self._callbacks[callback_url], json.loads(body)["Job"]["data"]
        assert self.unsure.get(callback_url, job) == job, "another job while one is in doubt"
        if not self.is_up:
            return Refused("no connection")
        if callback_url in self._ghosts:
            return Accepted()
        if not robot.waits_on(callback_url):
            return Refused("503")
        fault = robot.faults.pop(0) if robot.faults else None
        if fault is Fault.REFUSED:
            return Refused(fault.value)
        if fault is None or fault.takes:
            self._bodies.append(Body(robot, callback_url, job))
            if not self.is_busy:
                self.evaluate(lambda _: 0)
        self.unsure[callback_url] = job
        if fault is None:
            return Accepted()
        if fault.hangs:
            self._hanging.append(given_up := asyncio.Event())
            await given_up.wait()
        return InDoubt(fault.value)

    async def is_pending(self, callback_url: str, if_silent: bool | None = None) -> bool | None:
        if not self.is_up:
            return None
        robot = self._callbacks[callback_url]
        return callback_url in self._ghosts or robot.waits_on(callback_url)

    async def instance_state(self, instance_url: str) -> str | None:
        if not self.is_up:
            return None
        robot = self._known(instance_url)
        return robot.state if robot else "gone"

    async def instance_uuid(self, instance_url: str) -> str | None:
        if not self.is_up:
            return None
        robot = self._known(instance_url)
        return robot.uuid if robot else ""

    def _known(self, instance_url: str) -> WornRobot | None:
        """Return the robot that has the number, or had it until lately."""
        robot = self._numbers[int(instance_url.rstrip("/").rpartition("i")[2])]
        if robot.deleted_at_s is None:
            return robot
        is_known = self.now_s - robot.deleted_at_s < KNOWN_AFTER_DELETION_S
        return robot if is_known else None
