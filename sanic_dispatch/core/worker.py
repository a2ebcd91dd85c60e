"""Workers that wait for a job: process instances on a callback URL, or connected workers.

A connected worker has no address. It is reached by its websocket, or by the answer to its poll; its
name stands wherever a callback URL does, after ``ws:`` or ``poll:``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from sanic_dispatch.core.rules import ANYTHING
from sanic_dispatch.core.timestamps import from_rfc3339
from sanic_dispatch.core.value import Value

GONE = "gone"
"""Our word for an instance that the engine does not know, or no longer knows."""

ENDED = (GONE, "finished", "abandoned")
"""The final states of an instance."""

CONNECTED = WEBSOCKET, POLL = "ws:", "poll:"
"""What the id of a connected worker begins with."""


class Key(NamedTuple):
    """A worker's identity across registrations: a process instance and one of its activities."""

    instance: str
    activity: str


class Cause(StrEnum):
    """The reasons for setting a worker aside."""

    REFUSED = "refused"
    """It did not take a job, or may wait no longer: used again once a probe sees it pending."""
    AWAITS = "awaits"
    """Its last job is unsettled: once that is settled, it is free, or gets that job again."""
    LOST = "lost"
    """The same, but it says that the job never arrived (``?lost``): it gets it in any case."""
    OPERATOR = "operator"
    """An operator set it aside: only an operator brings it back."""
    EXPIRED = "expired"
    """Its time to wait is over: it leaves the queue once its callback was told so."""


FOR_GOOD = (Cause.OPERATOR, Cause.EXPIRED)
"""Causes of a set-aside that no probe ends."""

_AWAITING = (Cause.AWAITS, Cause.LOST, Cause.OPERATOR)
"""Causes of a set-aside of a worker that may await the outcome of its last job."""

REPLACED = "it came back with a new callback"
"""Why an older callback of a worker is set aside, or dropped."""

UNSETTLED = "its last job is unsettled"
"""Why a worker that came back is set aside until its last job is settled."""


class Aside(Value, frozen=True):
    """Why a queued worker gets no jobs, and since when (Unix seconds).

    ``job_id`` is the job that it refused, or whose outcome it waits for. ``may_arrive``: a job that
    was sent to its callback may still arrive there, so a pending callback proves nothing yet; or,
    if an operator set it aside, has arrived.
    """

    cause: Cause
    since_s: float
    reason: str = ""
    job_id: str = ""
    may_arrive: bool = False


class Worker(Value, frozen=True):
    """A waiting worker. Its id is the callback URL: one call of a process instance.

    ``place`` orders the queue. The queue sets it; in a file it is the order of the entries.
    ``rule`` says which jobs it takes, in the normal form of ``core/rules.py``. ``expires_s`` is
    when it stops waiting (Unix seconds). ``session`` is the secret by which another connection
    takes up what a worker at a websocket has.
    """

    callback_url: str
    registered_at: str
    key: Key | None = None
    instance_url: str = ""
    label: str = ""
    aside: Aside | None = None
    refusals: int = 0
    place: float = 0.0
    rule: str = ANYTHING
    expires_s: float | None = None
    session: str = ""

    @property
    def is_connected(self) -> bool:
        """Whether it has no callback, and is reached by a connection of its own."""
        return self.callback_url.startswith(CONNECTED)

    @property
    def polls(self) -> bool:
        """Whether it is reached by the answer to its poll."""
        return self.callback_url.startswith(POLL)

    @property
    def id(self) -> str:
        """The worker's id: its callback URL."""
        return self.callback_url

    @property
    def registered_s(self) -> float:
        """When it registered, Unix seconds."""
        return from_rfc3339(self.registered_at)

    def refused(
        self, reason: str, now_s: float, job_id: str, *, may_arrive: bool = False
    ) -> Worker:
        """Return the worker set aside after it refused a job, or may have taken it."""
        aside = Aside(Cause.REFUSED, now_s, reason, job_id, may_arrive)
        return self._replace(aside=aside, refusals=self.refusals + 1)

    def with_better_reason(self, reason: str) -> Worker | None:
        """Return the worker with a better reason for its set-aside; None if nothing changes."""
        if self.aside is None or self.aside.cause is not Cause.REFUSED:
            return None
        if self.aside.reason == reason:
            return None
        return self._replace(aside=self.aside._replace(reason=reason))

    def replaced(self, now_s: float) -> Worker | None:
        """Return the worker set aside because it has a newer callback; None if nothing changes.

        What was sent to this one may still arrive.
        """
        aside = self.aside
        if self.is_replaced or (aside and aside.cause in FOR_GOOD):
            return None
        may_arrive = aside is not None and aside.may_arrive
        return self._replace(aside=Aside(Cause.REFUSED, now_s, REPLACED, may_arrive=may_arrive))

    @property
    def is_replaced(self) -> bool:
        """Whether it is set aside because it has a newer callback."""
        return self.aside is not None and self.aside.reason == REPLACED

    def awaiting(self, now_s: float, job_id: str, *, lost: bool) -> Worker:
        """Return the worker set aside until the job of its old callback is settled."""
        cause = Cause.LOST if lost else Cause.AWAITS
        return self._replace(aside=Aside(cause, now_s, UNSETTLED, job_id))

    def set_aside_by_operator(self, now_s: float, reason: str) -> Worker:
        """Return the worker set aside by an operator; it still awaits its last job's outcome."""
        aside = self.aside
        job_id = aside.job_id if aside is not None and aside.cause is not Cause.REFUSED else ""
        may_arrive = aside is not None and aside.may_arrive
        return self._replace(aside=Aside(Cause.OPERATOR, now_s, reason, job_id, may_arrive))

    @property
    def is_set_aside_by_operator(self) -> bool:
        """Whether only an operator brings it back."""
        return self.aside is not None and self.aside.cause is Cause.OPERATOR

    def perhaps_used(self, since_s: float | None = None) -> Worker:
        """Return a worker that is set aside, whose callback is used up, or may yet be.

        ``since_s`` is when its job went elsewhere (Unix seconds).
        """
        assert self.aside
        aside = self.aside._replace(may_arrive=True)
        return self._replace(aside=aside if since_s is None else aside._replace(since_s=since_s))

    def expired(self, now_s: float, reason: str) -> Worker:
        """Return the worker set aside for good."""
        return self._replace(aside=Aside(Cause.EXPIRED, now_s, reason))

    @property
    def is_expired(self) -> bool:
        """Whether its time to wait is over."""
        return self.aside is not None and self.aside.cause is Cause.EXPIRED

    def set_aside_until_seen(self, now_s: float, *, may_arrive: bool) -> Worker:
        """Return the worker set aside as after a refusal: it comes back once a probe sees it.

        Its time for that begins now, unless a job that was sent to it just before may arrive.
        """
        aside = self.aside
        if aside is None or aside.cause is Cause.REFUSED:
            return self
        since_s = aside.since_s if may_arrive else now_s
        return self._replace(aside=Aside(Cause.REFUSED, since_s, aside.reason, "", may_arrive))

    def awaits(self, job_id: str) -> bool:
        """Whether that is its last job, and unsettled; an operator may have set it aside, too."""
        aside = self.aside
        return aside is not None and aside.cause in _AWAITING and aside.job_id == job_id

    @property
    def is_awaiting(self) -> bool:
        """Whether it is set aside until its last job is settled."""
        return self.aside is not None and self.aside.cause in (Cause.AWAITS, Cause.LOST)

    @property
    def says_job_was_lost(self) -> bool:
        """Whether it says that its last job never arrived."""
        return self.aside is not None and self.aside.cause is Cause.LOST

    def back(self) -> Worker:
        """Return the worker as free again, at its old place."""
        return self._replace(aside=None)
