"""Registration of workers; ``register`` is usually called by ``web/fast_path.py``."""

from __future__ import annotations

import asyncio

from sanic import Blueprint, HTTPResponse
from sanic.exceptions import RequestCancelled

from sanic_dispatch.callbacks.url import parse_callback
from sanic_dispatch.core.rules import rule_in
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.web import auth, calls
from sanic_dispatch.web.calls import Handout
from sanic_dispatch.web.context import Call, Context, context_of, now_s_of
from sanic_dispatch.web.cpee_headers import instance_url_of, name_of, worker_key_of
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import REGISTER
from sanic_dispatch.web.request_body import read_form_text
from sanic_dispatch.web.responses import Response

workers = Blueprint("workers")


@workers.post("/register-worker", stream=True)
@describe(REGISTER)
async def register(request: Call) -> HTTPResponse | None:
    """Register a worker: 200 with a job, or 202, and it is called back later."""
    auth.check(request, auth.WORKER)
    context, worker = context_of(request), await worker_from(request)
    handout = await calls.register(context, worker, lost="lost" in _flags(request))
    if handout is None:
        return _queued(request)
    await _answer_with(request, context, handout)
    return None  # the answer is already written


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
    """Return the worker of the CPEE headers, with the rule in the arguments.

    Raises InvalidCallback, CallbackForbidden, BodyTooLarge and InvalidMatch.
    """
    callback_url = parse_callback(request.headers.get("cpee-callback"))
    await context_of(request).callbacks.check(callback_url)
    return Worker(
        callback_url=callback_url,
        registered_at=to_rfc3339(now_s_of(request)),
        key=worker_key_of(request),
        instance_url=instance_url_of(request, callback_url),
        label=name_of(request),
        rule=await _rule_in(request),
    )


async def _rule_in(request: Call) -> str:
    """Return the rule in the query and in a form, which is how engines send arguments."""
    return rule_in("&".join(filter(None, (request.query_string, await read_form_text(request)))))


async def _answer_with(request: Call, context: Context, handout: Handout) -> None:
    """Write the answer with a job, and report to the dispatcher whether that worked."""
    job, headers, began = handout.job, {"Job-Receipt": handout.receipt}, False
    try:
        await asyncio.sleep(0)  # a connection that was reset right after the request is noticed
        if request.transport.is_closing():
            raise RequestCancelled
        answer = Response(job.to_wire(), headers=headers, content_type="application/json")
        response = await request.respond(answer)
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
