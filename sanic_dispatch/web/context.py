"""What the handlers work with, as the app was wired."""

from __future__ import annotations

from typing import cast

from sanic import Request

from sanic_dispatch.clock import Clock
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.dispatch.queries import Queries
from sanic_dispatch.live.hub import Hub


def dispatcher_of(request: Request) -> Dispatcher:
    """The one dispatcher."""
    return cast(Dispatcher, request.app.ctx.dispatcher)


def queries_of(request: Request) -> Queries:
    """The lists of what waits and what was finished."""
    return dispatcher_of(request).queries


def settings_of(request: Request) -> Settings:
    """The settings that the app runs with."""
    return cast(Settings, request.app.ctx.settings)


def hub_of(request: Request) -> Hub:
    """The hub that the live views come from."""
    return cast(Hub, request.app.ctx.hub)


def now_s_of(request: Request) -> float:
    """The time, Unix seconds."""
    return cast(Clock, request.app.ctx.clock).now_s()
