"""Lists of jobs and workers; both need the operator's token."""

from __future__ import annotations

from typing import Any

from sanic import Blueprint, HTTPResponse, Request

from sanic_dispatch.core.job import Job, State
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.dispatch.queries import Queries
from sanic_dispatch.errors import InvalidRequest
from sanic_dispatch.history.questions import MAX_NUMBER, number_in
from sanic_dispatch.web import auth
from sanic_dispatch.web.calls import ask
from sanic_dispatch.web.context import context_of
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import (
    LARGEST_PAGE,
    LIST_JOBS,
    LIST_WORKERS,
    PAGE,
)
from sanic_dispatch.web.responses import json_answer

lists = Blueprint("lists", url_prefix="/operator")


@lists.get("/jobs")
@describe(LIST_JOBS)
async def list_jobs(request: Request) -> HTTPResponse:
    """List jobs by ticket, those of a ``state``, ``after`` a ticket, ``limit`` at most."""
    auth.check(request, auth.OPERATOR)
    word = request.args.get("state")
    if word is not None and word not in list(State):
        raise InvalidRequest(f"state is one of {', '.join(State)}")
    limit = number_in("limit", request.args, 1, LARGEST_PAGE) or PAGE
    state, after = State(word) if word else None, number_in("after", request.args, 0, MAX_NUMBER)
    found = await ask(context_of(request), Queries.jobs, state, after or 0, limit)
    following = found[-1].ticket if len(found) == limit else None
    return json_answer({"jobs": list(map(job_fields, found)), "next": following})


@lists.get("/workers")
@describe(LIST_WORKERS)
async def list_workers(request: Request) -> HTTPResponse:
    """List the waiting workers in order, those set aside included."""
    auth.check(request, auth.OPERATOR)
    found = await ask(context_of(request), Queries.workers)
    return json_answer({"workers": list(map(_worker, found))})


def job_fields(job: Job) -> dict[str, Any]:
    """Return a job as lists have it."""
    return {
        "id": job.id,
        "ticket": job.ticket,
        "state": job.state.value,
        "stage": job.hold.stage.value if job.hold and job.state is State.ASSIGNED else None,
        "submitted_at": job.submitted_at,
        "attempt": job.attempt,
        "priority": job.priority,
        "reason": job.reason,
        "worker": job.worker.callback_url if job.worker else None,
        **({"forgotten": True} if job.forgotten else {}),
    }


def _worker(worker: Worker) -> dict[str, Any]:
    aside = worker.aside
    return {
        "callback": worker.callback_url,
        "label": worker.label,
        "registered_at": worker.registered_at,
        "aside": {"cause": aside.cause.value, "reason": aside.reason} if aside else None,
        **({"rule": worker.rule} if worker.rule else {}),
    }
