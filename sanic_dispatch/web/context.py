"""What the handlers work with, as the app was wired."""

from __future__ import annotations

from typing import Any, Protocol, cast

from sanic import Sanic
from sanic.compat import Header
from sanic.request import RequestParameters
from sanic.response import BaseHTTPResponse

from sanic_dispatch.clock import Clock
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.dispatch.queries import Queries
from sanic_dispatch.live.hub import Hub


class Call(Protocol):
    """What the handlers of the load need of a request: Sanic's, or one that came the short way."""

    @property
    def app(self) -> Sanic[Any, Any]: ...
    @property
    def headers(self) -> Header: ...
    @property
    def path(self) -> str: ...
    @property
    def query_string(self) -> str: ...
    @property
    def args(self) -> RequestParameters: ...
    @property
    def ip(self) -> str: ...
    @property
    def transport(self) -> Any: ...
    @property
    def stream(self) -> Any: ...
    async def respond(self, response: BaseHTTPResponse) -> Any: ...


def dispatcher_of(request: Call) -> Dispatcher:
    """The one dispatcher."""
    return cast(Dispatcher, request.app.ctx.dispatcher)


def queries_of(request: Call) -> Queries:
    """The lists of what waits and what was finished."""
    return dispatcher_of(request).queries


def settings_of(request: Call) -> Settings:
    """The settings that the app runs with."""
    return cast(Settings, request.app.ctx.settings)


def hub_of(request: Call) -> Hub:
    """The hub that the live views come from."""
    return cast(Hub, request.app.ctx.hub)


def now_s_of(request: Call) -> float:
    """The time, Unix seconds."""
    return cast(Clock, request.app.ctx.clock).now_s()
