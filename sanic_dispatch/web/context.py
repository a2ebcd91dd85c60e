"""The typed ``ctx`` of the app, one of each topic, and what handlers need of a request."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from sanic import Sanic
from sanic.compat import Header
from sanic.request import RequestParameters
from sanic.response import BaseHTTPResponse

from sanic_dispatch.callbacks.callback_client import CallbackClient
from sanic_dispatch.callbacks.guard import Guard
from sanic_dispatch.clock import Clock
from sanic_dispatch.cluster.forwarding import Forwarder
from sanic_dispatch.cluster.sessions import Sessions
from sanic_dispatch.config.settings import TOPICS_FOLDER, Settings
from sanic_dispatch.config.topic_names import nearest
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.dispatch.online_backup import OnlineBackup
from sanic_dispatch.dispatch.readiness import Readiness
from sanic_dispatch.dispatch.standby import Standby
from sanic_dispatch.errors import UnknownTopic
from sanic_dispatch.history.history_queries import HistoryQueries
from sanic_dispatch.live.hub import Hub
from sanic_dispatch.live.playback import Playbacks
from sanic_dispatch.live.rewinder import Rewinder
from sanic_dispatch.observability.metrics import Exposition, Sources
from sanic_dispatch.outbox.message_client import MessageClient
from sanic_dispatch.outbox.outbox import Outbox
from sanic_dispatch.outbox.push_client import PushClient
from sanic_dispatch.outbox.push_outbox import PushOutbox
from sanic_dispatch.web.menu_file import Menu

if TYPE_CHECKING:
    from sanic_dispatch.web.auth import Access
    from sanic_dispatch.web.browser_policy import Origins
    from sanic_dispatch.web.client_address import Proxies
    from sanic_dispatch.web.rate_limit import Quota
    from sanic_dispatch.web.websocket import Followers
    from sanic_dispatch.web.worker_connections import WorkerConnections

TOPICS_PATH = f"/{TOPICS_FOLDER}/"
"""What the paths of named topics begin with."""


@dataclass(eq=False)
class Context:
    """What handlers use of a topic; the unnamed topic's is the ``ctx`` of the app.

    Fields without a default are set when the app is created, the others when the server starts,
    before it takes requests.
    """

    settings: Settings
    clock: Clock
    access: Access
    proxies: Proxies
    origins: Origins
    guard: Guard
    webhook_guard: Guard
    push_guard: Guard
    quota: Quota | None
    menu: Menu
    followers: Followers
    worker_connections: WorkerConnections
    page_headers: Mapping[str, str]
    responses: defaultdict[int, int]
    """The number of answers by status, of all topics."""
    topics: Mapping[str, Context] = field(default_factory=dict)
    """The contexts of the named topics, by name."""
    forwarder: Forwarder | None = None
    """Calls the owners of topics; None if no other process can own one."""
    sessions: Sessions | None = None
    """Takes in what other processes forward, for all topics."""
    events: HistoryQueries = field(init=False)
    rewinder: Rewinder = field(init=False)
    playbacks: Playbacks = field(init=False)
    hub: Hub = field(init=False)
    callbacks: CallbackClient = field(init=False)
    dispatcher: Dispatcher = field(init=False)
    standby: Standby | None = field(init=False, default=None)
    backup: OnlineBackup = field(init=False)
    webhook_client: MessageClient = field(init=False)
    push_client: PushClient = field(init=False)
    push_outbox: PushOutbox = field(init=False)
    outbox: Outbox = field(init=False)
    readiness: Readiness = field(init=False)
    sources: Sources = field(init=False)
    exposition: Exposition = field(init=False)


class Call(Protocol):
    """A request as the busiest handlers need it: Sanic's, or a ``FastRequest``."""

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
    def protocol(self) -> Any: ...
    @property
    def stream(self) -> Any: ...
    @property
    def body(self) -> bytes: ...
    async def respond(self, response: BaseHTTPResponse) -> Any: ...


def context_of(request: Call) -> Context:
    """Return the context of the topic that the request is for. Raises UnknownTopic."""
    context: Context = request.app.ctx
    path = request.path
    return topic_context(context, path) if path.startswith(TOPICS_PATH) else context


def topic_context(service: Context, path: str) -> Context:
    """Return the context of the topic in a path under ``topics/``. Raises UnknownTopic."""
    name = path[len(TOPICS_PATH) :].partition("/")[0]
    if not name:
        return service
    try:
        return service.topics[name]
    except KeyError:
        listed = [name for name, each in service.topics.items() if each.settings.listed]
        raise UnknownTopic(name, nearest(name, listed)) from None


def settings_of(request: Call) -> Settings:
    """Return the settings that the app runs with."""
    return context_of(request).settings


def hub_of(request: Call) -> Hub:
    """Return the hub of the live views."""
    return context_of(request).hub
