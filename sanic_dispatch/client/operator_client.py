"""The operator's client: the routes under ``/operator``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from sanic_dispatch.client.answers import read_answer
from sanic_dispatch.client.dispatch_client import DispatchClient

LARGEST_PAGE = 1000
"""The most events that the service sends at once."""

_OF_A_RECORDING = ("events", "data", "next")

STATISTICS_TIMEOUT_S = 90.0
"""How long to wait for statistics; the service itself gives up after a minute."""


class OperatorClient(DispatchClient):
    """Acts as an operator; needs the operator's token.

    The service logs acts with the name ``who``, or else with this machine's address.
    """

    def __init__(self, base_url: str, token: str | None = None, *, who: str = "") -> None:
        super().__init__(base_url, token)
        if who:
            self._headers = {**self._headers, "X-Operator": who}

    async def act(self, act: str, reason: str = "") -> dict[str, Any]:
        """Send ``pause`` or ``resume``: whether jobs are handed out."""
        return await self._act("operator", act, said={"reason": reason})

    async def act_on_job(self, job_id: str, act: str, reason: str = "") -> dict[str, Any]:
        """Send ``cancel``, ``put-back`` or ``first`` for a job; return its new state."""
        return await self._act("operator", "jobs", job_id, act, said={"reason": reason})

    async def set_priority(self, job_id: str, priority: int, reason: str = "") -> dict[str, Any]:
        """Give a waiting job another priority, 0 to 7; return its new state."""
        said = {"priority": priority, "reason": reason}
        return await self._act("operator", "jobs", job_id, "priority", said=said)

    async def forget(self, job: str) -> None:
        """Erase the data and result of a finished job, named by its id or its ticket."""
        async with self._request("DELETE", "operator", "jobs", job, "data"):
            return

    async def act_on_worker(self, callback: str, act: str, reason: str = "") -> dict[str, Any]:
        """Send ``aside``, ``back`` or ``drop`` for a worker."""
        said = {"callback": callback, "reason": reason}
        return await self._act("operator", "workers", act, said=said)

    async def jobs(self, state: str | None = None, after: int = 0, limit: int = 100) -> Any:
        """Return ``{"jobs","next"}``: jobs by ticket, and the ``after`` of the next page."""
        query = {"after": str(after), "limit": str(limit)} | ({"state": state} if state else {})
        async with self._request("GET", "operator", "jobs", query=query) as answer:
            return await read_answer(
                answer, lambda said: {name: said[name] for name in ("jobs", "next")}
            )

    async def history(self, ticket: int) -> dict[str, Any]:
        """Return ``{"job","events"}``: a job, and the log of what happened to it.

        Also ``damage`` and ``holes`` if something may be missing.
        """
        async with self._request("GET", "operator", "history", str(ticket)) as answer:
            return await read_answer(
                answer, lambda said: {**said, "job": said["job"], "events": said["events"]}
            )

    async def events(self, **question: str | int | None) -> dict[str, Any]:
        """Return a page of events: ``{"events","next"}``, and ``damage`` and ``holes`` if any.

        The arguments are those of the route, without those that are None.
        """
        query = {name: str(value) for name, value in question.items() if value is not None}
        async with self._request("GET", "operator", "events", query=query) as answer:
            return await read_answer(
                answer, lambda said: {**said, "events": said["events"], "next": said["next"]}
            )

    async def all_events(self, **question: str | int | None) -> AsyncIterator[dict[str, Any]]:
        """Yield all pages of events."""
        following: str | int | None = question.pop("after", None)
        while True:
            page = await self.events(**question, after=following, limit=LARGEST_PAGE)
            yield page
            following = page["next"]
            if following is None:
                return

    async def recording(self, **question: str | int | None) -> dict[str, Any]:
        """Return a page of events with all that a replay needs; data of orders is in it.

        ``recording_page.recorded_in`` reads it.
        """
        query = {name: str(value) for name, value in question.items() if value is not None}
        async with self._request("GET", "operator", "recording", query=query) as answer:
            return await read_answer(
                answer, lambda said: {**said, **{name: said[name] for name in _OF_A_RECORDING}}
            )

    async def last_number(self) -> int:
        """Return the number of the last event."""
        query = {"view": "monitor"}
        async with self._request("GET", "state", query=query) as answer:
            return await read_answer(answer, lambda said: int(said["at"].rpartition(":")[2]))

    async def statistics(self, **span: str | None) -> dict[str, Any]:
        """Return ``{"rows"}`` for a span: ``from``, ``to``, and ``by`` hour, drink or robot.

        Also ``damage`` and ``holes`` if something may be missing.
        """
        query = {name: value for name, value in span.items() if value is not None}
        patience = aiohttp.ClientTimeout(total=STATISTICS_TIMEOUT_S)
        path = ("operator", "stats")
        async with self._request("GET", *path, query=query, timeout=patience) as answer:
            return await read_answer(answer, lambda said: {**said, "rows": said["rows"]})

    async def back_up(self, folder: str) -> dict[str, Any]:
        """Write a backup to a folder of the service's machine; return what the backup has.

        There is no time limit; cancelling the call calls the backup off.
        """
        said, patience = {"folder": folder}, aiohttp.ClientTimeout(total=None)
        path = ("operator", "backup")
        async with self._request("POST", *path, json=said, timeout=patience) as answer:
            return await read_answer(answer, dict)

    async def webhooks(self) -> list[dict[str, Any]]:
        """Return the webhooks, each with how many events it has not got yet."""
        async with self._request("GET", "operator", "webhooks") as answer:
            return await read_answer(answer, lambda said: list(said["webhooks"]))

    async def add_webhook(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Add ``{"url","events","payload","secret"}``; return ``{"id","secret"}``."""
        return await self._act("operator", "webhooks", said=entry)

    async def remove_webhook(self, webhook_id: str) -> None:
        """Remove a webhook; what is pending for it is dropped."""
        async with self._request("DELETE", "operator", "webhooks", webhook_id):
            return

    async def act_on_webhook(
        self, webhook_id: str, act: str, said: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Send ``rotate``, ``test``, ``continue`` or ``drop`` for a webhook."""
        return await self._act("operator", "webhooks", webhook_id, act, said=said or {})

    async def outbox(self) -> list[dict[str, Any]]:
        """Return the webhooks, and the phones for which a message is pending."""
        async with self._request("GET", "operator", "push") as answer:
            phones = await read_answer(answer, lambda said: list(said["pending"]))
        return [*await self.webhooks(), *phones]

    async def act_on_push(self, subscription: str, act: str) -> None:
        """Send ``continue`` or ``drop`` for a phone."""
        async with self._request("POST", "operator", "push", subscription, act):
            return

    async def workers(self) -> list[dict[str, Any]]:
        """Return the waiting workers."""
        async with self._request("GET", "operator", "workers") as answer:
            return await read_answer(answer, lambda said: list(said["workers"]))

    async def _act(self, *path: str, said: dict[str, Any]) -> dict[str, Any]:
        async with self._request("POST", *path, json=said) as answer:
            return await read_answer(answer, dict)
