"""A few orders, one after the other or some at a time, and what the service says of them."""

from __future__ import annotations

import time
from types import TracebackType
from typing import NamedTuple

import aiohttp

from tests.crash.server import TOKEN, Server


class Order(NamedTuple):
    """What a customer heard, and when (Unix seconds); no id where it was not taken in."""

    status: int
    job_id: str
    known_s: float


class Shop:
    """A client of one server, over all its lives."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.orders: list[Order] = []
        self._workers = 0

    async def __aenter__(self) -> Shop:
        timeout = aiohttp.ClientTimeout(total=10)
        self._http = aiohttp.ClientSession(self._server.url, timeout=timeout)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.close()

    @property
    def taken_in(self) -> list[str]:
        """The ids of all orders that were acknowledged."""
        return [order.job_id for order in self.orders if order.job_id]

    async def order(self, data: object) -> int:
        """Order once; the status."""
        async with self._http.post("submit-job", json=data) as response:
            job_id = response.headers.get("Location", "").removeprefix("jobs/")
            self.orders.append(Order(response.status, job_id, time.time()))
            return response.status

    async def register(self) -> int:
        """A worker of its own calls, and cannot be called back; the status."""
        self._workers += 1
        headers = {
            "CPEE-CALLBACK": f"http://127.0.0.1:9/callbacks/{self._workers}/",
            "CPEE-INSTANCE-UUID": f"i{self._workers}",
            "CPEE-ACTIVITY": "a1",
        }
        async with self._http.post("register-worker", headers=headers) as response:
            return response.status

    async def health(self) -> int:
        """The status of /health."""
        async with self._http.get("health") as response:
            return response.status

    async def jobs(self, state: str = "waiting") -> list[str]:
        """The ids of the jobs in that state, by ticket."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        query = {"state": state, "limit": "1000"}
        async with self._http.get("operator/jobs", params=query, headers=headers) as response:
            return [job["id"] for job in (await response.json())["jobs"]]
