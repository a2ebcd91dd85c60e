"""Jobs: submit, look up, cancel. ``submit`` is usually called by ``web/fast_path.py``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from sanic import Blueprint, HTTPResponse, Request
from sanic.response import empty

from sanic_dispatch.core.job import Job, Progress, State
from sanic_dispatch.core.state_machine import Placed
from sanic_dispatch.dispatch.dispatcher import Dispatcher, new_job_id
from sanic_dispatch.errors import QueueFull, UnknownJob
from sanic_dispatch.web import auth, idempotency, rate_limit
from sanic_dispatch.web.calls import JobDetails, ask, eta_of_next, job_details
from sanic_dispatch.web.context import Call, context_of
from sanic_dispatch.web.deadlines import answering_within
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import CANCEL, LOOK_UP, SUBMIT
from sanic_dispatch.web.priority import priority_of
from sanic_dispatch.web.problems import problem_of
from sanic_dispatch.web.request_body import read_json
from sanic_dispatch.web.responses import NOSNIFF, Response, json_answer, relative_to

jobs = Blueprint("jobs")

SHORT_WAIT_S = 30.0
"""A wait up to this is within Sanic's minute for an answer, with all else that takes time."""

_NOTHING_LONGER = nullcontext()
_WITHOUT_RESULT = (State.FAILED, State.CANCELLED)


@jobs.post("/submit-job", stream=True)
@describe(SUBMIT)
async def submit(request: Call) -> HTTPResponse:
    """Submit a job: any JSON. 200 ``"Assigned"``, or 202 ``{"Queued":{"position":n}}``."""
    context = context_of(request)
    context.access.check(request, auth.SUBMIT)
    headers = rate_limit.take_one(context.quota, request)
    data = (await read_json(request, context.settings)).strip(b" \t\r\n")
    priority = priority_of(request)
    key = idempotency.key_of(request)
    new_id = new_job_id() if context.forwarder else None  # so that it can be forwarded again
    wait_s = context.settings.submit_wait_s
    try:
        with _NOTHING_LONGER if wait_s <= SHORT_WAIT_S else _longer(request, wait_s):
            placed = await ask(context, Dispatcher.submit, data, key, new_id, priority)
    except QueueFull as full:
        return problem_of(full, eta=_rounded(await ask(context, eta_of_next)))
    return _submitted(request, placed, headers)


@jobs.get("/jobs/<job_id:str>")
@describe(LOOK_UP)
async def look_up(request: Request, job_id: str) -> HTTPResponse:
    """Return a job and its position in the queue."""
    return await job_answer(request, job_id)


@jobs.delete("/jobs/<job_id:str>")
@describe(CANCEL)
async def cancel(request: Request, job_id: str) -> HTTPResponse:
    """Cancel a waiting job, or ask the holder of an assigned one to stop: 202.

    409 if the holder cannot hear of it, or the job is over.
    """
    job = await ask(context_of(request), Dispatcher.cancel, job_id, "cancelled by who ordered it")
    return json_answer({"Cancelling": True}, 202) if job.cancelling else empty(headers=NOSNIFF)


async def job_answer(
    request: Call, job_id: str, status: int = 200, changed: Job | None = None, **more: Any
) -> HTTPResponse:
    """Return the answer with a job and ``more`` members, its worker's result verbatim.

    ``changed`` is the job as the request has left it, for the answer if it is not kept since.
    """
    try:
        found = await ask(context_of(request), job_details, job_id)
    except UnknownJob:
        if changed is None:
            raise
        found = JobDetails(changed, None, None, None)
    answer = json_answer({**_job_fields(found), **more}, status)
    if found.job.result is not None:
        assert answer.body
        answer.body = b'%b,"result":%b}' % (answer.body[:-1], found.job.result)
    return answer


def _job_fields(status: JobDetails) -> dict[str, Any]:
    """Return what everyone who has the job's id may see."""
    job = status.job
    reason = {"reason": job.reason} if job.reason and job.state in _WITHOUT_RESULT else {}
    forgotten = {"forgotten": True} if job.forgotten else {}
    why = {"why": status.why.as_json()} if status.why else {}
    return {
        "id": job.id,
        "ticket": job.ticket,
        "state": job.state.value,
        "position": status.position,
        "submitted_at": job.submitted_at,
        "eta": _rounded(status.eta),
        "priority": job.priority,
        **({"cancelling": True} if job.cancelling else {}),
        **({"progress": _progress_fields(job.progress)} if job.progress else {}),
        **why,
        **reason,
        **forgotten,
    }


def _progress_fields(progress: Progress) -> dict[str, Any]:
    percent = {} if progress.percent is None else {"percent": progress.percent}
    return {**percent, **({"text": progress.text} if progress.text else {})}


def _longer(request: Call, wait_s: float) -> AbstractContextManager[None]:
    """Let the answer take this much longer in the block."""
    return answering_within(request, request.protocol.response_timeout + wait_s)


def _submitted(request: Call, placed: Placed, headers: Mapping[str, str]) -> HTTPResponse:
    headers = {"Location": relative_to(request.path, f"jobs/{placed.job.id}"), **headers}
    if placed.position is None:
        return Response('"Assigned"', 200, headers, "application/json")
    body = f'{{"Queued":{{"position":{placed.position}}}}}'
    return Response(body, 202, headers, "application/json")


def _rounded(window: tuple[float, float] | None) -> list[float] | None:
    return None if window is None else [round(end, 1) for end in window]
