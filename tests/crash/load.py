"""The load: customers that order and robots that register, and record all that they see."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from itertools import count
from sys import maxsize
from time import monotonic
from typing import Any

import aiohttp
from aiohttp import web

from sanic_dispatch.simulation import Engine
from sanic_dispatch.simulation.caller import Caller, CallFailed, ServiceAnswer
from sanic_dispatch.simulation.instance import Instance
from tests.crash.bar_in_process import received
from tests.crash.records import History, Outcome, Registration, Submission

REFUSED = ("QueueFull", "ShuttingDown", "NotReady")
"""Statuses that mean that an order was not accepted."""

RESCUE_S = 0.05

CROWD = 300
"""At how many undelivered orders customers pause, so that the drain ends."""


class WatchedCaller(Caller):
    """Records each call of a worker, and the job in its answer."""

    def __init__(self, history: History) -> None:
        super().__init__()
        self.at_a_loss: set[str] = set()
        """The workers whose call is under way, or has failed: they may ask for a job they had."""
        self._history = history

    async def post(
        self, url: str, headers: Mapping[str, str], arguments: Mapping[str, str]
    ) -> ServiceAnswer:
        began_s, callback = monotonic(), headers["CPEE-CALLBACK"]
        worker = callback.split("/callbacks/")[0]
        outcome = Outcome.UNKNOWN
        self.at_a_loss.add(worker)
        try:
            answer = await super().post(url, headers, arguments)
            outcome = Outcome.OK
            self.at_a_loss.discard(worker)
        except CallFailed as error:
            if str(error).startswith("answered 4"):
                outcome = Outcome.FAILED
            raise
        finally:
            self._history.registrations.append(
                Registration(callback, worker, began_s, monotonic(), outcome)
            )
        if answer.body and not answer.callback:
            self._history.deliveries.append(received(answer.body, callback, began_s, monotonic()))
        return answer


class WatchedEngine(Engine):
    """Records each PUT, and whether the process took it."""

    def __init__(self, history: History) -> None:
        super().__init__()
        self._history = history

    async def __aenter__(self) -> WatchedEngine:
        self.caller = WatchedCaller(self._history)
        await self.up()
        return self

    async def _callback(
        self, request: web.Request, method: str, instance: Instance, callback_id: str
    ) -> web.Response:
        if method != "PUT":
            return await super()._callback(request, method, instance, callback_id)
        began_s, body = monotonic(), await request.read()
        wait = instance._waits.get(callback_id)
        takes = instance.pending(callback_id) and wait is not None and not wait.goes_on
        self._history.deliveries.append(
            received(
                body,
                f"{instance.url}callbacks/{callback_id}/",
                began_s,
                monotonic(),
                Outcome.OK if takes else Outcome.FAILED,
            )
        )
        return await super()._callback(request, method, instance, callback_id)


class Load:
    """Customers and robots, for addresses that are not always reachable.

    Each call goes to any of them. There are at most ``most`` orders.
    """

    def __init__(
        self, urls: Sequence[str], history: History, rng: random.Random, most: int = maxsize
    ) -> None:
        self._urls, self._history, self._random, self._most = urls, history, rng, most
        self.quiet_s = 0.0
        """The pause after each second of orders."""
        self._numbers = count(1)
        self._is_open = True
        self._open: set[bytes] = set()
        self._served: set[bytes] = set()
        self._seen = 0

    @property
    def _url(self) -> str:
        return self._random.choice(self._urls)

    async def order(self, http: aiohttp.ClientSession, pause_s: float) -> None:
        """Be a customer: submit one order after the other, half with a key, until ``close``."""
        while self._is_open and (number := next(self._numbers)) <= self._most:
            while self._is_crowded() or self._is_quiet():  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(RESCUE_S)
            form = (b'{"n": %d, "half": %d.50}', b'{\r\n  "n": %d,\n  "half": %d.50\n}')[number % 2]
            data = form % (number, number)
            key = f"order-{number}" if self._random.random() < 0.5 else None
            while not await self._submit(http, data, key) and key:  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(RESCUE_S)
            await asyncio.sleep(self._random.expovariate(1 / pause_s))

    def close(self) -> None:
        """Submit no more orders; those that were begun go on."""
        self._is_open = False

    async def work(self, instance: Instance, pause_s: float) -> None:
        """Be a robot: register again and again, with ``?lost`` after a failed call."""
        lost = ""
        while True:
            try:
                await instance.call(self._url + "register-worker" + lost, rescue=True)
                lost = ""
            except CallFailed:
                lost = "?lost"
                await asyncio.sleep(RESCUE_S)
            await asyncio.sleep(self._random.expovariate(1 / pause_s))

    async def _submit(self, http: aiohttp.ClientSession, data: bytes, key: str | None) -> bool:
        """Send an order once; return whether its fate is known."""
        began_s = monotonic()
        outcome, job_id = await self._post(http, self._url, data, key)
        self._history.submissions.append(Submission(data, began_s, monotonic(), outcome, job_id))
        if outcome is Outcome.OK and data not in self._served:
            self._open.add(data)
        return outcome is Outcome.OK

    def _is_quiet(self) -> bool:
        return self._is_open and monotonic() % (1.0 + self.quiet_s) < self.quiet_s

    def _is_crowded(self) -> bool:
        news = self._history.deliveries[self._seen :]
        self._seen += len(news)
        served = {each.data for each in news}
        self._served |= served
        self._open -= served
        return len(self._open) >= CROWD

    async def _post(
        self, http: aiohttp.ClientSession, url: str, data: bytes, key: str | None
    ) -> tuple[Outcome, str]:
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        try:
            async with http.post(url + "submit-job", data=data, headers=headers) as response:
                return await _outcome(response)
        except aiohttp.ClientConnectorError:
            return Outcome.FAILED, ""
        except (aiohttp.ClientError, OSError, ValueError):
            return Outcome.UNKNOWN, ""


async def _outcome(response: aiohttp.ClientResponse) -> tuple[Outcome, str]:
    if response.status in (200, 202):
        # the status acknowledges; the body adds nothing
        return Outcome.OK, response.headers["Location"].removeprefix("jobs/")
    problem: dict[str, Any] = await response.json(content_type=None)
    is_sure = response.status < 500 and response.status != 409 or problem["Error"] in REFUSED
    return Outcome.FAILED if is_sure else Outcome.UNKNOWN, ""
