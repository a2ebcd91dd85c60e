"""What can be followed, and a way to somebody who follows it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from sanic_dispatch.live.frames import Frame

LOW_BYTES = 32 * 1024
"""A wire that holds more than that, not yet taken by its peer, is not written to."""

MOST_BYTES = 1024 * 1024
"""No wire ever holds more than that."""


def has_room(buffered: int, size: int) -> bool:
    """Whether so many bytes more may go into a wire that holds so many."""
    return buffered <= LOW_BYTES and buffered + size <= MOST_BYTES


class Wire(Protocol):
    """A way to one client; ``transport`` is the kind of it, in a word."""

    transport: str

    def buffered(self) -> int:
        """How many bytes the peer has not taken yet."""

    def offer(self, frame: Frame) -> bool:
        """Send a frame if there is room for it; never waits, does nothing on a closed wire."""

    def close(self, code: int) -> None:
        """Say good-bye."""

    def abort(self) -> None:
        """Cut it: the peer does not listen anyway."""


class Topic(NamedTuple):
    """What can be followed: ``board``, ``monitor``, or an order by its secret id."""

    view: str = "board"
    order_id: str = ""
