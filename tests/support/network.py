"""A network that records deliveries, and behaves as a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sanic_dispatch.callbacks.outcome import Accepted, Outcome


@dataclass
class FakeNetwork:
    """Each callback accepts and waits until then, and its instance runs, unless a test changes
    that.

    ``outcomes`` has the next outcomes of a callback, in order; a Future among them is awaited.
    ``states_once`` has an instance's next states, before the lasting one; ``uuids`` has the
    instance that has a number now, if that is not the one made by ``worker``.
    """

    outcomes: dict[str, list[Outcome | asyncio.Future[Outcome]]] = field(default_factory=dict)
    pending: dict[str, bool | None] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    states: dict[str, str | None] = field(default_factory=dict)
    uuids: dict[str, str | None] = field(default_factory=dict)
    states_once: dict[str, list[str]] = field(default_factory=dict)
    deliveries: list[tuple[str, Any]] = field(default_factory=list)
    under_way: set[str] = field(default_factory=set)

    async def deliver(self, callback_url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        assert callback_url not in self.under_way, "two deliveries to one callback at a time"
        self.under_way.add(callback_url)
        self.deliveries.append((callback_url, json.loads(body).get("Job", {}).get("data")))
        try:
            return await self._outcome(callback_url)
        finally:
            self.under_way.discard(callback_url)

    async def is_pending(self, callback_url: str, if_silent: bool | None = None) -> bool | None:
        return if_silent if callback_url in self.silent else self.pending.get(callback_url, True)

    async def instance_state(self, instance_url: str) -> str | None:
        if once := self.states_once.get(instance_url):
            return once.pop(0)
        return self.states.get(instance_url, "running")

    async def instance_uuid(self, instance_url: str) -> str | None:
        return self.uuids.get(instance_url, instance_url.rstrip("/").rpartition("/")[2])

    async def _outcome(self, callback_url: str) -> Outcome:
        outcomes = self.outcomes.get(callback_url)
        outcome = outcomes.pop(0) if outcomes else Accepted()
        outcome = await outcome if isinstance(outcome, asyncio.Future) else outcome
        if isinstance(outcome, Accepted):
            self.pending[callback_url] = False
        return outcome
