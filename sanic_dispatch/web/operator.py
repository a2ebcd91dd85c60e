"""The operator's hand over HTTP: every act needs the token, and says who did it, and why.

Who: the X-Operator header, else the address that the request came from. Why: ``{"reason"}``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from sanic import Blueprint, HTTPResponse, Request

from sanic_dispatch.control import Control, said
from sanic_dispatch.errors import InvalidRequest
from sanic_dispatch.job import Job, State
from sanic_dispatch.listing import Listing
from sanic_dispatch.web import access
from sanic_dispatch.web.answers import json_answer
from sanic_dispatch.web.body import read_object, text_in
from sanic_dispatch.web.clients import client_of
from sanic_dispatch.web.context import dispatcher_of
from sanic_dispatch.web.jobs import job_answer
from sanic_dispatch.worker import Worker

operator = Blueprint("operator", url_prefix="/operator")

LONGEST_NAME = 64
PAGE, LARGEST_PAGE = 100, 1000
"""Jobs of one answer."""

JobAct = Callable[[Control, str, str, str], Awaitable[object]]
"""Does something to the job of that id; why, and who."""
WorkerAct = Callable[[Control, str, str], Awaitable[object]]
"""Does something to the worker of that id, for that reason."""


@operator.post("/pause", stream=True)
async def pause(request: Request) -> HTTPResponse:
    """Hand out nothing more, until further notice."""
    who, why, _ = await _words(request)
    await _control(request).pause(said(who, why))
    return json_answer({"paused": dispatcher_of(request).is_paused})


@operator.post("/resume", stream=True)
async def resume(request: Request) -> HTTPResponse:
    """Go on."""
    who, why, _ = await _words(request)
    await _control(request).resume(said(who, why))
    return json_answer({"paused": dispatcher_of(request).is_paused})


async def act_on_job(request: Request, job_id: str, act: JobAct) -> HTTPResponse:
    """Do something to a job, and show it as it is then."""
    who, why, _ = await _words(request)
    await act(_control(request), job_id, why, who)
    return await job_answer(request, job_id)


async def act_on_worker(request: Request, act: WorkerAct) -> HTTPResponse:
    """Do something to the worker that waits on the callback of the body."""
    who, why, body = await _words(request)
    callback = body.get("callback")
    if not isinstance(callback, str):
        raise InvalidRequest("callback is the worker's callback")
    await act(_control(request), callback, said(who, why))
    return json_answer({"callback": callback})


JOB_ACTS: dict[str, JobAct] = {
    "cancel": Control.cancel,
    "put-back": Control.put_back,
    "first": Control.move_to_front,
}
WORKER_ACTS: dict[str, WorkerAct] = {
    "aside": Control.set_aside,
    "back": Control.bring_back,
    "drop": Control.drop,
}

for name, job_act in JOB_ACTS.items():
    operator.add_route(
        partial(act_on_job, act=job_act),
        f"/jobs/<job_id:str>/{name}",
        ["POST"],
        name=f"job_{name}",
        stream=True,
    )
for name, worker_act in WORKER_ACTS.items():
    operator.add_route(
        partial(act_on_worker, act=worker_act),
        f"/workers/{name}",
        ["POST"],
        name=f"worker_{name}",
        stream=True,
    )


@operator.get("/jobs")
async def list_jobs(request: Request) -> HTTPResponse:
    """Jobs by ticket: ``state`` one of the five words, ``after`` a ticket, ``limit``."""
    access.check(request, access.OPERATOR)
    word = request.args.get("state")
    if word is not None and word not in list(State):
        raise InvalidRequest(f"state is one of {', '.join(State)}")
    limit = _number(request, "limit", PAGE, LARGEST_PAGE, least=1)
    found = await _listing(request).jobs(
        State(word) if word else None, _number(request, "after", 0, 2**53), limit
    )
    following = found[-1].ticket if len(found) == limit else None
    return json_answer({"jobs": list(map(_job, found)), "next": following})


@operator.get("/workers")
async def list_workers(request: Request) -> HTTPResponse:
    """The workers that wait, the oldest first; also those that are set aside."""
    access.check(request, access.OPERATOR)
    return json_answer({"workers": list(map(_worker, await _listing(request).workers()))})


async def _words(request: Request) -> tuple[str, str, dict[str, Any]]:
    """Who, why, and all that the body says. Raises Unauthorized and InvalidRequest."""
    access.check(request, access.OPERATOR)
    body = await read_object(request)
    return _who(request), text_in(body, "reason"), body


def _who(request: Request) -> str:
    name = request.headers.get("x-operator")
    if name is None:
        return client_of(request)
    if not (0 < len(name) <= LONGEST_NAME and name.isascii() and name.isprintable()):
        raise InvalidRequest(f"X-Operator is a name of at most {LONGEST_NAME} ASCII characters")
    return cast(str, name)


def _number(request: Request, name: str, default: int, most: int, least: int = 0) -> int:
    text = request.args.get(name, str(default))
    is_number = text.isascii() and text.isdecimal() and len(text) < 20
    if not (is_number and least <= int(text) <= most):
        raise InvalidRequest(f"{name} is a number from {least} to {most}")
    return int(text)


def _control(request: Request) -> Control:
    return cast(Control, request.app.ctx.control)


def _listing(request: Request) -> Listing:
    return cast(Listing, request.app.ctx.listing)


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
