"""What the holder of a job may say of it: done, failed, or still at it."""

from __future__ import annotations

import re

from sanic import Blueprint, HTTPResponse

from sanic_dispatch.errors import InvalidRequest
from sanic_dispatch.web import auth
from sanic_dispatch.web.context import Call, dispatcher_of, settings_of
from sanic_dispatch.web.cpee_headers import plain, proof_of
from sanic_dispatch.web.openapi.operation import (
    AN_OBJECT,
    JOB_ID_IN_PATH,
    TAKING,
    Body,
    Parameter,
    describe,
)
from sanic_dispatch.web.openapi.schemas import CALLBACK_URL, LINE, ref
from sanic_dispatch.web.request_body import FORM, read_bytes, read_fields, read_result, text_in
from sanic_dispatch.web.routes.jobs import A_JOB, job_answer

holder = Blueprint("holder")

_REPORT = re.compile(r"/jobs/(?P<id>[^/]+)/(?P<act>complete|fail|extend)")

_ANY = {"type": "string", "minLength": 1}
_PROOFS = (
    Parameter("header", "CPEE-CALLBACK", "the callback it got the job on", _ANY, CALLBACK_URL),
    Parameter(
        "header",
        "CPEE-INSTANCE-UUID",
        "its key, with the next; alone it is enough where the instance holds one job",
        _ANY,
        "9b3f6c1e",
    ),
    Parameter("header", "CPEE-ACTIVITY", "its key, with the one before", _ANY, "a1"),
    Parameter("header", "Job-Receipt", "what came with the job", _ANY, "0f1e2d3c4b5a6978"),
)
_OF_A_HOLDER = {
    "tag": "workers",
    "door": auth.WORKER,
    "parameters": (JOB_ID_IN_PATH, *_PROOFS),
    "answers": {200: A_JOB},
}
_RESULT_FORM = {
    "type": "object",
    "properties": {"result": {"type": "string", "description": "the result as JSON text"}},
}
_FAILURE_FORM = {
    "type": "object",
    "properties": {"reason": LINE, "retry": {"type": "string", "enum": ["true", "false"]}},
}
_ERRORS = ("Unauthorized", "UnknownJob", "NotTheHolder", "WrongState", *TAKING)


@holder.post("/jobs/<job_id:str>/complete", stream=True)
@describe(
    **_OF_A_HOLDER,
    body=Body(
        {"description": "the result: any JSON"},
        {"glasses": 1},
        required=False,
        others={FORM: (_RESULT_FORM, {"result": '{"glasses": 1}'})},
    ),
    errors=(*_ERRORS, *AN_OBJECT),
)
async def complete(request: Call, job_id: str) -> HTTPResponse:
    """The work is done; a body, if there is one, is the result: any JSON."""
    auth.check(request, auth.WORKER)
    result = await read_result(request)
    await dispatcher_of(request).complete(job_id, proof_of(request), result)
    return await job_answer(request, job_id)


@holder.post("/jobs/<job_id:str>/fail", stream=True)
@describe(
    **_OF_A_HOLDER,
    body=Body(
        ref("failure"),
        {"reason": "no ice", "retry": True},
        required=False,
        others={FORM: (_FAILURE_FORM, {"reason": "no ice", "retry": "true"})},
    ),
    errors=(*_ERRORS, *AN_OBJECT),
)
async def fail(request: Call, job_id: str) -> HTTPResponse:
    """The work cannot be done: ``{"reason","retry"}``; with retry another worker may try."""
    auth.check(request, auth.WORKER)
    said = await read_fields(request, "retry")
    reason, retry = text_in(said, "reason"), said.get("retry", False)
    if not isinstance(retry, bool):
        raise InvalidRequest("retry is true or false")
    await dispatcher_of(request).fail(job_id, proof_of(request), reason, retry=retry)
    return await job_answer(request, job_id)


@holder.post("/jobs/<job_id:str>/extend", stream=True)
@describe(**_OF_A_HOLDER, errors=_ERRORS)
async def extend(request: Call, job_id: str) -> HTTPResponse:
    """The work goes on: the lease begins anew. A body says nothing."""
    auth.check(request, auth.WORKER)
    await read_bytes(request, settings_of(request).max_body_bytes)
    await dispatcher_of(request).extend(job_id, proof_of(request))
    return await job_answer(request, job_id)


def note_refused(request: Call, error: Exception) -> None:
    """Have a report that is refused remembered: its worker may go on as if it was taken.

    Called for every error, since some come before any handler: a wrong method, a body too large.
    """
    report = _REPORT.fullmatch(request.path)
    if report is not None:
        reason = plain(f"{report['act']}: {error}")
        dispatcher_of(request).note_refused(report["id"], proof_of(request), reason)
