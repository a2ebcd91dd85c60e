"""A client for a few orders, which records the answers."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, NamedTuple

import aiohttp

from tests.crash.server import TOKEN, Server


class Order(NamedTuple):
    """An order's answer, and when it came (Unix seconds); without an id if it was not accepted."""

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
    def accepted_ids(self) -> list[str]:
        """The ids of all acknowledged orders."""
        return [order.job_id for order in self.orders if order.job_id]

    async def order(self, data: object) -> int:
        """Submit an order; return the status."""
        async with self._http.post("submit-job", json=data) as response:
            job_id = response.headers.get("Location", "").removeprefix("jobs/")
            self.orders.append(Order(response.status, job_id, time.time()))
            return response.status

    async def register(self) -> int:
        """Register a new worker that cannot be called back; return the status."""
        self._workers += 1
        headers = {
            "CPEE-CALLBACK": f"http://127.0.0.1:9/callbacks/{self._workers}/",
            "CPEE-INSTANCE-UUID": f"i{self._workers}",
            "CPEE-ACTIVITY": "a1",
        }
        async with self._http.post("register-worker", headers=headers) as response:
            return response.status

    async def health(self) -> int:
        """Return the status of /health."""
        async with self._http.get("health") as response:
            return response.status

    async def metrics(self) -> str:
        """Return what Prometheus reads."""
        async with self._http.get("metrics") as response:
            return await response.text()

    async def jobs(self, state: str = "waiting") -> list[str]:
        """Return the ids of the jobs in this state, by ticket."""
        listed = await self.ask("operator/jobs", state=state, limit="1000")
        return [job["id"] for job in listed["jobs"]]

    async def ask(self, path: str, **query: str) -> Any:
        """Return the answer to an operator's question."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self._http.get(path, params=query, headers=headers) as response:
            return await response.json()
