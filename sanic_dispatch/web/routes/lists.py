"""What waits and what was finished, for operators; and what happened to one job.

Each needs the operator's token.
"""

from __future__ import annotations

from typing import Any, cast

from sanic import Blueprint, HTTPResponse, Request

from sanic_dispatch.core.job import Job, State
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import InvalidRequest, UnknownJob
from sanic_dispatch.observability.history import JobHistory
from sanic_dispatch.web import auth
from sanic_dispatch.web.context import queries_of
from sanic_dispatch.web.openapi.operation import READING, Answer, Parameter, describe, in_json
from sanic_dispatch.web.openapi.schemas import LISTED_JOB, LISTED_WORKER, STATE, STEP, ref
from sanic_dispatch.web.responses import json_answer

lists = Blueprint("lists", url_prefix="/operator")

PAGE, LARGEST_PAGE = 100, 1000
"""Jobs of one answer."""

_OF_AN_OPERATOR = {"tag": "operator", "door": auth.OPERATOR}


@lists.get("/jobs")
@describe(
    **_OF_AN_OPERATOR,
    parameters=(
        Parameter("query", "state", "only those of this state", STATE, "failed"),
        Parameter(
            "query", "after", "only those behind this ticket",
            {"type": "integer", "minimum": 0, "maximum": 2**53, "default": 0}, 41,
        ),
        Parameter(
            "query", "limit", "at most so many",
            {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE}, 100,
        ),
    ),
    answers={
        200: Answer(
            "Jobs by ticket; next is what to give as after for the following ones, or null.",
            in_json(ref("jobs"), {"jobs": [LISTED_JOB], "next": None}),
        )
    },
    errors=("Unauthorized", "InvalidRequest", *READING),
)  # fmt: skip
async def list_jobs(request: Request) -> HTTPResponse:
    """Jobs by ticket: ``state`` one of the five words, ``after`` a ticket, ``limit``."""
    auth.check(request, auth.OPERATOR)
    word = request.args.get("state")
    if word is not None and word not in list(State):
        raise InvalidRequest(f"state is one of {', '.join(State)}")
    limit = _number(request, "limit", PAGE, 1, LARGEST_PAGE)
    found = await queries_of(request).jobs(
        State(word) if word else None, _number(request, "after", 0, 0, 2**53), limit
    )
    following = found[-1].ticket if len(found) == limit else None
    return json_answer({"jobs": list(map(_job, found)), "next": following})


@lists.get("/history/<ticket:int>")
@describe(
    **_OF_AN_OPERATOR,
    parameters=(
        Parameter(
            "path", "ticket", "the job's number", {"type": "integer", "minimum": 0}, 42, True
        ),
    ),
    answers={
        200: Answer(
            "The job as it is now, or null where it is not kept any more; and what happened to it "
            "since the service was started, in the words of the log.",
            in_json(ref("history"), {"job": LISTED_JOB, "events": [STEP]}),
        )
    },
    errors=("Unauthorized", "UnknownJob", "NotFound", *READING),
)
async def history(request: Request, ticket: int) -> HTTPResponse:
    """What happened to the job of that ticket, step by step."""
    auth.check(request, auth.OPERATOR)
    steps = cast(JobHistory, request.app.ctx.history).of(ticket)
    job = await queries_of(request).of_ticket(ticket)
    if job is None and not steps:
        raise UnknownJob
    return json_answer({"job": _job(job) if job else None, "events": steps})


@lists.get("/workers")
@describe(
    **_OF_AN_OPERATOR,
    answers={
        200: Answer("The oldest first.", in_json(ref("workers"), {"workers": [LISTED_WORKER]}))
    },
    errors=("Unauthorized", *READING),
)
async def list_workers(request: Request) -> HTTPResponse:
    """The workers that wait, the oldest first; also those that are set aside."""
    auth.check(request, auth.OPERATOR)
    return json_answer({"workers": list(map(_worker, await queries_of(request).workers()))})


def _number(request: Request, name: str, default: int, least: int, most: int) -> int:
    text = request.args.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most):
        raise InvalidRequest(f"{name} is a number from {least} to {most}")
    return int(text)


def _job(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "ticket": job.ticket,
        "state": job.state.value,
        "stage": job.hold.stage.value if job.hold and job.state is State.ASSIGNED else None,
        "submitted_at": job.submitted_at,
        "attempt": job.attempt,
        "reason": job.reason,
        "worker": job.worker.callback_url if job.worker else None,
    }


def _worker(worker: Worker) -> dict[str, Any]:
    aside = worker.aside
    return {
        "callback": worker.callback_url,
        "label": worker.label,
        "registered_at": worker.registered_at,
        "aside": {"cause": aside.cause.value, "reason": aside.reason} if aside else None,
    }
