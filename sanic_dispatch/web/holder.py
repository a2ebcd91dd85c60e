"""What the holder of a job may say of it: done, failed, or still at it."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse, Request

from sanic_dispatch.errors import InvalidRequest
from sanic_dispatch.web import access
from sanic_dispatch.web.body import read_bytes, read_json_if_any, read_object, text_in
from sanic_dispatch.web.context import dispatcher_of, settings_of
from sanic_dispatch.web.cpee import proof_of
from sanic_dispatch.web.jobs import job_answer

holder = Blueprint("holder")


@holder.post("/jobs/<job_id:str>/complete", stream=True)
async def complete(request: Request, job_id: str) -> HTTPResponse:
    """The work is done; a body, if there is one, is the result: any JSON."""
    access.check(request, access.WORKER)
    result = await read_json_if_any(request)
    await dispatcher_of(request).complete(job_id, proof_of(request), result)
    return await job_answer(request, job_id)


@holder.post("/jobs/<job_id:str>/fail", stream=True)
async def fail(request: Request, job_id: str) -> HTTPResponse:
    """The work cannot be done: ``{"reason","retry"}``; with retry another worker may try."""
    access.check(request, access.WORKER)
    said = await read_object(request)
    reason, retry = text_in(said, "reason"), said.get("retry", False)
    if not isinstance(retry, bool):
        raise InvalidRequest("retry is true or false")
    await dispatcher_of(request).fail(job_id, proof_of(request), reason, retry=retry)
    return await job_answer(request, job_id)


@holder.post("/jobs/<job_id:str>/extend", stream=True)
async def extend(request: Request, job_id: str) -> HTTPResponse:
    """The work goes on: the lease begins anew. A body says nothing."""
    access.check(request, access.WORKER)
    await read_bytes(request, settings_of(request).max_body_bytes)
    await dispatcher_of(request).extend(job_id, proof_of(request))
    return await job_answer(request, job_id)
