"""Erasing the data of forgotten jobs, which may be in files and in the event log alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from sanic_dispatch.clock import Clock
from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import Job, JobRef, State
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.errors import StorageError
from sanic_dispatch.storage.event_log import MAX_LIMIT, EventLog, Question, check_readable
from sanic_dispatch.storage.event_record import LoggedEvent
from sanic_dispatch.storage.store import Store

RETRY_S = 5.0
"""How long after a failure to try again."""

_ENDS: dict[str, State] = {
    EventKind.JOB_DONE: State.DONE,
    EventKind.JOB_FAILED: State.FAILED,
    EventKind.JOB_CANCELLED: State.CANCELLED,
}

_log = structlog.get_logger("sanic_dispatch")


class Eraser:
    """Has the store erase the data of forgotten jobs, until no file has it any more."""

    def __init__(self, store: Store, clock: Clock, report: Callable[[c.Command], None]) -> None:
        self._store = store
        self._clock = clock
        self._report = report
        self._due: dict[JobRef, str] = {}
        """The request that caused it, by job."""
        self._running: asyncio.Task[None] | None = None

    def begin(self, *effects: e.EraseData) -> None:
        """Erase the data of jobs soon, and withhold it from now on."""
        self._due |= {effect.job: effect.request for effect in effects}
        history = self._store.history
        history.withheld = history.withheld.union(self._due)
        if self._due and self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop; the next start goes on with it."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while self._due:
                await self._erase(dict(self._due))
        finally:
            self._running = None

    async def _erase(self, due: Mapping[JobRef, str]) -> None:
        tickets = [job.ticket for job in due]
        try:
            await self._store.erase(due.keys())
        except Exception as error:  # also a mistake of ours: nothing else would try again
            is_mistake = not isinstance(error, StorageError)
            _log.warning("data.not_erased", tickets=tickets, reason=str(error), exc_info=is_mistake)
            await self._clock.sleep(RETRY_S)
            return
        _log.info("data.erased", tickets=tickets)
        self._store.history.withheld = self._store.history.withheld.difference(due)
        for job, request in due.items():
            del self._due[job]
            self._report(c.DataErased(job, request))


def past_job(log: EventLog, ticket: int | None, job_id: str) -> Job | None:
    """Return what the event log knows of a job that is not kept any more; None if nothing.

    It is named by its ticket, or else by its id, which may take seconds. This blocks. Raises
    StorageFailed if a part of the log that may know it cannot be read.
    """
    question = Question(ticket=ticket) if ticket is not None else Question(job=job_id)
    job: Job | None = None
    for page in log.pages(question._replace(limit=MAX_LIMIT)):
        check_readable(page)
        for event in page.events:
            job = _after(job, event)
    return job


def _after(job: Job | None, event: LoggedEvent) -> Job:
    """Return the job as one more of its events shows it.

    If two jobs had the ticket, an event of the other one begins a new record.
    """
    if job is None or job.ref != JobRef(event.ticket, event.job):
        at = to_rfc3339(event.at_s)
        job = Job(event.job, event.ticket, b"null", at, event.ticket, State.DONE)
    return job._replace(
        state=_ENDS.get(event.event, job.state),
        attempt=event.attempt,
        finished_s=event.at_s,
        data=b"" if event.event == EventKind.JOB_FORGOTTEN else job.data,
    )
