"""What befalls a robot by chance, each in a share of its rounds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from sanic_dispatch.clock import Clock, SystemClock
from sanic_dispatch.simulation.background_tasks import Tasks
from sanic_dispatch.simulation.faults import Faults
from sanic_dispatch.simulation.instance import Instance

OnMishap = Callable[[Instance, str], None]

LOST_ANSWER = Faults(close=True)
"""The job is taken, and the connection breaks before the answer."""

_HANGS = (Faults(hang=True), Faults(take=False, hang=True), LOST_ANSWER)
_REFUSALS = (Faults(take=False, status=500), Faults(take=False, status=503))


@dataclass(frozen=True, slots=True)
class Rates:
    """In which share of its rounds, from 0 to 1, what happens to a robot.

    ``fail``: its callback answers 500 or 503 once, although it waits. ``hang``: the PUT is never
    answered, be the job taken or not, or the answer is lost. ``stop``: somebody stops its
    instance, and continues it later. ``kill``: its process dies; later somebody stops and continues
    it. ``delete``: it is deleted and started again under its number, where the last one stood;
    somebody who finds it there later has it begin anew. ``busy``: a model sleeps in its code, so
    that the evaluator is blocked for all instances.
    """

    fail: float = 0.0
    hang: float = 0.0
    stop: float = 0.0
    kill: float = 0.0
    delete: float = 0.0
    busy: float = 0.0


class Mishaps:
    """Rolls the dice for the rounds of one robot.

    It takes about ``stop_s`` until somebody looks after an instance that is stopped, killed or
    deleted; about ``busy_s`` until a model has slept.
    """

    def __init__(
        self,
        rates: Rates,
        *,
        within_s: float = 5.0,
        stop_s: float = 5.0,
        busy_s: float = 2.0,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        on_mishap: OnMishap | None = None,
    ) -> None:
        """All begins ``within_s`` of its round's begin; ``on_mishap`` is told of everything.

        ``rates`` may be changed at any time.
        """
        self.rates = rates
        self.will_stop = False
        """Whether a stop, a kill or a deletion is to come, or to end."""
        self._within_s = within_s
        self._stop_s = stop_s
        self._busy_s = busy_s
        self._clock = clock or SystemClock()
        self._random = rng or random.Random()
        self._on_mishap = on_mishap
        self._tasks = Tasks()
        self._blow: asyncio.Task[None] | None = None

    def begin_round(self, instance: Instance) -> None:
        """Decide what happens to this round's PUT, to the instance, and to its engine."""
        instance.faults = faults = self._draw()
        if faults != Faults():
            self._tasks.spawn(self._only_once(instance, faults))
        if not self.will_stop and (blow := self._draw_blow()):
            self.will_stop = True
            self._blow = self._tasks.spawn(blow(instance))
        if self._random.random() < self.rates.busy:
            self._tasks.spawn(self._block(instance))

    async def calm_down(self) -> None:
        """Let nothing more happen; return when somebody has looked after what has."""
        self.rates = Rates()
        if self._blow:
            await asyncio.wait([self._blow])

    async def end(self) -> None:
        """Nothing more happens; an instance that is stopped stays so."""
        await self._tasks.cancel()

    def _draw(self) -> Faults:
        dice = self._random.random()
        if dice < self.rates.fail:
            return self._random.choice(_REFUSALS)
        if dice < self.rates.fail + self.rates.hang:
            return self._random.choice(_HANGS)
        return Faults()

    def _draw_blow(self) -> Callable[[Instance], Coroutine[Any, Any, None]] | None:
        dice, rates = self._random.random(), self.rates
        if dice < rates.stop:
            return self._stop_for_a_while
        if dice < rates.stop + rates.kill:
            return self._kill_for_a_while
        return self._delete if dice < rates.stop + rates.kill + rates.delete else None

    async def _only_once(self, instance: Instance, faults: Faults) -> None:
        before = len(instance.puts)
        await instance.until(lambda: len(instance.puts) > before or instance.faults is not faults)
        if instance.faults is faults:
            instance.faults = Faults()
            self._tell(instance, _words(faults))

    async def _stop_for_a_while(self, instance: Instance) -> None:
        await self._a_moment()
        instance.stop()
        self._tell(instance, "is stopped")
        await self._until_somebody_looks()
        self.will_stop = False
        instance.resume()
        self._tell(instance, "is continued")

    async def _kill_for_a_while(self, instance: Instance) -> None:
        await self._a_moment()
        instance.kill()
        self._tell(instance, "is killed")
        await self._until_somebody_looks()
        self.will_stop = False
        instance.stop()
        instance.resume()
        self._tell(instance, "is repaired")

    async def _delete(self, instance: Instance) -> None:
        await self._a_moment()
        heir = instance.engine.restart(instance)
        self._tell(instance, "is deleted, and started again")
        await self._until_somebody_looks()
        self.will_stop = False
        if heir.is_where_the_last_one_was:
            heir.begin_anew()
            self._tell(heir, "begins anew")

    async def _block(self, instance: Instance) -> None:
        await self._a_moment()
        self._tell(instance, "sleeps in its code")
        with instance.engine.evaluator.blocked():
            await self._clock.sleep(self._busy_s * self._random.uniform(0.5, 1.5))

    async def _a_moment(self) -> None:
        await self._clock.sleep(self._random.uniform(0, self._within_s))

    async def _until_somebody_looks(self) -> None:
        await self._clock.sleep(self._stop_s * self._random.uniform(0.5, 1.5))

    def _tell(self, instance: Instance, text: str) -> None:
        if self._on_mishap:
            self._on_mishap(instance, text)


def _words(faults: Faults) -> str:
    if faults.status:
        return f"refuses a job with {faults.status}"
    if not faults.take:
        return "does not answer, and takes no job"
    return "takes a job and does not answer" if faults.hang else "takes a job and loses the answer"
