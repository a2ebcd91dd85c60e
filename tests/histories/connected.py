"""Simulated workers without a callback: tablets at a websocket, and scripts that poll."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.rules import ANYTHING
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.worker import POLL, WEBSOCKET, Worker
from sanic_dispatch.errors import (
    AlreadyRegistered,
    DispatchError,
    QueueFull,
    StorageFailed,
    UnknownWorker,
)
from tests.crash.records import Delivery, Outcome, Registration
from tests.histories.handed import Handed, handed
from tests.histories.plan import BEER_ONLY
from tests.histories.requests import CutOff, NotSent
from tests.histories.wire import SILENT_S, Frame, Wire

if TYPE_CHECKING:
    from tests.histories.simulation import Simulation

MAKE = ("complete", "complete", "complete twice", "fail", "retry", "extend", "late")
"""How a worker in trouble ends a job."""

ENDS = ("complete", "fail", "retry")
"""The reports with which a worker at a websocket may ask for its next job."""


class Closed(Exception):
    """The connection is gone."""


class ConnectedWorker:
    """A worker with a name: it registers under it for job after job."""

    key = None
    is_dead = False
    may_have_got_one = False

    def __init__(self, run: Simulation, number: int, channel: str) -> None:
        self.number = number
        self.id = f"{channel}{number}"
        self.state = "running"
        self.is_waiting = False
        """Whether it was told that it waits, and has heard of no job since."""
        self.job: Handed | None = None
        """What it makes."""
        self._run = run
        self._dice = run.dice
        self._places = 0
        self._is_to_stop = ""
        """The job that it was asked to stop."""
        self._is_running = asyncio.Event()
        self._is_running.set()

    async def live(self) -> None:
        """Work until the end."""
        while self.state in ("running", "stopped"):
            await self._is_running.wait()
            await self._go_on()

    @abstractmethod
    async def _go_on(self) -> None:
        """Do what is to be done next."""

    @abstractmethod
    async def _report(self, word: str, job: Handed) -> Any:
        """Send a report. Raises what it is answered with, and where the answer got lost."""

    def stranded(self) -> Iterator[str]:
        """Yield why it will never get a job, though it was told that it waits."""
        yield from ()

    def befall(self, what: str) -> None:
        """Freeze, let it go on, or end it: it is switched off without a word."""
        if self.state not in ("running", "stopped"):
            return
        self._run.write("worker", self.id, what)
        if what == "stop":
            self.state = "stopped"
            self._is_running.clear()
        elif what == "continue":
            self.state = "running"
            self._is_running.set()
        else:
            self.state = "gone"
            self.is_waiting = False
            self._is_running.set()

    # ---- what both kinds do

    def _worker(self, session: str = "") -> Worker:
        run = self._run
        has_skill = run.plan.has_skills and self.number % 2
        rule = BEER_ONLY if has_skill else ANYTHING
        registered_at = to_rfc3339(run.wall.now_s())
        return Worker(self.id, registered_at, rule=rule, session=session)

    @property
    def callback(self) -> str:
        """The name of its present place in the queue: it gets one job there."""
        return f"{self.id}#{self._places}"

    def _note_registration(self, began_s: float, error: Exception | None) -> None:
        """Record a registration; the worker has another place unless it was surely refused."""
        run, outcome = self._run, Outcome.OK
        if isinstance(error, (CutOff, Closed, AlreadyRegistered)):
            outcome = Outcome.UNKNOWN
        elif isinstance(error, StorageFailed):
            outcome = Outcome.UNKNOWN if "may have been" in str(error) else Outcome.FAILED
        elif error is not None:
            outcome = Outcome.FAILED
        self._places += outcome is not Outcome.FAILED
        entry = Registration(self.callback, self.id, began_s, run.now_s(), outcome)
        run.history.registrations.append(entry)
        run.write("registered", self.callback, outcome.value, type(error).__name__)

    def _begin(self, job: Handed) -> None:
        """Begin a job: it is the worker's own."""
        run = self._run
        self.job, self.is_waiting = job, False
        run.write("begins", self.callback, job.job_id)
        run.history.deliveries.append(
            Delivery(
                job.data, job.job_id, self.id, self.callback, job.began_s, run.now_s(), Outcome.OK
            )
        )

    async def _make(self, job: Handed) -> None:
        """Make the job, and report until the report is taken or refused."""
        run, dice = self._run, self._dice
        await asyncio.sleep(dice.uniform(0, run.plan.work_s))
        act = dice.choice(MAKE) if run.has_trouble else "complete"
        for _ in range(dice.choice((0, 0, 1, 3))):
            if await self._try("progress", job):
                return
            await asyncio.sleep(dice.choice((0.0, 0.2, 1.0)))
        if act == "extend" and await self._try("extend", job):
            return
        if act in ("extend", "late"):
            await asyncio.sleep(dice.uniform(0, 3.0) if act == "extend" else 90.0)
            act = "complete"
        if self._is_to_stop == job.job_id:
            act = dice.choice(("complete", "stopped"))
        for word in [act.split()[0]] * (2 if act == "complete twice" else 1):
            if await self._try(word, job):
                break
        if self.job is job:
            self.job = None
        await asyncio.sleep(0.05)

    async def _try(self, word: str, job: Handed) -> bool:
        """Report, as long as the answer is unclear; return whether it was refused."""
        while True:
            await self._is_running.wait()
            if self.state == "gone":
                return True
            self._run.write("report", word, job.job_id)
            if word == "retry":
                self._run.allow(job.data)
            try:
                placed = await self._report(word, job)
            except (CutOff, NotSent, StorageFailed):
                await asyncio.sleep(0.3)
            except DispatchError as error:
                self._run.write("refused", word, job.job_id, type(error).__name__)
                return True
            else:
                if placed is not None and placed.job.cancelling:
                    self._is_to_stop = job.job_id
                return False


class Tablet(ConnectedWorker):
    """A worker at a websocket, which accepts before it begins."""

    def __init__(self, run: Simulation, number: int) -> None:
        super().__init__(run, number, WEBSOCKET)
        self.wire: Wire | None = None
        self._session = ""
        self._is_welcome = False
        self._offer: Handed | None = None
        self._has_ignored_one = False
        self._last_ref = 0

    def stranded(self) -> Iterator[str]:
        life = self._run.life
        if not self.is_waiting or life is None or self.state != "running":
            return
        workers = life.dispatcher._machine.tables.workers
        if self.id not in workers:
            if self._run.dropped.get(self.id) != "out of order":
                yield f"{self.id} waits without being registered"
        elif self.wire is None or workers.connection_of.get(self.id) != self.wire.connection:
            yield f"{self.id} waits, and is not reached"

    def befall(self, what: str) -> None:
        super().befall(what)
        if self.wire is not None and self.state == "gone":
            self.wire.cut(server_s=self._dice.choice((0.0, SILENT_S)))
        elif self.wire is not None and what == "stop":
            self._run.loop.call_later(SILENT_S, self._miss, self.wire)

    def _miss(self, wire: Wire) -> None:
        """The dispatcher has heard nothing from a frozen tablet."""
        if self.state == "stopped" and self.wire is wire:
            wire.cut(server_s=0.0)

    async def _go_on(self) -> None:
        try:
            await self._connect()
            while self.state == "running":
                await self._do_next()
                self._drop_wire_at_random()
        except Closed:
            self.wire = None
            await asyncio.sleep(self._dice.choice((0.0, 0.0, 0.1, 2.0, 14.9, 15.0, 20.0)))

    def _drop_wire_at_random(self) -> None:
        """Connect again while the dispatcher trusts the old wire, as the same tablet or not."""
        dice, run = self._dice, self._run
        if self.wire is None or not run.has_trouble or dice.random() >= run.plan.cuts:
            return
        if dice.random() < 0.5 and self.job is None:
            self._session = ""  # another tablet of this name; the first one is on, and idle
            self.wire = None
        else:
            self.wire.cut(server_s=SILENT_S, worker_s=0.0)
        raise Closed

    async def _connect(self) -> None:
        """Connect, and wait for the welcome."""
        run = self._run
        await asyncio.sleep(self._dice.choice((0.0, 0.001)))
        self._is_welcome, self._offer, self.is_waiting = False, None, False
        if run.life is None or run.life.is_over or not run.life.dispatcher.is_open:
            raise Closed
        self.wire = Wire(run, run.life, self._session)
        run.write("connects", self.id, self.wire.connection, self._session)
        while not self._is_welcome:
            await self._hear()

    async def _do_next(self) -> None:
        job, offer = self.job, self._offer
        if job is not None:
            await self._make(job)
        elif offer is not None:
            await self._consider(offer)
        elif self.is_waiting:
            await self._hear()
        else:
            await self._register()

    async def _register(self) -> None:
        began_s, error = self._run.now_s(), None
        try:
            await self._ask("register", self._worker(self._session))
        except Closed as closed:
            self._note_registration(began_s, closed)
            raise
        except (DispatchError, CutOff) as refused:
            error = refused
        self._note_registration(began_s, error)
        self._has_ignored_one = self._has_ignored_one and error is not None
        is_known = isinstance(error, AlreadyRegistered) and not self._has_ignored_one
        self.is_waiting = error is None or is_known
        if not self.is_waiting:
            await asyncio.sleep(self._dice.uniform(0.05, 2.0))
        elif self._run.has_trouble and self._dice.random() < 0.05:
            await self._withdraw()

    async def _withdraw(self) -> None:
        try:
            await self._ask("withdraw", self.id)
        except (UnknownWorker, StorageFailed):
            self.is_waiting = False
            return
        except DispatchError:
            return
        self.is_waiting = False
        if self._offer is not None:
            return  # it was sent before
        await asyncio.sleep(self._dice.uniform(0, 3.0))
        while self.wire is not None and not self.wire.received.empty():
            await self._hear()
        if self._offer is not None:
            self._run.accuse("WITHDRAWN", f"{self.id} got {self._offer.job_id} all the same")

    async def _consider(self, offer: Handed) -> None:
        """Accept an offer: at once, late, or not at all."""
        run, dice = self._run, self._dice
        if run.has_trouble and dice.random() < run.plan.refuses:
            self._offer, self.is_waiting, self._has_ignored_one = None, False, True
            await asyncio.sleep(dice.choice((0.1, 12.0)))
            return
        if run.has_trouble and dice.random() < 0.1:
            await asyncio.sleep(dice.choice((1.0, 9.99, 10.0, 10.01, 11.0)))
        try:
            _, at_s = await self._ask("accept", (offer.job_id, offer.receipt))
        except StorageFailed:
            return
        except DispatchError as error:
            run.write("not accepted", self.id, offer.job_id, type(error).__name__)
            if self._offer is offer:
                self._offer = None
            self.is_waiting = False
        else:
            self._offer = None
            self._begin(offer._replace(began_s=at_s))

    async def _report(self, word: str, job: Handed) -> Any:
        """Report by the wire; where that is gone connect again, and take the job up.

        A last report may also ask for the next job.
        """
        if self.wire is None:
            try:
                await self._connect()
            except Closed:
                self.wire = None
                raise NotSent from None
        wants_next = word in ENDS and self._dice.random() < 0.5
        began_s, message = self._run.now_s(), f"{word} and next" if wants_next else word
        try:
            reply, _ = await self._ask(message, (job.job_id, job.receipt))
        except Closed as closed:
            self.wire = None
            if wants_next:
                self._note_registration(began_s, closed)
            raise CutOff from None
        except StorageFailed as failed:
            if wants_next:
                self._note_registration(began_s, failed)
            raise
        if wants_next and reply.is_registered:
            self._note_registration(began_s, None)
            self._has_ignored_one, self.is_waiting = False, True
        return reply

    async def _ask(self, word: str, value: Any) -> Any:
        """Send a request; return its reply. Raises Closed, and errors."""
        assert self.wire is not None
        self._last_ref = ref = self._last_ref + 1
        self.wire.send(Frame(word, ref, value))
        while True:
            reply = await self._hear()
            if reply.ref != ref:
                continue
            if reply.word == "error":
                raise reply.value
            return reply.value

    async def _hear(self) -> Frame:
        """Take the next frame in. Raises Closed."""
        assert self.wire is not None
        frame = await self.wire.received.get()
        await self._is_running.wait()
        if frame.word == "closed" or self.state != "running":
            raise Closed
        if frame.word == "welcome":
            self._is_welcome = True
            self.is_waiting = self._session == frame.value and self.job is None
            self._session = frame.value
        elif frame.word == "job":
            body, receipt, began_s = frame.value
            job = handed(body, receipt, began_s)
            self._run.write("offered", self.id, job.job_id)
            if self.job is None or self.job.receipt != job.receipt:
                self._offer = job
        elif frame.word == "cancel":
            self._is_to_stop = frame.value
        return frame


class Poller(ConnectedWorker):
    """A worker that polls: the answer to a poll brings the job."""

    def __init__(self, run: Simulation, number: int) -> None:
        super().__init__(run, number, POLL)
        self._last_job = ""

    async def _go_on(self) -> None:
        run, dice = self._run, self._dice
        if run.has_trouble and dice.random() < run.plan.cuts:
            run.spawn(self._poll_and_hang_up())
        job = await self._poll()
        if job is not None and self.state == "running":
            if job.job_id != self._last_job:
                self._places += 1
            self._last_job = job.job_id
            run.history.registrations.append(
                Registration(self.callback, self.id, job.began_s, run.now_s(), Outcome.OK)
            )
            self._begin(job)
            await self._make(job)
        await asyncio.sleep(dice.choice((0.0, 0.1, 2.0) if run.has_trouble else (0.1,)))

    async def _poll(self) -> Handed | None:
        run = self._run
        wait_s = self._dice.choice((0.0, 0.5, 5.0, 30.0))
        try:
            answer = await run.requests.poll(self._worker(), wait_s)
        except (CutOff, NotSent, QueueFull, DispatchError) as error:
            run.write("poll failed", self.id, type(error).__name__)
            await asyncio.sleep(self._dice.uniform(0.05, 2.0))
            return None
        run.write("polled", self.id, answer is not None)
        return handed(answer.body, answer.receipt, answer.began_s) if answer else None

    async def _poll_and_hang_up(self) -> None:
        """Poll, and do not read the answer."""
        patience_s = self._dice.uniform(0, 1)
        with suppress(CutOff, NotSent, DispatchError):
            await self._run.requests.poll(self._worker(), 1.0, patience_s)

    async def _report(self, word: str, job: Handed) -> Any:
        return await self._run.requests.report(word, job.job_id, Proof(receipt=job.receipt))
