"""The contract of a client's connection to the live channel, and the key of a view.

A connection that has no room because its client reads too slowly is dropped by the hub:
``Hub._retry_stalled``.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from sanic_dispatch.live.frames import Frame

LOW_WATER_BYTES = 32 * 1024
"""Nothing is written to a connection with more bytes than this not yet taken by its peer."""

MAX_BUFFERED_BYTES = 1024 * 1024
"""The most bytes that are ever buffered for one connection."""


def has_room(buffered: int, size: int) -> bool:
    """Return whether ``size`` bytes may be added to the ``buffered`` bytes of a connection."""
    return buffered <= LOW_WATER_BYTES and buffered + size <= MAX_BUFFERED_BYTES


class Connection(Protocol):
    """A connection to one client; ``transport`` names its kind in the metrics."""

    transport: str

    def buffered(self) -> int:
        """Return the number of bytes that the peer has not taken yet."""

    def offer(self, frame: Frame) -> bool:
        """Send a frame if the buffer has room, and return whether it had.

        Never waits. Nothing is sent on a closed connection.
        """

    def close(self, code: int) -> None:
        """Close the connection with this close code, after what is buffered."""

    def abort(self) -> None:
        """Drop the connection at once, with what is buffered."""


class ViewKey(NamedTuple):
    """Identify a view: ``board``, ``monitor``, or ``order`` with the order's secret id."""

    view: str = "board"
    order_id: str = ""
