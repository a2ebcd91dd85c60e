"""A job's life as pure functions: (record, what happened) → (new record, event, worker's fate).

waiting → assigned → done | failed | cancelled. An assigned job is held, and its hold is first
*under way*, then *confirmed* or *in doubt*. Each function returns a ``Step`` and changes nothing
itself; it raises WrongState if the job's state does not allow what happened.

A job is done
- when its worker has taken it, if no report is needed: the worker has no key, and there is no lease
  (``accept``);
- by the report of its holder (``finish``);
- when its worker has registered with a new callback: at once, or as soon as the outcome of the
  hand-over is known (``finish_by_return``);
- when its worker's process instance has finished (``end_with_instance``).

A job that is ``cancelling`` is never handed out again: where any other one would go back to its
place (``_free``), or to its worker (``cancel_lost``), it is cancelled. Until then its holder may
say that it is done.
"""

from __future__ import annotations

from sanic_dispatch.core.events import EventKind, Note
from sanic_dispatch.core.evidence import is_to_be_checked
from sanic_dispatch.core.job import Hold, Job, Progress, Stage, State, Way
from sanic_dispatch.core.receipts import subject_of
from sanic_dispatch.core.registration_meaning import TABLE
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.transitions import Fate, Step
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import WrongState


def assign(job: Job, worker: Worker, way: Way, now_s: float) -> Step:
    """Assign a waiting job, or one that its worker asks for again, to this worker.

    What was refused of an earlier attempt's reports is forgotten with its hold. A worker at a
    websocket that did not accept an earlier offer does not have the job.
    """
    if job.state not in (State.WAITING, State.ASSIGNED):
        raise WrongState("assign", job.state)
    held, is_again, times_unused = job.hold, False, 0
    if held is not None and way is Way.PUT and held.worker.id == worker.id:
        is_again, times_unused = True, held.times_unused
    elif held is not None and (way is not Way.OFFER or worker.polls):
        is_again = not held.is_unused
    began = 0
    if way is Way.OFFER:
        is_same = held is not None and held.began and held.worker.id == worker.id
        began = held.began if held is not None and is_same else job.attempt + 1
    hold = Hold(worker, way, Stage.UNDER_WAY, now_s, is_again, times_unused, began=began)
    assigned = job._replace(
        state=State.ASSIGNED, hold=hold, former=None, attempt=job.attempt + 1, progress=None
    )
    return Step(assigned, Note(EventKind.JOB_ASSIGNED, now_s))


def accept(job: Job, policy: Policy, now_s: float) -> Step:
    """Confirm a job that its worker has taken; it is done where no report is needed.

    A worker that took it before and lost it has proved nothing by taking it once more: the job
    stays in doubt until a probe finds the callback used up, which is accepted then.
    """
    hold = _hold_of(job, "accept")
    if hold.times_unused:
        if hold.stage is Stage.UNDER_WAY:
            return _in_doubt(job, now_s, "taken once more, and not known to be used")
        hold, job = hold._replace(times_unused=0, is_again=False), job._replace(reason="")
    fate = Fate.STAYS if hold.way is Way.ANSWER else Fate.USED
    needs_report = hold.worker.key or hold.way is Way.OFFER or policy.lease_s is not None
    if not needs_report:
        return _finish(job, State.DONE, EventKind.JOB_DONE, now_s, fate=fate)
    confirmed = hold._replace(stage=Stage.CONFIRMED, since_s=now_s)
    return Step(job._replace(hold=confirmed), Note(EventKind.JOB_CONFIRMED, now_s), fate)


def refuse(
    job: Job, policy: Policy, now_s: float, reason: str, *, blames_job: bool = False
) -> Step:
    """Return a refused job to its own place, or fail it after ``max_attempts`` refusals.

    ``blames_job``: the answer says that the job is at fault. A worker that may have it from an
    earlier attempt keeps it: refusing it the second time proves nothing.
    """
    hold = _hold_of(job, "refuse")
    if hold.is_again or blames_job:
        job = job._replace(refusals=job.refusals + 1)
    if job.refusals >= policy.max_attempts:
        return _give_up(job, now_s, reason)
    if hold.is_again:
        return _in_doubt(job, now_s, reason)
    return _free(job, now_s, reason, Fate.BLAMELESS if blames_job else Fate.ASIDE)


def blame(job: Job, policy: Policy, now_s: float, reason: str) -> Step:
    """Count a refusal against the job, since the worker that refused it waits all the same.

    After ``max_attempts`` the job fails, at the latest when it is refused next.
    """
    if job.state.is_final:
        raise WrongState("blame", job.state)
    blamed = job._replace(refusals=job.refusals + 1)
    if job.state is State.WAITING and blamed.refusals >= policy.max_attempts:
        return _give_up(blamed, now_s, reason)
    return Step(blamed, Note(EventKind.JOB_BLAMED, now_s, reason))


def doubt(job: Job, policy: Policy, now_s: float, reason: str) -> Step:
    """Put a job in doubt, or send it to the next worker, as ``Policy.resends`` says."""
    hold = _hold_of(job, "doubt")
    if policy.resends(hold.worker):
        fate = _fate_if_it_may_wait(hold) if hold.worker.key else Fate.USED
        return _free(job, now_s, reason, fate)
    return _in_doubt(job, now_s, reason)


def recover(job: Job, policy: Policy, now_s: float) -> Step | None:
    """Put a job in doubt that was under way when the last run ended; None for any other.

    What a recovery makes of each stage is in ``registration_meaning``. No offer is in doubt: a
    worker at a websocket begins only when its acceptance was answered, and one that polls asks
    again, and gets the same job.
    """
    hold = _hold_of(job, "recover")
    if hold.way is Way.OFFER:
        if hold.stage is Stage.CONFIRMED:
            return None
        if hold.worker.polls:
            return accept(job, policy, now_s)
        return _free(job, now_s, "the service was restarted before it was accepted", Fate.STAYS)
    if TABLE[hold.way, hold.stage].after_recovery is hold.stage:
        return None
    return doubt(job, policy, now_s, "the service was restarted during the hand-over")


def release(job: Job, now_s: float, reason: str) -> Step:
    """Undo an assignment of which nothing was sent: back to its place, or to the earlier doubt."""
    if _hold_of(job, "release").is_again:
        return _in_doubt(job, now_s, reason)
    return _free(job, now_s, reason, Fate.STAYS)


def let_lapse(job: Job, now_s: float) -> Step:
    """Return a job that was offered and not accepted in time; that ends the registration."""
    _hold_of(job, "let it lapse")
    return _free(job, now_s, "it was not accepted in time", Fate.USED)


def find_unused(job: Job, now_s: float) -> Step:
    """Note that the worker took a job and lost it: its callback is still pending.

    It gets the job again even if ``Policy.resend_doubt`` is set: there is no doubt here.
    """
    hold = _hold_of(job, "doubt")
    unused = hold._replace(
        stage=Stage.IN_DOUBT, since_s=now_s, is_again=False, times_unused=hold.times_unused + 1
    )
    reason = "taken, but not used: its callback still waits"
    return Step(
        job._replace(hold=unused, reason=reason), Note(EventKind.JOB_UNCONSUMED, now_s, reason)
    )


def cancel_lost(job: Job, now_s: float, *, came_back: bool) -> Step:
    """Cancel a job that is to be cancelled, since its worker is known not to have it.

    ``came_back``: it has a new callback, so the old one does not matter any more.
    """
    hold = _hold_of(job, "cancel")
    fate = Fate.STAYS if came_back else _fate_if_it_may_wait(hold)
    return _free(job, now_s, "its worker does not have it", fate)


def end_lease(job: Job, now_s: float, *, is_unused: bool = False) -> Step:
    """End the lease: back to its own place, where a late report of its worker still counts.

    ``is_unused``: the callback is still pending, so the worker has lost the job and cannot report.
    """
    hold = _hold_of(job, "end the lease")
    if is_unused or hold.is_unused:
        lost = job._replace(hold=hold._replace(stage=Stage.IN_DOUBT, is_again=False))
        return _free(lost, now_s, "its lease ended, and it was not used", Fate.REJOINS)
    fate = Fate.STAYS if hold.stage is Stage.CONFIRMED else _fate_if_it_may_wait(hold)
    step = _free(job, now_s, "its lease ended", fate)
    if step.job.state.is_final:
        return step
    return step._replace(job=step.job._replace(former=hold))


def finish(job: Job, now_s: float, result: bytes | None = None) -> Step:
    """Finish a job; also by a late report of its former holder, while no other worker has it."""
    hold = job.former if job.state is State.WAITING else None
    hold = (hold or _hold_of(job, "complete"))._replace(refused_report="")
    done = job._replace(result=result, hold=hold, former=None)
    return _finish(done, State.DONE, EventKind.JOB_DONE, now_s, fate=_leave(hold))


def finish_by_return(job: Job, now_s: float) -> Step:
    """Finish a job because its worker asks for the next one, or its instance has finished.

    If a report of the worker was refused, the reason says so: it may have said otherwise.
    """
    hold = job.hold or job.former
    step = finish(job, now_s)
    if hold is None or not hold.refused_report:
        return step
    reason = f"done by its next registration, but a report was refused: {hold.refused_report}"
    marked = step.job._replace(hold=hold, reason=reason)
    return step._replace(job=marked, note=step.note._replace(reason=reason))


def refuse_report(job: Job, now_s: float, reason: str) -> Step | None:
    """Note the first refused report since the last accepted one; None if that makes no difference.

    Everyone who knows the job's id can send such a report, so nothing else changes.
    """
    hold = job.hold or job.former
    if job.state.is_final or hold is None or hold.refused_report:
        return None
    marked = hold._replace(refused_report=reason)
    noted = job._replace(hold=marked) if job.hold else job._replace(former=marked)
    return Step(noted, Note(EventKind.JOB_REPORT_REFUSED, now_s, reason))


def fail(job: Job, now_s: float, reason: str) -> Step:
    """Fail a job that its holder cannot do."""
    hold = _hold_of(job, "fail")._replace(refused_report="")
    failed = job._replace(hold=hold)
    return _finish(failed, State.FAILED, EventKind.JOB_FAILED, now_s, reason, _leave(hold))


def end_cancelled(job: Job, now_s: float, reason: str) -> Step:
    """Cancel a job whose holder says that it has stopped."""
    hold = _hold_of(job, "cancel")._replace(refused_report="")
    stopped = job._replace(hold=hold)
    return _finish(stopped, State.CANCELLED, EventKind.JOB_CANCELLED, now_s, reason, _leave(hold))


def end_with_instance(job: Job, state: str, now_s: float, *, is_unused: bool) -> Step:
    """Finish a job whose process instance has ended: done if the instance finished, else failed.

    ``is_unused``: the instance had not used the job, which goes back to its own place.
    """
    hold = _hold_of(job, "end")
    reason = f"its process instance is {state}"
    if state == "finished":
        return finish_by_return(job, now_s)
    if is_unused:
        fate = Fate.STAYS if _has_left_queue(hold) else Fate.ASIDE
        return _free(job, now_s, f"{reason}, and had not used it", fate)
    return _finish(job, State.FAILED, EventKind.JOB_FAILED, now_s, reason, _leave(hold))


def retry(job: Job, policy: Policy, now_s: float, reason: str) -> Step:
    """Return a job for another worker to try, or fail it after ``max_attempts``."""
    hold = _hold_of(job, "fail")
    tried = job._replace(refusals=job.refusals + 1, spent=(*job.spent, subject_of(hold)))
    if tried.refusals >= policy.max_attempts:
        return fail(tried, now_s, reason)
    return _free(tried, now_s, reason, _leave(hold))


def extend(job: Job, now_s: float) -> Step:
    """Renew the lease; the report outweighs any probe: the worker has the job."""
    hold = _hold_of(job, "extend")
    return Step(_heard(job, hold, now_s), Note(EventKind.JOB_EXTENDED, now_s))


def make_progress(job: Job, now_s: float, progress: Progress) -> Step:
    """Keep how far the worker is, and renew the lease."""
    hold = _hold_of(job, "report progress on")
    made = _heard(job, hold, now_s)._replace(progress=progress)
    return Step(made, Note(EventKind.JOB_PROGRESSED, now_s, progress.text))


def _heard(job: Job, hold: Hold, now_s: float) -> Job:
    heard = hold._replace(reported_s=now_s, refused_report="", times_unused=0)
    return job._replace(hold=heard)


def cancel(job: Job, now_s: float, reason: str = "") -> Step:
    """Cancel a waiting job, or one that is offered to a websocket and not accepted."""
    if job.state is not State.WAITING and not is_revocable_offer(job):
        raise WrongState("cancel", job.state)
    return _finish(job, State.CANCELLED, EventKind.JOB_CANCELLED, now_s, reason)


def ask_to_cancel(job: Job, now_s: float, reason: str) -> Step:
    """Have an assigned job cancelled by its holder, or done if that is too late."""
    _hold_of(job, "cancel")
    asked = job._replace(cancelling=True, reason=reason)
    return Step(asked, Note(EventKind.JOB_CANCELLING, now_s, reason))


def is_open_offer(job: Job) -> bool:
    """Whether a job is offered to a connected worker that has not accepted it yet."""
    return job.state is State.ASSIGNED and _is_offered(job)


def is_revocable_offer(job: Job) -> bool:
    """Whether a job is offered to a websocket that has not accepted it: nobody has begun it.

    A worker that polls may have read the answer with its offer, so that one is not revocable.
    """
    return job.hold is not None and not job.hold.worker.polls and is_open_offer(job)


def is_cancelled_offer(job: Job) -> bool:
    """Whether a job was cancelled while it was offered, so that no worker has had it."""
    return job.state is State.CANCELLED and _is_offered(job)


def _is_offered(job: Job) -> bool:
    hold = job.hold
    return hold is not None and hold.way is Way.OFFER and hold.stage is Stage.UNDER_WAY


def move(job: Job, place: float, now_s: float, reason: str) -> Step:
    """Give a waiting job another place."""
    if job.state is not State.WAITING:
        raise WrongState("move", job.state)
    return Step(job._replace(place=place), Note(EventKind.JOB_MOVED, now_s, reason))


def set_priority(job: Job, priority: int, now_s: float, reason: str) -> Step:
    """Give a waiting job another priority."""
    if job.state is not State.WAITING:
        raise WrongState("give it a priority", job.state)
    why = f"priority {priority}: {reason}" if reason else f"priority {priority}"
    return Step(job._replace(priority=priority), Note(EventKind.JOB_MOVED, now_s, why))


def forget(job: Job, now_s: float, reason: str) -> Step:
    """Erase the data and the result of a finished job."""
    if not job.state.is_final:
        raise WrongState("forget", job.state)
    return Step(job.without_data(), Note(EventKind.JOB_FORGOTTEN, now_s, reason))


def put_back(job: Job, now_s: float, reason: str) -> Step:
    """Return an assigned, doubtful or failed job to its own place, as an operator asks."""
    if job.forgotten:
        raise WrongState("put back what is forgotten", job.state)
    if job.state not in (State.ASSIGNED, State.FAILED):
        raise WrongState("put back", job.state)
    hold, fate = job.hold if job.state is State.ASSIGNED else None, Fate.STAYS
    job = job._replace(cancelling=False)
    # Also one that took it by PUT: it may have lost it, and wait on its callback all the same.
    is_sure = hold is None or hold.way is Way.OFFER
    if hold and not is_sure and (hold.stage is not Stage.CONFIRMED or is_to_be_checked(hold)):
        fate = _fate_if_it_may_wait(hold)
    return _free(job._replace(refusals=0, finished_s=None), now_s, reason, fate)


def _hold_of(job: Job, act: str) -> Hold:
    """Return an assigned job's hold. Raises WrongState, which names the act, for any other job."""
    if job.state is not State.ASSIGNED or job.hold is None:
        raise WrongState(act, job.state)
    return job.hold


def _fate_if_it_may_wait(hold: Hold) -> Fate:
    """Return the fate of a worker that may still be waiting on its callback."""
    return Fate.REJOINS if _has_left_queue(hold) else Fate.UNCLEAR


def _has_left_queue(hold: Hold) -> bool:
    """Whether the worker has left the queue, since it took the job at least once."""
    return hold.stage is Stage.CONFIRMED or hold.times_unused > 0


def _leave(hold: Hold) -> Fate:
    """Return the fate of a worker that reports: a callback that got a PUT is used up.

    A connected worker has left the queue when it took the job, and may wait in it again.
    """
    if hold.way is Way.OFFER:
        return Fate.USED if hold.stage is Stage.UNDER_WAY else Fate.STAYS
    return Fate.USED if hold.way is Way.PUT else Fate.STAYS


def _in_doubt(job: Job, now_s: float, reason: str) -> Step:
    hold = _hold_of(job, "doubt")._replace(stage=Stage.IN_DOUBT, since_s=now_s)
    return Step(job._replace(hold=hold, reason=reason), Note(EventKind.JOB_DOUBTED, now_s, reason))


def _free(job: Job, now_s: float, reason: str, fate: Fate) -> Step:
    """Return a job to its own place; one that is to be cancelled is cancelled instead.

    A callback may wait on, and then another job comes there; so only a connected worker is kept.
    """
    if job.cancelling:
        if job.hold is not None and job.hold.way is not Way.OFFER:
            job = job._replace(hold=None)
        return _finish(job, State.CANCELLED, EventKind.JOB_CANCELLED, now_s, reason, fate)
    freed = job._replace(
        state=State.WAITING, hold=None, spent=_spent(job), reason=reason, turn=0, progress=None
    )
    return Step(freed, Note(EventKind.JOB_RETURNED, now_s, reason), fate)


def _spent(job: Job) -> tuple[str, ...]:
    """Return the callbacks that have taken the job so far, the present one included."""
    if job.hold is None or job.hold.stage is not Stage.CONFIRMED:
        return job.spent
    return tuple(dict.fromkeys((*job.spent, subject_of(job.hold))))


def _give_up(job: Job, now_s: float, reason: str) -> Step:
    """Fail a job after too many refusals; its last worker is set aside."""
    fate = Fate.ASIDE
    if job.hold and (job.hold.is_again or _has_left_queue(job.hold)):
        fate = _fate_if_it_may_wait(job.hold)
    return _finish(job._replace(hold=None), State.FAILED, EventKind.JOB_FAILED, now_s, reason, fate)


def _finish(
    job: Job,
    state: State,
    kind: EventKind,
    now_s: float,
    reason: str = "",
    fate: Fate = Fate.STAYS,
) -> Step:
    finished = job._replace(
        state=state, finished_s=now_s, reason=reason, progress=None, cancelling=False
    )
    return Step(finished, Note(kind, now_s, reason), fate)
