"""One websocket of a simulated worker: the network in between, and the web layer behind it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.dispatch.connections import Message, MessageKind
from sanic_dispatch.errors import DispatchError

if TYPE_CHECKING:
    from tests.histories.simulation import Life, Simulation

SILENT_S = 10.0
"""After this time a side that hears nothing closes the connection."""

SMALLEST_S = 1e-6
"""The time between two frames one way: timers of the same moment have no order."""


class Frame(NamedTuple):
    """A message on the wire, either way; ``ref`` is that of a request and of its reply."""

    word: str
    ref: int = 0
    value: Any = None


CLOSED = Frame("closed")


class Wire:
    """A websocket to one life of the dispatcher; frames arrive in order, until it is cut."""

    def __init__(self, run: Simulation, life: Life, session: str) -> None:
        """``session`` is what the worker wants to resume; empty for a new one."""
        self.connection = run.dice.randbytes(8).hex()
        self.received: asyncio.Queue[Frame] = asyncio.Queue()
        """The frames that have arrived at the worker."""
        self._requests: asyncio.Queue[Frame] = asyncio.Queue()
        self._run = run
        self._life = life
        self._is_cut = False
        self._arrives_s = {True: 0.0, False: 0.0}
        self._detach = life.dispatcher.connections.attach(self.connection, self._take)
        self._server = life.spawn(self._serve(session))
        life.wires.append(self)

    # ---- the network

    def send(self, frame: Frame) -> None:
        """Send a frame to the dispatcher."""
        self._pass_on(frame, self._requests, is_up=True)

    def _pass_on(self, frame: Frame, to: asyncio.Queue[Frame], *, is_up: bool) -> None:
        """Let a frame arrive, unless the wire was cut before, or is cut right before it."""
        run = self._run
        cuts = run.has_trouble and run.dice.random() < run.plan.cuts
        if cuts and run.dice.random() < 0.5:
            self.cut()
        if self._is_cut:
            return
        delay_s = run.dice.choice((0.0, 0.001, 0.01))
        self._arrives_s[is_up] = max(
            self._arrives_s[is_up] + SMALLEST_S, run.loop.elapsed_s + delay_s
        )
        run.loop.call_at(self._arrives_s[is_up], to.put_nowait, frame)
        if cuts:
            self.cut()

    def cut(self, server_s: float | None = None, worker_s: float | None = None) -> None:
        """Break the connection; each side sees that at once, or once it has heard nothing."""
        if self._is_cut:
            return
        self._is_cut = True
        loop, choose = self._run.loop, self._run.dice.choice
        for see, after_s in ((self._end_server, server_s), (self._end_worker, worker_s)):
            loop.call_later(choose((0.0, 0.05, SILENT_S)) if after_s is None else after_s, see)

    def _end_worker(self) -> None:
        after_s = max(self._arrives_s[False] + SMALLEST_S - self._run.loop.elapsed_s, 0.0)
        self._run.loop.call_later(after_s, self.received.put_nowait, CLOSED)

    def _end_server(self) -> None:
        self._server.cancel()
        if not self._life.is_over:
            self._life.call(self._detach)

    def _close(self) -> None:
        """Close it from the dispatcher's side."""
        if not self._is_cut:
            self._is_cut = True
            self._end_worker()
        self._end_server()

    # ---- the web layer

    def _take(self, message: Message) -> None:
        if self._life.is_over:
            return
        if message.kind is MessageKind.OFFER and message.job is not None:
            job = message.job
            self._run.check_offer(job, message.receipt)
            offer = job.to_wire(), message.receipt, self._run.now_s()
            self._pass_on(Frame("job", 0, offer), self.received, is_up=False)
        elif message.kind is MessageKind.STOP:
            self._pass_on(Frame("cancel", 0, message.job_id), self.received, is_up=False)
        else:
            self._close()

    async def _serve(self, session: str) -> None:
        """Welcome the worker, and answer its requests one by one."""
        dispatcher, dice = self._life.dispatcher, self._run.dice
        try:
            resumed = await dispatcher.resume(session, self.connection) if session else None
        except DispatchError:
            self._close()
            return
        if resumed is None or resumed.is_over:
            session = dice.randbytes(8).hex()
        self._answer(Frame("welcome", 0, session))
        while True:
            request = await self._requests.get()
            try:
                reply = await self._ask(request.word, request.value)
            except Exception as error:
                self._answer(Frame("error", request.ref, error))
            else:
                if not self._life.is_over:
                    self._run.check_reply(reply)
                self._answer(Frame("ok", request.ref, (reply, self._run.now_s())))

    def _answer(self, frame: Frame) -> None:
        if not self._life.is_over:
            self._pass_on(frame, self.received, is_up=False)

    async def _ask(self, word: str, value: Any) -> object:
        dispatcher = self._life.dispatcher
        if word == "register":
            return await dispatcher.register_connected(value, self.connection)
        if word == "withdraw":
            return await dispatcher.withdraw(value)
        job_id, proof = value[0], Proof(receipt=value[1])
        if word == "accept":
            return await dispatcher.accept(job_id, proof)
        act, _, wants_next = word.partition(" and ")
        connection = self.connection if wants_next else ""
        return await self._run.requests.tell(self._life, act, job_id, proof, connection)
