"""The one place where objects are wired."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from sanic import Sanic

from sanic_dispatch import logs
from sanic_dispatch.banner import announce
from sanic_dispatch.callbacks import Callbacks, Guard
from sanic_dispatch.clock import SystemClock
from sanic_dispatch.dispatcher import Dispatcher, Limits
from sanic_dispatch.events import Events
from sanic_dispatch.lifecycle import Policy
from sanic_dispatch.listen import listening_socket
from sanic_dispatch.live.hub import Hub
from sanic_dispatch.queues import open_queues
from sanic_dispatch.settings import Settings
from sanic_dispatch.supervisor import Patience, Supervisor
from sanic_dispatch.web import errors
from sanic_dispatch.web.health import health
from sanic_dispatch.web.jobs import jobs
from sanic_dispatch.web.live import live
from sanic_dispatch.web.pages import pages
from sanic_dispatch.web.workers import workers

Prepare = Callable[[Sanic[Any, Any], Settings], None]

BACKLOG = 4096
"""Connections that may wait to be accepted: a whole bar may come back at once."""


def serve(settings: Settings, prepare: Prepare | None = None) -> None:
    """Run until SIGTERM or SIGINT; ``prepare`` may add to the app. Raises StartError."""
    logs.configure(settings.log_format, settings.log_level)
    with listening_socket(settings.host, settings.port) as sock:
        settings = replace(settings, port=sock.getsockname()[1])
        app = create_app(settings)
        if prepare:
            prepare(app, settings)
        app.after_server_start(lambda _: announce(settings, settings.port))
        app.run(sock=sock, single_process=True, motd=False, access_log=False, backlog=BACKLOG)


def create_app(settings: Settings) -> Sanic[Any, Any]:
    """The app, which opens everything when it starts and closes it when it stops."""
    app: Sanic[Any, Any] = Sanic(
        f"dispatch_{secrets.token_hex(4)}", configure_logging=False, env_prefix=""
    )
    app.config.update(
        REQUEST_MAX_SIZE=settings.max_body_bytes,
        REQUEST_TIMEOUT=settings.request_timeout_s,
        AUTO_EXTEND=False,
    )
    app.ctx.settings = settings
    app.ctx.clock = SystemClock()
    app.ctx.guard = Guard()
    for blueprint in (jobs, workers, live, pages, health):
        app.blueprint(blueprint.copy(blueprint.name))
    errors.install(app)
    _run_services(app, settings)
    return app


def _run_services(app: Sanic[Any, Any], settings: Settings) -> None:
    opened = AsyncExitStack()

    async def start(app: Sanic[Any, Any]) -> None:
        await opened.enter_async_context(services(app, settings))

    async def stop_taking(app: Sanic[Any, Any]) -> None:
        await app.ctx.dispatcher.stop()
        app.ctx.hub.stop()

    async def close(_: Sanic[Any, Any]) -> None:
        await opened.aclose()

    app.before_server_start(start)
    app.before_server_stop(stop_taking)
    app.after_server_stop(close)


@asynccontextmanager
async def services(app: Sanic[Any, Any], settings: Settings) -> AsyncIterator[None]:
    """Everything below the web, open and running."""
    clock, guard = app.ctx.clock, app.ctx.guard
    events = Events()
    policy = Policy(settings.max_attempts, settings.lease_s, settings.resend_doubt)
    patience = Patience(worker_s=settings.worker_patience_s)
    events.subscribe(logs.log_event)
    async with AsyncExitStack() as stack:
        app.ctx.hub = hub = Hub(events, clock)
        pairs = await stack.enter_async_context(open_queues(settings, events))
        hub.seed(
            await pairs.jobs.items(),
            await pairs.jobs.all_finished(),
            await pairs.workers.items(),
        )
        callbacks = Callbacks(guard, timeout_s=settings.callback_timeout_s)
        await callbacks.open()
        stack.push_async_callback(callbacks.close)
        limits = Limits(settings.max_jobs, settings.max_workers)
        dispatcher = Dispatcher(
            pairs, callbacks, events, clock, policy, settings.submit_wait_s, limits
        )
        supervisor = Supervisor(
            pairs,
            dispatcher.steps,
            dispatcher.deliveries,
            callbacks,
            events,
            clock,
            policy,
            patience,
        )
        app.ctx.dispatcher = dispatcher
        await dispatcher.start()
        await supervisor.start()
        stack.push_async_callback(supervisor.stop)
        hub.start()
        yield
