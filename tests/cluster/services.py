"""Two services in this process that share a Redis; the first owns the topics."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sanic_dispatch.cluster.members import Member
from sanic_dispatch.cluster.spreading import spread
from sanic_dispatch.config.settings import Mode
from tests.support.faulty_link import FaultyLink
from tests.support.ports import free_port
from tests.support.server import Service, running_service

TOKEN = "an-operator-of-both"
AS_OPERATOR = {"Authorization": f"Bearer {TOKEN}"}


class Two(NamedTuple):
    """The owner, the other one, and the network between them."""

    owner: Service
    other: Service
    link: FaultyLink


def ports() -> tuple[int, int]:
    """Return two free ports; of their processes the first is to own the unnamed topic."""
    by_name = {f"{socket.gethostname()}:{port}": port for port in (free_port(), free_port())}
    members = tuple(Member(name, "", ("",)) for name in sorted(by_name))
    owner = by_name.pop(spread(members)[""].name)
    (other,) = by_name.values()
    return owner, other


@asynccontextmanager
async def two_services(redis_url: str, folder: Path, **values: Any) -> AsyncIterator[Two]:
    """Run both; the other one reaches the owner over the faulty link."""
    port, other_port = ports()
    values = {"mode": Mode.REDIS, "redis_url": redis_url, "operator_tokens": (TOKEN,)} | values
    for name in ("first", "second"):
        (folder / name).mkdir()
    async with FaultyLink(port, random.Random(1)) as link:
        advertise = f"http://127.0.0.1:{link.port}/"
        async with (
            running_service(
                **values, port=port, advertise=advertise, data_dir=folder / "first"
            ) as owner,
            running_service(**values, port=other_port, data_dir=folder / "second") as other,
        ):
            yield Two(owner, other, link)


async def ask(
    service: Service, method: str, path: str, **options: Any
) -> tuple[int, Any, dict[str, str]]:
    """Return the status, the JSON, and the headers of an answer, as the operator."""
    headers = AS_OPERATOR | options.pop("headers", {})
    url = service.base_url + path
    async with service.http.request(method, url, headers=headers, **options) as answer:
        body = await answer.json(content_type=None) if await answer.read() else None
        return answer.status, body, dict(answer.headers)
