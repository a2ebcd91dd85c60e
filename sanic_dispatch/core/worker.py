"""Workers: process instances that wait for a job on a callback URL."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from sanic_dispatch.core.timestamps import from_rfc3339


class Key(NamedTuple):
    """Who a worker is, over all its registrations: a process instance and one of its activities."""

    instance: str
    activity: str


class Cause(StrEnum):
    """Why a worker may be set aside."""

    REFUSED = "refused"
    """It did not take a job: it is probed, and comes back when it is found waiting."""
    AWAITS = "awaits"
    """Its last job is not settled: it comes back, or gets that job again, when that is known."""
    LOST = "lost"
    """The same, and it says that it never got that job: it gets it again, whatever became of it."""
    OPERATOR = "operator"
    """An operator set it aside: only an operator brings it back."""


REPLACED = "it came back with a new callback"
"""Why an older callback of a worker is set aside, or dropped."""


class Aside(NamedTuple):
    """Why a worker gets no job although it is still in the queue, and since when (Unix seconds).

    ``job_id`` is the job that it refused, or whose outcome it waits for. ``may_arrive``: what was
    sent to it may arrive still, so that it waits now does not say that it will get another job.
    """

    cause: Cause
    since_s: float
    reason: str = ""
    job_id: str = ""
    may_arrive: bool = False


class Worker(NamedTuple):
    """A worker that waits. Its id is the callback: one call of a process instance.

    ``place`` orders the queue; the queue gives it, and in a file it is the order of the entries.
    """

    callback_url: str
    registered_at: str
    key: Key | None = None
    instance_url: str = ""
    label: str = ""
    aside: Aside | None = None
    refusals: int = 0
    place: float = 0.0

    @property
    def id(self) -> str:
        """What the queue knows it by."""
        return self.callback_url

    @property
    def callbacks(self) -> tuple[str, ...]:
        """All callback URLs by which it is to be found."""
        return (self.callback_url,)

    @property
    def is_free(self) -> bool:
        """Whether it may get a job, unless it holds one."""
        return self.aside is None

    @property
    def registered_s(self) -> float:
        """When it registered, Unix seconds."""
        return from_rfc3339(self.registered_at)

    def refused(
        self, reason: str, now_s: float, job_id: str, *, may_arrive: bool = False
    ) -> Worker:
        """The same worker after it did not take a job, or after it is not known whether it did."""
        aside = Aside(Cause.REFUSED, now_s, reason, job_id, may_arrive)
        return self._replace(aside=aside, refusals=self.refusals + 1)

    def aside_because(self, reason: str) -> Worker | None:
        """Give a better reason for the set-aside after a refusal; None if it is no news."""
        if self.aside is None or self.aside.cause is not Cause.REFUSED:
            return None
        if self.aside.reason == reason:
            return None
        return self._replace(aside=self.aside._replace(reason=reason))

    def awaiting(self, now_s: float, job_id: str, *, lost: bool) -> Worker:
        """The same worker, until the job of its old callback is settled."""
        cause = Cause.LOST if lost else Cause.AWAITS
        return self._replace(aside=Aside(cause, now_s, "its last job is unsettled", job_id))

    def sidelined(self, now_s: float, reason: str) -> Worker:
        """The same worker, until an operator brings it back."""
        may_arrive = self.aside is not None and self.aside.may_arrive
        return self._replace(aside=Aside(Cause.OPERATOR, now_s, reason, may_arrive=may_arrive))

    def looked_at(self) -> Worker:
        """Return the worker set aside as after a refusal: it comes back once it is seen waiting."""
        return self._replace(aside=self.aside and self.aside._replace(cause=Cause.REFUSED))

    def awaits(self, job_id: str) -> bool:
        """Whether it waits for the outcome of that job."""
        return self.is_awaiting and self.aside is not None and self.aside.job_id == job_id

    @property
    def is_awaiting(self) -> bool:
        """Whether it waits for the outcome of some job."""
        return self.aside is not None and self.aside.cause in (Cause.AWAITS, Cause.LOST)

    @property
    def is_lost(self) -> bool:
        """Whether it says that the job whose outcome it waits for never arrived."""
        return self.aside is not None and self.aside.cause is Cause.LOST

    def back(self) -> Worker:
        """The same worker, usable again at its old place."""
        return self._replace(aside=None)
