"""The demo: two bars, each with two simulated robots, which need no process engine.

One robot of a bar makes everything, the other one three drinks.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import cycle
from typing import Any

from sanic import Sanic

from sanic_dispatch.app import serve
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.errors import SettingsError
from sanic_dispatch.server.banner import base_of
from sanic_dispatch.simulation import Engine, Robot, RobotModel
from sanic_dispatch.simulation.background_tasks import Tasks

ROBOTS = ("Robot Ada", "Robot Bert", "Robot Cleo", "Robot Dan")
RULES = ((), (("match.drink", "mojito|gin-tonic|lemonade"),))
"""What the robots of a bar make."""
MIX_S = 6.0


def run(settings: Settings) -> None:
    """Serve topics, each with robots that register over HTTP.

    Raises StartError if it cannot start.
    """
    if settings.tls_cert is not None:
        raise SettingsError("--tls-cert is for serve: the robots of the demo speak plain HTTP")
    if settings.workers > 1:
        raise SettingsError("--workers is for serve: the demo is one process")
    serve(with_second_bar(settings), _add_robots)


def with_second_bar(settings: Settings) -> Settings:
    """Return the settings with a second topic, unless they have topics already."""
    if settings.topics:
        return settings
    roof = settings.of_topic("roof", {"title": "The roof"})
    return replace(settings, topics={roof.topic: roof})


def _add_robots(app: Sanic[Any, Any], settings: Settings) -> None:
    opened, tasks = AsyncExitStack(), Tasks()

    async def start(_app: Sanic[Any, Any]) -> None:
        engine = await opened.enter_async_context(Engine())
        labels = cycle(ROBOTS)
        for topic in (settings, *settings.topics.values()):
            for rule in RULES:
                model = RobotModel(_dispatcher_url(topic), mix_s=MIX_S, rule=rule)
                robot = Robot(engine.start_instance(next(labels)), model)
                tasks.spawn(robot.run())

    async def stop(_: Sanic[Any, Any]) -> None:
        await tasks.cancel()
        await opened.aclose()

    app.after_server_start(start)
    app.before_server_stop(stop)


def _dispatcher_url(topic: Settings) -> str:
    query = f"?token={topic.worker_tokens[0]}" if topic.worker_tokens else ""
    return base_of(topic) + query
