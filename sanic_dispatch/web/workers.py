"""Workers over HTTP: registration, and the answer that may carry a job."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse, Request
from sanic.exceptions import RequestCancelled
from sanic.response import raw

from sanic_dispatch.callbacks import Guard, parse_callback
from sanic_dispatch.clock import to_rfc3339
from sanic_dispatch.dispatcher import Dispatcher
from sanic_dispatch.job import Job
from sanic_dispatch.web.context import dispatcher_of
from sanic_dispatch.worker import Key, Worker

workers = Blueprint("workers")

MAX_LABEL = 200


@workers.post("/register-worker")
async def register(request: Request) -> HTTPResponse | None:
    """Take in a worker: 200 with a job, or 202 ``"Queued"``: it is called back later."""
    dispatcher = dispatcher_of(request)
    worker = worker_from(request)
    job = await dispatcher.register(worker, lost="lost" in _flags(request))
    if job is None:
        return raw('"Queued"', 202, {"CPEE-CALLBACK": "true"}, "application/json")
    await _answer_with(request, dispatcher, job)
    return None


def worker_from(request: Request) -> Worker:
    """The worker that the CPEE headers speak of. Raises InvalidCallback, CallbackForbidden."""
    header = request.headers.get
    callback_url = parse_callback(header("cpee-callback"))
    guard: Guard = request.app.ctx.guard
    guard.check_url(callback_url)
    instance, activity = header("cpee-instance-uuid"), header("cpee-activity")
    return Worker(
        callback_url=callback_url,
        registered_at=to_rfc3339(request.app.ctx.clock.now_s()),
        key=Key(_plain(instance), _plain(activity)) if instance and activity else None,
        instance_url=_same_origin(header("cpee-instance-url", ""), callback_url),
        label=_plain(header("cpee-label", "")),
    )


async def _answer_with(request: Request, dispatcher: Dispatcher, job: Job) -> None:
    """Write the job, and tell the dispatcher how far that came."""
    began = False
    try:
        if request.transport.is_closing():
            raise RequestCancelled
        response = await request.respond(raw(job.to_wire(), content_type="application/json"))
        began = True
        await response.send(end_stream=True)
        if request.transport.is_closing():
            raise RequestCancelled
    except BaseException:
        dispatcher.unanswered(job, began=began)
        raise
    dispatcher.answered(job)


def _flags(request: Request) -> set[str]:
    """The names in the query, also those without a value."""
    return {part.partition("=")[0] for part in request.query_string.split("&")}


def _same_origin(instance_url: str, callback_url: str) -> str:
    """An instance's address counts only if it has the callback's origin."""
    origin = "/".join(callback_url.split("/", 3)[:3]) + "/"
    return instance_url if instance_url.startswith(origin) else ""


def _plain(text: str) -> str:
    """A header's text: the engine sends raw UTF-8; control characters are dropped."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(char for char in text if char.isprintable())[:MAX_LABEL]
