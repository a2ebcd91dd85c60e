"""The event bus: committed events, told to everything that folds them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence

import structlog

from sanic_dispatch.core.events import Event

Fold = Callable[[Sequence[Event]], None]

_log = structlog.get_logger("sanic_dispatch")


class EventBus:
    """Tells events in their order, those of one turn of the loop together.

    A fold takes them in a little later, behind the answers that have just become due; so
    ``catch_up`` comes before every look at what a fold knows. A fold that fails is logged, and
    stops no other one.
    """

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(4)
        self.number = 0
        """The number of the last event that was told."""
        self._folds: list[Fold] = []
        self._untold: list[Event] = []

    def begin_epoch(self) -> None:
        """Begin anew: what was told before says nothing about what is to come."""
        self.epoch = secrets.token_hex(4)

    def fold_into(self, fold: Fold) -> None:
        """Tell this one too, from now on."""
        self._folds.append(fold)

    def publish(self, events: Sequence[Event]) -> None:
        """Tell events that have become durable."""
        if not events:
            return
        self._untold.extend(events)
        self.number = events[-1].number
        if len(self._untold) == len(events):
            _soon(self.catch_up)

    def catch_up(self) -> None:
        """Let the folds take in now what has been published."""
        events, self._untold = self._untold, []
        if events:
            for fold in self._folds:
                try:
                    fold(events)
                except Exception:
                    _log.exception("fold.failed", events=len(events))


def _soon(call: Callable[[], None]) -> None:
    """Call after what is ready to run now; at once where no loop runs."""
    try:
        asyncio.get_running_loop().call_soon(call)
    except RuntimeError:
        call()
