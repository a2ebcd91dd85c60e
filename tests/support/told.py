"""What webhooks were told, compared with what happened."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import aiohttp

from tests.support.receiver import SECRET, Receiver

EVERYTHING = ("job.*", "worker.*", "dispatch.*")


async def add_webhook(http: aiohttp.ClientSession, url: str, receiver: Receiver) -> None:
    """Have a service tell the receiver of all that happens; ``http`` has the operator's token."""
    entry = {"url": receiver.url(), "events": EVERYTHING, "secret": SECRET}
    async with http.post(url + "operator/webhooks", json=entry) as answer:
        assert answer.status == 201, await answer.text()


async def events_of(http: aiohttp.ClientSession, url: str) -> dict[int, Any]:
    """Return all events in the log of a service, by number."""
    found: dict[int, Any] = {}
    after: int | None = 0
    while after is not None:
        query = {"after": str(after), "limit": "1000"}
        async with http.get(url + "operator/events", params=query) as answer:
            page = await answer.json()
        found |= {event["n"]: event for event in page["events"]}
        after = page["next"]
    return found


def faults_of(receiver: Receiver, events: dict[int, Any]) -> list[str]:
    """Return what is wrong with what the receiver was told of these events; empty if nothing is.

    A repeat has the same id and says the same; what happened to one job comes first in its order.
    """
    ids: dict[int, str] = {}
    by_job: defaultdict[str, list[int]] = defaultdict(list)
    wrong = []
    for message in receiver.received:
        n, data = message.n, message.said["data"]
        if not message.is_signed_with(SECRET):
            wrong.append(f"{n} is not signed")
        if ids.setdefault(n, message.id) != message.id:
            wrong.append(f"{n} came with two ids")
        if events.get(n) != data:
            wrong.append(f"{n} is not what happened: {data}")
        if "job" in data and n not in by_job[data["job"]]:
            by_job[data["job"]].append(n)
    wrong += [f"{n} was not told" for n in events.keys() - ids.keys()]
    wrong += [f"{job}: {numbers}" for job, numbers in by_job.items() if numbers != sorted(numbers)]
    if len(set(ids.values())) < len(ids):
        wrong.append("two events came with one id")
    return wrong
