"""A robot bartender: registers, mixes the drink that it gets, and registers again."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from yarl import URL

from sanic_dispatch.clock import Clock, SystemClock
from sanic_dispatch.simulation.caller import CallFailed
from sanic_dispatch.simulation.instance import Instance
from sanic_dispatch.simulation.random_faults import Mishaps
from sanic_dispatch.simulation.waits import InstanceEnded, Result

_QUICK_ROUNDS = 100
_QUICK_S = 2.0
_BRAKE_S = 1.0

OnJob = Callable[["Robot", Result], None]
OnFailure = Callable[["Robot", CallFailed], None]


@dataclass(frozen=True, slots=True)
class RobotModel:
    """A robot's process model: where it registers, and how long it takes for a job.

    ``dispatcher_url`` may have a path prefix, and a query that each call repeats. A job takes
    ``mix_s`` seconds, times a random factor of 1 ± ``jitter``; ``pause_s`` seconds pass before the
    next call. ``rescue_s`` stands for the model's rescue code: after a failed call wait so long,
    then register with ``?lost``, since the lost answer may have had a job. With ``rescue_s`` None a
    failed call stops the instance. ``label`` is that of the activity that registers. ``rule`` are
    arguments that say which jobs it takes, such as ``("match.drink", "mojito|gin-tonic")``.
    """

    dispatcher_url: str
    mix_s: float = 5.0
    jitter: float = 0.2
    pause_s: float = 0.15
    rescue_s: float | None = None
    label: str = "Register worker"
    rule: Sequence[tuple[str, str]] = ()

    @property
    def register_url(self) -> str:
        """The URL at which it registers."""
        base = URL(self.dispatcher_url)
        query = [*base.query.items(), *self.rule]
        return str((base / "register-worker").with_query(query))


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotHooks:
    """What to call while a robot works.

    ``on_job`` is called with each job before it is mixed, ``on_mixed`` afterwards, and
    ``on_failure`` after each failed call.
    """

    on_job: OnJob = lambda robot, job: None
    on_mixed: OnJob = lambda robot, job: None
    on_failure: OnFailure = lambda robot, error: None


class Robot:
    """Runs the loop of a worker's process model in an instance.

    A job that was mixed already is not mixed again. As in CPEE, rounds of under 2 s are slowed down
    after the first 100, unless the instance has the attribute ``nednoamol``.

    ``doing`` describes for people what it does; ``mixed`` counts its jobs.
    """

    def __init__(
        self,
        instance: Instance,
        model: RobotModel,
        *,
        hooks: RobotHooks = RobotHooks(),
        mishaps: Mishaps | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.instance = instance
        self.url = model.register_url
        self.doing = "starts"
        self.mixed = 0
        self._model = model
        self._hooks = hooks
        self._mishaps = mishaps
        self._clock = clock or SystemClock()
        self._random = rng or random.Random()
        self._asks_again = False
        self._last_job_id = ""

    @property
    def state(self) -> str:
        """That of its instance."""
        return self.instance.state

    async def run(self, rounds: int | None = None) -> None:
        """Work for ``rounds`` rounds, or for ever; return early if the instance ends.

        If another instance replaces it, continue with that one. Raises CallFailed if a call fails
        and the model has no rescue code.
        """
        try:
            while not await self._work_until_it_ends(rounds):
                self._asks_again, self._last_job_id = False, ""
        finally:
            if self._mishaps:
                await self._mishaps.end()

    async def _work_until_it_ends(self, rounds: int | None) -> bool:
        """Work in one instance; return False if another one replaced it."""
        done = 0
        try:
            while rounds is None or done < rounds:
                began_s = self._clock.monotonic_s()
                await self._round()
                done += 1
                if done > _QUICK_ROUNDS:
                    await self._slow_down(began_s)
        except InstanceEnded:
            if self.instance.heir is None:
                self.doing = "has ended"
                return True
            self.instance = self.instance.heir
            return False
        return True

    async def _round(self) -> None:
        if self._mishaps:
            self._mishaps.begin_round(self.instance)
        try:
            job = await self._call()
        except CallFailed as error:
            await self._rescue(error)
            return
        if job is not None:
            await self._work(job)
        await self._clock.sleep(self._model.pause_s)

    async def _rescue(self, error: CallFailed) -> None:
        self._asks_again = True
        self.doing = f"cannot register: {error}"
        self._hooks.on_failure(self, error)
        if self._model.rescue_s is None:
            raise error
        await self._clock.sleep(self._model.rescue_s)

    async def _call(self) -> Result | None:
        """Register; return the result that has a job to be mixed, or None."""
        self.doing = "waits"
        url = str(URL(self.url).update_query(lost="")) if self._asks_again else self.url
        rescue = self._model.rescue_s is not None
        result = await self.instance.call(url, label=self._model.label, rescue=rescue)
        is_known = self._asks_again and _id_of(result) == self._last_job_id
        self._asks_again = False
        is_job = isinstance(result.value, dict) and "Job" in result.value
        return result if is_job and not is_known else None

    async def _slow_down(self, began_s: float) -> None:
        quick = self._clock.monotonic_s() - began_s < _QUICK_S
        if quick and "nednoamol" not in self.instance.attributes:
            await self._clock.sleep(_BRAKE_S)

    async def _work(self, result: Result) -> None:
        model = self._model
        self._hooks.on_job(self, result)
        self.doing = "mixes"
        share = self._random.uniform(1 - model.jitter, 1 + model.jitter)
        await self._clock.sleep(model.mix_s * share)
        await self.instance.ready()
        self._last_job_id = _id_of(result)
        self.mixed += 1
        self._hooks.on_mixed(self, result)


def _id_of(result: Result) -> str:
    job = result.value.get("Job") if isinstance(result.value, dict) else None
    return str(job.get("id")) if isinstance(job, dict) else ""
