"""The connections by which connected workers are reached, here or at another process.

A connection is attached before its worker registers, and detached when it is gone. Between the two
it takes messages: the effects of the state machine that concern it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core.job import Job


class MessageKind(StrEnum):
    """The kinds of messages to a worker's connection."""

    OFFER = "offer"
    """Here is a job for the worker."""
    STOP = "stop"
    """Its job is to be cancelled."""
    REPLACED = "replaced"
    """Another connection of the same worker has taken over."""
    LOST = "lost"
    """It is not attached any more: its worker has to be registered, or resumed, again."""


class Message(NamedTuple):
    """Something to tell a connection; ``job`` comes with an offer, with its receipt and lease."""

    kind: MessageKind
    job_id: str = ""
    job: Job | None = None
    receipt: str = ""
    lease_s: float = 0.0


TakeMessage = Callable[[Message], None]
"""Takes what is told to a connection; must not raise."""


class Connections:
    """Knows which connections are attached, and passes messages on to them."""

    def __init__(self, report: Callable[[c.Command], None]) -> None:
        """``report`` takes what has happened to a connection: ``Batches.report``."""
        self._report = report
        self._takes: dict[str, TakeMessage] = {}

    def attach(self, connection: str, take: TakeMessage) -> Callable[[], None]:
        """Pass messages on to a connection; return what detaches it."""
        self._takes[connection] = take
        return lambda: self._detach(connection)

    def is_attached(self, connection: str) -> bool:
        """Whether messages reach this connection."""
        return connection in self._takes

    def begin(self, effect: e.OfferJob | e.AskToStop | e.EndConnection) -> None:
        """Pass an effect on; an offer to a connection that is gone goes back."""
        take = self._takes.get(effect.connection)
        if isinstance(effect, e.OfferJob):
            job = effect.job
            if take is None:
                self._report(c.OfferReturned(job.id, job.attempt, effect.request))
            else:
                take(Message(MessageKind.OFFER, job.id, job, effect.receipt, effect.lease_s))
        elif take is None:
            return
        elif isinstance(effect, e.AskToStop):
            take(Message(MessageKind.STOP, effect.job_id))
        else:
            take(Message(MessageKind.REPLACED))

    def close(self) -> None:
        """Detach all, since the topic is not served here any more; nothing is reported."""
        takes, self._takes = self._takes, {}
        for take in takes.values():
            take(Message(MessageKind.LOST))

    def _detach(self, connection: str) -> None:
        if self._takes.pop(connection, None) is not None:
            self._report(c.Leave(connection))
