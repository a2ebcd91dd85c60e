"""A simulated network between dispatcher and engine: late, lossy, and lossy one way only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import ujson

from sanic_dispatch.callbacks.outcome import Accepted, InDoubt, Outcome, Refused

if TYPE_CHECKING:
    from tests.histories.simulation import Life, Simulation

TIMEOUT_S = 10.0
"""How long the dispatcher waits for an answer to a PUT."""

PROBE_TIMEOUT_S = 3.0
"""How long it waits for an answer to a probe."""


class SimulatedNetwork:
    """The calls of one life of the dispatcher."""

    def __init__(self, run: Simulation, life: Life) -> None:
        self._run = run
        self._life = life
        self._under_way: set[str] = set()

    async def deliver(self, callback_url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        if self._life.is_over:
            return InDoubt("the process is dead")
        run, dice = self._run, self._run.dice
        told = ujson.loads(body)
        job_id = told["Job"]["id"] if "Job" in told else ""
        run.write("PUT", callback_url, job_id)
        if job_id:
            run.check_put(callback_url, job_id, headers.get("Job-Receipt", ""))
        if callback_url in self._under_way:
            run.accuse("ONE", f"two deliveries to {callback_url} at a time")
        self._under_way.add(callback_url)
        try:
            if self._is_lost():
                await asyncio.sleep(dice.choice((0.0, 0.01, 2.0)))
                return Refused("no connection")
            return await self._send(callback_url, body, headers.get("Job-Receipt", ""))
        finally:
            self._under_way.discard(callback_url)

    async def _send(self, callback_url: str, body: bytes, receipt: str) -> Outcome:
        """Send; what was sent arrives, also if the dispatcher is dead by then."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()
        began_s = self._run.now_s()
        if not self._is_lost():
            delay_s = self._delay_s()
            loop.call_later(delay_s, self._arrive, callback_url, body, receipt, began_s, answer)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await answer
        except TimeoutError:
            return InDoubt("doubt: no answer in time")

    def _arrive(
        self,
        callback_url: str,
        body: bytes,
        receipt: str,
        began_s: float,
        answer: asyncio.Future[Outcome],
    ) -> None:
        robot = self._run.engine.at(callback_url)
        if receipt:
            status = robot.put(callback_url, body, receipt, began_s)
        else:
            status = robot.expire(callback_url)
        outcome: Outcome = Accepted()
        if status != 200:
            outcome = Refused(f"answered {status}", status == 500)
        if self._is_lost():
            if self._run.dice.random() < 0.5:
                return
            outcome = InDoubt("doubt: the connection broke")
        asyncio.get_running_loop().call_later(self._delay_s(), _answer, answer, outcome)

    async def is_pending(self, callback_url: str, if_silent: bool | None = None) -> bool | None:
        if not await self._asked():
            return if_silent
        waits = self._run.engine.at(callback_url).waits_on(callback_url)
        return waits if await self._asked() else if_silent

    async def instance_state(self, instance_url: str) -> str | None:
        if not await self._asked():
            return None
        state = self._run.engine.at(instance_url).state
        return state if await self._asked() else None

    async def instance_uuid(self, instance_url: str) -> str | None:
        if not await self._asked():
            return None
        key = self._run.engine.at(instance_url).key
        uuid = key.instance if key else ""
        return uuid if await self._asked() else None

    async def _asked(self) -> bool:
        """Send a message one way; return whether it arrived."""
        if self._is_lost():
            await asyncio.sleep(PROBE_TIMEOUT_S)
            return False
        await asyncio.sleep(self._delay_s() / 2)
        return True

    def _is_lost(self) -> bool:
        run = self._run
        return run.has_trouble and run.dice.random() < run.plan.lost

    def _delay_s(self) -> float:
        dice = self._run.dice
        if self._run.has_trouble and self._run.plan.lost and dice.random() < 0.1:
            return dice.uniform(0, 8.0)
        return dice.choice((0.0, 0.001, 0.01))


def _answer(answer: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not answer.done():
        answer.set_result(outcome)
