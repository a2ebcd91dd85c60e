"""What the holder of a job may say of it: done, failed, or still at it."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse, Request

from sanic_dispatch.errors import InvalidRequest
from sanic_dispatch.web import access
from sanic_dispatch.web.body import read_bytes, read_json_if_any, read_object, text_in
from sanic_dispatch.web.context import dispatcher_of, settings_of
from sanic_dispatch.web.cpee import proof_of
from sanic_dispatch.web.jobs import A_JOB, job_answer
from sanic_dispatch.web.openapi.operation import (
    AN_OBJECT,
    JOB_ID_IN_PATH,
    TAKING,
    Body,
    Parameter,
    describe,
)
from sanic_dispatch.web.openapi.schemas import CALLBACK_URL, ref

holder = Blueprint("holder")

_ANY = {"type": "string", "minLength": 1}
_PROOFS = (
    Parameter("header", "CPEE-CALLBACK", "the callback it got the job on", _ANY, CALLBACK_URL),
    Parameter("header", "CPEE-INSTANCE-UUID", "its key, with the next", _ANY, "9b3f6c1e"),
    Parameter("header", "CPEE-ACTIVITY", "its key, with the one before", _ANY, "a1"),
    Parameter("header", "Job-Receipt", "what came with the job", _ANY, "0f1e2d3c4b5a6978"),
)
_OF_A_HOLDER = {
    "tag": "workers",
    "door": access.WORKER,
    "parameters": (JOB_ID_IN_PATH, *_PROOFS),
    "answers": {200: A_JOB},
}
_ERRORS = ("Unauthorized", "UnknownJob", "NotTheHolder", "WrongState", *TAKING)


@holder.post("/jobs/<job_id:str>/complete", stream=True)
@describe(
    **_OF_A_HOLDER,
    body=Body({"description": "the result: any JSON"}, {"glasses": 1}, required=False),
    errors=(*_ERRORS, "UnsupportedMediaType", "InvalidJson"),
)
async def complete(request: Request, job_id: str) -> HTTPResponse:
    """The work is done; a body, if there is one, is the result: any JSON."""
    access.check(request, access.WORKER)
    result = await read_json_if_any(request)
    await dispatcher_of(request).complete(job_id, proof_of(request), result)
    return await job_answer(request, job_id)


@holder.post("/jobs/<job_id:str>/fail", stream=True)
@describe(
    **_OF_A_HOLDER,
    body=Body(ref("failure"), {"reason": "no ice", "retry": True}, required=False),
    errors=(*_ERRORS, *AN_OBJECT),
)
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
@describe(**_OF_A_HOLDER, errors=_ERRORS)
async def extend(request: Request, job_id: str) -> HTTPResponse:
    """The work goes on: the lease begins anew. A body says nothing."""
    access.check(request, access.WORKER)
    await read_bytes(request, settings_of(request).max_body_bytes)
    await dispatcher_of(request).extend(job_id, proof_of(request))
    return await job_answer(request, job_id)
