"""Jobs: submit, look up, cancel. ``submit`` is usually called by ``web/fast_path.py``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanic import Blueprint, HTTPResponse, Request
from sanic.response import empty

from sanic_dispatch.core.job import State
from sanic_dispatch.core.state_machine import Placed
from sanic_dispatch.errors import QueueFull
from sanic_dispatch.web import auth, idempotency, rate_limit
from sanic_dispatch.web.context import Call, dispatcher_of, hub_of, now_s_of
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import CANCEL, LOOK_UP, SUBMIT
from sanic_dispatch.web.problems import problem_of
from sanic_dispatch.web.request_body import read_json
from sanic_dispatch.web.responses import NOSNIFF, Response, json_answer

jobs = Blueprint("jobs")

_WITHOUT_RESULT = (State.FAILED, State.CANCELLED)


@jobs.post("/submit-job", stream=True)
@describe(SUBMIT)
async def submit(request: Call) -> HTTPResponse:
    """Submit a job: any JSON. 200 ``"Assigned"``, or 202 ``{"Queued":{"position":n}}``."""
    auth.check(request, auth.SUBMIT)
    headers = rate_limit.take_one(request)
    data = (await read_json(request)).strip(b" \t\r\n")
    key = idempotency.key_of(request)
    try:
        return _submitted(await dispatcher_of(request).submit(data, key), headers)
    except QueueFull as full:
        return problem_of(
            full, eta=_rounded(hub_of(request).projection.window_of_next(now_s_of(request)))
        )


@jobs.get("/jobs/<job_id:str>")
@describe(LOOK_UP)
async def look_up(request: Request, job_id: str) -> HTTPResponse:
    """Return a job and its position in the queue."""
    return await job_answer(request, job_id)


@jobs.delete("/jobs/<job_id:str>")
@describe(CANCEL)
async def cancel(request: Request, job_id: str) -> HTTPResponse:
    """Cancel a waiting job; 409 if it is not waiting."""
    await dispatcher_of(request).cancel(job_id, "cancelled by who ordered it")
    return empty(headers=NOSNIFF)


async def job_answer(request: Call, job_id: str) -> HTTPResponse:
    """Return the answer with a job, its worker's result verbatim."""
    placed = await dispatcher_of(request).look_up(job_id)
    answer = json_answer(_job_fields(request, placed))
    if placed.job.result is not None:
        assert answer.body
        answer.body = b'%b,"result":%b}' % (answer.body[:-1], placed.job.result)
    return answer


def _job_fields(request: Call, placed: Placed) -> dict[str, Any]:
    """Return what everyone who has the job's id may see."""
    job = placed.job
    reason = {"reason": job.reason} if job.reason and job.state in _WITHOUT_RESULT else {}
    forgotten = {"forgotten": True} if job.forgotten else {}
    return {
        "id": job.id,
        "ticket": job.ticket,
        "state": job.state.value,
        "position": placed.position,
        "submitted_at": job.submitted_at,
        "eta": _eta(request, job.id),
        **reason,
        **forgotten,
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
