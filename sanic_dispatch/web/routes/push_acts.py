"""Messages to phones, for operators: what is pending, to try again, to drop."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse, Request
from sanic.response import empty

from sanic_dispatch.outbox.push_outbox import PushOutbox
from sanic_dispatch.web import auth
from sanic_dispatch.web.calls import ask
from sanic_dispatch.web.context import context_of
from sanic_dispatch.web.openapi.operation import (
    TAKING,
    Answer,
    Operation,
    Parameter,
    describe,
    in_json,
)
from sanic_dispatch.web.openapi.operations import OF_AN_OPERATOR
from sanic_dispatch.web.openapi.schemas import A_PUSH, A_PUSH_ID, ref
from sanic_dispatch.web.responses import NOSNIFF, json_answer

push_acts = Blueprint("push_acts", url_prefix="/operator/push")

_ID = Parameter(
    *("path", "subscription", "the id in the list", {"type": "string", "minLength": 1}),
    *(A_PUSH_ID, True),
)


def _act(text: str) -> Operation:
    return Operation(
        **OF_AN_OPERATOR,
        parameters=(_ID,),
        answers={204: Answer(text)},
        errors=("Unauthorized", "UnknownSubscription", *TAKING),
    )


@push_acts.get("", name="list_push")
@describe(
    Operation(
        **OF_AN_OPERATOR,
        answers={
            200: Answer(
                "How many subscriptions there are, and those with a message that is pending.",
                in_json(ref("push"), A_PUSH),
            )
        },
        errors=("Unauthorized", *TAKING),
    )
)
async def list_push(request: Request) -> HTTPResponse:
    """Return which messages to phones are pending, and why; no endpoint or key is shown."""
    auth.check(request, auth.OPERATOR)
    return json_answer(await ask(context_of(request), PushOutbox.overview))


@push_acts.post("/<subscription:str>/continue", name="continue_push")
@describe(_act("It is tried again now."))
async def continue_push(request: Request, subscription: str) -> HTTPResponse:
    """Try again at once to tell a phone what is pending."""
    auth.check(request, auth.OPERATOR)
    await ask(context_of(request), PushOutbox.resume_phone, subscription)
    return empty(headers=NOSNIFF)


@push_acts.post("/<subscription:str>/drop", name="drop_push")
@describe(_act("It is dropped; what comes later is sent."))
async def drop_push(request: Request, subscription: str) -> HTTPResponse:
    """Drop the message that is pending for a phone; if it is the last one, it ends."""
    auth.check(request, auth.OPERATOR)
    await ask(context_of(request), PushOutbox.drop, subscription)
    return empty(headers=NOSNIFF)
