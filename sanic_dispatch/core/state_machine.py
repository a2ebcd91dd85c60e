"""The state machine of one topic: every rule of the dispatcher, decided in one place.

``apply(command, now)`` changes the tables and returns what to answer (reply), what happened
(events) and what to do outside (effects). It is pure and synchronous: no I/O, no clock, no waiting.
A command is applied whole or not at all, and after each command no waiting job is left that a free
worker takes, unless the topic is paused or the worker's rule is still being matched.

The outcome of an effect comes back as a command that names its subject (an attempt, a hold, a
set-aside); if that has changed meanwhile, the command has no effect.

The table at the end of this module has the handler of each command. Most handlers find a job, have
a pure function of ``lifecycle`` decide its transition, a ``Step``, and apply that by
``StateMachine.apply_step``: the new record into the tables, an event, and what becomes of the
worker that had the job. Here are the handlers of submissions and of hand-overs, and the changes
that all handlers are made of. The others are in a module for each subject:

- ``registrations``: workers that register; ``connected_workers``: those without a callback;
- ``job_reports`` and ``progress``: what holders say and are asked;
- ``interventions``: what an operator does; ``external_edits``: the edited files;
- ``held_jobs`` and ``workers_aside``: checks by timers; ``expiry``: the end of registrations;
- ``webhooks`` and ``push_subscriptions``: who is told of what;
- ``forgetting``: what is erased; ``forwarded``: commands that other processes pass on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf, nextafter
from typing import Any

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import (
    connected_workers,
    evidence,
    expiry,
    external_edits,
    forgetting,
    forwarded,
    held_jobs,
    interventions,
    job_reports,
    lifecycle,
    matching,
    progress,
    push_subscriptions,
    registrations,
    webhooks,
    workers_aside,
)
from sanic_dispatch.core import effects as e
from sanic_dispatch.core.connected_workers import Resumed
from sanic_dispatch.core.events import Event, EventKind, Note, with_actor
from sanic_dispatch.core.job import DEFAULT_PRIORITY, FINAL, Job, Stage, State, Way
from sanic_dispatch.core.receipts import Proof, Receipts
from sanic_dispatch.core.rules import ANYTHING
from sanic_dispatch.core.tables import PUSH, Change, Fact, ProgressNote, Table, Tables, Undoable
from sanic_dispatch.core.timestamps import from_rfc3339, to_rfc3339
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.transitions import Fate, Step
from sanic_dispatch.core.value import Value
from sanic_dispatch.core.worker import REPLACED, Key, Worker
from sanic_dispatch.errors import DispatchError, IdempotencyMismatch, QueueFull, UnknownJob

ORDERING_EVERY = 1000
"""How often an event says what orders the line, so that it is known of any part of the log."""


class Now(Value, frozen=True):
    """The time: wall clock (Unix seconds) for records, monotonic seconds for deadlines."""

    wall_s: float
    monotonic_s: float


class Placed(Value, frozen=True):
    """A job and its position in the queue; None if it is not waiting.

    In the reply to ``Submit`` None means that a worker is to get the job at once. In the reply to a
    report ``is_registered`` says whether its worker waits again.
    """

    job: Job
    position: int | None
    is_new: bool = False
    is_registered: bool = False


Decide = Callable[[Job, float], Step]
"""A function of ``lifecycle``: the job and the time (Unix seconds) → its transition."""

Reply = Placed | Job | Worker | Resumed | DispatchError | None


class Applied(Value, frozen=True):
    """The result of a command: what to answer, what happened, what to do outside."""

    reply: Reply
    events: list[Event]
    effects: list[e.Effect]


class StateMachine:
    """Holds the tables of one topic, and applies commands to them."""

    def __init__(self, policy: Policy) -> None:
        self.tables = Tables(policy.ordering)
        self.receipts = Receipts("")
        self.number = 0
        """The number of the last event."""
        self.policy = policy
        self._is_open = False
        """Whether jobs are handed out: from ``Recover`` to ``Close``."""
        self.leases: dict[str, tuple[str, float]] = {}
        """By job id: the worker with a lease, and its end (monotonic seconds); not stored."""
        self.watched: dict[str, workers_aside.Watch] = {}
        """By worker set aside that may come back by itself, or is told of its end; not stored."""
        self.sessions: dict[str, str] = {}
        """By session: its worker. Derived from the tables, which decide."""
        self.lost_jobs: dict[str, str] = {}
        """By session that has lost a job: the job's id; not stored."""
        self.probes = (0, 0)
        """The current monotonic second, and the probes of workers made in it."""
        self.hurries = 0
        """How often workers set aside have become needed."""
        self.is_hurrying = False
        """Whether a ``LookForWorkers`` is to come."""
        self._is_matching = False
        """Whether a ``MatchRules`` is to come."""
        self._says_ordering = True
        """Whether the next event is to say what orders the line."""
        self.now = Now(0.0, 0.0)
        self.request = ""
        self._events: list[Event] = []
        self.effects: list[e.Effect] = []

    # ---- from outside

    @property
    def is_paused(self) -> bool:
        """Whether an operator has paused the handing out."""
        return self.tables.facts.paused

    def load(
        self,
        jobs: Iterable[Job],
        workers: Iterable[Worker],
        facts: Iterable[Fact],
        now_s: float = 0.0,
    ) -> None:
        """Fill the tables with what a store has, in its order; ``Recover`` must follow.

        ``number`` has to be that of the store's last event already. Jobs from the original
        service's files get their tickets here. ``now_s`` (Unix seconds) is how long priorities have
        risen.
        """
        tables, read = self.tables, list(jobs)
        tables.jobs.line.advance(now_s)
        for fact in facts:
            tables.facts.put(fact)
        known = (job.ticket for job in read)
        tables.jobs.last_ticket = max(tables.facts.last_ticket, *known, 0)
        arranged = [
            # A later turn counts the events of the folder from which the records were moved.
            job if job.turn <= self.number else job._replace(turn=0)
            for job in external_edits.arranged_jobs(self, read)
        ]
        tables.jobs.fill(arranged)
        for before, job in zip(read, arranged, strict=True):
            if job is not before:
                tables.changes.append(Change(Table.JOBS, job.id, before, job))
        for job in tables.jobs.assigned():
            tables.mark_worker_held(job)
        last = 0.0
        for worker in workers:
            last = worker.place if worker.place > last else nextafter(last, inf)
            placed = worker._replace(place=last)
            tables.workers.put(placed)
            tables.rules.replace(ANYTHING, placed.rule)
            if placed != worker:
                tables.changes.append(Change(Table.WORKERS, worker.id, worker, placed))

    def apply(self, command: c.Command, now: Now) -> Applied:
        """Apply a command; if the reply is an error, nothing has changed."""
        self.now, self.request = now, command.request
        self._events, self.effects = [], []
        number, mark = self.number, len(self.tables.changes)
        if self.policy.priorities:
            self.tables.jobs.line.advance(now.wall_s)
        try:
            reply = self.handle(command)
            self._pair_all()
            self._keep_matching()
            if self.tables.workers.aside:
                workers_aside.hurry(self)
        except Exception as error:
            self.tables.undo_since(mark)
            self.number = number
            self._says_ordering |= bool(self._events)
            if not isinstance(error, DispatchError):
                raise
            return Applied(error.with_traceback(None), [], [])
        return Applied(reply, self._events, self.effects)

    def look(self, command: c.LookUp | c.Read) -> Reply:
        """Answer a command that changes nothing, and begin nothing either."""
        try:
            return self.handle(command)
        except DispatchError as error:
            return error.with_traceback(None)

    def handle(self, command: c.Command) -> Reply:
        """Call a command's handler, also as a part of another command. Raises DispatchError."""
        return _HANDLERS[type(command)](self, command)

    def undo(self, changes: Sequence[Undoable], number: int) -> None:
        """Undo changes, the last ones made, back to when ``number`` was the last event."""
        self.tables.undo(changes)
        self.number = number
        self.is_hurrying = self._is_matching = False
        self._says_ordering = True

    def is_still_due(self, effect: e.Effect) -> bool:
        """Whether an effect is still due; the attempt of a PUT may have been settled meanwhile."""
        if isinstance(effect, e.PutJob):
            return self.attempt(effect.job.id, effect.job.attempt) is not None
        if isinstance(effect, e.OfferJob):
            job = self.tables.jobs.get(effect.job.id)
            return job is not None and job.hold is not None and job.attempt == effect.job.attempt
        return True

    # ---- jobs come in, and are asked for

    def _on_submit(self, command: c.Submit) -> Placed:
        """Assign a new job to the worker that has waited longest, or enqueue it.

        The position of a job that was assigned is None, and 0 for a repeat of one that waits no
        longer and that nobody got. Raises QueueFull and IdempotencyMismatch.
        """
        jobs = self.tables.jobs
        if command.is_repeatable and (known := jobs.get(command.job_id)):
            if known.data != command.data and not known.forgotten:
                raise IdempotencyMismatch
            is_held = known.state is not State.WAITING and known.hold is not None
            is_taken = is_held and not lifecycle.is_cancelled_offer(known)
            return Placed(known, None if is_taken else jobs.position_of(known))
        if jobs.line.size >= self.policy.max_jobs:
            raise QueueFull(self.policy.max_jobs)
        job = self._new_job(command)
        self.emit(Note(EventKind.JOB_SUBMITTED, self.now.wall_s), job=job)
        worker = matching.worker_for(self.tables, job) if self.may_pair else None
        if worker is not None:
            return Placed(self._hand_over(job, worker), None, is_new=True)
        self.tables.put_job(job)
        return Placed(job, jobs.position_of(job), is_new=True)

    def _new_job(self, command: c.Submit) -> Job:
        jobs = self.tables.jobs
        ticket = jobs.last_ticket + 1
        # The ticket itself, not a float that equals it: one object less for every waiting job.
        place = ticket if ticket > jobs.last_place else nextafter(jobs.last_place, inf)
        submitted_at = to_rfc3339(self.now.wall_s)
        priority = DEFAULT_PRIORITY if command.priority is None else command.priority
        return Job(command.job_id, ticket, command.data, submitted_at, place, priority=priority)

    def _on_look_up(self, command: c.LookUp) -> Placed:
        return self.placed(self.find(command.job_id))

    def _on_read(self, command: c.Read) -> Any:
        return command.read(self.tables)

    # ---- hand-overs

    def _pair_all(self) -> None:
        """Give jobs to free workers that take them, until none is left with a job for it."""
        tables = self.tables
        while tables.workers.free_by_rule and tables.jobs.line.size and self.may_pair:
            pair = matching.next_pair(tables)
            if pair is None:
                return
            self._hand_over(*pair)

    @property
    def may_pair(self) -> bool:
        """Whether jobs are handed out: the service is open, and no operator has paused that."""
        return self._is_open and not self.tables.facts.paused

    def _keep_matching(self) -> None:
        """Have rules matched against more of the waiting jobs soon, unless all are matched."""
        if self.tables.jobs.line.is_matching and not self._is_matching:
            self._is_matching = True
            self.effects.append(e.StartTimer(c.MatchRules(), 0.0, is_spread=False))

    def _on_match_rules(self, _: c.MatchRules) -> None:
        self._is_matching = False
        self.tables.jobs.line.match_more()

    def _hand_over(self, job: Job, worker: Worker) -> Job:
        """Assign a job, to be sent to the worker's callback, or offered to a connected worker."""
        if worker.key is None and worker.is_connected:
            return connected_workers.offer(self, job, worker)
        self._forget_doubt(job, worker)
        # The worker is not among the free ones any more: Tables.put_job sees to that.
        job = self.assign(job, worker, Way.PUT)
        receipt, is_probed = self.receipts.receipt(job), self._is_probed_first(worker)
        self.effects.append(e.PutJob(job, receipt, is_probed, self.request))
        return job

    def _forget_doubt(self, job: Job, worker: Worker) -> None:
        """Forget that another job, whose lease ended in doubt, may be with this worker.

        It is not: its callback would have been used up, and the worker would not be free.
        """
        for other in self.tables.jobs.of_key(worker.key) if worker.key else ():
            former = other.former
            if other.id == job.id or former is None or former.stage is not Stage.IN_DOUBT:
                continue
            if former.worker.id == worker.id:
                self.tables.put_job(other._replace(former=None))

    def _is_probed_first(self, worker: Worker) -> bool:
        """Whether to probe before the PUT; a negative wait means that the clock was set back."""
        if worker.key is None:
            return False
        waited_s = self.now.wall_s - from_rfc3339(worker.registered_at)
        return not 0 <= waited_s < self.policy.probe_after_s

    def assign(self, job: Job, worker: Worker, way: Way) -> Job:
        """Assign a job.

        A worker that gets it in the answer to its registration is not put into the table of
        workers: only the job's record says who holds it.
        """
        return self.apply_step(job, lifecycle.assign(job, worker, way, self.now.wall_s))

    def send_again(self, job: Job, worker: Worker) -> None:
        """Send a job to its own worker again, or to that worker's new callback.

        One that is to be cancelled is cancelled instead. A worker that got it in an answer is
        enqueued first, so it is kept if the PUT fails.
        """
        is_by_answer = job.hold is not None and job.hold.way is Way.ANSWER
        if is_by_answer and self.tables.workers.get(worker.id) is None:
            # An operator may have brought it back since it got the job.
            worker = self.keep_operators_set_aside(worker.back())
            self.enqueue(worker)
        if job.cancelling:
            self.cancel_lost(job, worker)
            return
        self._hand_over(job, worker)
        self.drop_replaced(job, worker)

    # ---- what became of a hand-over

    def _on_delivery_accepted(self, outcome: c.DeliveryAccepted) -> None:
        if job := self.attempt(outcome.job_id, outcome.attempt):
            self.apply_outcome(job, lifecycle.accept(job, self.policy, self.now.wall_s))

    def _on_delivery_refused(self, outcome: c.DeliveryRefused) -> None:
        if job := self.attempt(outcome.job_id, outcome.attempt):
            step = lifecycle.refuse(
                job, self.policy, self.now.wall_s, outcome.reason, blames_job=outcome.blames_job
            )
            self.apply_outcome(job, step)

    def _on_delivery_in_doubt(self, outcome: c.DeliveryInDoubt) -> None:
        if job := self.attempt(outcome.job_id, outcome.attempt):
            self.apply_outcome(
                job, lifecycle.doubt(job, self.policy, self.now.wall_s, outcome.reason)
            )

    def _on_answer_written(self, outcome: c.AnswerWritten) -> None:
        if job := self._answered(outcome):
            self.apply_outcome(job, lifecycle.accept(job, self.policy, self.now.wall_s))

    def _on_answer_lost(self, outcome: c.AnswerLost) -> None:
        job = self._answered(outcome)
        if job is None:
            return
        reason = f"the connection broke {'during' if outcome.began else 'before'} the answer"
        if job.hold and job.hold.worker.polls:
            connected_workers.settle_lost_answer(self, job, began=outcome.began, reason=reason)
        elif not outcome.began:
            self.apply_outcome(job, lifecycle.release(job, self.now.wall_s, reason))
        elif _is_at(job, Stage.UNDER_WAY):
            self.apply_outcome(job, lifecycle.doubt(job, self.policy, self.now.wall_s, reason))

    def _answered(self, outcome: c.AnswerWritten | c.AnswerLost) -> Job | None:
        """Return the job if it is not known yet what became of the answer with it.

        It may be in doubt: another process wrote the answer, and this one was lost meanwhile.
        """
        job = self.tables.jobs.get(outcome.job_id)
        if job is None or job.attempt != outcome.attempt or job.hold is None:
            return None
        is_by_answer = job.hold.way is Way.ANSWER or job.hold.worker.polls
        is_open = is_by_answer and not _is_at(job, Stage.CONFIRMED)
        return job if job.state is State.ASSIGNED and is_open else None

    def attempt(self, job_id: str, attempt: int) -> Job | None:
        """Return the job if this attempt is still under way."""
        job = self.tables.jobs.get(job_id)
        if job is None or job.state is not State.ASSIGNED or job.attempt != attempt:
            return None
        return job if job.hold and job.hold.stage is Stage.UNDER_WAY else None

    def apply_outcome(self, job: Job, step: Step) -> None:
        """Apply a transition that may settle a hand-over, and free a worker that awaits that."""
        self.apply_step(job, step)
        if job.hold is not None:
            self.free_awaiting(job.id, job.hold.worker.key)

    def cancel_lost(self, job: Job, worker: Worker) -> None:
        """Cancel a job that is to be cancelled, as its worker, which is here, does not have it."""
        came_back = job.worker is not None and job.worker.id != worker.id
        step = lifecycle.cancel_lost(job, self.now.wall_s, came_back=came_back)
        self.apply_outcome(job, step)
        self.drop_replaced(job, worker)

    # ---- workers that come back, perhaps before it is known what became of their job

    def awaiting_worker(self, key: Key | None, job: Job) -> Worker | None:
        """Return the worker that the job's key has registered again, to await the job's outcome.

        The newest one: an older one that an operator has set aside stays in the queue.
        """
        newest: Worker | None = None
        for worker in self.tables.workers.of_key(key):
            if worker.awaits(job.id) and not (job.worker and job.worker.id == worker.id):
                newest = worker if newest is None or worker.place > newest.place else newest
        return newest

    def awaited_by(self, worker: Worker) -> Job | None:
        """Return the job of its earlier callback that a worker awaits, while it is unsettled."""
        job = self.tables.jobs.get(worker.aside.job_id) if worker.aside else None
        if job is None or job.state is not State.ASSIGNED or not worker.awaits(job.id):
            return None
        return job if job.worker and job.worker.key == worker.key else None

    def free_awaiting(self, job_id: str, key: Key | None) -> None:
        """Free a worker that registered again while its job was unsettled, once that is settled.

        A confirmed job is finished, or sent again if the worker never got it; one in doubt is
        looked into; in any other case the worker is free.
        """
        if key is None:
            return
        job = self.tables.jobs.get(job_id)
        if job is None:
            self._end_awaits(job_id, key)
            return
        awaiting = self.awaiting_worker(key, job)
        if awaiting is None:
            return
        if job.worker is None or job.worker.key != key:
            self.end_await(awaiting)  # the job went elsewhere
            return
        if _is_at(job, Stage.UNDER_WAY):
            return
        if _is_at(job, Stage.IN_DOUBT):
            held_jobs.look_into_doubt(self, job, held_jobs.new_look(self, job), is_timed=False)
            return
        if _is_at(job, Stage.CONFIRMED):
            if awaiting.says_job_was_lost:
                self.send_again(job, awaiting)
                return
            self.apply_step(job, lifecycle.finish_by_return(job, self.now.wall_s))
        self.end_await(awaiting)

    def _end_awaits(self, job_id: str, key: Key) -> None:
        """Free the workers of a key that await a job which is not kept any more."""
        for worker in self.tables.workers.of_key(key):
            if worker.awaits(job_id):
                self.end_await(worker)

    def end_await(self, worker: Worker) -> None:
        """Free a worker whose last job is settled."""
        if worker.is_awaiting:
            self.free(worker)

    def free(self, worker: Worker) -> None:
        """Bring a worker back, unless an operator has set it, or an older callback of it, aside.

        It is then set aside by the operator, too.
        """
        kept = self.keep_operators_set_aside(worker, worker.place)
        if kept.aside is not None and kept.is_set_aside_by_operator:
            self.change_worker(kept, EventKind.WORKER_SET_ASIDE, kept.aside.reason)
        else:
            self.bring_back(worker)

    def keep_operators_set_aside(self, worker: Worker, before: float = inf) -> Worker:
        """Carry an operator's set-aside of another callback of the worker over to this one.

        Only callbacks whose place in the queue is lower than ``before`` count.
        """
        for older in self.tables.workers.of_key(worker.key):
            if older.aside and older.is_set_aside_by_operator and older.place < before:
                return worker._replace(aside=older.aside._replace(job_id="", may_arrive=False))
        return worker

    def drop_replaced(self, job: Job, worker: Worker) -> None:
        """Drop the callback that had a job, if its worker has come back with this one."""
        if job.worker and job.worker.id != worker.id:
            self.drop_older(job.worker.id)

    def drop_older(self, worker_id: str) -> None:
        """Drop an older callback of a worker that has come back with a new one, if it is there.

        One that alone says that an operator has set its worker aside stays until that registers.
        """
        older = self.tables.workers.get(worker_id)
        if older is None:
            return
        of_key = self.tables.workers.of_key(older.key)
        if older.is_set_aside_by_operator and not any(
            other.is_set_aside_by_operator for other in of_key if other is not older
        ):
            self.tables.put_worker(older.perhaps_used())
            return
        self.drop(worker_id, REPLACED)

    # ---- the life of the service

    def _on_recover(self, command: c.Recover) -> None:
        """Put deliveries that were cut off in doubt, schedule checks, and begin to assign."""
        tables = self.tables
        if not tables.facts.secret:
            tables.put_fact(Fact("secret", command.new_secret))
        self.receipts = Receipts(tables.facts.secret)
        held = list(tables.jobs.assigned())
        for job in (*held, *tables.jobs.finished()):
            self._remove_left_over(job)
        for job in held:
            step = lifecycle.recover(job, self.policy, self.now.wall_s)
            if step is not None:
                self.apply_outcome(job, step)
            else:
                held_jobs.watch(self, job)
        for worker in tables.workers:
            workers_aside.watch(self, worker)
            expiry.watch(self, worker)
        connected_workers.recover(self)
        self.effects += forgetting.to_erase(tables.facts)
        self.effects += forwarded.to_forget(tables.facts)
        self._is_open = True

    def _remove_left_over(self, job: Job) -> None:
        """Remove a worker that took its job: a crash between two stores' commits left it there.

        A connected worker whose job is over may wait for the next one.
        """
        worker = self.tables.workers.get(job.worker.id) if job.worker else None
        is_over = job.state.is_final and job.hold is not None and job.hold.way is not Way.OFFER
        if worker is not None and (is_over or _is_at(job, Stage.CONFIRMED)):
            self._remove_used(worker)

    def _on_close(self, _: c.Close) -> None:
        self._is_open = False
        connected_workers.withdraw_all_offers(self)

    # ---- changes of jobs

    def apply_step(self, before: Job, step: Step) -> Job:
        """Apply a transition: store the job, emit the event, and apply the worker's fate.

        With fair turns a job that waits no longer notes with which event its customer was served;
        its former holder may have done it meanwhile. ``before`` is the stored record; the new one
        is returned.
        """
        after = step.job
        is_fair = self.policy.fair_by is not None
        if is_fair and before.state is State.WAITING and after.hold is not None:
            after = after._replace(turn=self.number + 1)
        if after.state in FINAL:
            self._make_room(after)
            if self.leases.pop(after.id, None):
                self.effects.append(e.StopTimer(after.id))
        self.tables.put_job(after)
        if after.state is State.CANCELLED:
            self.tables.remove_fact(PUSH + after.id)
        if after.state is not State.ASSIGNED:
            self._forget_hold(before, after)
        self.emit(step.note, job=after, worker=before.hold.worker if before.hold else None)
        if before.hold is not None:
            self._move_worker(before, before.hold.worker, step)
            if not evidence.is_same(before.hold, after.hold):
                held_jobs.watch(self, after)
        return after

    def apply_act(self, act: c.Act, decide: Decide) -> Placed:
        """Apply an operator's act; the job keeps the reason, the event also who it was."""
        job = self.find(act.job_id)
        step = decide(job, self.now.wall_s)
        note = step.note._replace(reason=with_actor(act.who, step.note.reason))
        return self.placed(self.apply_step(job, step._replace(note=note)))

    def _forget_hold(self, before: Job, after: Job) -> None:
        """Forget the progress of a held job, and see whether its worker is still reached."""
        if after.id in self.tables.progress:
            self.tables.note_progress(ProgressNote(after.id))
        holder = before.hold.worker if before.hold else None
        if holder is None or not holder.is_connected:
            return
        connected_workers.note_away(self, self.tables.workers.get(holder.id))
        if after.hold is None:
            connected_workers.note_lost_job(self, holder, after.id)

    def _make_room(self, finished: Job) -> None:
        """Remove finished jobs that are too many or too old."""
        tables, policy = self.tables, self.policy
        kept, oldest_s = tables.jobs.finished(), (finished.finished_s or 0) - policy.keep_done_s
        while kept and (
            len(kept) >= policy.keep_finished or (kept[0].finished_s or 0.0) < oldest_s
        ):
            tables.remove_job(kept[0].id)
        self.note_last_ticket()

    def note_last_ticket(self) -> None:
        """Store the highest ticket, so it is not given again once its job is removed."""
        tables = self.tables
        if tables.facts.last_ticket != tables.jobs.last_ticket:
            tables.put_fact(Fact("last_ticket", tables.jobs.last_ticket))

    # ---- changes of workers

    def enqueue(self, worker: Worker) -> None:
        """Put a worker at the end of the queue."""
        worker = worker._replace(place=self.tables.workers.last_place + 1)
        self.tables.put_worker(worker)
        self.emit(Note(EventKind.WORKER_REGISTERED, self.now.wall_s), worker=worker)
        workers_aside.watch(self, worker)
        expiry.watch(self, worker)

    def _move_worker(self, job: Job, holder: Worker, step: Step) -> None:
        """Apply a transition's fate to the worker that held the job."""
        if step.fate is Fate.STAYS:
            return
        worker = self.tables.workers.get(holder.callback_url)
        if step.fate is Fate.REJOINS and worker is None:
            place = self.tables.workers.last_place + 1
            back = holder.refused(step.note.reason, step.note.at_s, "", may_arrive=True)
            back = back._replace(place=place)
            self.change_worker(back, EventKind.WORKER_SET_ASIDE, step.note.reason)
            expiry.watch(self, back)
        if worker is None:
            return
        if step.fate is Fate.USED:
            self._remove_used(worker)
        elif worker.is_set_aside_by_operator:
            if step.fate in (Fate.UNCLEAR, Fate.REJOINS):
                unclear = worker.perhaps_used(step.note.at_s)
                self.change_worker(unclear, EventKind.WORKER_SET_ASIDE, step.note.reason)
            else:
                self.tables.put_worker(worker._replace(refusals=worker.refusals + 1))
        elif step.fate is not Fate.REJOINS:
            reason, is_unclear = step.note.reason, step.fate is Fate.UNCLEAR
            job_id = job.id if is_unclear or step.fate is Fate.ASIDE else ""
            refused = worker.refused(reason, step.note.at_s, job_id, may_arrive=is_unclear)
            self.change_worker(refused, EventKind.WORKER_SET_ASIDE, reason)

    def _remove_used(self, worker: Worker) -> None:
        """Remove a worker whose callback is used up, or that has accepted an offer.

        One that an operator has set aside stays until it registers again, and is set aside then.
        """
        if worker.is_set_aside_by_operator:
            if worker.key is not None:
                self.tables.put_worker(worker.perhaps_used())
            if worker.key is not None or worker.polls:
                return
        self.tables.remove_worker(worker.callback_url)
        self.watched.pop(worker.callback_url, None)
        self.emit(Note(EventKind.WORKER_USED, self.now.wall_s), worker=worker)

    def bring_back(self, worker: Worker, reason: str = "") -> Worker:
        """Make a worker set aside free again, at its old place; tell one whose time is over."""
        back = self.change_worker(worker.back(), EventKind.WORKER_CAME_BACK, reason)
        if back.expires_s is not None and back.expires_s <= self.now.wall_s:
            self.effects.append(e.StopTimer(back.id))  # else it would be told once more
            expiry.on_end_registration(self, c.EndRegistration(back.id, back.registered_at))
        return back

    def drop(self, worker_id: str, reason: str) -> None:
        """Remove a worker, if it is there."""
        worker = self.tables.workers.get(worker_id)
        if worker is not None:
            if worker.polls:
                connected_workers.end_open_poll(self, worker_id)
            self.tables.remove_worker(worker_id)
            self.watched.pop(worker_id, None)
            self.emit(Note(EventKind.WORKER_DROPPED, self.now.wall_s, reason), worker=worker)

    def change_worker(self, worker: Worker, kind: EventKind, reason: str) -> Worker:
        """Add or replace a worker, emit an event, and schedule probes if it is set aside."""
        self.put_worker(worker, kind, reason)
        workers_aside.watch(self, worker)
        return worker

    def put_worker(self, worker: Worker, kind: EventKind, reason: str) -> None:
        """Add or replace a worker, and emit an event."""
        self.tables.put_worker(worker)
        self.emit(Note(kind, self.now.wall_s, reason), worker=worker)

    # ---- events and records

    def emit(self, note: Note, *, job: Job | None = None, worker: Worker | None = None) -> None:
        """Emit an event, to be published once it is durable.

        A job's names its holder, or else ``worker``, which had it until then.
        """
        if job is not None and job.hold is not None:
            worker = job.hold.worker
        self.number += 1
        event = Event(self.number, note.kind, note.at_s, job, worker, note.reason, self.request)
        if self._says_ordering or self.number % ORDERING_EVERY == 0:
            event = event._replace(ordering=self.policy.ordering_text)
            self._says_ordering = False
        self._events.append(event)

    def find(self, job_id: str) -> Job:
        """Return a job that waits, is held, or is kept since it finished. Raises UnknownJob."""
        job = self.tables.jobs.get(job_id)
        if job is None:
            raise UnknownJob
        return job

    def placed(self, job: Job) -> Placed:
        """Return a job with its position, as the reply to a command about it."""
        return Placed(job, self.tables.jobs.position_of(job) or None)

    def is_of_holder(self, proof: Proof, job: Job) -> bool:
        """Whether a report comes from the worker that has the job."""
        if self.receipts.is_of_holder(proof, job):
            return True
        if proof.instance is None:
            return False
        return proof.is_of_instance(job, self.tables.jobs.of_instance(proof.instance))


def _is_at(job: Job, stage: Stage) -> bool:
    return job.state is State.ASSIGNED and job.hold is not None and job.hold.stage is stage


_HANDLERS: dict[type, Callable[[StateMachine, Any], Reply]] = {
    c.Submit: StateMachine._on_submit,
    c.Register: registrations.on_register,
    c.Withdraw: connected_workers.on_withdraw,
    c.RegisterConnected: connected_workers.on_register_connected,
    c.Resume: connected_workers.on_resume,
    c.Accept: connected_workers.on_accept,
    c.Complete: job_reports.on_complete,
    c.Fail: job_reports.on_fail,
    c.Extend: job_reports.on_extend,
    c.ReportProgress: progress.on_report_progress,
    c.AskIfCancelling: progress.on_ask_if_cancelling,
    c.NoteRefusedReport: job_reports.on_note_refused_report,
    c.LookUp: StateMachine._on_look_up,
    c.Read: StateMachine._on_read,
    c.Cancel: progress.on_cancel,
    c.PutBack: interventions.on_put_back,
    c.MoveToFront: interventions.on_move_to_front,
    c.SetPriority: interventions.on_set_priority,
    c.Forget: forgetting.on_forget,
    c.SetAside: interventions.on_set_aside,
    c.BringBack: interventions.on_bring_back,
    c.DropWorker: interventions.on_drop_worker,
    c.Pause: interventions.on_pause,
    c.PutEndpoint: webhooks.on_put_endpoint,
    c.RemoveEndpoint: webhooks.on_remove_endpoint,
    c.RotateSecret: webhooks.on_rotate_secret,
    c.ContinueEndpoint: webhooks.on_continue_endpoint,
    c.MovePositions: webhooks.on_move_positions,
    c.PutSubscription: push_subscriptions.on_put_subscription,
    c.RemoveSubscription: push_subscriptions.on_remove_subscription,
    c.NoteTold: push_subscriptions.on_note_told,
    c.DeliveryAccepted: StateMachine._on_delivery_accepted,
    c.DeliveryRefused: StateMachine._on_delivery_refused,
    c.DeliveryInDoubt: StateMachine._on_delivery_in_doubt,
    c.AnswerWritten: StateMachine._on_answer_written,
    c.AnswerLost: StateMachine._on_answer_lost,
    c.OfferReturned: connected_workers.on_offer_returned,
    c.Leave: connected_workers.on_leave,
    c.EndPoll: connected_workers.on_end_poll,
    c.OfferLapsed: connected_workers.on_offer_lapsed,
    c.DropIfAway: connected_workers.on_drop_if_away,
    c.EndRegistration: expiry.on_end_registration,
    c.ExpiryTold: expiry.on_expiry_told,
    c.KeepProgress: progress.on_keep_progress,
    c.DataErased: forgetting.on_data_erased,
    c.LookAtWorker: workers_aside.on_look_at_worker,
    c.LookForWorkers: workers_aside.on_look_for_workers,
    c.MatchRules: StateMachine._on_match_rules,
    c.LookAtJob: held_jobs.on_look_at_job,
    c.WorkerProbed: workers_aside.on_worker_probed,
    c.StaleProbed: workers_aside.on_stale_probed,
    c.HoldProbed: held_jobs.on_hold_probed,
    c.Recover: StateMachine._on_recover,
    c.Close: StateMachine._on_close,
    c.Forwarded: forwarded.on_forwarded,
    c.ForgetRun: forwarded.on_forget_run,
    c.ReplaceJobs: external_edits.on_replace_jobs,
    c.ReplaceWorkers: external_edits.on_replace_workers,
}
