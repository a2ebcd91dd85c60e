"""Random faults of a robot, each in a share of its rounds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from sanic_dispatch.clock import Clock, SystemClock
from sanic_dispatch.simulation.background_tasks import Tasks
from sanic_dispatch.simulation.instance import Instance
from sanic_dispatch.simulation.put_faults import Faults

OnMishap = Callable[[Instance, str], None]

LOST_ANSWER = Faults(close=True)
"""The job is taken, and the connection breaks before the answer."""

_HANGS = (Faults(hang=True), Faults(take=False, hang=True), LOST_ANSWER)
_REFUSALS = (Faults(take=False, status=500), Faults(take=False, status=503))


@dataclass(frozen=True, slots=True)
class Rates:
    """The probability of each fault per round, from 0 to 1.

    ``fail``: its callback answers 500 or 503 once, although it waits. ``hang``: the PUT is not
    answered, with the job taken or not, or the answer is lost. ``stop``: an operator stops the
    instance, and continues it later. ``kill``: its process is killed; an operator stops and
    continues it later. ``delete``: it is deleted and started again under the same number, with the
    old callback; an operator sets its position again later. ``busy``: a model's code sleeps, which
    blocks the evaluator for all instances.
    """

    fail: float = 0.0
    hang: float = 0.0
    stop: float = 0.0
    kill: float = 0.0
    delete: float = 0.0
    busy: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MishapTimes:
    """When faults begin and how long they last, in seconds.

    Faults begin within ``within_s`` of a round's start. An operator repairs a stopped, killed or
    deleted instance after about ``stop_s``; a model sleeps for about ``busy_s``.
    """

    within_s: float = 5.0
    stop_s: float = 5.0
    busy_s: float = 2.0


class Mishaps:
    """Draws the faults of one robot for each round."""

    def __init__(
        self,
        rates: Rates,
        times: MishapTimes = MishapTimes(),
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        on_mishap: OnMishap | None = None,
    ) -> None:
        """``on_mishap`` is called for each fault; ``rates`` may be changed at any time."""
        self.rates = rates
        self.is_disrupted = False
        """Whether a stop, kill or deletion is scheduled or not repaired yet."""
        self._times = times
        self._clock = clock or SystemClock()
        self._random = rng or random.Random()
        self._on_mishap = on_mishap
        self._tasks = Tasks()
        self._disruption: asyncio.Task[None] | None = None

    def begin_round(self, instance: Instance) -> None:
        """Draw the faults of this round's PUT, of the instance, and of the engine."""
        instance.faults = faults = self._draw_faults()
        if faults != Faults():
            self._tasks.spawn(self._clear_after_one_put(instance, faults))
        if not self.is_disrupted and (disruption := self._draw_disruption()):
            self.is_disrupted = True
            self._disruption = self._tasks.spawn(disruption(instance))
        if self._random.random() < self.rates.busy:
            self._tasks.spawn(self._block(instance))

    async def calm_down(self) -> None:
        """Draw no more faults, and wait until the instance is repaired."""
        self.rates = Rates()
        if self._disruption:
            await asyncio.wait([self._disruption])

    async def end(self) -> None:
        """Cancel all faults; a stopped instance is not repaired any more."""
        await self._tasks.cancel()

    def _draw_faults(self) -> Faults:
        dice = self._random.random()
        if dice < self.rates.fail:
            return self._random.choice(_REFUSALS)
        if dice < self.rates.fail + self.rates.hang:
            return self._random.choice(_HANGS)
        return Faults()

    def _draw_disruption(self) -> Callable[[Instance], Coroutine[Any, Any, None]] | None:
        dice, rates = self._random.random(), self.rates
        if dice < rates.stop:
            return self._stop_for_a_while
        if dice < rates.stop + rates.kill:
            return self._kill_for_a_while
        return self._delete if dice < rates.stop + rates.kill + rates.delete else None

    async def _clear_after_one_put(self, instance: Instance, faults: Faults) -> None:
        before = len(instance.puts)
        await instance.until(lambda: len(instance.puts) > before or instance.faults is not faults)
        if instance.faults is faults:
            instance.faults = Faults()
            self._report(instance, _describe(faults))

    async def _stop_for_a_while(self, instance: Instance) -> None:
        await self._sleep_into_round()
        instance.stop()
        self._report(instance, "is stopped")
        await self._wait_for_repair()
        instance.resume()
        self._report(instance, "is continued")

    async def _kill_for_a_while(self, instance: Instance) -> None:
        await self._sleep_into_round()
        instance.kill()
        self._report(instance, "is killed")
        await self._wait_for_repair()
        instance.stop()
        instance.resume()
        self._report(instance, "is repaired")

    async def _delete(self, instance: Instance) -> None:
        await self._sleep_into_round()
        heir = instance.engine.restart(instance)
        self._report(instance, "is deleted, and started again")
        await self._wait_for_repair()
        if heir.waits_on_inherited:
            heir.begin_again()
            self._report(heir, "begins again")

    async def _block(self, instance: Instance) -> None:
        await self._sleep_into_round()
        self._report(instance, "sleeps in its code")
        with instance.engine.evaluator.blocked():
            await self._clock.sleep(self._times.busy_s * self._random.uniform(0.5, 1.5))

    async def _sleep_into_round(self) -> None:
        await self._clock.sleep(self._random.uniform(0, self._times.within_s))

    async def _wait_for_repair(self) -> None:
        """Sleep until the operator repairs the instance."""
        await self._clock.sleep(self._times.stop_s * self._random.uniform(0.5, 1.5))
        self.is_disrupted = False

    def _report(self, instance: Instance, text: str) -> None:
        if self._on_mishap:
            self._on_mishap(instance, text)


def _describe(faults: Faults) -> str:
    if faults.status:
        return f"refuses a job with {faults.status}"
    if not faults.take:
        return "does not answer, and takes no job"
    return "takes a job and does not answer" if faults.hang else "takes a job and loses the answer"
