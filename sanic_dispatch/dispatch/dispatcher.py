"""The dispatcher: the operations of a topic, and its start and stop.

How one order travels through it is a table in docs/design.md.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from sanic_dispatch.clock import Clock
from sanic_dispatch.cluster.forwarded_origin import ORIGIN
from sanic_dispatch.cluster.members import Member
from sanic_dispatch.cluster.ownership import Ownership
from sanic_dispatch.config.settings import DEFAULTS
from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core.connected_workers import Resumed
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Job, Stage, State, Way
from sanic_dispatch.core.receipts import ID_DIGITS, Proof
from sanic_dispatch.core.state_machine import Placed, StateMachine
from sanic_dispatch.core.tables import FORWARDED
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.dispatch.answers_elsewhere import ANSWER_WAIT_S, AnswersElsewhere
from sanic_dispatch.dispatch.batches import Batches, Promised, without_promises
from sanic_dispatch.dispatch.connections import Connections
from sanic_dispatch.dispatch.deliveries import Callbacks, Deliveries
from sanic_dispatch.dispatch.erasure import Eraser
from sanic_dispatch.dispatch.operator import Operator
from sanic_dispatch.dispatch.queries import (
    EARLIER_EVENTS,
    NO_EARLIER_RUNS,
    EarlierRuns,
    Queries,
    TopicSnapshot,
    forgotten_until_s,
    snapshot_of,
)
from sanic_dispatch.dispatch.timers import Timers
from sanic_dispatch.errors import (
    DispatchError,
    ShuttingDown,
    StandingBy,
    StillUnderWay,
    StorageError,
)
from sanic_dispatch.observability.durations import CommitStats, DeliveryStats
from sanic_dispatch.observability.event_bus import EventBus
from sanic_dispatch.observability.request_id import REQUEST_ID
from sanic_dispatch.storage.store import Store

DEFAULT_POLICY = Policy()

POSITION_OF_UNTAKEN = 1
"""The position in the answer for a new job that was assigned, but not taken in time.

The original's answer is ``"Assigned"`` or a position: it has no word for a job under way.
"""

HAND_OVER_WAIT_S = 4.5
"""How long a request waits while the topic changes hands."""

LOOK_S = 0.25
"""How long a submission waits for the position of its job, which is durable already."""

DRAIN_S = 1.0
"""How long the owner waits at a hand-over for what workers answer.

Nobody gets a job meanwhile. Of a worker that takes longer, the next owner finds out what it has.
"""

DRAIN_POLL_S = 0.005
"""How often to check whether anything is still under way."""

_TAKEN = (EventKind.JOB_CONFIRMED, EventKind.JOB_DONE)
_NOT_TAKEN = (EventKind.JOB_DOUBTED, EventKind.JOB_FAILED)


class Companion(Protocol):
    """Works for a topic while this process serves it.

    In the service: ``outbox.Outbox`` and ``push_outbox.PushOutbox``.
    """

    async def start(self) -> None:
        """Begin, after the topic was recovered. Raises StorageError."""

    async def finish(self) -> None:
        """Stop within a second or so, and commit the state that the next start needs."""

    async def abandon(self) -> None:
        """End at once: the topic may be another process's by now."""


class Dispatcher:
    """Take in jobs, workers and reports; give each job to a worker, first come, first served."""

    def __init__(
        self,
        store: Store,
        callbacks: Callbacks,
        bus: EventBus,
        clock: Clock,
        policy: Policy = DEFAULT_POLICY,
        submit_wait_s: float = DEFAULTS.submit_wait_s,
        promised: Promised = without_promises,
    ) -> None:
        """Handle the jobs of a store; ``promised`` as that of Batches."""
        self.commit_stats = CommitStats()
        """How many commits there were, and how long they took."""
        self.delivery_stats = DeliveryStats()
        """The same of deliveries by PUT."""
        self.companions: Sequence[Companion] = ()
        self._store = store
        self._callbacks = callbacks
        self._bus = bus
        self._clock = clock
        self._policy = policy
        self._submit_wait_s = submit_wait_s
        self._promised = promised
        self._awaited: dict[str, asyncio.Future[bool]] = {}
        self._is_open = False
        self._is_here = False
        """Whether the topic was loaded, and has not been lost since."""
        self._is_stopped = False
        self._begin_empty()

    def _begin_empty(self) -> None:
        """Set up an empty topic."""
        self._machine = StateMachine(self._policy)
        self.batches = Batches(
            self._machine,
            self._store,
            self._clock,
            self.commit_stats,
            self._publish,
            self._begin_effect,
            self._promised,
        )
        self.deliveries = Deliveries(
            self._callbacks,
            self._store,
            self._clock,
            self.delivery_stats,
            self._machine.is_still_due,
            self.batches.report,
        )
        self.connections = Connections(self.batches.report)
        """The connections of connected workers."""
        self._answers_elsewhere = AnswersElsewhere(self._clock)
        self._timers = Timers(self._clock, self.batches.report)
        self._eraser = Eraser(self._store, self._clock, self.batches.report)
        self._queries = Queries(self.batches)
        self._earlier = NO_EARLIER_RUNS
        self._operator = Operator(self.batches, self._queries, self._store.history)

    @property
    def is_open(self) -> bool:
        """Whether jobs and workers are taken in."""
        return self._is_open

    @property
    def is_elsewhere(self) -> bool:
        """Whether another process owns the topic, or may."""
        return not self._is_here and self._store.ownership is not None

    @property
    def owner(self) -> Member:
        """The process that owns the topic, if one does that shares it with others."""
        ownership = self._store.ownership
        return Member("", "") if ownership is None else ownership.owner_member

    @property
    def is_paused(self) -> bool:
        """Whether an operator has paused the topic."""
        return self._machine.is_paused

    def is_reached(self, worker: Worker) -> bool:
        """Whether a job can be sent to a waiting worker: to a connected one, unless it is away."""
        return not worker.is_connected or worker.id in self._machine.tables.workers.connection_of

    @property
    def operator(self) -> Operator:
        """The operator's acts. Raises StandingBy, and ShuttingDown before the start."""
        self.check_started()
        return self._operator

    @property
    def queries(self) -> Queries:
        """Lists of jobs and workers. Raises as ``operator``."""
        self.check_started()
        return self._queries

    # ---- start and stop

    async def load(self) -> None:
        """Read what the store has. Raises NotAQueue or another StartError, or StorageFailed."""
        stored = await self._store.load()
        self._machine.number = max(self._bus.number, self._store.history.last_number)
        records = stored.jobs, stored.workers, stored.facts, self._clock.now_s()
        if self._store.ownership is None:
            self._machine.load(*records)
        else:  # other topics are served meanwhile, and the lease is renewed
            await asyncio.to_thread(self._machine.load, *records)
        self._bus.number = self._machine.number
        self._bus.begin_epoch()
        if not self._store.is_as_committed or self._machine.tables.changes:
            self._store.history.invalidate_cursors()  # records have changed without an event
        await self._store.begin_epoch(self._bus.epoch, self._clock.now_s())
        self._earlier = await self._read_earlier()
        self.batches.begin()

    async def _read_earlier(self) -> EarlierRuns:
        """Return the epochs and the last events of the runs before, for pages that come back."""
        history, tables = self._store.history, self._machine.tables
        if not history.lasts:
            return NO_EARLIER_RUNS
        events = await asyncio.to_thread(history.newest, EARLIER_EVENTS)
        return EarlierRuns(history.epochs, events, forgotten_until_s(tables))

    async def start(self) -> None:
        """Recover what the last run left, and begin to hand out jobs. Raises StorageFailed."""
        if self._store.ownership is not None:
            self._expect_answers()
        await self.batches.execute(c.Recover(secrets.token_hex(32)))
        self._is_open = self._is_here = True
        if self._store.ownership is not None:
            self._store.ownership.wake()
            self._erase_again()
        for companion in self.companions:
            await companion.start()

    def _expect_answers(self) -> None:
        """Wait for what became of the answers that were being written when the last owner ended.

        The processes that wrote them may report on them yet.
        """
        answers = self._answers_elsewhere
        for job in self._machine.tables.jobs.assigned():
            hold = job.hold
            if hold and hold.way is Way.ANSWER and hold.stage is Stage.UNDER_WAY:
                answers.expect(job, "")
                self._clock.call_later(ANSWER_WAIT_S, answers.settle, job.id)

    def _erase_again(self) -> None:
        """Erase what other owners were told to forget: the folder here has segments of its own."""
        finished = self._machine.tables.jobs.finished()
        self._eraser.begin(*(e.EraseData(job.ref, "") for job in finished if job.forgotten))

    async def stop(self, grace_s: float) -> None:
        """Take nothing in, assign nothing, and wait for deliveries under way.

        Deliveries that take longer than ``grace_s`` seconds are cancelled, and in doubt at the
        next start.
        """
        was_open, self._is_open, self._is_stopped = self._is_open, False, True
        if self._store.ownership is not None:
            self._store.ownership.wake()
        if was_open:
            self.batches.report(c.Close())
            await self._finish_companions()
        else:
            grace_s = 0.0  # it stands by: nothing is under way
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while not (self.deliveries.is_idle and self.batches.is_idle):
                    await self.deliveries.idle()
                    await self.batches.idle()
        for taken in self._awaited.values():
            if not taken.done():
                taken.set_exception(ShuttingDown())
        await self._break_off(ShuttingDown)

    async def drain(self) -> None:
        """Stop assigning, wait for what is under way, stop accepting, and commit the rest.

        Afterwards requests wait, and nothing is in doubt but what a worker has not answered within
        DRAIN_S. Returns at once if the topic is lost.
        """
        await self._finish_companions()
        until_s = self._clock.monotonic_s() + DRAIN_S
        self.batches.report(c.Close())
        await self._wait_while(lambda: self._is_anything_under_way(until_s))
        self._is_open = False
        await self._wait_while(
            lambda: not self.batches.is_idle or self._is_anything_under_way(until_s)
        )

    async def _finish_companions(self) -> None:
        await asyncio.gather(*(companion.finish() for companion in self.companions))

    async def _wait_while(self, condition: Callable[[], bool]) -> None:
        ownership = self._store.ownership
        while ownership is not None and ownership.is_owner and condition():
            await self._clock.sleep(DRAIN_POLL_S)

    def _is_anything_under_way(self, until_s: float) -> bool:
        """Whether to wait for the outcome of a PUT, of an answer or of a commit."""
        if self._clock.monotonic_s() >= until_s:
            return False
        if not (self.deliveries.is_idle and self.batches.is_idle):
            return True
        holds = (job.hold for job in self._machine.tables.jobs.assigned())
        return any(hold is not None and hold.stage is Stage.UNDER_WAY for hold in holds)

    async def stand_by(self) -> None:
        """Drop all state, because another process owns the topic now.

        Requests whose commands were not given to the store get StandingBy: they go there.
        """
        self._is_open = self._is_here = False
        for taken in self._awaited.values():
            _set(taken, False)
        await self._break_off(StandingBy)
        self.commit_stats.is_failing = False  # the next owner's commits count
        self._begin_empty()

    async def _break_off(self, refusal: type[DispatchError]) -> None:
        """Stop timers, batches, deliveries and erasing; batches before what they begin."""
        for companion in self.companions:
            await companion.abandon()
        self._timers.stop()
        self.connections.close()
        await self.batches.close(refusal)
        await self.deliveries.close()
        await self._eraser.close()

    def snapshot(self) -> TopicSnapshot:
        """Return all records, as of the last command that was applied."""
        return snapshot_of(self._machine.tables, self._earlier)

    # ---- submitting

    async def submit(
        self,
        data: bytes,
        idempotency_key: str | None = None,
        new_id: str | None = None,
        priority: int | None = None,
    ) -> Placed:
        """Give a new job to a free worker, or enqueue it; ``data`` is checked JSON.

        ``new_id`` is the id of a job without a key; by default a new one. ``priority`` is None
        where the sender may not choose one.

        Returns once the job is durable and a worker has taken it, or it is waiting, or
        ``submit_wait_s`` after the call. The position is None if a worker has taken the job, and 1
        if it was assigned and nobody has taken it by then. A repeat with the same key and data gets
        the same job. Raises QueueFull, ShuttingDown, StorageFailed, IdempotencyMismatch and
        StillUnderWay.
        """
        until_s = self._clock.monotonic_s() + self._submit_wait_s
        await self._until_open()
        is_repeatable = idempotency_key is not None or ORIGIN.get() is not None
        if idempotency_key is None:
            job_id = new_id or new_job_id()
        else:
            job_id = self._machine.receipts.job_id(idempotency_key)
        submit = c.Submit(job_id, data, is_repeatable, priority, REQUEST_ID.get())
        return await self._submit(submit, until_s)

    async def _submit(self, submit: c.Submit, until_s: float) -> Placed:
        job_id = submit.job_id
        placed: Placed = await self.batches.execute(submit)
        if not placed.is_new and job_id in self._awaited:
            raise StillUnderWay
        if not placed.is_new or placed.position is not None:
            return placed
        if await self._wait_until_taken(placed.job, until_s):
            return placed
        untaken = Placed(placed.job, POSITION_OF_UNTAKEN)
        if not self._is_open and not self._is_stopped:  # it is another process's by now
            return untaken
        looking = self.batches.execute(c.LookUp(job_id, submit.request))
        timer = self._clock.call_later(LOOK_S, _set, looking, untaken)
        try:
            looked: Placed = await looking
        except (StorageError, ShuttingDown, StandingBy):  # but the job is durable
            return untaken
        finally:
            timer.cancel()
        return Placed(looked.job, looked.position or POSITION_OF_UNTAKEN)

    async def _wait_until_taken(self, job: Job, until_s: float) -> bool:
        """Wait until a worker has taken the job; False if none has until then (monotonic)."""
        taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        # Registered after the commit and still in time: Batches._release begins the PUT in the turn
        # in which it answers _submit, and even an outcome that came at once would be a command of a
        # later turn (Batches._apply_soon).
        self._awaited[job.id] = taken
        left_s = max(0.0, until_s - self._clock.monotonic_s())
        timer = self._clock.call_later(left_s, _set, taken, False)
        try:
            return await taken
        finally:
            timer.cancel()
            self._awaited.pop(job.id, None)

    async def look_up(self, job_id: str) -> Placed:
        """Return a job and its position in the queue. Raises UnknownJob, and as ``operator``."""
        await self._until_settled()
        self.check_started()
        placed: Placed = await self.batches.execute(c.LookUp(job_id, REQUEST_ID.get()))
        return placed

    async def cancel(self, job_id: str, reason: str = "") -> Job:
        """Cancel a waiting job, or have the holder of an assigned one cancel it.

        In the second case the job that is returned is ``cancelling``. Raises UnknownJob, and
        WrongState if the holder could not hear of it.
        """
        cancel = c.Cancel(job_id, reason, request=REQUEST_ID.get())
        return (await self._change_job(cancel)).job

    # ---- registrations and reports

    async def register(self, worker: Worker, *, lost: bool = False) -> Job | None:
        """Return a job for the worker to be answered with, or None if it waits.

        After a job was returned, ``answer_written`` or ``answer_lost`` must be called. A repeat
        with the same callback gets the same answer. ``lost``: the last answer never arrived, so
        the same job is given again. Raises QueueFull, ShuttingDown and StorageFailed.

        If the request is cancelled, the answer is reported as lost.
        """
        await self._until_open()
        await self._answers_elsewhere.until_settled(worker)
        if not self._is_open:  # the topic was lost meanwhile
            await self._until_open()
        job = await self._job_to_answer_with(c.Register(worker, lost, REQUEST_ID.get()))
        if job is not None and (origin := ORIGIN.get()) is not None:
            self._answers_elsewhere.expect(job, origin.run)
        return job

    async def withdraw(self, worker_id: str, connection: str = "") -> None:
        """Take a waiting worker out of the queue, unless it is back by another ``connection``.

        Raises UnknownWorker and WorkerHasJob.
        """
        await self._until_open()
        await self.batches.execute(c.Withdraw(worker_id, REQUEST_ID.get(), connection))

    async def register_connected(self, worker: Worker, connection: str) -> Job | None:
        """Enqueue a worker that is reached by this connection, which must be attached.

        Its offers go to ``connections``. Return the job that a polling worker has already; then,
        and after an offer to one, ``answer_written`` or ``answer_lost`` must be called. If the
        request is cancelled, an answer with a job that it had is reported as lost. Raises
        AlreadyRegistered, StandingBy if the connection is not attached (any more), and as
        ``register``.
        """
        await self._until_open()
        self._check_attached(connection)
        register = c.RegisterConnected(worker, connection, REQUEST_ID.get())
        return await self._job_to_answer_with(register)

    async def end_poll(self, worker_id: str, connection: str) -> Job | None:
        """End a poll that got no offer; return the job that it was offered meanwhile.

        Every poll that got no offer ends so, even if the connection is not attached any more.
        """
        await self._until_open()
        return await self._job_to_answer_with(c.EndPoll(worker_id, connection, REQUEST_ID.get()))

    async def resume(self, session: str, connection: str) -> Resumed:
        """Take up what the worker of a session has, by a connection that must be attached.

        If it has a job, that is offered to the connection again. Raises as ``register_connected``.
        """
        await self._until_open()
        self._check_attached(connection)
        resume = c.Resume(session, connection, REQUEST_ID.get())
        resumed: Resumed = await self.batches.execute(resume)
        if resumed.job is None:
            return resumed
        job = self._machine.tables.jobs.held_by(resumed.worker_id)
        is_lost = job is None or job.id != resumed.job.id  # while the commit was under way
        return Resumed(lost=resumed.job.id) if is_lost else resumed

    def _check_attached(self, connection: str) -> None:
        if not self.connections.is_attached(connection):
            raise StandingBy("another process")

    async def accept(self, job_id: str, proof: Proof) -> Placed:
        """Take a job that was offered to a connected worker. Raises as ``complete``."""
        return await self._change_job(c.Accept(job_id, proof, REQUEST_ID.get()))

    def lease_of_s(self, job: Job) -> float | None:
        """Return how long its holder may keep a job without a word; None: forever."""
        return None if job.hold is None else self._machine.policy.lease_of_s(job.hold)

    def answer_written(self, job: Job) -> None:
        """Report that the answer with this job was written; returns at once.

        The worker has the job by then, so nobody waits for the commit. It confirms the job; a job
        whose commit is cut off by a crash is in doubt after the recovery.
        """
        self.batches.report(c.AnswerWritten(job.id, job.attempt, REQUEST_ID.get()))
        self._answers_elsewhere.settle(job.id)

    def answer_lost(self, job: Job, *, began: bool) -> None:
        """Report that the connection broke before this job's answer was written as a whole.

        ``began``: some of it may have been sent, so the worker may have the job.
        """
        self.batches.report(c.AnswerLost(job.id, job.attempt, began, REQUEST_ID.get()))
        self._answers_elsewhere.settle(job.id)

    async def settle_answer(self, job_id: str, attempt: int, *, written: bool, began: bool) -> None:
        """Report what became of an answer that another process wrote; return once it is durable.

        As ``answer_written`` and ``answer_lost``. Raises StorageFailed.
        """
        self.check_open()
        await self.batches.execute(
            c.AnswerWritten(job_id, attempt, REQUEST_ID.get())
            if written
            else c.AnswerLost(job_id, attempt, began, REQUEST_ID.get())
        )
        self._answers_elsewhere.settle(job_id)

    def end_session(self, run: str) -> None:
        """Note that a process has been away for so long that it repeats and reports nothing more.

        The workers to which it was to write a job may have got it.
        """
        if not self._is_open:
            return
        for job in self._answers_elsewhere.of_run(run):
            self._answers_elsewhere.settle(job.id)
            self.batches.report(c.AnswerLost(job.id, job.attempt, True))
        numbers = self._machine.tables.facts.text(FORWARDED + run)
        if numbers:
            self.batches.report(c.ForgetRun(run, numbers))

    async def complete(
        self, job_id: str, proof: Proof, result: bytes | None = None, *, connection: str = ""
    ) -> Placed:
        """Finish a job at its holder's report.

        With the ``connection`` of its websocket the worker registers again, as it was; whether it
        could is ``is_registered``. Raises UnknownJob, NotTheHolder, WrongState and StorageFailed.
        """
        complete = c.Complete(job_id, proof, result, REQUEST_ID.get(), connection)
        return await self._change_job(complete)

    async def fail(
        self,
        job_id: str,
        proof: Proof,
        reason: str,
        *,
        retry: bool = False,
        cancelled: bool = False,
        connection: str = "",
    ) -> Placed:
        """Fail a job, let another worker try (``retry``), or say that it was ``cancelled``.

        ``connection`` and errors as ``complete``.
        """
        fail = c.Fail(job_id, proof, reason, retry, cancelled, REQUEST_ID.get(), connection)
        return await self._change_job(fail)

    async def report_progress(
        self, job_id: str, proof: Proof, percent: float | None, text: str | None
    ) -> Placed:
        """Keep how far the holder is, and renew its lease. Raises as ``complete``."""
        report = c.ReportProgress(job_id, proof, percent, text, REQUEST_ID.get())
        return await self._change_job(report)

    async def ask_if_cancelling(self, job_id: str, proof: Proof) -> bool:
        """Return whether the holder is to stop. Raises as ``complete``."""
        ask = c.AskIfCancelling(job_id, proof, REQUEST_ID.get())
        return (await self._change_job(ask)).job.cancelling

    async def extend(self, job_id: str, proof: Proof) -> Placed:
        """Renew a job's lease. Raises as ``complete``."""
        return await self._change_job(c.Extend(job_id, proof, REQUEST_ID.get()))

    def note_refused(self, job_id: str, proof: Proof, reason: str) -> None:
        """Note that a report on a job was refused; returns at once."""
        if self._is_open or self._is_stopped:
            refused = c.NoteRefusedReport(job_id, proof, reason, REQUEST_ID.get())
            self.batches.report(refused)

    def receipt_of(self, job: Job) -> str:
        """Return the receipt that goes with a job and later proves who got it."""
        return self._machine.receipts.receipt(job)

    async def _change_job(self, command: c.Command) -> Placed:
        """Apply a command about a job, once jobs and workers are taken in."""
        await self._until_open()
        placed: Placed = await self.batches.execute(command)
        return placed

    async def _job_to_answer_with(self, command: c.Command) -> Job | None:
        """Apply a command; return the job that its reply is, if it is one.

        If the request is cancelled, the answer is reported as lost: by Batches, if the reply comes
        later; here, if it had come and was not read yet.
        """
        reply = self.batches.execute(command, self._report_answer_lost)
        try:
            job: Job | None = await reply
        except asyncio.CancelledError:
            if reply.done() and not reply.cancelled() and reply.exception() is None:
                self._report_answer_lost(reply.result())
            raise
        return job

    def _report_answer_lost(self, reply: object) -> None:
        """Report that a worker's answer will not be written: the request was cancelled."""
        if isinstance(reply, Job):
            self.answer_lost(reply, began=False)

    # ---- callbacks of the batches

    def _begin_effect(self, effect: e.Effect) -> None:
        if isinstance(effect, e.StartTimer):
            self._timers.start(effect)
        elif isinstance(effect, (e.OfferJob, e.AskToStop, e.EndConnection)):
            self.connections.begin(effect)
        elif isinstance(effect, e.EraseData):
            self._eraser.begin(effect)
        elif isinstance(effect, e.StopTimer):
            self._timers.cancel(effect.record_id)
        else:
            self.deliveries.begin(effect)

    def _publish(self, events: Sequence[Event]) -> None:
        if self._awaited:
            for event in events:
                if event.job and (taken := self._awaited.get(event.job.id)):
                    self._answer_submitter(event, event.job.id, taken)
        self._bus.publish(events)

    def _answer_submitter(self, event: Event, job_id: str, taken: asyncio.Future[bool]) -> None:
        if event.kind in _TAKEN:
            _set(taken, True)
        elif event.kind in _NOT_TAKEN:
            _set(taken, False)
        elif event.kind is EventKind.JOB_RETURNED:
            # The same command may have given it to the next worker: then wait for that PUT.
            job = self._machine.tables.jobs.get(job_id)
            if job is None or job.state is State.WAITING:
                _set(taken, False)

    def check_open(self) -> None:
        """Raise ShuttingDown or StandingBy if nothing is taken in."""
        if self._is_open:
            return
        ownership = self._store.ownership
        if ownership is not None and not self._is_stopped:
            raise StandingBy(ownership.owner)
        raise ShuttingDown

    async def _until_open(self) -> None:
        """Return once jobs and workers are taken in. Raises as ``check_open``."""
        if not self._is_open:
            await self._until_settled()
            self.check_open()

    async def _until_settled(self) -> None:
        """Wait while the topic changes hands, but no longer than HAND_OVER_WAIT_S."""
        ownership = self._store.ownership
        if ownership is None or not self._is_changing_hands(ownership):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(HAND_OVER_WAIT_S):
                while self._is_changing_hands(ownership):
                    await ownership.changed.wait()

    def _is_changing_hands(self, ownership: Ownership) -> bool:
        """Whether no process serves the topic, or this one is soon to do so."""
        if self._is_open or self._is_stopped:
            return False
        return ownership.is_owner or ownership.is_successor or not ownership.owner

    def check_started(self) -> None:
        """Raise as ``check_open``, but not while this process stops: it still has the records."""
        if not self._is_stopped:
            self.check_open()


def new_job_id() -> str:
    """Return a new random id of a job."""
    return secrets.token_hex(ID_DIGITS // 2)


def _set(reply: asyncio.Future[Any], value: object) -> None:
    if not reply.done():
        reply.set_result(value)
