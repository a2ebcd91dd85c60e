"""What outlives the queue: the finished jobs that are still kept, the last ticket, a few facts."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from sanic_dispatch.job import Job
from sanic_dispatch.queues.base import Facts
from sanic_dispatch.queues.commit import Commit
from sanic_dispatch.queues.row import Fact
from sanic_dispatch.queues.store import Change, Shelf

KEPT = 10_000
KEEP_S = 24 * 3600.0
"""How many finished jobs are kept, and for how long."""


class _Kept(NamedTuple):
    place: float
    job: Job


@dataclass(slots=True)
class Draft:
    """Changes of the ledger to be stored along with others, and what to do once they are."""

    changes: list[Change] = field(default_factory=list)
    apply: Callable[[], None] = lambda: None


NO_DRAFT = Draft()
"""For a change that the ledger has no part in."""


class Ledger:
    """Finished jobs in the order in which they finished: at most so many, at most so old.

    How old a job is counts from the moment at which the last one finished. The ledger writes
    nothing by itself: its changes go into the commit of the queue's own.
    """

    def __init__(self, commit: Commit, kept: int = KEPT, keep_s: float = KEEP_S) -> None:
        self.facts = Facts(secret=secrets.token_hex(32))
        self._commit = commit
        self._kept = kept
        self._keep_s = keep_s
        self._jobs: OrderedDict[str, _Kept] = OrderedDict()
        """The oldest are looked for at each finish: a dict steps over all that it has let go of."""
        self._by_callback: dict[str, str] = {}
        self._last_place = 0.0
        self._is_new = True

    async def open(self) -> None:
        """Read what is stored."""
        stored = await self._commit.load(Shelf.FACTS)
        known = {row.record.id: row.record.value for row in stored}
        self.facts = self.facts._replace(**{k: v for k, v in known.items() if k in Facts._fields})
        self._is_new = "secret" not in known
        await self._commit.adopt(Shelf.FACTS, stored)
        rows = await self._commit.load(Shelf.FINISHED)
        for row in rows:
            self._put(row.record, row.place)
        await self._commit.adopt(Shelf.FINISHED, rows)

    def get(self, job_id: str) -> Job | None:
        """A finished job."""
        kept = self._jobs.get(job_id)
        return kept.job if kept else None

    def all(self) -> list[Job]:
        """All finished jobs, the oldest first."""
        return [kept.job for kept in self._jobs.values()]

    def at_callback(self, callback_url: str) -> Job | None:
        """The finished job that this callback took last."""
        job_id = self._by_callback.get(callback_url)
        return self.get(job_id) if job_id else None

    def beginning(self, queued: Iterable[str]) -> Draft:
        """After the start: the secret where it is new, and nothing that is in the queue."""
        draft = self.dropping(queued)
        if self._is_new:
            draft.changes += self.noting(secret=self.facts.secret).changes
        return draft

    def adding(self, job: Job, last_ticket: int) -> Draft:
        """Keep a finished job, let go of those that are too many or too old; note the ticket."""
        self._last_place = place = self._last_place + 1
        surplus = list(self._surplus(job))
        is_noted = last_ticket == self.facts.last_ticket
        draft = Draft() if is_noted else self.noting(last_ticket=last_ticket)
        draft.changes += [self._forgotten(old) for old in surplus]
        draft.changes.append(Change(Shelf.FINISHED, job.id, None, place, self._commit.stored(job)))
        noted = draft.apply

        def apply() -> None:
            noted()
            self._drop_all(surplus)
            self._put(job, place)

        draft.apply = apply
        return draft

    def dropping(self, job_ids: Iterable[str]) -> Draft:
        """Let go of jobs, which are in the queue again."""
        gone = [job_id for job_id in job_ids if job_id in self._jobs]
        return Draft([self._forgotten(job_id) for job_id in gone], lambda: self._drop_all(gone))

    def noting(self, **facts: object) -> Draft:
        """Store changed facts; each is a row of its own, so no two changes meet in one."""
        rows = [Fact(name, value) for name, value in facts.items()]

        def apply() -> None:
            self.facts = self.facts._replace(**facts)  # type: ignore[arg-type]

        return Draft([Change(Shelf.FACTS, r.id, 0.0, 0.0, r.to_stored()) for r in rows], apply)

    def _surplus(self, newest: Job) -> Iterator[str]:
        """Those to let go of when this one comes in."""
        too_many = len(self._jobs) + 1 - self._kept
        oldest_s = (newest.finished_s or 0.0) - self._keep_s
        for number, kept in enumerate(self._jobs.values()):
            if number >= too_many and (kept.job.finished_s or 0.0) >= oldest_s:
                return
            yield kept.job.id

    def _forgotten(self, job_id: str) -> Change:
        return Change(Shelf.FINISHED, job_id, self._jobs[job_id].place, None)

    def _put(self, job: Job, place: float) -> None:
        self._jobs[job.id] = _Kept(place, job)
        self._last_place = max(self._last_place, place)
        self._by_callback.update(dict.fromkeys(job.callbacks, job.id))

    def _drop_all(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            kept = self._jobs.pop(job_id, None)
            for callback_url in kept.job.callbacks if kept else ():
                if self._by_callback.get(callback_url) == job_id:
                    del self._by_callback[callback_url]
