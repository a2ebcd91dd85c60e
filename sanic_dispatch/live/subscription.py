"""Clients of the live channel, grouped by view, and why a client may be refused."""

from __future__ import annotations

from sanic_dispatch.errors import DispatchError
from sanic_dispatch.live.connection import Connection, ViewKey
from sanic_dispatch.live.delta_view import KnownVersion
from sanic_dispatch.live.views import View


class TooManyClients(DispatchError):
    """The limit of connected clients is reached."""

    code = "TooManyClients"

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} are connected already")


class OutOfReach(DispatchError):
    """This process gets no events, so its projection is out of date."""

    code = "OutOfReach"


class Client:
    """A client: its connection, its view, and the version of the view that it has."""

    __slots__ = ("channel", "cursor", "connection")

    def __init__(self, connection: Connection, channel: Channel, cursor: KnownVersion) -> None:
        self.connection = connection
        self.channel = channel
        self.cursor = cursor


class Channel:
    """A view and its clients; ``pushed_head`` is the version that was pushed last."""

    def __init__(self, key: ViewKey, view: View) -> None:
        self.key = key
        self.view = view
        self.pushed_head = view.head
        self.clients: dict[Client, None] = {}
