"""What handlers ask of a topic, here or at the process that owns it.

``ask`` calls a function of the topic, such as ``Dispatcher.submit``. If another process owns the
topic, the call goes there with its arguments, and the reply comes back: nothing is written a second
time for that. ``FUNCTIONS`` are those that may be called by other processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from math import inf
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from sanic_dispatch.cluster.codec import decoder_of, encode, signature_of
from sanic_dispatch.cluster.forwarding import PATIENCE_S, RETRY_S, Leave, RemoteCall, TakeWord
from sanic_dispatch.cluster.link import LinkLost, LinkRefused
from sanic_dispatch.cluster.sessions import Sink
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.dispatch.connections import Message, MessageKind, TakeMessage
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.dispatch.online_backup import OnlineBackup
from sanic_dispatch.dispatch.operator import Operator
from sanic_dispatch.dispatch.queries import Queries
from sanic_dispatch.dispatch.readiness import Readiness
from sanic_dispatch.errors import DispatchError, OwnerUnreachable, StandingBy, UnknownTopic
from sanic_dispatch.history.history_queries import HistoryQueries
from sanic_dispatch.live.connection import ViewKey
from sanic_dispatch.live.frames import Cursor
from sanic_dispatch.live.relay import Follow, RelayedConnection
from sanic_dispatch.live.rewinder import Rewinder
from sanic_dispatch.live.subscription import OutOfReach
from sanic_dispatch.live.why import Why
from sanic_dispatch.outbox.outbox import Outbox
from sanic_dispatch.outbox.push_outbox import PushOutbox
from sanic_dispatch.web.context import Context

REGISTERING_S = 2 * PATIENCE_S
"""How long a registration is repeated whose client was answered 503, or has gone: it may have got a
job, which has to go back."""

ATTACH_AGAIN_S = 0.25
"""How long to wait before a connection is attached again that could not be."""

REPORT_AGAIN_S = 0.5
"""How long to wait before the owner is told again what became of an answer."""

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


class Handout(NamedTuple):
    """A job for the answer to a registration, with its receipt."""

    job: Job
    receipt: str


class JobDetails(NamedTuple):
    """A job, its position, when it will be ready (Unix seconds), if known, and why it waits."""

    job: Job
    position: int | None
    eta: tuple[float, float] | None
    why: Why | None


def ask(
    context: Context,
    function: Callable[Concatenate[S, P], Awaitable[R]],
    /,
    *arguments: P.args,
    **keywords: P.kwargs,
) -> Awaitable[R]:
    """Call one of FUNCTIONS for a topic. Raises its errors, StandingBy and OwnerUnreachable."""
    if context.forwarder is None:
        return function(_SUBJECTS[function](context), *arguments, **keywords)
    return _ask_owner(context, function, arguments, keywords)


async def _ask_owner(context: Context, function: Any, arguments: Any, keywords: Any) -> Any:
    """Call a function here if this process owns the topic, else at the owner."""
    if not context.dispatcher.is_elsewhere:
        try:
            return await function(_SUBJECTS[function](context), *arguments, **keywords)
        except StandingBy:  # another process has taken the topic over: nothing was done
            pass
    return await _forward(context, function, arguments, keywords, PATIENCE_S)


async def _forward(
    context: Context,
    function: Any,
    arguments: Any,
    keywords: Any,
    patience_s: float = PATIENCE_S,
    reply_s: float = PATIENCE_S,
) -> Any:
    """Call a function at the owner of the topic, or here once this process is the owner."""
    dispatcher, forwarder = context.dispatcher, context.forwarder
    assert forwarder is not None
    is_reply_here = False

    async def here() -> Any:
        nonlocal is_reply_here
        is_reply_here = True
        return await function(_SUBJECTS[function](context), *arguments, **keywords)

    call = RemoteCall(context.settings.topic, function.__qualname__, arguments, keywords)
    reply = await forwarder.call(
        call,
        lambda: dispatcher.owner,
        here,
        lambda: not dispatcher.is_elsewhere,
        patience_s,
        reply_s,
    )
    return reply if is_reply_here else signature_of(function).reply(reply)


class LinkedService:
    """What other processes ask of this one: all topics, as ``cluster.sessions.Service`` says."""

    def __init__(self, service: Context) -> None:
        self._service = service

    async def execute(self, call: RemoteCall) -> Any:
        """Carry out a call, and return its reply. Raises its errors, and UnknownTopic."""
        context, function = self._context(call), _BY_NAME[call.name]
        signature = signature_of(function)
        arguments = [
            decode(value)
            for decode, value in zip(signature.arguments, call.arguments, strict=False)
        ]
        keywords = {name: signature.keywords[name](value) for name, value in call.keywords.items()}
        return await function(_SUBJECTS[function](context), *arguments, **keywords)

    def follow(self, call: RemoteCall, sink: Sink) -> Callable[[], None]:
        """Send what a view or a connection is told; return what ends that. Raises as its begin."""
        context = self._context(call)
        context.dispatcher.check_open()
        kind, *arguments = call.arguments
        return _STREAMS[kind](context, sink, *arguments)

    def end_session(self, run: str) -> None:
        """Note that a process repeats and reports nothing more."""
        for context in (self._service, *self._service.topics.values()):
            context.dispatcher.end_session(run)

    def _context(self, call: RemoteCall) -> Context:
        context = self._service.topics.get(call.topic) if call.topic else self._service
        if context is None:
            raise UnknownTopic(call.topic)
        return context


# ---- what comes from the owner, as it happens

_VIEW, _CONNECTION = "view", "connection"


def _send_frames(
    context: Context, sink: Sink, key: Sequence[str], since: str | None
) -> Callable[[], None]:
    """Send the frames of a view; return what ends that. Raises as ``Hub.follow``."""
    cursor = Cursor.parse(since) if since else None
    client = context.hub.follow(RelayedConnection(sink), ViewKey(*key), cursor)
    return lambda: context.hub.leave(client)


def _send_messages(context: Context, sink: Sink, connection: str) -> Callable[[], None]:
    """Send what the connection of a worker at the other process is told; return what ends that."""

    def take(message: Message) -> None:
        sink.send_json("told", encode(message))

    return context.dispatcher.connections.attach(connection, take)


_STREAMS: dict[str, Callable[..., Callable[[], None]]] = {
    _VIEW: _send_frames,
    _CONNECTION: _send_messages,
}


async def attach(context: Context, connection: str, take: TakeMessage) -> Callable[[], None]:
    """Attach a connection of a worker at the owner of the topic; return what detaches it.

    ``take`` gets ``LOST`` if it has to be attached again. Raises StandingBy and OwnerUnreachable.
    """
    loop = asyncio.get_running_loop()
    until_s = loop.time() + PATIENCE_S
    while True:
        try:
            return await _attach(context, connection, take)
        except (LinkLost, LinkRefused) as error:
            reason = str(error)
        if loop.time() + RETRY_S >= until_s:
            owner = context.dispatcher.owner.name or "nobody"
            raise OwnerUnreachable(owner, reason, was_sent=False)
        await asyncio.sleep(RETRY_S)


async def _attach(context: Context, connection: str, take: TakeMessage) -> Callable[[], None]:
    dispatcher, forwarder = context.dispatcher, context.forwarder
    if forwarder is None or not dispatcher.is_elsewhere:
        return dispatcher.connections.attach(connection, take)
    owner = dispatcher.owner
    if owner.name and not owner.url:
        raise StandingBy(owner.name)

    leave: Leave | None = None

    def take_word(word: str, value: Any) -> None:
        message = _decode_message(value) if word == "told" else Message(MessageKind.LOST)
        if message.kind is MessageKind.LOST and leave is not None:
            leave()  # else the connection would be lost again when the link ends
        if word == "error":  # that process has not loaded the topic yet, or does not own it
            asyncio.get_running_loop().call_later(ATTACH_AGAIN_S, take, message)
        else:
            take(message)

    topic = context.settings.topic
    leave = await forwarder.follow(owner, topic, (_CONNECTION, connection), take_word)
    return leave


_decode_message: Callable[[Any], Message] = decoder_of(Message)


def follow_elsewhere(context: Context) -> Follow:
    """Return what opens a stream of a view from the process that owns the topic."""

    async def follow(key: ViewKey, since: str | None, take: TakeWord) -> Leave:
        owner, forwarder = context.dispatcher.owner, context.forwarder
        if forwarder is None or not owner.url:
            raise OutOfReach
        try:
            arguments = (_VIEW, key, since)
            return await forwarder.follow(owner, context.settings.topic, arguments, take)
        except (LinkLost, LinkRefused):
            raise OutOfReach from None

    return follow


# ---- functions of a topic that are more than a method


async def hand_out(context: Context, worker: Worker, *, lost: bool) -> Handout | None:
    """Register a worker; return a job to answer it with, as ``Dispatcher.register`` does."""
    return _handout(context, await context.dispatcher.register(worker, lost=lost))


async def begin_poll(context: Context, worker: Worker, connection: str) -> Handout | None:
    """Register a worker that polls; return a job that it has already, to answer it with."""
    return _handout(context, await context.dispatcher.register_connected(worker, connection))


async def end_poll(context: Context, worker_id: str, connection: str) -> Handout | None:
    """End a poll that got no job; return one that it was offered meanwhile."""
    return _handout(context, await context.dispatcher.end_poll(worker_id, connection))


def _handout(context: Context, job: Job | None) -> Handout | None:
    return None if job is None else Handout(job, context.dispatcher.receipt_of(job))


async def job_details(context: Context, job_id: str) -> JobDetails:
    """Return a job as those may see it who know its id. Raises UnknownJob."""
    placed = await context.dispatcher.look_up(job_id)
    projection = context.hub.projection
    order = projection.get(job_id)
    if order is None:
        return JobDetails(placed.job, placed.position, None, None)
    eta = projection.window(order, context.clock.now_s())
    return JobDetails(placed.job, placed.position, eta, projection.why(order))


async def why_waiting(context: Context, job_id: str) -> Why | None:
    """Return why a job waits; None if it does not."""
    context.dispatcher.check_started()
    projection = context.hub.projection
    order = projection.get(job_id)
    return projection.why(order) if order else None


async def eta_of_next(context: Context) -> tuple[float, float] | None:
    """Return when a job would be ready that is submitted now (Unix seconds), if known."""
    context.dispatcher.check_started()
    return context.hub.projection.window_of_next(context.clock.now_s())


async def record_refusal(context: Context, job_id: str, proof: Proof, reason: str) -> None:
    """Note that a report on a job was refused."""
    context.dispatcher.note_refused(job_id, proof, reason)


async def unavailable_drinks(context: Context) -> tuple[str, ...]:
    """Return the drinks of the menu that no robot here makes, also right after an edit."""
    await context.menu.refresh()  # another process may have asked, and read its menu only now
    context.dispatcher.check_started()
    return context.hub.projection.counts().unavailable


async def is_paused(context: Context) -> bool:
    """Return whether an operator has paused the topic."""
    context.dispatcher.check_started()
    return context.dispatcher.is_paused


# ---- registrations, whose job has to go back if nobody gets it


async def register(context: Context, worker: Worker, *, lost: bool) -> Handout | None:
    """Register a worker; return a job to answer it with, or None if it waits.

    ``report_answer`` has to follow if there is a job.
    """
    if context.forwarder is None:
        return await hand_out(context, worker, lost=lost)
    if not context.dispatcher.is_elsewhere:
        with suppress(StandingBy):  # nothing was done: another process has taken the topic over
            return await hand_out(context, worker, lost=lost)
    asking = asyncio.create_task(
        _forward(context, hand_out, (worker,), {"lost": lost}, REGISTERING_S, inf)
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            found: Handout | None = await asyncio.shield(asking)
            return found
    except TimeoutError:
        asking.add_done_callback(lambda done: give_back(context, done))
        owner = context.dispatcher.owner
        reason = context.forwarder.trouble_with(owner)
        raise OwnerUnreachable(owner.name, reason, was_sent=True) from None
    except asyncio.CancelledError:
        asking.add_done_callback(lambda done: give_back(context, done))
        raise


def give_back(context: Context, asking: asyncio.Future[Handout | None]) -> None:
    """Report that a job will not be written, since its worker has gone."""
    if asking.cancelled() or asking.exception() is not None:
        return
    handout = asking.result()
    if handout is not None:
        report_answer(context, handout.job, written=False, began=False)


def report_answer(context: Context, job: Job, *, written: bool, began: bool) -> None:
    """Report whether the answer with a job was written, or began to be; returns at once.

    This process keeps that until the owner has acknowledged it.
    """
    dispatcher, forwarder = context.dispatcher, context.forwarder
    if forwarder is not None and dispatcher.is_elsewhere:
        keywords = {"written": written, "began": began}
        forwarder.keep(_report_answer(context, (job.id, job.attempt), keywords))
    elif written:
        dispatcher.answer_written(job)
    else:
        dispatcher.answer_lost(job, began=began)


async def _report_answer(context: Context, attempt: tuple[str, int], keywords: Any) -> None:
    while True:
        try:
            await _forward(context, Dispatcher.settle_answer, attempt, keywords, inf, inf)
        except DispatchError:
            await asyncio.sleep(REPORT_AGAIN_S)
        else:
            return


def note_refused_report(context: Context, job_id: str, proof: Proof, reason: str) -> None:
    """Note that a report on a job was refused; returns at once."""
    dispatcher, forwarder = context.dispatcher, context.forwarder
    if forwarder is None or not dispatcher.is_elsewhere:
        dispatcher.note_refused(job_id, proof, reason)
    else:
        forwarder.keep(_try(_forward(context, record_refusal, (job_id, proof, reason), {})))


async def _try(call: Awaitable[Any]) -> None:
    with suppress(DispatchError):
        await call


FUNCTIONS: tuple[Callable[..., Any], ...] = (
    Dispatcher.submit, Dispatcher.cancel, Dispatcher.complete, Dispatcher.fail, Dispatcher.extend,
    Dispatcher.settle_answer, Dispatcher.withdraw, Dispatcher.register_connected, Dispatcher.resume,
    Dispatcher.accept, Dispatcher.report_progress, Dispatcher.ask_if_cancelling,
    Operator.pause, Operator.resume, Operator.cancel, Operator.put_back, Operator.move_to_front,
    Operator.set_priority, Operator.forget, Operator.set_aside, Operator.bring_back, Operator.drop,
    Queries.jobs, Queries.of_ticket, Queries.workers,
    HistoryQueries.find, HistoryQueries.recorded, HistoryQueries.of_ticket,
    HistoryQueries.statistics, Rewinder.look,
    OnlineBackup.make, Readiness.reasons,
    Outbox.endpoints, Outbox.add, Outbox.remove, Outbox.rotate,
    Outbox.resume_endpoint, Outbox.send_test, Outbox.events,
    PushOutbox.key, PushOutbox.subscribe, PushOutbox.unsubscribe, PushOutbox.overview,
    PushOutbox.resume_phone, PushOutbox.drop,
    hand_out, begin_poll, end_poll, job_details, why_waiting, eta_of_next, is_paused,
    record_refusal, unavailable_drinks,
)  # fmt: skip
"""What other processes may call."""

_BY_NAME = {function.__qualname__: function for function in FUNCTIONS}


def _history(context: Context) -> HistoryQueries:
    context.dispatcher.check_started()
    return context.events


def _rewinder(context: Context) -> Rewinder:
    context.dispatcher.check_started()
    return context.rewinder


_SUBJECT_OF_CLASS: dict[str, Callable[[Context], Any]] = {
    "Dispatcher": lambda context: context.dispatcher,
    "Operator": lambda context: context.dispatcher.operator,
    "Queries": lambda context: context.dispatcher.queries,
    "HistoryQueries": _history,
    "Rewinder": _rewinder,
    "OnlineBackup": lambda context: context.backup,
    "Readiness": lambda context: context.readiness,
    "Outbox": lambda context: context.outbox,
    "PushOutbox": lambda context: context.push_outbox,
    "": lambda context: context,
}

_SUBJECTS = {
    function: _SUBJECT_OF_CLASS[function.__qualname__.rpartition(".")[0]] for function in FUNCTIONS
}
"""What each function gets as its first argument: the object of a method, else the context."""
