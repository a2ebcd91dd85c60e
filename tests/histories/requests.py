"""Requests of customers, robots and operators, and their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.state_machine import Placed
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.dispatch.connections import Message, MessageKind
from sanic_dispatch.dispatch.dispatcher import Dispatcher

if TYPE_CHECKING:
    from tests.histories.simulation import Life, Simulation

T = TypeVar("T")


class NotSent(Exception):
    """No connection: the request has not been sent."""


class CutOff(Exception):
    """The connection broke before the answer: the fate of the request is unknown."""


class Answer(NamedTuple):
    """A job in the answer to a registration."""

    body: bytes
    receipt: str
    began_s: float
    """When it began to be written."""


class Requests:
    """Stands in for the web layer, and the network in front of it."""

    def __init__(self, run: Simulation) -> None:
        self._run = run

    async def submit(self, data: bytes, key: str | None) -> Placed:
        async def handle(life: Life) -> Placed:
            return self._shown(life, await life.dispatcher.submit(data, key))

        return await self._ask(handle)

    async def look_up(self, job_id: str) -> Placed:
        async def handle(life: Life) -> Placed:
            return self._shown(life, await life.dispatcher.look_up(job_id))

        return await self._ask(handle)

    async def cancel(self, job_id: str) -> Job:
        async def handle(life: Life) -> Job:
            return self._shown(life, await life.dispatcher.cancel(job_id, "changed my mind"))

        return await self._ask(handle)

    async def report(self, act: str, job_id: str, proof: Proof) -> Placed:
        """Report; ``act`` is complete, fail, retry, extend, progress or stopped."""

        async def handle(life: Life) -> Placed:
            return self._shown(life, await self.tell(life, act, job_id, proof))

        return await self._ask(handle)

    async def tell(
        self, life: Life, act: str, job_id: str, proof: Proof, connection: str = ""
    ) -> Placed:
        """Report to this life of the dispatcher; by a connection the worker registers again."""
        dispatcher = life.dispatcher
        if act == "complete":
            return await dispatcher.complete(job_id, proof, b'"ok"', connection=connection)
        if act == "extend":
            return await dispatcher.extend(job_id, proof)
        if act == "progress":
            percent = self._run.dice.choice((None, 40.0))
            return await dispatcher.report_progress(job_id, proof, percent, "shaking")
        if act == "stopped":
            return await dispatcher.fail(job_id, proof, "stopped", cancelled=True)
        is_retry = act == "retry"
        return await dispatcher.fail(job_id, proof, "no ice", retry=is_retry, connection=connection)

    async def operate(self, act: Callable[[Any], Awaitable[T]]) -> T:
        async def handle(life: Life) -> T:
            return self._shown(life, await act(life.dispatcher.operator))

        return await self._ask(handle)

    async def register(self, worker: Worker, *, lost: bool) -> Answer | None:
        """Register; a job in the answer may arrive, or be lost on the way."""

        async def handle(life: Life) -> Answer | None:
            job = await life.dispatcher.register(worker, lost=lost)
            if job is None:
                return None
            return await self._answer(life, self._shown(life, job))

        return await self._ask(handle)

    async def poll(
        self, worker: Worker, wait_s: float, patience_s: float | None = None
    ) -> Answer | None:
        """Wait for a job as long as that; hang up after ``patience_s``."""

        async def handle(life: Life) -> Answer | None:
            poll = _Poll(self._run, life)
            try:
                job = await poll.job_for(worker, wait_s)
                return None if job is None else await self._answer(life, self._shown(life, job))
            finally:
                poll.detach()

        return await self._ask(handle, patience_s)

    async def _answer(self, life: Life, job: Job) -> Answer:
        """Write a job into an answer, and report how far that came, as the web layer does."""
        run, dice = self._run, self._run.dice
        dispatcher = life.dispatcher
        answer = Answer(job.to_wire(), dispatcher.receipt_of(job), run.now_s())
        if not run.has_trouble or dice.random() >= run.plan.broken_answers:
            dispatcher.answer_written(job)
            return answer
        mishap = dice.randrange(4)
        if mishap == 0:
            life.spawn(self._tell_later(dispatcher, job))
            raise CutOff
        began = asyncio.sleep(dice.choice((0.0, 0.01, 0.5)))
        try:
            await began
        except asyncio.CancelledError:
            dispatcher.answer_lost(job, began=True)
            raise
        if mishap == 1:
            dispatcher.answer_written(job)
            raise CutOff
        dispatcher.answer_lost(job, began=True)
        if mishap == 2:
            raise CutOff
        return answer

    async def _tell_later(self, dispatcher: Dispatcher, job: Job) -> None:
        """Report that nothing of an answer was written, as another process may after a while."""
        await asyncio.sleep(self._run.dice.choice((0.0, 0.0, 0.01, 0.5)))
        dispatcher.answer_lost(job, began=False)

    def _shown(self, life: Life, reply: T) -> T:
        """Note that something leaves the process now."""
        if not life.is_over:
            self._run.check_reply(reply)
        return reply

    async def _ask(
        self, handle: Callable[[Life], Coroutine[Any, Any, T]], patience_s: float | None = None
    ) -> T:
        """Send a request. Raises NotSent, CutOff, and the dispatcher's errors."""
        run, dice, plan = self._run, self._run.dice, self._run.plan
        has_trouble = run.has_trouble
        await asyncio.sleep(dice.choice((0.0, 0.0, 0.001)))
        life = run.life
        if life is None or life.is_over or (has_trouble and dice.random() < plan.lost):
            raise NotSent
        task = life.spawn(handle(life))
        if patience_s is None and has_trouble and dice.random() < plan.cut_off:
            patience_s = dice.choice((0.0, 0.001, 0.01, 1.0))
        await asyncio.wait([task], timeout=patience_s)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        if task.cancelled() or life.is_over:
            if not task.cancelled():
                task.exception()
            raise CutOff
        answer: T = task.result()
        if has_trouble and dice.random() < plan.lost:
            raise CutOff
        return answer


class _Poll:
    """Stands in for the web layer's handling of one poll."""

    def __init__(self, run: Simulation, life: Life) -> None:
        self._run = run
        self._life = life
        self._connection = run.dice.randbytes(8).hex()
        self._told: asyncio.Future[Job | None] = asyncio.get_running_loop().create_future()
        connections = life.dispatcher.connections
        self._detach = connections.attach(self._connection, self._take)

    def detach(self) -> None:
        if not self._life.is_over:
            self._detach()

    def _take(self, message: Message) -> None:
        if message.kind is MessageKind.OFFER and message.job is not None:
            self._run.check_offer(message.job, message.receipt)
        if not self._told.done() and message.kind is not MessageKind.STOP:
            self._told.set_result(message.job)

    async def job_for(self, worker: Worker, wait_s: float) -> Job | None:
        dispatcher = self._life.dispatcher
        try:
            job = await dispatcher.register_connected(worker, self._connection)
            if job is None:
                await asyncio.wait([self._told], timeout=wait_s)
                job = self._told.result() if self._told.done() else None
            if job is None:
                job = await dispatcher.end_poll(worker.id, self._connection)
        except BaseException:
            if self._told.done() and (offered := self._told.result()) is not None:
                dispatcher.answer_lost(offered, began=False)
            raise
        return job
