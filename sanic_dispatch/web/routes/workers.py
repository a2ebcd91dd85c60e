"""Registration of workers; ``register`` is usually called by ``web/fast_path.py``."""

from __future__ import annotations

import asyncio
import re

from sanic import Blueprint, HTTPResponse
from sanic.exceptions import RequestCancelled
from sanic.response import empty

from sanic_dispatch.callbacks.url import parse_callback
from sanic_dispatch.core.rules import arguments_of, rule_in
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.worker import POLL, Worker
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.errors import InvalidRequest
from sanic_dispatch.web import auth, calls
from sanic_dispatch.web.calls import Handout, ask
from sanic_dispatch.web.context import Call, Context, context_of
from sanic_dispatch.web.cpee_headers import instance_url_of, name_of, worker_key_of
from sanic_dispatch.web.deadlines import answering_within
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import REGISTER, WITHDRAW
from sanic_dispatch.web.polls import MAX_WAIT_S, polling
from sanic_dispatch.web.request_body import read_form_text
from sanic_dispatch.web.responses import NOSNIFF, Response
from sanic_dispatch.web.worker_messages import worker_name

workers = Blueprint("workers")

MIN_TTL_S, MAX_TTL_S = 1.0, 7 * 24 * 3600.0
"""For how long a registration may be."""

ANSWER_S = 30.0
"""How long the answer to a poll may take beyond its wait, as when the topic changes hands."""

_SECONDS = re.compile(r"[0-9]{1,7}(\.[0-9]{1,20})?")


@workers.post("/register-worker", stream=True)
@describe(REGISTER)
async def register(request: Call) -> HTTPResponse | None:
    """Register a worker: 200 with a job, or 202, and it is called back later.

    A worker without a callback polls: it has a Worker-Id, and waits for the answer, 200 or 204.
    """
    auth.check(request, auth.WORKER)
    context = context_of(request)
    if "worker-id" in request.headers and "cpee-callback" not in request.headers:
        return await _poll(request, context)
    worker = await worker_from(request)
    handout = await calls.register(context, worker, lost="lost" in _flags(request))
    if handout is None:
        return _queued(request)
    await _answer_with(request, context, handout)
    return None  # the answer is already written


@workers.delete("/register-worker")
@describe(WITHDRAW)
async def withdraw(request: Call) -> HTTPResponse:
    """Take a worker out of the line; 409 with its job if it has one."""
    auth.check(request, auth.WORKER)
    if "worker-id" in request.headers and "cpee-callback" not in request.headers:
        worker_id = _polling_name(request)
    else:
        worker_id = parse_callback(request.headers.get("cpee-callback"))
    await ask(context_of(request), Dispatcher.withdraw, worker_id)
    return empty(headers=NOSNIFF)


async def _poll(request: Call, context: Context) -> HTTPResponse | None:
    """Wait for a job, at most for as long as the worker says."""
    name, arguments = _polling_name(request), await _arguments_in(request)
    wait_s = _seconds_in(arguments, "wait", 0.0, MAX_WAIT_S)
    if wait_s is None:
        raise InvalidRequest(f"wait is missing: a number of seconds from 0 to {MAX_WAIT_S:g}")
    worker = Worker(
        name,
        to_rfc3339(context.clock.now_s()),
        label=name_of(request),
        rule=rule_in(arguments),
    )
    with answering_within(request, wait_s + ANSWER_S):
        async with polling(context, worker, wait_s) as handout:
            if handout is None:
                return empty(headers=NOSNIFF)
            await _answer_with(request, context, handout)
            return None


def _polling_name(request: Call) -> str:
    return POLL + worker_name(request.headers["worker-id"], "Worker-Id")


def _queued(request: Call) -> Response:
    """Return the answer for a worker that waits, without a body if it is a process engine.

    An engine takes the bodies of the 202 and of the PUT for results, in the order in which its
    evaluator gets to them: a body here could overwrite the job.
    """
    headers = {"CPEE-CALLBACK": "true"}
    if request.headers.get("cpee-instance-uuid"):
        return Response(b"", 202, headers, "text/plain")
    return Response('"Queued"', 202, headers, "application/json")


async def worker_from(request: Call) -> Worker:
    """Return the worker of the CPEE headers, with the rule and the time in the arguments.

    Raises InvalidCallback, CallbackForbidden, BodyTooLarge, InvalidMatch and InvalidRequest.
    """
    callback_url = parse_callback(request.headers.get("cpee-callback"))
    context = context_of(request)
    await context.callbacks.check(callback_url)
    now_s, arguments = context.clock.now_s(), await _arguments_in(request)
    ttl_s = _seconds_in(arguments, "ttl", MIN_TTL_S, MAX_TTL_S)
    return Worker(
        callback_url=callback_url,
        registered_at=to_rfc3339(now_s),
        key=worker_key_of(request),
        instance_url=instance_url_of(request, callback_url),
        label=name_of(request),
        rule=rule_in(arguments),
        expires_s=None if ttl_s is None else now_s + ttl_s,
    )


async def _arguments_in(request: Call) -> str:
    """Return the arguments in the query and in a form, which is how engines send them."""
    return "&".join(filter(None, (request.query_string, await read_form_text(request))))


def _seconds_in(text: str, name: str, least_s: float, most_s: float) -> float | None:
    """Return an argument that is a time, None if it is not there. Raises InvalidRequest."""
    if name not in text:
        return None
    for given, value in arguments_of(text):
        if given == name:
            if _SECONDS.fullmatch(value) and least_s <= float(value) <= most_s:
                return float(value)
            raise InvalidRequest(f"{name} is a number of seconds from {least_s:g} to {most_s:g}")
    return None


async def _answer_with(request: Call, context: Context, handout: Handout) -> None:
    """Write the answer with a job, and report to the dispatcher whether that worked."""
    job, headers, began = handout.job, {"Job-Receipt": handout.receipt}, False
    try:
        await asyncio.sleep(0)  # a connection that was reset right after the request is noticed
        if request.transport.is_closing():
            raise RequestCancelled
        response = await request.respond(Response(job.to_wire(), headers=headers))
        began = True
        await response.send(end_stream=True)
        if request.transport.is_closing():
            raise RequestCancelled
    except BaseException:
        calls.report_answer(context, job, written=False, began=began)
        raise
    calls.report_answer(context, job, written=True, began=True)


def _flags(request: Call) -> set[str]:
    """Return the names in the query, including names without a value."""
    return {part.partition("=")[0] for part in request.query_string.split("&")}
