"""What can be followed, and a way to somebody who follows it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from sanic_dispatch.live.frame import Frame


class Wire(Protocol):
    """A way to one client; ``transport`` is the kind of it, in a word."""

    transport: str

    def buffered(self) -> int:
        """How many bytes the peer has not taken yet."""

    def write(self, frame: Frame) -> None:
        """Send a frame; never waits, and does nothing once the wire is closed."""

    def close(self, code: int) -> None:
        """Say good-bye."""

    def abort(self) -> None:
        """Cut it: the peer does not listen anyway."""


class Topic(NamedTuple):
    """What can be followed: ``board``, ``monitor``, or an order by its secret id."""

    view: str = "board"
    order_id: str = ""
