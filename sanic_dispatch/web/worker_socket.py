"""The websocket of a worker without an address: registrations, offers and reports.

Like a follower's it has no task while nothing comes. The messages of a worker are carried out one
after the other, each by the same functions as requests over HTTP. Offers come from the owner of the
topic; if that changes, the connection is attached again, and the worker need not notice.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog
from websockets.frames import Frame as WebsocketFrame
from websockets.frames import Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from sanic_dispatch.core.connected_workers import RESUME_S, Resumed
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.state_machine import Placed
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.dispatch.connections import Message, MessageKind
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.errors import (
    AlreadyRegistered,
    DispatchError,
    InvalidRequest,
    NotTheHolder,
    OwnerUnreachable,
    StorageFailed,
    UnknownWorker,
)
from sanic_dispatch.live import close_codes
from sanic_dispatch.live.connection import LOW_WATER_BYTES
from sanic_dispatch.observability.request_id import begin
from sanic_dispatch.web import calls, worker_messages
from sanic_dispatch.web.calls import ATTACH_AGAIN_S, ask
from sanic_dispatch.web.context import Context
from sanic_dispatch.web.holder_reports import failure_in, instructions_for, progress_in
from sanic_dispatch.web.problems import document_of
from sanic_dispatch.web.request_body import flag_in
from sanic_dispatch.web.websocket import Websocket, is_utf8
from sanic_dispatch.web.worker_messages import MAX_MESSAGE_BYTES

MAX_FRAME_BYTES = 1024 * 1024
"""A larger message is not received: the connection is closed with 1009."""

MAX_UNANSWERED, MAX_UNANSWERED_BYTES = 100, 4 * MAX_MESSAGE_BYTES
"""How many messages, and how much, may wait until those before them are answered."""

MAX_FAULTS = 5
"""After how many messages in a row that cannot be read the connection is closed."""

PING_S = 5.0
"""How often a worker is asked whether it is there."""

SILENCE_S = 10.0
"""After how long without a word, or without reading, a worker counts as gone."""

MAX_REASON_CHARS = 120
"""The reason of a close is at most 123 bytes."""

CONTROL = (Opcode.CLOSE, Opcode.PING, Opcode.PONG)

_log = structlog.get_logger("sanic_dispatch.web")


class WorkerSocket(Websocket):
    """A websocket of a worker."""

    __slots__ = (
        "_attaching", "_connection", "_context", "_detach", "_faults", "_heard_s", "_held",
        "_is_engaged", "_job_id", "_losses", "_parts", "_pinged_s", "_session", "_stalled_s",
        "_task", "_unanswered", "_worker_id",
    )  # fmt: skip

    def __init__(self, frames: ServerProtocol, context: Context) -> None:
        super().__init__(frames)
        self._context = context
        self._connection = secrets.token_urlsafe(12)
        self._session = ""
        self._worker_id = ""
        """Whose connection it is, once a worker has registered or resumed."""
        self._is_engaged = False
        """Whether the worker waits or has a job, as far as it knows."""
        self._job_id = ""
        """The job that it was offered last, until it reports on that or registers."""
        self._detach: Callable[[], None] | None = None
        self._losses = 0
        """How often the connection was detached elsewhere."""
        self._attaching: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        """Carries out the messages that are not answered yet."""
        self._unanswered: list[bytes] | None = None
        self._parts: bytearray | None = None
        """The fragments of a message that is not complete."""
        self._held: list[Message] | None = None
        """What is held back until the reply that comes before it is sent; None: nothing is."""
        self._faults = 0
        self._heard_s = self._pinged_s = asyncio.get_running_loop().time()
        self._stalled_s = 0.0
        """Since when the client does not read (loop's time); 0 if it does."""

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._frames.state is OPEN and not self._transport.is_closing()

    @property
    def _is_closed_here(self) -> bool:
        """Whether this side has begun to close the connection; the worker's word counts no more."""
        frames = self._frames
        return frames.close_sent is not None and not frames.close_rcvd_then_sent

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport over, after the handshake."""
        super().connection_made(transport)
        self._context.worker_connections.add(self)

    def open(self, session: str | None) -> None:
        """Welcome the worker; if it names a session, once that is taken up."""
        if session is None:
            self._welcome(secrets.token_urlsafe(16))
            self._begin_to_answer()
        else:
            self._task = asyncio.create_task(self._resume(session))

    def watch(self, now_s: float) -> None:
        """Ask whether the worker is there; drop the connection if it was silent for too long."""
        stalled_s = now_s - self._stalled_s if self._stalled_s else 0.0
        if now_s - self._heard_s > SILENCE_S or stalled_s > SILENCE_S:
            self.abort()
        elif now_s - self._pinged_s >= PING_S and self._frames.state is OPEN:
            self._pinged_s = now_s
            self._frames.send_ping(b"")
            self._send()

    # ---- from the worker

    def data_received(self, data: bytes) -> None:
        """Take in messages."""
        self._heard_s = asyncio.get_running_loop().time()
        self._frames.receive_data(data)
        for event in self._frames.events_received():
            if isinstance(event, WebsocketFrame):
                self._take_frame(event)
        self._send()

    def pause_writing(self) -> None:
        """Note that the worker does not read, and stop reading."""
        super().pause_writing()
        self._stalled_s = asyncio.get_running_loop().time()

    def resume_writing(self) -> None:
        """Resume reading."""
        super().resume_writing()
        self._stalled_s = 0.0

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the worker is not reached by this connection any more."""
        self._context.worker_connections.discard(self)
        self._leave()
        if self._attaching is not None:
            self._attaching.cancel()

    def _leave(self) -> None:
        if self._detach is not None:
            self._detach()
            self._detach = None

    def _take_frame(self, frame: WebsocketFrame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._parts = bytearray()
        if frame.opcode not in CONTROL and self._parts is not None:
            self._parts += frame.data
            if frame.fin:
                data, self._parts = bytes(self._parts), None
                self._take_message(data)

    def _take_message(self, data: bytes) -> None:
        if self._is_closed_here:
            return
        if not is_utf8(data):
            self.close(close_codes.NOT_UTF8)
            return
        unanswered = self._unanswered = self._unanswered or []
        unanswered.append(data)
        if len(unanswered) > MAX_UNANSWERED or sum(map(len, unanswered)) > MAX_UNANSWERED_BYTES:
            self.close(close_codes.CLIENT_SPOKE, "too many messages at once")
        self._begin_to_answer()

    def _begin_to_answer(self) -> None:
        """Answer what has come, once the worker is welcome."""
        if self._unanswered and self._task is None and self._session:
            self._task = asyncio.create_task(self._answer_all())

    async def _answer_all(self) -> None:
        """Carry out what has come; of a worker that has gone, what needs no connection."""
        while self._unanswered and not self._is_closed_here:
            begin(None)
            reply = await self._reply_to(self._unanswered.pop(0))
            self._say(reply)
            self._release()
            if self._faults >= MAX_FAULTS:
                self.close(close_codes.CLIENT_SPOKE, f"{MAX_FAULTS} invalid messages in a row")
        self._task = self._unanswered = None

    async def _reply_to(self, data: bytes) -> bytes:
        ref = b""
        try:
            said = worker_messages.read(data, self._context.settings.max_depth)
            ref = worker_messages.ref_of(data)
            if said.name in _FOR_CONNECTED and not self.is_open:
                return b""
            answer = await _ACTS[said.name](self, said.fields, data)
        except InvalidRequest as error:
            self._faults += 1
            return worker_messages.error(document_of(error), ref or worker_messages.ref_of(data))
        except Exception as error:
            self._faults = 0
            if not isinstance(error, DispatchError):
                _log.exception("unexpected error", path="/work")
            return worker_messages.error(document_of(error), ref)
        self._faults = 0
        return worker_messages.ok(answer, ref)

    async def _register(self, fields: dict[str, Any], _: bytes) -> dict[str, Any]:
        context = self._context
        registered_at = to_rfc3339(context.clock.now_s())
        worker = worker_messages.worker_in(fields, registered_at, self._session)
        self._held = []
        await self._attach()
        losses = self._losses
        try:
            await ask(context, Dispatcher.register_connected, worker, self._connection)
        except (OwnerUnreachable, StorageFailed):
            if not self._is_engaged:  # it may wait all the same
                self._worker_id, self._is_engaged = worker.id, True
            raise
        except AlreadyRegistered:
            self._is_engaged = True  # perhaps by a report whose first reply was lost
            raise
        self._worker_id, self._is_engaged, self._job_id = worker.id, True, ""
        if self._losses != losses:  # perhaps after it was registered, and before the reply came
            self._attach_soon()
        return {}

    async def _withdraw(self, _: dict[str, Any], __: bytes) -> dict[str, Any]:
        if not self._worker_id:
            raise UnknownWorker
        await ask(self._context, Dispatcher.withdraw, self._worker_id, self._connection)
        self._is_engaged = False
        return {}

    async def _accept(self, fields: dict[str, Any], _: bytes) -> dict[str, Any]:
        job_id, proof = worker_messages.job_in(fields)
        placed = await ask(self._context, Dispatcher.accept, job_id, proof)
        return {"job": job_id, "lease_s": self._context.dispatcher.lease_of_s(placed.job)}

    async def _progress(self, fields: dict[str, Any], _: bytes) -> dict[str, Any]:
        job_id, proof = worker_messages.job_in(fields)
        percent, text = progress_in(fields)
        placed = await ask(self._context, Dispatcher.report_progress, job_id, proof, percent, text)
        return instructions_for(self._context, placed.job)

    async def _done(self, fields: dict[str, Any], data: bytes) -> dict[str, Any]:
        job_id, proof = worker_messages.job_in(fields)
        result = worker_messages.result_in(data)
        connection = self._connection_if_next(fields)
        with noting_refusal(self._context, "complete", job_id, proof):
            placed = await ask(
                self._context, Dispatcher.complete, job_id, proof, result, connection=connection
            )
        return self._ended(placed, wants_next=connection != "")

    async def _fail(self, fields: dict[str, Any], _: bytes) -> dict[str, Any]:
        job_id, proof = worker_messages.job_in(fields)
        connection = self._connection_if_next(fields)
        with noting_refusal(self._context, "fail", job_id, proof):
            failure = failure_in(fields)
            placed = await ask(
                self._context, Dispatcher.fail, job_id, proof, failure.reason,
                retry=failure.retry, cancelled=failure.cancelled, connection=connection,
            )  # fmt: skip
        return self._ended(placed, wants_next=connection != "")

    def _connection_if_next(self, fields: dict[str, Any]) -> str:
        """Return by which connection the worker is to wait for the next job; empty: it does not."""
        if not flag_in(fields, "next") or not self.is_open:
            return ""
        self._held = []
        return self._connection

    def _ended(self, placed: Placed, *, wants_next: bool) -> dict[str, Any]:
        job = placed.job
        if job.id == self._job_id or placed.is_registered:  # else it is late, or a repeat
            self._is_engaged, self._job_id = placed.is_registered, ""
        ended = {"job": job.id, "state": job.state.value}
        return ended | {"registered": placed.is_registered} if wants_next else ended

    # ---- to the worker

    def take(self, message: Message) -> None:
        """Take what the owner of the topic tells this connection."""
        match message.kind:
            case MessageKind.OFFER | MessageKind.STOP if self._held is not None:
                self._held.append(message)
            case MessageKind.OFFER:
                self._offer(message)
            case MessageKind.STOP:
                self._say(worker_messages.cancel(message.job_id))
            case MessageKind.REPLACED:
                self.close(close_codes.REPLACED, "another connection of this worker took over")
            case MessageKind.LOST:
                self._detach = None
                self._losses += 1
                if self.is_open:
                    self._attach_soon()

    def _offer(self, message: Message) -> None:
        if self._transport.get_write_buffer_size() > LOW_WATER_BYTES:
            self.abort()  # it does not read; the job goes back at once
            return
        self._job_id = message.job_id
        self._say(worker_messages.offer(message))

    def _release(self) -> None:
        """Send what was held back."""
        held, self._held = self._held, None
        for message in held or ():
            self.take(message)

    def _welcome(self, session: str) -> None:
        self._session = session
        self._say(worker_messages.welcome(session))

    def _say(self, message: bytes) -> None:
        if self.is_open:
            self._frames.send_text(message)
            self._send()

    # ---- sessions and the owner of the topic

    async def _resume(self, session: str) -> None:
        """Take up what a session has, and then what has come meanwhile."""
        begin(None)
        self._held = []
        resumed = await self._take_up(session)
        if resumed is None:
            pass
        elif resumed.is_over:
            self._welcome(secrets.token_urlsafe(16))
            if resumed.lost:
                lost = document_of(NotTheHolder(""), job={"id": resumed.lost})
                self._say(worker_messages.error(lost))
        else:
            self._worker_id, self._is_engaged = resumed.worker_id, True
            self._welcome(session)
        self._release()
        await self._answer_all()

    async def _attach(self) -> None:
        """Attach this connection, unless it is."""
        if self._attaching is not None:
            await asyncio.wait([self._attaching])
        await self._attach_now()

    async def _attach_now(self) -> None:
        if self._detach is None:
            self._detach = await calls.attach(self._context, self._connection, self.take)
            if not self.is_open:
                self._leave()

    def _attach_soon(self) -> None:
        if self._attaching is not None:
            self._attaching.cancel()
        self._attaching = asyncio.create_task(self._attach_again())

    async def _attach_again(self) -> None:
        """Take up again what the worker has, where the topic is served now."""
        begin(None)
        while self._is_engaged:
            resumed = await self._take_up(self._session)
            if resumed is None or not resumed.is_over:
                return
            if self._task is None:
                self.close(close_codes.TRY_LATER, "come back, and register again")
                return
            await asyncio.sleep(ATTACH_AGAIN_S)  # what is being carried out may have ended it
        with suppress(DispatchError):
            await self._attach_now()

    async def _take_up(self, session: str) -> Resumed | None:
        """Attach this connection and return what the worker of a session has.

        None, after closing, if its topic is out of reach for as long as a place is kept.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + RESUME_S
        while self.is_open:
            losses = self._losses
            try:
                await self._attach_now()
                resumed = await ask(self._context, Dispatcher.resume, session, self._connection)
            except DispatchError as error:
                if loop.time() > until_s:
                    self.close(close_codes.TRY_LATER, str(error)[:MAX_REASON_CHARS])
            else:
                if resumed.is_over or self._losses == losses:
                    return resumed
            await asyncio.sleep(ATTACH_AGAIN_S)
        return None


@contextmanager
def noting_refusal(context: Context, act: str, job_id: str, proof: Proof) -> Iterator[None]:
    """Note a report that is refused in the block on its job, as those over HTTP are."""
    try:
        yield
    except DispatchError as error:
        calls.note_refused_report(context, job_id, proof, f"{act}: {error}")
        raise


_Act = Callable[[WorkerSocket, dict[str, Any], bytes], Awaitable[dict[str, Any]]]

_ACTS: dict[str, _Act] = {
    "register": WorkerSocket._register,
    "withdraw": WorkerSocket._withdraw,
    "accept": WorkerSocket._accept,
    "progress": WorkerSocket._progress,
    "done": WorkerSocket._done,
    "fail": WorkerSocket._fail,
}

_FOR_CONNECTED = ("register", "accept")
"""What nobody wants any more who has gone; what was said of a job, or of leaving, still counts."""
