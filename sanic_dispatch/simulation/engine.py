"""A simulated CPEE engine: its HTTP interface, and its instances."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Self

from aiohttp import web

from sanic_dispatch.simulation.caller import Caller
from sanic_dispatch.simulation.content import EmptyJson
from sanic_dispatch.simulation.evaluator import Evaluator
from sanic_dispatch.simulation.instance import Instance
from sanic_dispatch.simulation.waits import Put

_KNOWN_AFTER_DELETION_S = 30.0
_BODY_LIMIT_BYTES = 64 * 2**20


class Engine:
    """Runs instances and serves their callbacks over HTTP; use it with ``async with``.

    ``now_s`` is a monotonic clock. A process takes ``unregister_after_s`` to unregister a used
    callback; more PUTs in that time are answered 200, and lost. All instances share one
    ``evaluator``.
    """

    def __init__(
        self,
        *,
        unregister_after_s: float = 0.005,
        now_s: Callable[[], float] = time.monotonic,
        evaluator: Evaluator | None = None,
    ) -> None:
        self.port = 0
        self.unregister_after_s = unregister_after_s
        self.now_s = now_s
        self.evaluator = evaluator or Evaluator()
        self.caller: Caller
        self._instances: dict[int, Instance] = {}
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        self.caller = Caller()
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()
        await self.evaluator.close()
        await self.caller.close()

    @property
    def base_url(self) -> str:
        """The engine's URL, with a slash at the end."""
        return f"http://127.0.0.1:{self.port}/"

    async def up(self) -> None:
        """Start listening, on the same port as before; instances and callbacks are kept."""
        app = web.Application(client_max_size=_BODY_LIMIT_BYTES)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.001, handler_cancellation=True
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def down(self) -> None:
        """Stop listening and break all connections; do nothing if it does not listen."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def start_instance(
        self, label: str = "Worker", attributes: Mapping[str, str] | None = None
    ) -> Instance:
        """Start an instance under the smallest free number.

        Each attribute is sent with calls as ``CPEE-ATTR-<NAME>``; ``label`` is the attribute info.
        If the number's last instance was deleted less than 30 s ago, the new one inherits its
        positions: it waits on the old callback and makes no call.
        """
        number = next(n for n in count(1) if self._is_free(n))
        last = self._find(str(number))
        inherited = last.waits_at_deletion if last else ()
        instance = Instance(self, number, label, attributes or {}, inherited)
        self._instances[number] = instance
        return instance

    def restart(self, instance: Instance) -> Instance:
        """Delete an instance and start its model again, under the same number."""
        instance.delete()
        info = instance.attributes["info"]
        kept = {name: value for name, value in instance.attributes.items() if name != "uuid"}
        instance.heir = self.start_instance(info, kept)
        return instance.heir

    def _is_free(self, number: int) -> bool:
        last = self._instances.get(number)
        return last is None or last.deleted_at_s is not None

    def _find(self, number: str) -> Instance | None:
        instance = self._instances.get(int(number)) if number.isdecimal() else None
        if instance is None or instance.deleted_at_s is None:
            return instance
        known = self.now_s() - instance.deleted_at_s < _KNOWN_AFTER_DELETION_S
        return instance if known else None

    async def _answer(self, request: web.Request) -> web.Response:
        number, *path = request.path.strip("/").split("/")
        instance = self._find(number)
        if instance is None:
            return _status(404)
        match request.method, path:
            case "GET", ["properties", "state"]:
                return web.Response(text=instance.state)
            case "PUT", ["properties", "state"]:
                return _set_state(instance, (await request.post()).get("value"))
            case "GET", ["properties", "attributes", "uuid"]:
                return web.Response(text=instance.uuid)
            case method, ["callbacks", callback_id]:
                return await self._callback(request, method, instance, callback_id)
        return _status(404)

    async def _callback(
        self, request: web.Request, method: str, instance: Instance, callback_id: str
    ) -> web.Response:
        match method:
            case "PUT":
                return await _put(request, instance, callback_id)
            case "GET" if instance.pending(callback_id):
                return web.json_response(instance.describe(callback_id))
            case "DELETE" if instance.pending(callback_id):
                instance.delete_callback(callback_id)
                return _status(200)
            case "GET" | "DELETE":
                return _status(404)
        return _status(501)


async def _put(request: web.Request, instance: Instance, callback_id: str) -> web.Response:
    put = Put(callback_id, request.headers, await request.read())
    faults = instance.faults
    status = _take(instance, put) if faults.take else 200
    instance.record(put)
    if faults.delay_s:
        await asyncio.sleep(faults.delay_s)
    if faults.hang:
        await asyncio.Event().wait()
    if faults.close and request.transport is not None:
        request.transport.close()
    return _status(faults.status or status)


def _set_state(instance: Instance, state: object) -> web.Response:
    """Set an instance's state, as an operator does."""
    match state:
        case "stopping":
            instance.stop()
        case "running":
            instance.resume()
        case "abandoned":
            instance.abandon()
        case _:
            return _status(406)
    return _status(200)


def _take(instance: Instance, put: Put) -> int:
    if not instance.pending(put.callback_id):
        return 503
    try:
        instance.take(put)
    except EmptyJson:
        return 500
    return 200


def _status(status: int) -> web.Response:
    return web.Response(status=status, content_type="text/plain")
