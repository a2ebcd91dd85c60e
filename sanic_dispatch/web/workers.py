"""Workers over HTTP: registration, and the answer that may carry a job."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse, Request
from sanic.exceptions import RequestCancelled
from sanic.response import raw

from sanic_dispatch.callbacks import Callbacks, parse_callback
from sanic_dispatch.clock import to_rfc3339
from sanic_dispatch.dispatcher import Dispatcher
from sanic_dispatch.job import Job
from sanic_dispatch.web import access
from sanic_dispatch.web.context import dispatcher_of, now_s_of
from sanic_dispatch.web.cpee import instance_url_of, key_of, plain
from sanic_dispatch.worker import Worker

workers = Blueprint("workers")


@workers.post("/register-worker")
async def register(request: Request) -> HTTPResponse | None:
    """Take in a worker: 200 with a job, or 202 ``"Queued"``: it is called back later."""
    access.check(request, access.WORKER)
    dispatcher = dispatcher_of(request)
    worker = await worker_from(request)
    job = await dispatcher.register(worker, lost="lost" in _flags(request))
    if job is None:
        return raw('"Queued"', 202, {"CPEE-CALLBACK": "true"}, "application/json")
    await _answer_with(request, dispatcher, job)
    return None


async def worker_from(request: Request) -> Worker:
    """The worker that the CPEE headers speak of. Raises InvalidCallback, CallbackForbidden."""
    callback_url = parse_callback(request.headers.get("cpee-callback"))
    callbacks: Callbacks = request.app.ctx.callbacks
    await callbacks.check(callback_url)
    return Worker(
        callback_url=callback_url,
        registered_at=to_rfc3339(now_s_of(request)),
        key=key_of(request),
        instance_url=instance_url_of(request, callback_url),
        label=plain(request.headers.get("cpee-label", "")),
    )


async def _answer_with(request: Request, dispatcher: Dispatcher, job: Job) -> None:
    """Write the job, and tell the dispatcher how far that came."""
    headers = {"Job-Receipt": dispatcher.receipt_of(job)}
    began = False
    try:
        if request.transport.is_closing():
            raise RequestCancelled
        answer = raw(job.to_wire(), headers=headers, content_type="application/json")
        response = await request.respond(answer)
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
