"""The app: the only place where objects are wired."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from socket import socket
from ssl import SSLContext
from typing import Any

import structlog
from sanic import Sanic

from sanic_dispatch.callbacks.callback_client import CallbackClient
from sanic_dispatch.callbacks.guard import Guard
from sanic_dispatch.clock import SystemClock
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.dispatch.online_backup import OnlineBackup
from sanic_dispatch.dispatch.pairing_watchdog import Watchdog
from sanic_dispatch.dispatch.queries import TopicSnapshot
from sanic_dispatch.dispatch.readiness import Readiness
from sanic_dispatch.dispatch.standby import Standby
from sanic_dispatch.errors import StorageFailed
from sanic_dispatch.garbage_collection import collect_seldom, no_collection
from sanic_dispatch.history.queries import HistoryQueries
from sanic_dispatch.history.upkeep import tend_regularly
from sanic_dispatch.live.hub import Hub
from sanic_dispatch.observability import log
from sanic_dispatch.observability.event_bus import EventBus
from sanic_dispatch.observability.histogram import CommitStats
from sanic_dispatch.observability.metrics import (
    CountedCallbacks,
    Exposition,
    JobCounts,
    LoopLag,
    Sources,
)
from sanic_dispatch.server.banner import announce, warn_if_open
from sanic_dispatch.server.runner import CLOSE_GRACE_S, run, serving
from sanic_dispatch.server.signals import Stop
from sanic_dispatch.server.sockets import allow_open_files, listening_socket
from sanic_dispatch.server.tls import tls_context
from sanic_dispatch.storage.event_log import LogStats
from sanic_dispatch.storage.open_store import open_store, unusable
from sanic_dispatch.storage.repair import repair_all
from sanic_dispatch.web import problems
from sanic_dispatch.web.auth import Access
from sanic_dispatch.web.browser_policy import Origins, install_cors, page_headers
from sanic_dispatch.web.client_address import Proxies
from sanic_dispatch.web.context import Context
from sanic_dispatch.web.deadlines import NamedRequest
from sanic_dispatch.web.rate_limit import Quota
from sanic_dispatch.web.routes.api_docs import docs
from sanic_dispatch.web.routes.backups import backups
from sanic_dispatch.web.routes.drinks import Menu, menu
from sanic_dispatch.web.routes.events import events
from sanic_dispatch.web.routes.health import health
from sanic_dispatch.web.routes.jobs import jobs
from sanic_dispatch.web.routes.lists import lists
from sanic_dispatch.web.routes.live_channel import live
from sanic_dispatch.web.routes.operator_acts import operator
from sanic_dispatch.web.routes.pages import pages
from sanic_dispatch.web.routes.qr_code import qr
from sanic_dispatch.web.routes.reports import holder, note_refused
from sanic_dispatch.web.routes.workers import workers
from sanic_dispatch.web.websocket import Followers

Prepare = Callable[[Sanic[Any, Context], Settings], None]

BLUEPRINTS = (
    *(jobs, holder, workers, operator, lists, events, backups),
    *(live, pages, menu, qr, health, docs),
)

KEEP_ALIVE_S = 75
"""How long a connection may be idle between requests."""


def serve(settings: Settings, prepare: Prepare | None = None) -> None:
    """Run until SIGTERM or SIGINT; ``prepare`` may add to the app. Raises StartError."""
    stop = Stop()
    stop.listen()
    log.configure(settings.log_format, settings.log_level)
    tls = _tls(settings)
    if settings.repair:
        repair_all(settings, SystemClock().now_s())
    own = settings.with_operator_token()
    made = "" if settings.operator_tokens else own.operator_tokens[0]
    allow_open_files()
    with listening_socket(settings.host, settings.port) as sock:
        own = replace(own, port=sock.getsockname()[1])
        app = create_app(own)
        if prepare:
            prepare(app, own)
        app.after_server_start(lambda _: announce(own, own.port, made))
        app.after_server_start(lambda _: warn_if_open(settings))
        run(_serve_until(stop, app, sock, tls))


def _tls(settings: Settings) -> SSLContext | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return tls_context(settings.tls_cert, settings.tls_key)


async def _serve_until(
    stop: Stop, app: Sanic[Any, Context], sock: socket, tls: SSLContext | None
) -> None:
    log, clock = structlog.get_logger(), SystemClock()
    async with AsyncExitStack() as stack:
        with no_collection():
            await stack.enter_async_context(serving(app, sock, tls))
            collect_seldom()
        await stop.wait()
        began_s = clock.monotonic_s()
        log.info("dispatch.stopping", hint="a second signal ends it at once")
    log.info("dispatch.stopped", took_s=round(clock.monotonic_s() - began_s, 3))


def create_app(settings: Settings) -> Sanic[Any, Context]:
    """Return the app, which opens everything when it starts and closes it when it stops.

    Without an operator's token in the settings, it makes a secret one.
    """
    settings = settings.with_operator_token()
    app: Sanic[Any, Context] = Sanic(
        f"dispatch_{secrets.token_hex(4)}",
        request_class=NamedRequest,
        ctx=new_context(settings),
        configure_logging=False,
        env_prefix="",
    )
    app.config.update(
        REQUEST_MAX_SIZE=settings.max_body_bytes,
        REQUEST_TIMEOUT=settings.request_timeout_s,
        KEEP_ALIVE_TIMEOUT=KEEP_ALIVE_S,
        AUTO_EXTEND=False,
        MOTD=False,
    )
    for blueprint in BLUEPRINTS:
        app.blueprint(blueprint.copy(blueprint.name))
    problems.install(app, note_refused)
    install_cors(app, settings.cors_origins)
    _run_services(app, settings)
    return app


def new_context(settings: Settings) -> Context:
    """Return the part of the context that judges requests.

    Raises SettingsError if an entry for callbacks cannot be read.
    """
    clock, proxies = SystemClock(), Proxies(settings.trusted_proxies)
    per_minute = settings.orders_per_minute
    return Context(
        settings=settings,
        clock=clock,
        access=Access(settings),
        proxies=proxies,
        origins=Origins(settings.allow_origins, proxies),
        guard=Guard(settings.allow_callback),
        quota=Quota(per_minute, clock.monotonic_s) if per_minute else None,
        menu=Menu(settings.menu),
        followers=Followers(),
        page_headers=page_headers(settings),
        responses=Counter({500: 0, 503: 0}),  # alerts watch these: they count from 0 on
    )


def _run_services(app: Sanic[Any, Context], settings: Settings) -> None:
    opened = AsyncExitStack()

    async def start(app: Sanic[Any, Context]) -> None:
        await opened.enter_async_context(services(app, settings))

    async def stop_taking(app: Sanic[Any, Context]) -> None:
        await app.ctx.dispatcher.stop(settings.stop_grace_s)
        app.ctx.hub.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_GRACE_S):
                await app.ctx.followers.gone()

    async def close(_: Sanic[Any, Context]) -> None:
        await opened.aclose()

    app.before_server_start(start)
    app.before_server_stop(stop_taking)
    app.after_server_stop(close)


@asynccontextmanager
async def services(app: Sanic[Any, Context], settings: Settings) -> AsyncIterator[None]:
    """Open and run everything below web/, and set the rest of the context."""
    clock, guard, bus = app.ctx.clock, app.ctx.guard, EventBus()
    bus.subscribe(log.log_events)
    job_counts = JobCounts(bus)
    async with AsyncExitStack() as stack:
        app.ctx.hub = hub = Hub(
            bus,
            clock,
            max_clients=settings.max_connections,
            keep_failed_s=settings.keep_done_s,
        )
        store = await stack.enter_async_context(open_store(settings))
        bus.subscribe(store.history.note)
        app.ctx.events = HistoryQueries(store.history, bus.catch_up, clock.now_s)
        upkeep = asyncio.create_task(tend_regularly(store.history, clock))
        stack.callback(upkeep.cancel)
        app.ctx.callbacks = plain = CallbackClient(guard, timeout_s=settings.callback_timeout_s)
        await plain.open()
        stack.push_async_callback(plain.close)
        callbacks = CountedCallbacks(plain, clock)
        dispatcher = Dispatcher(
            store, callbacks, bus, clock, policy_of(settings), settings.submit_wait_s
        )
        app.ctx.dispatcher = dispatcher
        data_dir = settings.data_dir if settings.writes_data_dir else None
        app.ctx.backup = OnlineBackup(dispatcher, store, bus.catch_up, data_dir)
        stack.push_async_callback(app.ctx.backup.close)

        def show(snapshot: TopicSnapshot | None) -> None:
            if snapshot is not None:
                hub.seed(snapshot)
            hub.set_out_of_reach(snapshot is None)

        with _starting(settings):
            if await store.open():
                await dispatcher.load()
                show(dispatcher.snapshot())
                await dispatcher.start()
        if store.ownership is not None:
            standby = Standby(dispatcher, store.ownership, show, hub.set_out_of_reach)
            standby.start()
            stack.push_async_callback(standby.stop)
        watchdog = _watch(app, stack, callbacks, job_counts, store.history.stats)
        app.ctx.readiness = Readiness(store, watchdog, clock, dispatcher)
        hub.start()
        yield


def policy_of(settings: Settings) -> Policy:
    """Return the rules of the topic."""
    return Policy(
        max_attempts=settings.max_attempts,
        lease_s=settings.lease_s,
        resend_doubt=settings.resend_doubt,
        probe_after_s=settings.probe_after_s,
        unconsumed_after_s=settings.unconsumed_after_s,
        worker_patience_s=settings.worker_patience_s,
        max_jobs=settings.max_jobs,
        max_workers=settings.max_workers,
        keep_done_s=settings.keep_done_s,
    )


@contextmanager
def _starting(settings: Settings) -> Iterator[None]:
    """Turn a failing storage into an error of the start."""
    try:
        yield
    except StorageFailed as error:
        raise unusable(settings, str(error)) from error


def _watch(
    app: Sanic[Any, Context],
    stack: AsyncExitStack,
    calls: CountedCallbacks,
    job_counts: JobCounts,
    history: LogStats,
) -> Watchdog:
    """Start the watchdog and the metrics."""
    clock, hub = app.ctx.clock, app.ctx.hub
    watchdog = Watchdog(
        lambda: hub.projection.next_pair(), clock, lambda: app.ctx.dispatcher.is_open
    )
    loop_lag = LoopLag(asyncio.get_running_loop(), clock.monotonic_s)
    app.ctx.exposition = Exposition(
        Sources(
            app.ctx.settings, clock, hub, _commits(app), job_counts, calls, watchdog, loop_lag,
            app.ctx.responses, history,
        )
    )  # fmt: skip
    watchdog.start()
    stack.push_async_callback(watchdog.stop)
    loop_lag.start()
    stack.callback(loop_lag.stop)
    return watchdog


def _commits(app: Sanic[Any, Context]) -> dict[str, CommitStats]:
    """Return the durations of commits by the queues that are stored; empty if none is."""
    settings: Settings = app.ctx.settings
    modes = {"jobs": settings.job_queue_mode, "workers": settings.worker_queue_mode}
    stored = [queue for queue, mode in modes.items() if mode.is_durable]
    commit_stats = app.ctx.dispatcher.commit_stats
    return {"both" if len(stored) > 1 else stored[0]: commit_stats} if stored else {}
