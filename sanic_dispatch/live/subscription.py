"""Who follows what, and why somebody may not follow."""

from __future__ import annotations

from sanic_dispatch.errors import DispatchError
from sanic_dispatch.live.connection import Topic, Wire
from sanic_dispatch.live.view import Known
from sanic_dispatch.live.views import Watched


class TooManyClients(DispatchError):
    """As many follow as may follow."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} are following already")
        self.limit = limit


class OutOfReach(DispatchError):
    """What happens does not come through; what is shown here is old."""

    def __init__(self) -> None:
        super().__init__("the queues are out of reach")


class Client:
    """Somebody who follows a view: how far, and on which wire."""

    __slots__ = ("channel", "cursor", "wire")

    def __init__(self, wire: Wire, channel: Channel, cursor: Known) -> None:
        self.wire = wire
        self.channel = channel
        self.cursor = cursor


class Channel:
    """A view, and all who follow it; ``pushed`` is the head that was pushed last."""

    def __init__(self, topic: Topic, view: Watched) -> None:
        self.topic = topic
        self.view = view
        self.pushed = view.head
        self.clients: dict[Client, None] = {}
