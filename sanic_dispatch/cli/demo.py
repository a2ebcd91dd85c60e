"""The demo: the server with two simulated robots, which needs no process engine."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from sanic import Sanic

from sanic_dispatch.app import serve
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.errors import SettingsError
from sanic_dispatch.server.banner import base_of
from sanic_dispatch.simulation import Engine, Robot, RobotModel
from sanic_dispatch.simulation.background_tasks import Tasks

ROBOTS = ("Robot Ada", "Robot Bert")
MIX_S = 6.0


def run(settings: Settings) -> None:
    """Serve, with robots that register over HTTP. Raises StartError if it cannot start."""
    if settings.tls_cert is not None:
        raise SettingsError("--tls-cert is for serve: the robots of the demo speak plain HTTP")
    serve(settings, _add_robots)


def _add_robots(app: Sanic[Any, Any], settings: Settings) -> None:
    query = f"?token={settings.worker_tokens[0]}" if settings.worker_tokens else ""
    dispatcher_url = base_of(settings, settings.port) + query
    opened, tasks = AsyncExitStack(), Tasks()

    async def start(_: Sanic[Any, Any]) -> None:
        engine = await opened.enter_async_context(Engine())
        model = RobotModel(dispatcher_url, mix_s=MIX_S)
        for label in ROBOTS:
            robot = Robot(engine.start_instance(label), model)
            tasks.spawn(robot.run())

    async def stop(_: Sanic[Any, Any]) -> None:
        await tasks.cancel()
        await opened.aclose()

    app.after_server_start(start)
    app.before_server_stop(stop)
