"""Jobs over HTTP: submit, look up, cancel."""

from __future__ import annotations

from typing import Any

import ujson
from sanic import Blueprint, HTTPResponse, Request
from sanic.response import empty, raw

from sanic_dispatch import strict_json
from sanic_dispatch.submissions import Submission
from sanic_dispatch.web.body import read_json_bytes
from sanic_dispatch.web.context import dispatcher_of, settings_of

jobs = Blueprint("jobs")


@jobs.post("/submit-job", stream=True)
async def submit(request: Request) -> HTTPResponse:
    """Take in a job: any JSON. 200 ``"Assigned"``, or 202 ``{"Queued":{"position":n}}``."""
    data = await read_json_bytes(request, settings_of(request).max_body_bytes)
    strict_json.check(data)
    return _submitted(await dispatcher_of(request).submit(data))


@jobs.get("/jobs/<job_id:str>")
async def look_up(request: Request, job_id: str) -> HTTPResponse:
    """What has become of a job."""
    return _json(_shown(await dispatcher_of(request).look_up(job_id)))


@jobs.delete("/jobs/<job_id:str>")
async def cancel(request: Request, job_id: str) -> HTTPResponse:
    """Take a waiting job out of the line; 409 once it is anything else."""
    await dispatcher_of(request).cancel(job_id, "cancelled by who ordered it")
    return empty()


def _submitted(submission: Submission) -> HTTPResponse:
    headers = {"Location": f"jobs/{submission.job.id}"}
    if submission.position is None:
        return raw('"Assigned"', 200, headers, "application/json")
    body = f'{{"Queued":{{"position":{submission.position}}}}}'
    return raw(body, 202, headers, "application/json")


def _shown(submission: Submission) -> dict[str, Any]:
    job = submission.job
    return {
        "id": job.id,
        "ticket": job.ticket,
        "state": job.state.value,
        "position": submission.position,
        "submitted_at": job.submitted_at,
        "eta": None,
    }


def _json(value: Any) -> HTTPResponse:
    body = ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False)
    return raw(body, content_type="application/json")
