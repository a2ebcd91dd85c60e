"""The event bus: publishes committed events to its subscribers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence

import structlog

from sanic_dispatch.core.events import Event

Fold = Callable[[Sequence[Event]], None]

_log = structlog.get_logger("sanic_dispatch")


class EventBus:
    """Publishes events in order, all events of one turn of the event loop together.

    Subscribers are called in the next turn, after the requests whose replies became due; call
    ``catch_up`` before reading from one. A subscriber that raises is logged, and the others are
    still called.
    """

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(4)
        self.number = 0
        """The number of the last published event."""
        self._folds: list[Fold] = []
        self._pending: list[Event] = []

    def begin_epoch(self) -> None:
        """Begin a new epoch: what the one before had may be lost from the next number on."""
        self.epoch = secrets.token_hex(4)

    def subscribe(self, fold: Fold) -> None:
        """Call ``fold`` with all events published from now on."""
        self._folds.append(fold)

    def publish(self, events: Sequence[Event]) -> None:
        """Publish events that have become durable."""
        if not events:
            return
        self._pending.extend(events)
        self.number = events[-1].number
        if len(self._pending) == len(events):
            _soon(self.catch_up)

    def catch_up(self) -> None:
        """Pass all published events to the subscribers now."""
        events, self._pending = self._pending, []
        if events:
            for fold in self._folds:
                try:
                    fold(events)
                except Exception:
                    _log.exception("fold.failed", events=len(events))


def _soon(call: Callable[[], None]) -> None:
    """Call in the next turn of the event loop; at once if no loop is running."""
    try:
        asyncio.get_running_loop().call_soon(call)
    except RuntimeError:
        call()
