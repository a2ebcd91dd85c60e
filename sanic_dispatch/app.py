"""The app: the only place where objects are wired."""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from dataclasses import replace
from functools import partial
from pathlib import Path
from ssl import SSLContext
from typing import Any, TypeVar

import structlog
from sanic import Sanic

from sanic_dispatch.callbacks.callback_client import CallbackClient
from sanic_dispatch.callbacks.guard import Guard
from sanic_dispatch.clock import Clock, SystemClock
from sanic_dispatch.cluster.forwarding import Forwarder
from sanic_dispatch.cluster.link import Identity
from sanic_dispatch.cluster.members import Members, member_of
from sanic_dispatch.cluster.sessions import Sessions
from sanic_dispatch.cluster.spreading import Turn
from sanic_dispatch.config.settings import CancelAssigned, Settings
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.dispatch.online_backup import OnlineBackup
from sanic_dispatch.dispatch.pairing_watchdog import Watchdog
from sanic_dispatch.dispatch.queries import TopicSnapshot
from sanic_dispatch.dispatch.readiness import Readiness
from sanic_dispatch.dispatch.standby import Standby
from sanic_dispatch.enum_lookup import use_plain_lookup
from sanic_dispatch.errors import StartError, StorageFailed
from sanic_dispatch.garbage_collection import collect_seldom, no_collection
from sanic_dispatch.history.experience import experience_in
from sanic_dispatch.history.history_queries import HistoryQueries
from sanic_dispatch.history.log_maintenance import maintain_regularly
from sanic_dispatch.live.hub import Hub
from sanic_dispatch.live.past_projection import PastProjection
from sanic_dispatch.live.playback import Playbacks
from sanic_dispatch.live.projection import Projection
from sanic_dispatch.live.rewinder import Rewinder
from sanic_dispatch.observability import log
from sanic_dispatch.observability.durations import CommitStats
from sanic_dispatch.observability.event_bus import EventBus
from sanic_dispatch.observability.metrics import (
    Exposition,
    JobCounts,
    LoopLag,
    Sources,
)
from sanic_dispatch.outbox.message_client import MessageClient
from sanic_dispatch.outbox.outbox import Outbox
from sanic_dispatch.outbox.push_client import PushClient
from sanic_dispatch.outbox.push_outbox import PushOutbox
from sanic_dispatch.server.banner import announce, warn_if_open
from sanic_dispatch.server.processes import ServerProcess, fork_processes
from sanic_dispatch.server.runner import CLOSE_GRACE_S, run, serving
from sanic_dispatch.server.signals import Stop
from sanic_dispatch.server.sockets import LOOPBACK, allow_open_files, listening_socket
from sanic_dispatch.server.tls import tls_context
from sanic_dispatch.storage.event_log import EventLog
from sanic_dispatch.storage.open_store import open_store, unusable
from sanic_dispatch.storage.repair import repair_all
from sanic_dispatch.storage.store import Store
from sanic_dispatch.web import problems
from sanic_dispatch.web.auth import Access
from sanic_dispatch.web.browser_policy import Origins, install_cors, page_headers
from sanic_dispatch.web.calls import LinkedService, follow_elsewhere
from sanic_dispatch.web.client_address import Proxies
from sanic_dispatch.web.context import TOPICS_PATH, Context
from sanic_dispatch.web.deadlines import NamedRequest
from sanic_dispatch.web.menu_file import Menu
from sanic_dispatch.web.rate_limit import Quota
from sanic_dispatch.web.routes.api_docs import docs
from sanic_dispatch.web.routes.backups import backups
from sanic_dispatch.web.routes.drinks import menu
from sanic_dispatch.web.routes.event_queries import events
from sanic_dispatch.web.routes.health import health
from sanic_dispatch.web.routes.jobs import jobs
from sanic_dispatch.web.routes.links import links
from sanic_dispatch.web.routes.lists import lists
from sanic_dispatch.web.routes.live_channel import live
from sanic_dispatch.web.routes.operator_acts import operator
from sanic_dispatch.web.routes.pages import pages
from sanic_dispatch.web.routes.push import push
from sanic_dispatch.web.routes.push_acts import push_acts
from sanic_dispatch.web.routes.qr_code import qr
from sanic_dispatch.web.routes.reports import holder, note_refused
from sanic_dispatch.web.routes.topics import opened_topics, topics
from sanic_dispatch.web.routes.webhook_acts import webhook_acts
from sanic_dispatch.web.routes.worker_channel import worker_channel
from sanic_dispatch.web.routes.workers import workers
from sanic_dispatch.web.websocket import Followers
from sanic_dispatch.web.worker_connections import WorkerConnections

P = TypeVar("P", bound=Projection)

Prepare = Callable[[Sanic[Any, Context], Settings], None]

BLUEPRINTS = (
    *(jobs, holder, workers, worker_channel, operator, lists, events, backups, webhook_acts),
    *(push, push_acts),
    *(opened_topics, live, pages, menu, qr, health, docs),
)

KEEP_ALIVE_S = 75
"""How long a connection may be idle between requests."""

UPKEEP_RETRY_S = 5.0
"""How long to wait before work in the background that has failed by mistake begins again."""


def serve(settings: Settings, prepare: Prepare | None = None) -> None:
    """Run until SIGTERM or SIGINT; ``prepare`` may add to the app. Raises StartError."""
    stop = Stop()
    stop.listen()
    log.configure(settings.log_format, settings.log_level)
    tls = _tls(settings)
    if settings.repair:
        for each in (settings, *settings.topics.values()):
            with log.in_topic(each.topic):
                repair_all(each, SystemClock().now_s())
    own = settings.with_operator_token()
    made = "" if settings.operator_tokens else own.operator_tokens[0]
    allow_open_files()
    with ExitStack() as stack:
        sock = stack.enter_context(listening_socket(settings.host, settings.port))
        own = own.with_port(sock.getsockname()[1])
        process, private = None, None
        if own.workers > 1:
            if stop.is_asked:
                return
            process = fork_processes(own.workers, own.stop_grace_s)
            if process is None:  # this is the parent, and all have ended
                return
            stop.listen()
            private = stack.enter_context(listening_socket(LOOPBACK, 0))
            own = own.with_process(process.number, LOOPBACK, private.getsockname()[1])
        app = create_app(own)
        if prepare:
            prepare(app, own)
        if process is None or process.number == 1:
            app.after_server_start(lambda _: announce(own, made))
            app.after_server_start(lambda _: warn_if_open(settings))
        run(_serve_until(stop, process, serving(app, sock, tls, private)))


def _tls(settings: Settings) -> SSLContext | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return tls_context(settings.tls_cert, settings.tls_key)


async def _serve_until(
    stop: Stop, process: ServerProcess | None, service: AbstractAsyncContextManager[None]
) -> None:
    log, clock = structlog.get_logger(), SystemClock()
    async with AsyncExitStack() as stack:
        try:
            with no_collection():
                await stack.enter_async_context(service)
                collect_seldom()
                use_plain_lookup()
        except StartError as error:
            if not (stop.is_asked or (process is not None and process.is_to_stop())):
                raise
            log.info("dispatch.stopped", reason=str(error))
            return
        if process is not None:
            process.report_ready()
        await stop.wait(process.lifeline if process else None)
        began_s = clock.monotonic_s()
        log.info("dispatch.stopping", hint="a second signal ends it at once")
    log.info("dispatch.stopped", took_s=round(clock.monotonic_s() - began_s, 3))


def create_app(settings: Settings) -> Sanic[Any, Context]:
    """Return the app, which opens everything when it starts and closes it when it stops.

    Without an operator's token in the settings, it makes a secret one.
    """
    settings = settings.with_operator_token()
    context = new_context(settings)
    app: Sanic[Any, Context] = Sanic(
        f"dispatch_{secrets.token_hex(4)}",
        request_class=NamedRequest,
        ctx=context,
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
    for blueprint in (*BLUEPRINTS, topics, links):
        app.blueprint(blueprint.copy(blueprint.name))
    for name in context.topics:
        for blueprint in BLUEPRINTS:
            prefix = f"{TOPICS_PATH}{name}{blueprint.url_prefix or ''}"
            app.blueprint(blueprint.copy(f"{blueprint.name}_of_{name}"), url_prefix=prefix)
    problems.install(app, note_refused)
    install_cors(app, settings.cors_origins)
    _run_services(app)
    return app


def new_context(settings: Settings) -> Context:
    """Return the part of the context that judges requests, with those of the named topics.

    Raises SettingsError if an entry for callbacks, webhooks or push services cannot be read.
    """
    clock, proxies = SystemClock(), Proxies(settings.trusted_proxies)
    context = Context(
        settings=settings,
        clock=clock,
        access=Access(settings),
        proxies=proxies,
        origins=Origins(settings.allow_origins, proxies),
        guard=Guard(settings.allow_callback),
        webhook_guard=Guard(settings.allow_webhook, public_only=True),
        push_guard=Guard(settings.allow_push, public_only=True),
        quota=_quota(settings, clock),
        menu=Menu(settings.menu),
        followers=Followers(),
        worker_connections=WorkerConnections(settings.max_connections),
        page_headers=page_headers(settings),
        responses=defaultdict(int, {500: 0, 503: 0}),  # alerts watch these: they count from 0 on
    )
    topics = {
        name: replace(
            context,
            settings=own,
            access=Access(own, settings.operator_tokens),
            quota=_quota(own, clock),
            menu=Menu(own.menu),
        )
        for name, own in settings.topics.items()
    }
    return replace(context, topics=topics)


def _quota(settings: Settings, clock: Clock) -> Quota | None:
    per_minute = settings.orders_per_minute
    return Quota(per_minute, clock.monotonic_s) if per_minute else None


def _run_services(app: Sanic[Any, Context]) -> None:
    opened = AsyncExitStack()
    contexts = (app.ctx, *app.ctx.topics.values())
    started: list[Context] = []
    members: Members | None = None

    async def start(_: Sanic[Any, Context]) -> None:
        nonlocal members
        members = await _join(app.ctx.settings, opened)
        await _link(app.ctx, opened)
        data_dirs = _data_dirs_in_use([context.settings for context in contexts])
        for context in contexts:
            with log.in_topic(context.settings.topic):
                await opened.enter_async_context(services(context, members, data_dirs))
            started.append(context)
        await opened.enter_async_context(_metrics(app.ctx, members))

    async def check_address(_: Sanic[Any, Context]) -> None:
        own, forwarder = member_of(app.ctx.settings), app.ctx.forwarder
        if forwarder is not None and app.ctx.settings.advertise:
            forwarder.keep(forwarder.check_address(own))

    async def stop_taking(_: Sanic[Any, Context]) -> None:
        if members is not None:
            await members.leave()
        app.ctx.worker_connections.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_GRACE_S):
                await app.ctx.worker_connections.gone()
        async with asyncio.TaskGroup() as group:
            for context in started:
                group.create_task(_stop_taking(context))
        for context in started:
            context.hub.stop()
            context.playbacks.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_GRACE_S):
                await app.ctx.followers.gone()

    async def close(_: Sanic[Any, Context]) -> None:
        await opened.aclose()

    app.before_server_start(start)
    app.after_server_start(check_address)
    app.before_server_stop(stop_taking)
    app.after_server_stop(close)


async def _join(settings: Settings, stack: AsyncExitStack) -> Members | None:
    """Announce this process to those that share its queues, until the stack ends; None if none can.

    Raises RedisUnusable.
    """
    if not member_of(settings).topics:
        return None
    from sanic_dispatch.storage.redis_members import membership  # slow, so only for this mode

    return await stack.enter_async_context(membership(settings))


async def _stop_taking(context: Context) -> None:
    """Hand the topic over to another process, or take nothing in any more."""
    grace_s, standby = context.settings.stop_grace_s, context.standby
    with log.in_topic(context.settings.topic):
        if standby is None or not await standby.leave(grace_s):
            await context.dispatcher.stop(grace_s)


async def _link(service: Context, stack: AsyncExitStack) -> None:
    """Let this process forward to others, and them to this one, if they can share its queues.

    Raises RedisUnusable.
    """
    settings = service.settings
    own = member_of(settings)
    if not own.topics:
        return
    from sanic_dispatch.storage.redis_secret import SharedSecret  # slow, so only for this mode

    identity = Identity(own.name, secrets.token_hex(8), settings.cluster_secret)
    if not settings.cluster_secret:
        shared = SharedSecret(settings)
        stack.push_async_callback(shared.close)
        identity.secret = await shared.first_read()
        _run_until_closed(stack, service.clock, partial(shared.follow, identity))
    forwarder = Forwarder(identity)
    for context in (service, *service.topics.values()):
        context.forwarder = forwarder
    service.sessions = Sessions(identity, LinkedService(service))
    stack.push_async_callback(forwarder.close, settings.stop_grace_s)
    stack.callback(service.sessions.close)


def _data_dirs_in_use(topics: Collection[Settings]) -> list[Path]:
    """Return the data folders of the service and its topics, if any of them writes to its own.

    The service's has the others, unless one of them is a link.
    """
    is_written = any(settings.writes_data_dir for settings in topics)
    return [settings.data_dir for settings in topics] if is_written else []


@asynccontextmanager
async def services(
    context: Context, members: Members | None, data_dirs: Collection[Path]
) -> AsyncIterator[None]:
    """Open and run everything of a topic below web/, and set the rest of its context.

    ``data_dirs`` are those of all topics: no backup is written there.
    """
    settings, clock, bus = context.settings, context.clock, EventBus()
    bus.subscribe(log.of_topic(settings.topic))
    job_counts = JobCounts(bus)
    async with AsyncExitStack() as stack:
        context.hub = hub = Hub(
            bus,
            clock,
            max_clients=settings.max_connections,
            new_projection=_projections(Projection, context),
        )
        store = await stack.enter_async_context(open_store(settings))
        _open_history(context, store.history, bus, stack)
        if settings.menu:
            _run_until_closed(stack, clock, partial(context.menu.refresh_regularly, clock))
        context.callbacks = CallbackClient(context.guard, timeout_s=settings.callback_timeout_s)
        stack.push_async_callback(context.callbacks.close)
        context.dispatcher = dispatcher = Dispatcher(
            store,
            context.callbacks,
            bus,
            clock,
            policy_of(settings),
            settings.submit_wait_s,
            hub.promised,
        )
        _open_outboxes(context, store, bus, stack)
        context.backup = OnlineBackup(dispatcher, store, bus.catch_up, data_dirs)
        stack.push_async_callback(context.backup.close)
        show = partial(_show, context, store.history)
        turn = Turn(settings.topic, members if settings.is_shared else None)
        with _starting(settings):
            if await store.open(is_our_turn=turn.is_ours()):
                await dispatcher.load()
                await show(dispatcher.snapshot())
                await dispatcher.start()
        if store.ownership is not None:
            context.standby = Standby(dispatcher, store.ownership, turn, show, hub.set_out_of_reach)
            context.standby.start()
            stack.push_async_callback(context.standby.stop)
        watchdog = Watchdog(
            lambda: hub.projection.next_pair(dispatcher.is_reached),
            clock,
            lambda: dispatcher.is_open,
        )
        watchdog.start()
        stack.push_async_callback(watchdog.stop)
        context.readiness = Readiness(store, watchdog, clock, dispatcher)
        context.sources = Sources(
            settings, clock, hub, _commits(context), job_counts, dispatcher.delivery_stats,
            watchdog, store.history.stats, store.ownership, context.outbox, context.push_outbox,
        )  # fmt: skip
        hub.start()
        yield


def _open_history(
    context: Context, history: EventLog, bus: EventBus, stack: AsyncExitStack
) -> None:
    """Answer questions about past events, and show the monitor as it was."""
    clock = context.clock
    if not history.lasts:  # else the events come with their batch
        bus.subscribe(history.note)
    context.events = HistoryQueries(history, bus.catch_up, clock.now_s)
    _run_until_closed(stack, clock, partial(maintain_regularly, history, clock))
    context.playbacks = Playbacks(clock)
    new_projection = _projections(PastProjection, context)
    context.rewinder = Rewinder(history, bus.catch_up, clock, new_projection)
    _run_until_closed(stack, clock, context.rewinder.keep_up)


def _open_outboxes(context: Context, store: Store, bus: EventBus, stack: AsyncExitStack) -> None:
    """Make the dispatcher's companions, which tell webhooks and phones of events."""
    settings, clock, dispatcher = context.settings, context.clock, context.dispatcher
    context.webhook_client = MessageClient(context.webhook_guard, clock)
    stack.push_async_callback(context.webhook_client.close)
    plain_guard = Guard(settings.allow_push) if settings.allow_push else None
    context.push_client = PushClient(context.push_guard, plain_guard, clock)
    stack.push_async_callback(context.push_client.close)
    context.outbox = Outbox(
        dispatcher, store, context.events, bus, clock, context.webhook_client, settings.webhooks
    )
    context.push_outbox = PushOutbox(
        dispatcher,
        lambda: context.hub.projection,
        bus,
        clock,
        context.push_client,
        settings.push_contact,
    )
    dispatcher.companions = (context.outbox, context.push_outbox)


async def _show(context: Context, history: EventLog, snapshot: TopicSnapshot | None) -> None:
    """Show a topic that this process takes over; with None the owner's views, if it has any."""
    hub = context.hub
    if snapshot is None and context.forwarder is not None:
        hub.relay_from(follow_elsewhere(context))
        return
    if snapshot is not None:
        hub.show(await asyncio.to_thread(_projection_of, hub, history, snapshot))
    hub.set_out_of_reach(snapshot is None)


def _projection_of(hub: Hub, history: EventLog, snapshot: TopicSnapshot) -> Projection:
    """Return a snapshot as it is shown, with what the event log says of earlier promises."""
    return hub.project(snapshot, experience_in(history))


def _run_until_closed(
    stack: AsyncExitStack, clock: Clock, work: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Run something in a task that is cancelled when the stack is closed.

    If it fails, which is a mistake of ours or for want of a thread, it begins again.
    """

    async def run() -> None:
        while True:
            try:
                await work()
            except Exception:
                structlog.get_logger("sanic_dispatch").exception("upkeep.failed")
            await clock.sleep(UPKEEP_RETRY_S)

    stack.callback(asyncio.create_task(run()).cancel)


def _projections(kind: type[P], context: Context) -> Callable[[], P]:
    """Return what makes an empty projection of a topic."""
    policy = policy_of(context.settings)
    return partial(
        kind,
        policy.keep_done_s,
        policy.ordering,
        lambda: context.menu.drinks,
        policy.cancel_assigned,
    )


@asynccontextmanager
async def _metrics(service: Context, members: Members | None) -> AsyncIterator[None]:
    """Measure the event loop, and set the metrics of all topics."""
    loop_lag = LoopLag(asyncio.get_running_loop(), service.clock.monotonic_s)
    topics = {name: context.sources for name, context in service.topics.items()}
    sources = {"": service.sources, **topics}
    exposition = Exposition(
        sources, loop_lag, service.responses, service.worker_connections.counts, members
    )
    for context in (service, *service.topics.values()):
        context.exposition = exposition
    loop_lag.start()
    try:
        yield
    finally:
        loop_lag.stop()


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
        max_rules=settings.max_rules,
        priorities=settings.priorities,
        priority_step_s=settings.priority_step_s,
        fair_by=settings.fair_by or None,
        keep_done_s=settings.keep_done_s,
        callback_timeout_s=settings.callback_timeout_s,
        cancel_assigned=settings.cancel_assigned is CancelAssigned.AUTO,
    )


@contextmanager
def _starting(settings: Settings) -> Iterator[None]:
    """Turn a failing storage into an error of the start."""
    try:
        yield
    except StorageFailed as error:
        raise unusable(settings, str(error)) from error


def _commits(context: Context) -> dict[str, CommitStats]:
    """Return the durations of commits by the queues that are stored; empty if none is."""
    settings = context.settings
    modes = {"jobs": settings.job_queue_mode, "workers": settings.worker_queue_mode}
    stored = [queue for queue, mode in modes.items() if mode.is_durable]
    commit_stats = context.dispatcher.commit_stats
    return {"both" if len(stored) > 1 else stored[0]: commit_stats} if stored else {}
