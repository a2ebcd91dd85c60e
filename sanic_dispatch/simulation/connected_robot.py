"""Robots without an address: they come by websocket, or poll."""

from __future__ import annotations

import asyncio
import random
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any
from urllib.parse import quote

from yarl import URL

from sanic_dispatch.client import DispatchClient, Lost, ServiceError, Unreachable, Worker
from sanic_dispatch.core.rules import normal_form, rule_of
from sanic_dispatch.simulation.robot import RobotModel

POLL_WAIT_S = 25.0
"""How long a poll waits: many proxies give up after 30 s."""

GOODBYE_S = 2.0
"""How long a robot that stops tries to give its job back, or to leave the line."""


_NOT_ITS_OWN = (404, 409)
"""Statuses of a report on a job that is not the robot's any more: its lease has ended, say."""


class ConnectedRobot(ABC):
    """Mixes the drinks that it gets, until it is cancelled.

    ``doing`` describes for people what it does, and ``state`` whether it is connected; ``mixed``
    counts its jobs. ``on_job`` and ``on_mixed`` are called with the job, and ``on_failure`` when
    it could not reach the dispatcher.
    """

    def __init__(
        self,
        model: RobotModel,
        rng: random.Random,
        *,
        on_job: Callable[[Mapping[str, Any]], None],
        on_mixed: Callable[[], None],
        on_failure: Callable[[], None],
    ) -> None:
        self.doing = "starts"
        self.state = "connected"
        self.mixed = 0
        self._model = model
        self._random = rng
        self._on_job = on_job
        self._on_mixed = on_mixed
        self._on_failure = on_failure
        self._token = URL(model.dispatcher_url).query.get("token")
        self._worker_id = f"{quote(model.label)[:80]}-{secrets.token_hex(4)}"

    @abstractmethod
    async def run(self) -> None:
        """Work until cancelled. Raises ServiceError if the dispatcher refuses the robot."""

    async def _mix(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Mix a job's drink, and return the result."""
        self.doing, self.state = "mixes", "connected"
        self._on_job(job)
        share = self._random.uniform(1 - self._model.jitter, 1 + self._model.jitter)
        await asyncio.sleep(self._model.mix_s * share)
        return {"mixed_by": self._model.label}

    def _note_mixed(self) -> None:
        self.mixed += 1
        self.doing = "waits"
        self._on_mixed()

    def _note_failure(self, reason: str) -> None:
        self.doing, self.state = f"cannot reach it: {reason}", "away"
        self._on_failure()


class WebsocketRobot(ConnectedRobot):
    """A robot at a websocket."""

    async def run(self) -> None:
        """Work until cancelled."""
        match, exclude = (_members(self._model.rule, negated) for negated in (False, True))
        worker = Worker(
            self._model.dispatcher_url,
            self._worker_id,
            self._token,
            match,
            self._model.label,
            exclude=exclude,
            on_lost=self._note_lost,
            rng=self._random,
        )
        self.doing = "waits"
        async with aclosing(aiter(worker)) as jobs:
            async for job in jobs:
                result = await self._mix({"id": job.id, "data": job.data})
                await job.done(result)
                self._note_mixed()

    def _note_lost(self, lost: Lost) -> None:
        self._note_failure(lost.reason)


class PollingRobot(ConnectedRobot):
    """A robot that polls."""

    async def run(self) -> None:
        """Work until cancelled."""
        async with DispatchClient(self._model.dispatcher_url, self._token) as client:
            while True:
                try:
                    await self._round(client)
                except Unreachable as error:
                    self._note_failure(str(error))
                    await asyncio.sleep(self._model.rescue_s or 0.0)
                except ServiceError as error:
                    if error.status < 500:
                        raise
                    self._note_failure(str(error))
                    await asyncio.sleep(self._model.rescue_s or 0.0)

    async def _round(self, client: DispatchClient) -> None:
        self.doing, self.state = "waits", "connected"
        model = self._model
        job = await client.poll(
            self._worker_id, wait_s=POLL_WAIT_S, label=model.label, rule=model.rule
        )
        if job is None:
            return
        try:
            result = await self._mix(job)
        except asyncio.CancelledError:
            await self._give_back(client, job)
            raise
        try:
            await client.complete(job["id"], job["receipt"], result)
        except ServiceError as error:
            if error.status not in _NOT_ITS_OWN:
                raise
        self._note_mixed()

    async def _give_back(self, client: DispatchClient, job: Mapping[str, Any]) -> None:
        with suppress(Unreachable, ServiceError, TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await client.fail(job["id"], job["receipt"], "its robot stopped", retry=True)


def _members(rule: Sequence[tuple[str, str]], is_negated: bool) -> dict[str, list[str]]:
    """Return the conditions of a rule as a websocket's message has them, by member.

    Of two conditions on one member both have to hold.
    """
    found: dict[str, frozenset[str]] = {}
    for condition in rule_of(normal_form(rule)).conditions:
        if condition.is_negated is is_negated:
            name, values = ".".join(condition.path), condition.values
            before = found.get(name, values)
            found[name] = before | values if is_negated else before & values
    return {name: sorted(values) for name, values in found.items()}
