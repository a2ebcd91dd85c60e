"""Reports of a job's holder: complete, fail, extend; usually called by ``web/fast_path.py``."""

from __future__ import annotations

import re

from sanic import Blueprint, HTTPResponse

from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.errors import InvalidRequest
from sanic_dispatch.web import auth
from sanic_dispatch.web.calls import ask, note_refused_report
from sanic_dispatch.web.context import Call, context_of, settings_of
from sanic_dispatch.web.cpee_headers import plain, proof_of
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import COMPLETE, EXTEND, FAIL
from sanic_dispatch.web.request_body import read_bytes, read_fields, read_result, text_in
from sanic_dispatch.web.routes.jobs import job_answer

holder = Blueprint("holder")

_REPORT = re.compile(r"(/topics/[^/]+)?/jobs/(?P<id>[^/]+)/(?P<act>complete|fail|extend)")


@holder.post("/jobs/<job_id:str>/complete", stream=True)
@describe(COMPLETE)
async def complete(request: Call, job_id: str) -> HTTPResponse:
    """Report a job as done; a body, if there is one, is the result: any JSON."""
    auth.check(request, auth.WORKER)
    result = await read_result(request)
    await ask(context_of(request), Dispatcher.complete, job_id, proof_of(request), result)
    return await job_answer(request, job_id)


@holder.post("/jobs/<job_id:str>/fail", stream=True)
@describe(FAIL)
async def fail(request: Call, job_id: str) -> HTTPResponse:
    """Report a job as failed: ``{"reason","retry"}``; with retry another worker may try."""
    auth.check(request, auth.WORKER)
    said = await read_fields(request, "retry")
    reason, retry = text_in(said, "reason"), said.get("retry", False)
    if not isinstance(retry, bool):
        raise InvalidRequest("retry is true or false")
    context, proof = context_of(request), proof_of(request)
    await ask(context, Dispatcher.fail, job_id, proof, reason, retry=retry)
    return await job_answer(request, job_id)


@holder.post("/jobs/<job_id:str>/extend", stream=True)
@describe(EXTEND)
async def extend(request: Call, job_id: str) -> HTTPResponse:
    """Begin the lease anew, since the work goes on. A body is ignored."""
    auth.check(request, auth.WORKER)
    await read_bytes(request, settings_of(request).max_body_bytes)
    await ask(context_of(request), Dispatcher.extend, job_id, proof_of(request))
    return await job_answer(request, job_id)


def note_refused(request: Call, error: Exception) -> None:
    """Note a refused report on its job: the worker may go on as if it had been accepted.

    Called for every error, since some occur before any handler: a wrong method, a body too large.
    """
    report = _REPORT.fullmatch(request.path)
    if report is not None:
        reason = plain(f"{report['act']}: {error}")
        note_refused_report(context_of(request), report["id"], proof_of(request), reason)
