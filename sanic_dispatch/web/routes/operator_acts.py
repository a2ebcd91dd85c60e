"""The operator's acts: each needs the token, and records who did it and why.

Who: the X-Operator header, else the client's address. Why: ``{"reason"}`` in the body.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, cast

from sanic import Blueprint, HTTPResponse, Request
from sanic.response import empty

from sanic_dispatch.core.job import Job
from sanic_dispatch.dispatch.operator import Operator
from sanic_dispatch.errors import InvalidRequest
from sanic_dispatch.web import auth
from sanic_dispatch.web.calls import ask
from sanic_dispatch.web.client_address import client_of
from sanic_dispatch.web.context import context_of
from sanic_dispatch.web.openapi.operation import (
    AN_OBJECT,
    JOB_ID_IN_PATH,
    TAKING,
    Answer,
    Body,
    Operation,
    Parameter,
    describe,
    in_json,
)
from sanic_dispatch.web.openapi.operations import A_JOB, OF_AN_OPERATOR
from sanic_dispatch.web.openapi.schemas import (
    CALLBACK,
    CALLBACK_URL,
    ref,
)
from sanic_dispatch.web.priority import priority_in
from sanic_dispatch.web.request_body import check_members, read_object, text_in
from sanic_dispatch.web.responses import NOSNIFF, json_answer
from sanic_dispatch.web.routes.jobs import job_answer

operator = Blueprint("operator", url_prefix="/operator")

MAX_NAME_CHARS = 64
_WHO = Parameter(
    "header",
    "X-Operator",
    "the operator's name, for the log; by default the client's address",
    {"type": "string", "pattern": "^[!-~]([ -~]{0,62}[!-~])?$"},
    "Ada",
)
_REASON = Body(ref("reason"), {"reason": "out of ice"}, required=False)
_ERRORS = ("Unauthorized", *AN_OBJECT, *TAKING)


def _dispatch_act(text: str) -> Operation:
    return Operation(
        **OF_AN_OPERATOR,
        summary=text,
        parameters=(_WHO,),
        body=_REASON,
        errors=_ERRORS,
        answers={
            200: Answer(
                "Whether handing out jobs is paused now.",
                in_json(
                    {
                        "type": "object",
                        "required": ["paused"],
                        "properties": {"paused": {"type": "boolean"}},
                        "additionalProperties": False,
                    },
                    {"paused": True},
                ),
            )
        },
    )


def _job_act(text: str, answers: Mapping[int, Answer] = MappingProxyType({})) -> Operation:
    return Operation(
        **OF_AN_OPERATOR,
        summary=text,
        parameters=(JOB_ID_IN_PATH, _WHO),
        body=_REASON,
        answers={200: A_JOB, **answers},
        errors=(*_ERRORS, "UnknownJob", "WrongState"),
    )


def _worker_act(text: str) -> Operation:
    return Operation(
        **OF_AN_OPERATOR,
        summary=text,
        parameters=(_WHO,),
        body=Body(ref("callback"), {"callback": CALLBACK_URL, "reason": "smells burnt"}),
        answers={
            200: Answer(
                "The worker's callback.",
                in_json({"properties": {"callback": CALLBACK}}, {"callback": CALLBACK_URL}),
            )
        },
        errors=(*_ERRORS, "UnknownWorker", "WrongState"),
    )


DispatchAct = Callable[[Operator, str, str], Awaitable[bool]]
"""Acts on the handing out of jobs: (operator, why, who) → whether that is paused."""
JobAct = Callable[[Operator, str, str, str], Awaitable[Job]]
"""Acts on a job: (operator, job id, why, who)."""
WorkerAct = Callable[[Operator, str, str, str], Awaitable[object]]
"""Acts on a worker: (operator, worker id, why, who)."""


async def act_on_dispatch(request: Request, act: DispatchAct) -> HTTPResponse:
    """Pause or resume the handing out of jobs, and return whether it is paused now."""
    who, why, _ = await _words(request)
    return json_answer({"paused": await ask(context_of(request), act, why, who)})


async def act_on_job(request: Request, job_id: str, act: JobAct) -> HTTPResponse:
    """Act on a job, and return it: 202 if its holder was asked to stop."""
    who, why, _ = await _words(request)
    job = await ask(context_of(request), act, job_id, why, who)
    return await job_answer(request, job_id, 202 if job.cancelling else 200, job)


async def act_on_worker(request: Request, act: WorkerAct) -> HTTPResponse:
    """Act on the worker whose callback is in the body."""
    who, why, body = await _words(request, "callback")
    callback = body.get("callback")
    if not isinstance(callback, str):
        raise InvalidRequest("callback is the worker's callback")
    await ask(context_of(request), act, callback, why, who)
    return json_answer({"callback": callback})


DISPATCH_ACTS: dict[str, tuple[DispatchAct, str]] = {
    "pause": (Operator.pause, "Stop handing out jobs until further notice."),
    "resume": (Operator.resume, "Resume handing out jobs."),
}
JOB_ACTS: dict[str, tuple[JobAct, str]] = {
    "cancel": (Operator.cancel, "Cancel a job; the worker of an assigned one is asked to stop."),
    "put-back": (Operator.put_back, "Put an assigned or failed job back to its own place."),
    "first": (Operator.move_to_front, "Move a waiting job to the front of the queue."),
}
_MORE_ANSWERS: dict[str, Mapping[int, Answer]] = {
    "cancel": {202: A_JOB._replace(text="The job: its worker is asked to stop.")},
}
WORKER_ACTS: dict[str, tuple[WorkerAct, str]] = {
    "aside": (Operator.set_aside, "Set a worker aside: it gets no jobs."),
    "back": (Operator.bring_back, "Bring a worker back to its old place."),
    "drop": (Operator.drop, "Remove a worker."),
}

for name, (dispatch_act, text) in DISPATCH_ACTS.items():
    operator.add_route(
        describe(_dispatch_act(text))(partial(act_on_dispatch, act=dispatch_act)),
        f"/{name}",
        ["POST"],
        name=name,
        stream=True,
    )
for name, (job_act, text) in JOB_ACTS.items():
    operator.add_route(
        describe(_job_act(text, _MORE_ANSWERS.get(name, {})))(partial(act_on_job, act=job_act)),
        f"/jobs/<job_id:str>/{name}",
        ["POST"],
        name=f"job_{name}",
        stream=True,
    )
for name, (worker_act, text) in WORKER_ACTS.items():
    operator.add_route(
        describe(_worker_act(text))(partial(act_on_worker, act=worker_act)),
        f"/workers/{name}",
        ["POST"],
        name=f"worker_{name}",
        stream=True,
    )


@operator.post("/jobs/<job_id:str>/priority", stream=True)
@describe(
    replace(
        _job_act("Give a waiting job another priority."),
        body=Body(ref("priority"), {"priority": 0, "reason": "it was spilt"}),
        errors=(*_ERRORS, "InvalidPriority", "UnknownJob", "WrongState"),
    )
)
async def set_priority(request: Request, job_id: str) -> HTTPResponse:
    """Give a waiting job another priority, and return the job."""
    who, why, body = await _words(request, "priority")
    await ask(context_of(request), Operator.set_priority, job_id, priority_in(body), why, who)
    return await job_answer(request, job_id)


@operator.delete("/jobs/<job_id:str>/data")
@describe(
    Operation(
        **OF_AN_OPERATOR,
        parameters=(JOB_ID_IN_PATH._replace(text="the job's secret id, or its number"), _WHO),
        answers={204: Answer("It is forgotten.")},
        errors=("Unauthorized", "InvalidRequest", *TAKING, "UnknownJob", "WrongState"),
    )
)
async def forget(request: Request, job_id: str) -> HTTPResponse:
    """Erase the data and the result of a finished job.

    Its events stay. The data is gone from the data folder within a minute, also if the service is
    killed meanwhile. A job that is not kept any more is forgotten as far as its events are kept.
    """
    auth.check(request, auth.OPERATOR)
    await ask(context_of(request), Operator.forget, job_id, _who(request))
    return empty(headers=NOSNIFF)


async def _words(request: Request, *members: str) -> tuple[str, str, dict[str, Any]]:
    """Return who acts, why, and the body, which has ``reason`` and these members at most.

    Raises Unauthorized and InvalidRequest.
    """
    auth.check(request, auth.OPERATOR)
    body = await read_object(request)
    check_members(body, (*members, "reason"))
    return _who(request), text_in(body, "reason"), body


def _who(request: Request) -> str:
    name = request.headers.get("x-operator")
    if name is None:
        return client_of(request)
    if not (0 < len(name) <= MAX_NAME_CHARS and name.isascii() and name.isprintable()):
        raise InvalidRequest(f"X-Operator is a name of at most {MAX_NAME_CHARS} ASCII characters")
    return cast(str, name)
