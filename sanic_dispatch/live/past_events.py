"""Events of the log with their records again, as they were published, for the views of the past.

A record follows from the one before it, and from what the event says: this is ``core/lifecycle.py``
read backwards. What no view shows is left out. Of a job, or a worker, that the log has not told of
from the start, only what its later events say is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Hold, Job, Progress, Stage, State, Way
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.worker import Aside, Cause, Worker
from sanic_dispatch.storage.event_facts import EventFacts
from sanic_dispatch.storage.event_log import EventWithPayload
from sanic_dispatch.storage.event_record import LoggedEvent

LEASE_ENDED = "its lease ended"
"""The reason with which ``lifecycle.end_lease`` returns a job whose holder may still report."""

NO_DATA = b"null"

NONE = EventFacts()

FindJob = Callable[[str], Job | None]
FindWorker = Callable[[str], Worker | None]


class PastEvents:
    """Makes events of what the log tells, from the records as they were just before.

    ``find_job`` and ``find_worker`` return these; ``takes_turns`` says whether customers do.
    """

    def __init__(
        self, find_job: FindJob, find_worker: FindWorker, *, takes_turns: bool = False
    ) -> None:
        self._find_job = find_job
        self._find_worker = find_worker
        self._takes_turns = takes_turns

    def event_of(self, entry: EventWithPayload) -> Event | None:
        """Return an event; None for a kind of a later version."""
        logged = entry.event
        kind = _KINDS.get(logged.event)
        if kind is None:
            return None
        job = self._job_of(entry, kind) if logged.ticket else None
        worker = job.worker if job else None
        if worker is None and logged.callback:
            worker = self._worker_of(logged, kind)
        return Event(
            logged.n, kind, logged.at_s, job, worker, logged.reason, logged.request, logged.promise
        )

    # ---- workers

    def _worker_of(self, logged: LoggedEvent, kind: EventKind) -> Worker:
        known, facts = self._find_worker(logged.callback), logged.facts
        if facts is not None:
            return _worker_with(logged, facts)
        worker = known or _worker_with(logged, NONE)
        if kind is EventKind.WORKER_SET_ASIDE:
            return worker._replace(aside=Aside(Cause.REFUSED, logged.at_s, logged.reason))
        return worker._replace(aside=None) if kind is EventKind.WORKER_CAME_BACK else worker

    # ---- jobs

    def _job_of(self, entry: EventWithPayload, kind: EventKind) -> Job:
        logged = entry.event
        if kind is EventKind.JOB_SUBMITTED:
            return _new_job(entry)
        before = self._find_job(logged.job) or _unknown_job(logged)
        if kind is EventKind.JOB_ASSIGNED:
            after = self._assigned(before, logged)
        else:
            step = _STEPS.get(kind)
            after = before if step is None else step(before, logged)
        if self._takes_turns and before.state is State.WAITING and after.hold is not None:
            return after._replace(turn=logged.n)
        return after

    def _assigned(self, job: Job, logged: LoggedEvent) -> Job:
        facts = logged.facts or NONE
        way, held = Way(facts.way), job.hold
        if way is not Way.PUT:
            worker = _worker_with(logged, facts)
        else:
            known = self._find_worker(logged.callback)
            is_again = known is None and held is not None and held.worker.id == logged.callback
            worker = held.worker if is_again and held else known or _worker_with(logged, NONE)
        is_same = held is not None and way is Way.PUT and held.worker.id == worker.id
        unused = held.times_unused if held is not None and is_same else 0
        return job._replace(
            state=State.ASSIGNED,
            hold=Hold(worker, way, Stage.UNDER_WAY, logged.at_s, times_unused=unused),
            former=None,
            attempt=logged.attempt,
            progress=None,
        )


def _worker_with(logged: LoggedEvent, facts: EventFacts) -> Worker:
    return Worker(
        logged.callback,
        facts.registered_at or to_rfc3339(logged.at_s),
        facts.key,
        facts.instance_url,
        logged.worker,
        Aside(Cause.REFUSED, *facts.aside) if facts.aside else None,
        facts.refusals,
        rule=facts.rule,
    )


def _new_job(entry: EventWithPayload) -> Job:
    logged, payload, facts = entry.event, entry.payload, entry.event.facts or NONE
    return Job(
        logged.job,
        logged.ticket,
        payload.json if payload else NO_DATA,
        facts.submitted_at or to_rfc3339(logged.at_s),
        logged.ticket if facts.place is None else facts.place,
        priority=facts.priority,
    )


def _unknown_job(logged: LoggedEvent) -> Job:
    at = to_rfc3339(logged.at_s)
    return Job(logged.job, logged.ticket, NO_DATA, at, logged.ticket, attempt=logged.attempt)


def _hold_of(job: Job, logged: LoggedEvent) -> Hold:
    """Return the hold of a job, or one made from the event if the job's is not known."""
    hold = job.hold or job.former
    if hold is not None:
        return hold
    return Hold(_worker_with(logged, NONE), Way.PUT, Stage.CONFIRMED, logged.at_s)


def _reason_of(logged: LoggedEvent) -> str:
    """Return the job's reason, which is the event's unless that has who it was, too."""
    facts = logged.facts
    return logged.reason if facts is None or facts.reason is None else facts.reason


def _confirmed(job: Job, logged: LoggedEvent) -> Job:
    hold = _hold_of(job, logged)
    if hold.times_unused:
        hold, job = hold._replace(times_unused=0), job._replace(reason="")
    hold = hold._replace(stage=Stage.CONFIRMED, since_s=logged.at_s)
    return job._replace(state=State.ASSIGNED, hold=hold)


def _doubted(job: Job, logged: LoggedEvent) -> Job:
    hold = _hold_of(job, logged)._replace(stage=Stage.IN_DOUBT, since_s=logged.at_s)
    return job._replace(state=State.ASSIGNED, hold=hold, reason=logged.reason)


def _unconsumed(job: Job, logged: LoggedEvent) -> Job:
    job = _doubted(job, logged)
    assert job.hold
    return job._replace(hold=job.hold._replace(times_unused=job.hold.times_unused + 1))


def _returned(job: Job, logged: LoggedEvent) -> Job:
    former = job.hold if logged.reason == LEASE_ENDED else None
    return job._replace(
        state=State.WAITING,
        hold=None,
        former=former,
        reason=_reason_of(logged),
        turn=0,
        progress=None,
        cancelling=False,
        finished_s=None,
        attempt=logged.attempt,
    )


def _report_refused(job: Job, logged: LoggedEvent) -> Job:
    if job.hold:
        return job._replace(hold=job.hold._replace(refused_report=logged.reason))
    if job.former:
        return job._replace(former=job.former._replace(refused_report=logged.reason))
    return job


def _extended(job: Job, logged: LoggedEvent) -> Job:
    hold = _hold_of(job, logged)
    heard = hold._replace(reported_s=logged.at_s, refused_report="", times_unused=0)
    return job._replace(state=State.ASSIGNED, hold=heard)


def _progressed(job: Job, logged: LoggedEvent) -> Job:
    return _extended(job, logged)._replace(progress=Progress(logged.percent, logged.reason))


def _cancelling(job: Job, logged: LoggedEvent) -> Job:
    return job._replace(cancelling=True, reason=_reason_of(logged))


def _moved(job: Job, logged: LoggedEvent) -> Job:
    facts = logged.facts
    if facts is None or facts.place is None:
        return job
    return job._replace(
        place=facts.place,
        priority=facts.priority,
        attempt=logged.attempt,
        reason=facts.reason or "",
    )


def _ended(state: State) -> Callable[[Job, LoggedEvent], Job]:
    def end(job: Job, logged: LoggedEvent) -> Job:
        facts = logged.facts or NONE
        hold = _hold_of(job, logged) if logged.callback and facts.is_held else None
        if hold is not None:
            hold = hold._replace(refused_report=facts.refused)
        return job._replace(
            state=state,
            hold=hold,
            former=None,
            finished_s=logged.at_s,
            reason=_reason_of(logged),
            progress=None,
            cancelling=False,
        )

    return end


def _forgotten(job: Job, _: LoggedEvent) -> Job:
    return job.without_data()


_KINDS = {kind.value: kind for kind in EventKind}

_STEPS: Mapping[EventKind, Callable[[Job, LoggedEvent], Job]] = {
    EventKind.JOB_CONFIRMED: _confirmed,
    EventKind.JOB_DOUBTED: _doubted,
    EventKind.JOB_UNCONSUMED: _unconsumed,
    EventKind.JOB_RETURNED: _returned,
    EventKind.JOB_REPORT_REFUSED: _report_refused,
    EventKind.JOB_EXTENDED: _extended,
    EventKind.JOB_PROGRESSED: _progressed,
    EventKind.JOB_CANCELLING: _cancelling,
    EventKind.JOB_MOVED: _moved,
    EventKind.JOB_DONE: _ended(State.DONE),
    EventKind.JOB_FAILED: _ended(State.FAILED),
    EventKind.JOB_CANCELLED: _ended(State.CANCELLED),
    EventKind.JOB_FORGOTTEN: _forgotten,
}
"""What each event makes of a job; ``job.blamed`` changes nothing that is shown."""
