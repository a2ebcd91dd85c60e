"""What the holder of a job reports and asks; ``web/fast_path.py`` usually calls the first three."""

from __future__ import annotations

import re

from sanic import Blueprint, HTTPResponse

from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.errors import InvalidRequest
from sanic_dispatch.web import auth
from sanic_dispatch.web.calls import ask, note_refused_report
from sanic_dispatch.web.context import Call, context_of, settings_of
from sanic_dispatch.web.cpee_headers import plain, proof_of
from sanic_dispatch.web.holder_reports import failure_in, instructions_for, progress_in
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import (
    CANCELLING,
    COMPLETE,
    EXTEND,
    FAIL,
    REPORT_PROGRESS,
)
from sanic_dispatch.web.request_body import read_bytes, read_fields, read_result
from sanic_dispatch.web.responses import json_answer
from sanic_dispatch.web.routes.jobs import job_answer

holder = Blueprint("holder")

_REPORT = re.compile(r"(/topics/[^/]+)?/jobs/(?P<id>[^/]+)/(?P<act>complete|fail|extend)")


@holder.post("/jobs/<job_id:str>/complete", stream=True)
@describe(COMPLETE)
async def complete(request: Call, job_id: str) -> HTTPResponse:
    """Report a job as done; a body, if there is one, is the result: any JSON."""
    auth.check(request, auth.WORKER)
    result = await read_result(request)
    context, proof = context_of(request), proof_of(request)
    placed = await ask(context, Dispatcher.complete, job_id, proof, result)
    return await job_answer(request, job_id, changed=placed.job)


@holder.post("/jobs/<job_id:str>/fail", stream=True)
@describe(FAIL)
async def fail(request: Call, job_id: str) -> HTTPResponse:
    """Report a job as failed: ``{"reason","retry","cancelled"}``.

    With ``retry`` another worker may try; ``cancelled`` says that it was asked to stop, and has.
    """
    auth.check(request, auth.WORKER)
    reason, retry, cancelled = failure_in(await read_fields(request, "retry", "cancelled"))
    context, proof = context_of(request), proof_of(request)
    placed = await ask(
        context, Dispatcher.fail, job_id, proof, reason, retry=retry, cancelled=cancelled
    )
    return await job_answer(request, job_id, changed=placed.job)


@holder.post("/jobs/<job_id:str>/extend", stream=True)
@describe(EXTEND)
async def extend(request: Call, job_id: str) -> HTTPResponse:
    """Renew the lease, since the work goes on. A body is ignored."""
    auth.check(request, auth.WORKER)
    await read_bytes(request, settings_of(request).max_body_bytes)
    context = context_of(request)
    placed = await ask(context, Dispatcher.extend, job_id, proof_of(request))
    return await job_answer(request, job_id, **instructions_for(context, placed.job))


@holder.post("/jobs/<job_id:str>/progress", stream=True)
@describe(REPORT_PROGRESS)
async def report_progress(request: Call, job_id: str) -> HTTPResponse:
    """Report how far a job is, and renew its lease; learn whether to stop."""
    auth.check(request, auth.WORKER)
    percent, text = progress_in(await read_fields(request, "percent"))
    if percent is None and text is None:
        raise InvalidRequest("send percent, text or both")
    context = context_of(request)
    report = Dispatcher.report_progress
    placed = await ask(context, report, job_id, proof_of(request), percent, text)
    return json_answer(instructions_for(context, placed.job))


@holder.get("/jobs/<job_id:str>/cancelling")
@describe(CANCELLING)
async def ask_if_cancelling(request: Call, job_id: str) -> HTTPResponse:
    """Return whether the holder of a job is to stop."""
    auth.check(request, auth.WORKER)
    is_to_stop = await ask(
        context_of(request), Dispatcher.ask_if_cancelling, job_id, proof_of(request)
    )
    return json_answer({"cancel": is_to_stop})


def note_refused(request: Call, error: Exception) -> None:
    """Note a refused report on its job: the worker may go on as if it had been accepted.

    Called for every error, since some occur before any handler: a wrong method, a body too large.
    """
    report = _REPORT.fullmatch(request.path)
    if report is not None:
        reason = plain(f"{report['act']}: {error}")
        note_refused_report(context_of(request), report["id"], proof_of(request), reason)
