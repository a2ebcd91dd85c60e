"""Jobs over HTTP, for whoever submits them: submit, look up, cancel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanic import Blueprint, HTTPResponse, Request
from sanic.response import empty

from sanic_dispatch.core.job import State
from sanic_dispatch.core.state_machine import Placed
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.errors import QueueFull
from sanic_dispatch.web import auth, idempotency, rate_limit
from sanic_dispatch.web.context import Call, dispatcher_of, hub_of, now_s_of
from sanic_dispatch.web.openapi.operation import (
    JOB_ID_IN_PATH,
    READING,
    TAKING,
    Answer,
    Body,
    Parameter,
    describe,
    in_json,
)
from sanic_dispatch.web.openapi.schemas import JOB, ORDER, ref
from sanic_dispatch.web.problems import problem_of
from sanic_dispatch.web.request_body import read_json
from sanic_dispatch.web.responses import NOSNIFF, Response, json_answer

jobs = Blueprint("jobs")

_WITHOUT_RESULT = (State.FAILED, State.CANCELLED)
_ACCEPTED_HEADERS = {
    "Location": {"type": "string", "description": "jobs/<id>: the id is a secret"},
}
A_JOB = Answer("The job as it is now.", in_json(ref("job"), JOB))


@jobs.post("/submit-job", stream=True)
@describe(
    tag="jobs",
    door=auth.SUBMIT,
    parameters=(
        Parameter(
            "header",
            "Idempotency-Key",
            "a repeat with the same key and body is the same job",
            {"type": "string", "pattern": r'^("[!#-\[\]-~]{1,200}"|[!#-+\--:<-\[\]-~]{1,200})$'},
            '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
        ),
    ),
    body=Body({"description": "any JSON"}, ORDER),
    answers={
        200: Answer(
            "A worker has taken it.",
            in_json({"const": "Assigned"}, "Assigned"),
            _ACCEPTED_HEADERS,
        ),
        202: Answer(
            "It waits; position counts the jobs up to and including this one.",
            in_json(ref("queued"), {"Queued": {"position": 3}}),
            _ACCEPTED_HEADERS,
        ),
    },
    errors=(
        *("Unauthorized", "TooManyOrders", "UnsupportedMediaType", "InvalidJson"),
        *("InvalidIdempotencyKey", "StillUnderWay", "IdempotencyMismatch", "QueueFull"),
        *TAKING,
    ),
)
async def submit(request: Call) -> HTTPResponse:
    """Take in a job: any JSON. 200 ``"Assigned"``, or 202 ``{"Queued":{"position":n}}``."""
    auth.check(request, auth.SUBMIT)
    headers = rate_limit.take_one(request)
    data = (await read_json(request)).strip(b" \t\r\n")
    key = idempotency.key_of(request)
    dispatcher: Dispatcher = request.app.ctx.dispatcher
    try:
        return _submitted(await dispatcher.submit(data, key), headers)
    except QueueFull as full:
        return problem_of(
            full, eta=_rounded(hub_of(request).projection.window_of_next(now_s_of(request)))
        )


@jobs.get("/jobs/<job_id:str>")
@describe(
    tag="jobs",
    parameters=(JOB_ID_IN_PATH,),
    answers={200: A_JOB},
    errors=("UnknownJob", *READING),
)
async def look_up(request: Request, job_id: str) -> HTTPResponse:
    """What has become of a job."""
    return await job_answer(request, job_id)


@jobs.delete("/jobs/<job_id:str>")
@describe(
    tag="jobs",
    parameters=(JOB_ID_IN_PATH,),
    answers={204: Answer("It is cancelled.")},
    errors=("UnknownJob", "WrongState", *TAKING),
)
async def cancel(request: Request, job_id: str) -> HTTPResponse:
    """Take a waiting job out of the line; 409 once it is anything else."""
    await dispatcher_of(request).cancel(job_id, "cancelled by who ordered it")
    return empty(headers=NOSNIFF)


async def job_answer(request: Call, job_id: str) -> HTTPResponse:
    """A job as it is now; with the result, to the byte, that its worker gave."""
    placed = await dispatcher_of(request).look_up(job_id)
    answer = json_answer(_shown(request, placed))
    if placed.job.result is not None:
        assert answer.body
        answer.body = b'%b,"result":%b}' % (answer.body[:-1], placed.job.result)
    return answer


def _shown(request: Call, placed: Placed) -> dict[str, Any]:
    """A job as whoever has its id may see it."""
    job = placed.job
    reason = {"reason": job.reason} if job.reason and job.state in _WITHOUT_RESULT else {}
    return {
        "id": job.id,
        "ticket": job.ticket,
        "state": job.state.value,
        "position": placed.position,
        "submitted_at": job.submitted_at,
        "eta": _eta(request, job.id),
        **reason,
    }


def _submitted(placed: Placed, headers: Mapping[str, str]) -> HTTPResponse:
    headers = {"Location": f"jobs/{placed.job.id}", **headers}
    if placed.position is None:
        return Response('"Assigned"', 200, headers, "application/json")
    body = f'{{"Queued":{{"position":{placed.position}}}}}'
    return Response(body, 202, headers, "application/json")


def _eta(request: Call, job_id: str) -> list[float] | None:
    projection = hub_of(request).projection
    order = projection.get(job_id)
    return None if order is None else _rounded(projection.window(order, now_s_of(request)))


def _rounded(window: tuple[float, float] | None) -> list[float] | None:
    return None if window is None else [round(end, 1) for end in window]
