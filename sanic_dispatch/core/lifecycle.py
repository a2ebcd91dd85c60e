"""A job's life as pure functions: (record, what happened) → (new record, event, worker's fate).

waiting → assigned → done | failed | cancelled. An assigned job is held, and its hold is first
*under way*, then *confirmed* or *in doubt*. Nothing here waits, writes or calls anybody: the
dispatcher carries out what these functions say. A function raises WrongState where the job's
state does not allow what happened.
"""

from __future__ import annotations

from sanic_dispatch.core.events import Kind, Note
from sanic_dispatch.core.evidence import is_to_be_checked
from sanic_dispatch.core.job import Hold, Job, Stage, State, Way
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.transitions import TABLE, Fate, Registration, Step
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import WrongState


def meaning_of(job: Job, callback_url: str, *, lost: bool = False) -> Registration:
    """Look up what a registration means; ``lost`` says that the last answer never arrived.

    A worker that is lost while a hand-over is under way waits for its outcome like any other.
    """
    if job.state is State.WAITING and job.former:
        return Registration.SAME_JOB if lost else Registration.DONE
    hold = _hold(job, "register for it")
    row = TABLE[hold.way, hold.stage]
    if callback_url == hold.worker.callback_url:
        return row.same_callback
    if lost and row.new_callback is not Registration.AWAIT:
        return Registration.SAME_JOB
    return row.new_callback


def assign(job: Job, worker: Worker, way: Way, now_s: float) -> Step:
    """A free job, or one whose worker asks for it again, is handed to this worker."""
    if job.state not in (State.WAITING, State.ASSIGNED):
        raise WrongState("assign", job.state)
    held = job.hold
    hold = Hold(worker, way, Stage.UNDER_WAY, now_s, is_again=held is not None)
    if held is not None and way is Way.PUT and held.worker.id == worker.id:
        hold = hold._replace(unused=held.unused)
    elif held is not None and held.is_unused:
        hold = hold._replace(is_again=False)
    return Step(_assigned(job, hold), Note(Kind.JOB_ASSIGNED, now_s))


def accept(job: Job, policy: Policy, now_s: float) -> Step:
    """Confirm a job that its worker has taken; it is done where no report can follow.

    A worker that took it before and did not use it has proved nothing by taking it once more: it
    stays in doubt until its callback is used up.
    """
    hold = _hold(job, "accept")
    if hold.unused:
        if hold.stage is Stage.UNDER_WAY:
            return _in_doubt(job, now_s, "taken once more, and not known to be used")
        hold, job = hold._replace(unused=0, is_again=False), job._replace(reason="")
    fate = Fate.USED if hold.way is Way.PUT else Fate.STAYS
    if hold.worker.key is None and policy.lease_s is None:
        return _finish(job, State.DONE, Kind.JOB_DONE, now_s, fate=fate)
    confirmed = Hold(hold.worker, hold.way, Stage.CONFIRMED, now_s, hold.is_again)
    return Step(job._replace(hold=confirmed), Note(Kind.JOB_CONFIRMED, now_s), fate)


def refuse(
    job: Job, policy: Policy, now_s: float, reason: str, *, blames_job: bool = False
) -> Step:
    """The worker did not take it: back to its own place, or failed if it was blamed too often.

    ``blames_job``: the answer says that the job is at fault, so nobody need find that out. A worker
    that may have it from an earlier attempt keeps it: refusing it twice proves nothing.
    """
    hold = _hold(job, "refuse")
    if hold.is_again or blames_job:
        job = job._replace(refusals=job.refusals + 1)
    if job.refusals >= policy.max_attempts:
        return _give_up(job, now_s, reason)
    if hold.is_again:
        return _in_doubt(job, now_s, reason)
    return _free(job, now_s, reason, Fate.BLAMELESS if blames_job else Fate.ASIDE)


def blame(job: Job, policy: Policy, now_s: float, reason: str) -> Step:
    """A worker that refused it turns out to be waiting all the same: it may be the job's fault.

    After ``max_attempts`` of these the job is failed, at the latest when it comes back next.
    """
    if job.state.is_final:
        raise WrongState("blame", job.state)
    blamed = job._replace(refusals=job.refusals + 1)
    if job.state is State.WAITING and blamed.refusals >= policy.max_attempts:
        return _give_up(blamed, now_s, reason)
    return Step(blamed, Note(Kind.JOB_BLAMED, now_s, reason))


def doubt(job: Job, policy: Policy, now_s: float, reason: str) -> Step:
    """Nobody knows whether the worker has it: it stays with the worker, or goes to the next."""
    hold = _hold(job, "doubt")
    if policy.resends(hold.worker):
        return _free(job, now_s, reason, _aside(hold) if hold.worker.key else Fate.USED)
    return _in_doubt(job, now_s, reason)


def restart(job: Job, policy: Policy, now_s: float) -> Step | None:
    """The table's last column: what was under way when the service stopped is in doubt."""
    hold = _hold(job, "recover")
    if TABLE[hold.way, hold.stage].after_restart is hold.stage:
        return None
    return doubt(job, policy, now_s, "the service was restarted during the hand-over")


def release(job: Job, now_s: float, reason: str) -> Step:
    """Nothing of it went out: back to its own place, or to the doubt that there was before."""
    if _hold(job, "release").is_again:
        return _in_doubt(job, now_s, reason)
    return _free(job, now_s, reason, Fate.STAYS)


def find_unused(job: Job, now_s: float) -> Step:
    """Its worker took it, and still waits on the same callback: it has lost it, and gets it again.

    Whatever ``Policy.resend_doubt`` says: nobody doubts that the worker does not have it.
    """
    hold = _hold(job, "doubt")
    unused = hold._replace(
        stage=Stage.IN_DOUBT, since_s=now_s, is_again=False, unused=hold.unused + 1
    )
    reason = "taken, but not used: its callback still waits"
    return Step(job._replace(hold=unused, reason=reason), Note(Kind.JOB_UNCONSUMED, now_s, reason))


def end_lease(job: Job, now_s: float, *, is_unused: bool = False) -> Step:
    """Its worker took too long: back to its own place; a late word of it still counts there.

    ``is_unused``: its callback still waits, so it has lost the job, and no word of it will come.
    """
    hold = _hold(job, "end the lease")
    if is_unused or hold.is_unused:
        lost = job._replace(hold=hold._replace(stage=Stage.IN_DOUBT, is_again=False))
        return _free(lost, now_s, "its lease ended, and it was not used", Fate.REJOINS)
    fate = Fate.STAYS if hold.stage is Stage.CONFIRMED else _aside(hold)
    step = _free(job, now_s, "its lease ended", fate)
    return step._replace(job=step.job._replace(former=hold))


def finish(job: Job, now_s: float, result: bytes | None = None) -> Step:
    """The work is done; also by a late word of the last holder, while nobody else has the job."""
    hold = job.former if job.state is State.WAITING else None
    hold = (hold or _hold(job, "complete"))._replace(refused_report="")
    done = job._replace(result=result, hold=hold, former=None)
    return _finish(done, State.DONE, Kind.JOB_DONE, now_s, fate=_leave(hold))


def finish_by_return(job: Job, now_s: float) -> Step:
    """Its worker asks for the next job, or has ended: so the work is done, for all that is known.

    A report that was refused may have said otherwise, which is not to go unnoticed.
    """
    hold = job.hold or job.former
    step = finish(job, now_s)
    if hold is None or not hold.refused_report:
        return step
    reason = f"done by its next registration, but a report was refused: {hold.refused_report}"
    marked = step.job._replace(hold=hold, reason=reason)
    return step._replace(job=marked, note=step.note._replace(reason=reason))


def refuse_report(job: Job, now_s: float, reason: str) -> Step | None:
    """A report on it was refused: noted once, until one is taken. None where it makes no odds.

    Anybody who knows the job's id can have a report refused, so it changes nothing else.
    """
    hold = job.hold or job.former
    if job.state.is_final or hold is None or hold.refused_report:
        return None
    marked = hold._replace(refused_report=reason)
    noted = job._replace(hold=marked) if job.hold else job._replace(former=marked)
    return Step(noted, Note(Kind.JOB_REPORT_REFUSED, now_s, reason))


def fail(job: Job, now_s: float, reason: str) -> Step:
    """The work cannot be done."""
    hold = _hold(job, "fail")._replace(refused_report="")
    failed = job._replace(hold=hold)
    return _finish(failed, State.FAILED, Kind.JOB_FAILED, now_s, reason, _leave(hold))


def end_with_instance(job: Job, word: str | None, now_s: float, *, is_unused: bool) -> Step:
    """Its worker's process instance has ended: done if it ran to its end, else failed.

    ``is_unused``: nothing that was sent to the callback was taken, so the job goes back to its own
    place.
    """
    hold = _hold(job, "end")
    reason = f"its process instance is {word}"
    if word == "finished":
        return finish_by_return(job, now_s)
    if is_unused:
        fate = Fate.STAYS if _has_left_queue(hold) else Fate.ASIDE
        return _free(job, now_s, f"{reason}, and had not used it", fate)
    return _finish(job, State.FAILED, Kind.JOB_FAILED, now_s, reason, _leave(hold))


def retry(job: Job, policy: Policy, now_s: float, reason: str) -> Step:
    """The worker could not do it and another one may: back, until it was refused too often."""
    hold = _hold(job, "fail")
    tried = job._replace(refusals=job.refusals + 1, spent=(*job.spent, hold.worker.callback_url))
    if tried.refusals >= policy.max_attempts:
        return fail(tried, now_s, reason)
    return _free(tried, now_s, reason, _leave(hold))


def extend(job: Job, now_s: float) -> Step:
    """Begin the lease anew: the worker says it is at it, so it has the job, whatever was seen."""
    hold = _hold(job, "extend")
    extended = hold._replace(since_s=now_s, refused_report="", unused=0)
    return Step(job._replace(hold=extended), Note(Kind.JOB_EXTENDED, now_s))


def cancel(job: Job, now_s: float, reason: str = "") -> Step:
    """Nobody wants it any more; only a waiting job can be cancelled."""
    if job.state is not State.WAITING:
        raise WrongState("cancel", job.state)
    return _finish(job, State.CANCELLED, Kind.JOB_CANCELLED, now_s, reason)


def move(job: Job, place: float, now_s: float, reason: str) -> Step:
    """An operator gives a waiting job another place."""
    if job.state is not State.WAITING:
        raise WrongState("move", job.state)
    return Step(job._replace(place=place), Note(Kind.JOB_MOVED, now_s, reason))


def put_back(job: Job, now_s: float, reason: str) -> Step:
    """An operator puts an assigned, doubtful or failed job back to its own place."""
    if job.state not in (State.ASSIGNED, State.FAILED):
        raise WrongState("put back", job.state)
    hold, fate = job.hold if job.state is State.ASSIGNED else None, Fate.STAYS
    # Also one that took it by PUT: it may have lost it, and wait on its callback all the same.
    if hold and (hold.stage is not Stage.CONFIRMED or is_to_be_checked(hold)):
        fate = _aside(hold)
    return _free(job._replace(refusals=0, finished_s=None), now_s, reason, fate)


def _hold(job: Job, act: str) -> Hold:
    if job.state is not State.ASSIGNED or job.hold is None:
        raise WrongState(act, job.state)
    return job.hold


def _aside(hold: Hold) -> Fate:
    """A worker that may wait on its callback all the same is set aside, until that is known."""
    return Fate.REJOINS if _has_left_queue(hold) else Fate.UNCLEAR


def _has_left_queue(hold: Hold) -> bool:
    """Whether its worker has taken the job, at least once."""
    return hold.stage is Stage.CONFIRMED or hold.unused > 0


def _leave(hold: Hold) -> Fate:
    """A worker that speaks of its job has used its callback up, if it had one in the queue."""
    return Fate.USED if hold.way is Way.PUT else Fate.STAYS


def _in_doubt(job: Job, now_s: float, reason: str) -> Step:
    hold = _hold(job, "doubt")._replace(stage=Stage.IN_DOUBT, since_s=now_s)
    return Step(job._replace(hold=hold, reason=reason), Note(Kind.JOB_DOUBTED, now_s, reason))


def _free(job: Job, now_s: float, reason: str, fate: Fate) -> Step:
    freed = job._replace(state=State.WAITING, hold=None, spent=_spent(job), reason=reason)
    return Step(freed, Note(Kind.JOB_RETURNED, now_s, reason), fate)


def _spent(job: Job) -> tuple[str, ...]:
    """A callback that took the job is used up, whoever gets the job next."""
    if job.hold is None or job.hold.stage is not Stage.CONFIRMED:
        return job.spent
    return tuple(dict.fromkeys((*job.spent, job.hold.worker.callback_url)))


def _give_up(job: Job, now_s: float, reason: str) -> Step:
    """Failed by refusals: the last worker has not used its callback up."""
    fate = Fate.ASIDE
    if job.hold and (job.hold.is_again or _has_left_queue(job.hold)):
        fate = _aside(job.hold)
    return _finish(job._replace(hold=None), State.FAILED, Kind.JOB_FAILED, now_s, reason, fate)


def _finish(
    job: Job,
    state: State,
    kind: Kind,
    now_s: float,
    reason: str = "",
    fate: Fate = Fate.STAYS,
) -> Step:
    return Step(_finished(job, state, now_s, reason), Note(kind, now_s, reason), fate)


def _assigned(job: Job, hold: Hold) -> Job:
    """Give a job to a worker, once more.

    Written out, like ``_finished``: ``_replace`` takes twice as long, and most hand-overs are these
    two.
    """
    return Job(
        job.id,
        job.ticket,
        job.data,
        job.submitted_at,
        job.place,
        State.ASSIGNED,
        hold,
        None,
        job.spent,
        job.attempt + 1,
        job.refusals,
        job.finished_s,
        job.reason,
        job.result,
    )


def _finished(job: Job, state: State, at_s: float, reason: str) -> Job:
    """End a job in this state, at this time (Unix seconds)."""
    return Job(
        job.id,
        job.ticket,
        job.data,
        job.submitted_at,
        job.place,
        state,
        job.hold,
        job.former,
        job.spent,
        job.attempt,
        job.refusals,
        at_s,
        reason,
        job.result,
    )
