"""Workers over HTTP: registration, and the answer that may carry a job."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse
from sanic.exceptions import RequestCancelled

from sanic_dispatch.callbacks import Callbacks, parse_callback
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.web import auth
from sanic_dispatch.web.context import Call, dispatcher_of, now_s_of
from sanic_dispatch.web.cpee_headers import instance_url_of, key_of, name_of
from sanic_dispatch.web.openapi.operation import (
    TAKING,
    Answer,
    Parameter,
    describe,
    in_json,
)
from sanic_dispatch.web.openapi.schemas import CALLBACK_URL, HANDED_JOB, ref
from sanic_dispatch.web.responses import Response

workers = Blueprint("workers")

_ANY = {"type": "string", "minLength": 1}
_HEADERS = (
    Parameter(
        "header",
        "CPEE-CALLBACK",
        "where it waits: an absolute http or https address",
        {
            "type": "string",
            "pattern": r"^https?://[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){0,3}(:[1-9][0-9]{0,3})?/[!-~]*$",
        },
        CALLBACK_URL,
        required=True,
    ),
    Parameter("header", "CPEE-INSTANCE-UUID", "its process instance", _ANY, "9b3f6c1e"),
    Parameter("header", "CPEE-ACTIVITY", "which of its activities", _ANY, "a1"),
    Parameter(
        "header",
        "CPEE-INSTANCE-URL",
        "where the instance can be asked for its state",
        _ANY,
        "http://engine.example:8298/4/",
    ),
    Parameter("header", "CPEE-ATTR-INFO", "its name on the monitor", _ANY, "Robot 1"),
    Parameter("header", "CPEE-LABEL", "its name where there is no other", _ANY, "Register worker"),
)
_LOST = Parameter(
    "query", "lost", "the last answer never arrived: the same job again", {"type": "string"}, ""
)


@workers.post("/register-worker")
@describe(
    tag="workers",
    door=auth.WORKER,
    parameters=(*_HEADERS, _LOST),
    answers={
        200: Answer(
            "A job waited: here it is.",
            in_json(ref("handed_job"), HANDED_JOB),
            {"Job-Receipt": {"type": "string", "description": "proves later who got it"}},
        ),
        202: Answer(
            "It waits, and gets its job later by PUT to the callback. The body is empty where the "
            "registration names its process instance (CPEE-INSTANCE-UUID), whose engine would take "
            "it for a result.",
            {
                **in_json({"const": "Queued"}, "Queued"),
                "text/plain": ({"type": "string", "maxLength": 0}, ""),
            },
            {"CPEE-CALLBACK": {"const": "true"}},
        ),
    },
    errors=(
        *("Unauthorized", "Missing", "NotAString", "NotAUrl", "NotAllowed", "QueueFull"),
        *TAKING,
    ),
)
async def register(request: Call) -> HTTPResponse | None:
    """Take in a worker: 200 with a job, or 202: it is called back later."""
    auth.check(request, auth.WORKER)
    dispatcher = dispatcher_of(request)
    worker = await worker_from(request)
    job = await dispatcher.register(worker, lost="lost" in _flags(request))
    if job is None:
        return _queued(request)
    await _answer_with(request, dispatcher, job)
    return None


def _queued(request: Call) -> Response:
    """Tell a worker that it waits; without a body if a process engine is to read the answer.

    An engine sets the call's result from the body of the 202 and from that of the PUT, whichever
    its evaluator gets to last: with a body, the job can be overwritten by it.
    """
    headers = {"CPEE-CALLBACK": "true"}
    if request.headers.get("cpee-instance-uuid"):
        return Response(b"", 202, headers, "text/plain")
    return Response('"Queued"', 202, headers, "application/json")


async def worker_from(request: Call) -> Worker:
    """The worker that the CPEE headers speak of. Raises InvalidCallback, CallbackForbidden."""
    callback_url = parse_callback(request.headers.get("cpee-callback"))
    callbacks: Callbacks = request.app.ctx.callbacks
    await callbacks.check(callback_url)
    return Worker(
        callback_url=callback_url,
        registered_at=to_rfc3339(now_s_of(request)),
        key=key_of(request),
        instance_url=instance_url_of(request, callback_url),
        label=name_of(request),
    )


async def _answer_with(request: Call, dispatcher: Dispatcher, job: Job) -> None:
    """Write the job, and tell the dispatcher how far that came."""
    headers = {"Job-Receipt": dispatcher.receipt_of(job)}
    began = False
    try:
        if request.transport.is_closing():
            raise RequestCancelled
        answer = Response(job.to_wire(), headers=headers, content_type="application/json")
        response = await request.respond(answer)
        began = True
        await response.send(end_stream=True)
        if request.transport.is_closing():
            raise RequestCancelled
    except BaseException:
        dispatcher.unanswered(job, began=began)
        raise
    dispatcher.answered(job)


def _flags(request: Call) -> set[str]:
    """The names in the query, also those without a value."""
    return {part.partition("=")[0] for part in request.query_string.split("&")}
