"""A worker at the websocket ``/work``; checks each message against its schema."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jsonschema
from websockets.asyncio.client import ClientConnection, connect

from sanic_dispatch.live.work_messages_schema import TOLD
from tests.support.server import Service

WITHIN_S = 5.0


class Tablet:
    """A connection of a worker."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket
        self.session = ""
        self.later: list[dict[str, Any]] = []
        """What has come while a reply was awaited."""

    async def hear(self, name: str) -> Any:
        """Return what the next message of this name says; there may be others before it."""
        while True:
            heard = next((each for each in self.later if name in each), None)
            if heard is not None:
                self.later.remove(heard)
                return heard[name]
            self.later.append(await self._next())

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message, and return the reply to it."""
        await self.websocket.send(json.dumps(message | {"ref": id(message)}))
        while (reply := await self._next()).get("ref") != id(message):
            self.later.append(reply)
        del reply["ref"]
        return reply

    async def ok(self, **message: Any) -> Any:
        """Send a message that is carried out; return what its reply says."""
        reply = await self.ask(message)
        assert "ok" in reply, reply
        return reply["ok"]

    async def error(self, **message: Any) -> Any:
        """Send a message that is not; return the problem document."""
        reply = await self.ask(message)
        assert "error" in reply, reply
        return reply["error"]

    async def accepted(self) -> dict[str, Any]:
        """Accept the job that comes next; return what a report on it has to have."""
        job = await self.hear("job")
        report = {"job": job["id"], "receipt": job["receipt"]}
        await self.ok(accept=report)
        return report

    async def closed(self, within_s: float = WITHIN_S) -> int | None:
        """Return the code that the service closed with."""
        async with asyncio.timeout(within_s):
            await self.websocket.wait_closed()
        return self.websocket.close_code

    async def _next(self) -> dict[str, Any]:
        async with asyncio.timeout(WITHIN_S * (4 if not self.session else 1)):
            message: dict[str, Any] = json.loads(await self.websocket.recv())
        (name,) = message.keys() - {"ref"}
        jsonschema.validate(message, TOLD[name], jsonschema.Draft7Validator)
        return message


@asynccontextmanager
async def tablet(service: Service, query: str = "", **options: Any) -> AsyncIterator[Tablet]:
    """Connect, and be welcomed."""
    url = service.base_url.replace("http", "ws", 1) + f"work{query}"
    async with connect(url, compression=None, **options) as websocket:
        worker = Tablet(websocket)
        worker.session = (await worker.hear("welcome"))["session"]
        yield worker
