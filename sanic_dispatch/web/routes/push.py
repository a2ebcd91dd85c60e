"""Messages to phones (Web Push): the topic's key, and which phones are told of an order."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse, Request
from sanic.response import empty

from sanic_dispatch.errors import InvalidRequest
from sanic_dispatch.live.schema import an_object
from sanic_dispatch.outbox.push_entry import (
    AUTH_BYTES,
    LANGUAGE,
    MAX_ENDPOINT_CHARS,
    POINT_BYTES,
    read_endpoint,
    read_subscription,
)
from sanic_dispatch.outbox.push_outbox import PushOutbox
from sanic_dispatch.web.calls import ask, job_details
from sanic_dispatch.web.context import context_of
from sanic_dispatch.web.openapi.operation import (
    AN_OBJECT,
    JOB_ID_IN_PATH,
    TAKING,
    Answer,
    Body,
    Operation,
    describe,
    in_json,
)
from sanic_dispatch.web.openapi.schemas import A_SUBSCRIPTION, PUSH_KEY
from sanic_dispatch.web.request_body import read_object, read_value
from sanic_dispatch.web.responses import NOSNIFF, json_answer

push = Blueprint("push")


def _key_of(size: int) -> dict[str, str]:
    """Return the schema of so many bytes in base64url."""
    return {"type": "string", "pattern": f"^[A-Za-z0-9_-]{{{-(-size * 4 // 3)}}}={{0,2}}$"}


_ENDPOINT = {"type": "string", "pattern": "^[!-~]+$", "maxLength": MAX_ENDPOINT_CHARS}
_SUBSCRIPTION = {
    "type": "object",
    "required": ["endpoint", "keys", "lang"],
    "properties": {
        "endpoint": _ENDPOINT,
        "keys": {
            "type": "object",
            "required": ["p256dh", "auth"],
            "properties": {"p256dh": _key_of(POINT_BYTES), "auth": _key_of(AUTH_BYTES)},
        },
        "lang": {
            "type": "string",
            "pattern": f"^{LANGUAGE.pattern}$",
            "description": "the language of the messages",
        },
    },
    "description": "the browser's PushSubscription, with a language",
}
_WITHOUT = {
    "oneOf": [
        {"type": "object", "required": ["endpoint"], "properties": {"endpoint": _ENDPOINT}},
        _ENDPOINT,
    ]
}


@push.get("/push/key")
@describe(
    Operation(
        tag="jobs",
        answers={
            200: Answer(
                "The key, 65 bytes in base64url: the browser's applicationServerKey.",
                in_json(an_object({"key": {"type": "string"}}), {"key": PUSH_KEY}),
            )
        },
        errors=TAKING,
    )
)
async def push_key(request: Request) -> HTTPResponse:
    """Return the key with which a page subscribes its browser to messages of this topic."""
    return json_answer({"key": await ask(context_of(request), PushOutbox.key)})


@push.put("/jobs/<job_id:str>/push", stream=True)
@describe(
    Operation(
        tag="jobs",
        parameters=(JOB_ID_IN_PATH,),
        body=Body(_SUBSCRIPTION, A_SUBSCRIPTION),
        answers={204: Answer("The phone is told from now on; the same endpoint again replaces.")},
        errors=(
            *("UnknownJob", "WrongState", *AN_OBJECT, "NotAllowed", "TooManySubscriptions"),
            *TAKING,
        ),
    )
)
async def put_subscription(request: Request, job_id: str) -> HTTPResponse:
    """Tell a phone how an order is, by Web Push: at most three phones for an order."""
    context, said = context_of(request), await read_object(request)
    try:
        subscription = read_subscription(said)
    except ValueError as error:
        raise InvalidRequest(str(error)) from error
    await ask(context, job_details, job_id)  # names are resolved only for who has an order
    await context.push_client.check(subscription.endpoint)
    await ask(context, PushOutbox.subscribe, job_id, subscription)
    return empty(headers=NOSNIFF)


@push.delete("/jobs/<job_id:str>/push", stream=True)
@describe(
    Operation(
        tag="jobs",
        parameters=(JOB_ID_IN_PATH,),
        body=Body(_WITHOUT, {"endpoint": A_SUBSCRIPTION["endpoint"]}),
        answers={204: Answer("The phone is not told of this order any more, if it was.")},
        errors=("UnknownJob", *AN_OBJECT, *TAKING),
    )
)
async def remove_subscription(request: Request, job_id: str) -> HTTPResponse:
    """Tell a phone nothing more of an order; the body is the subscription, or its endpoint."""
    context, said = context_of(request), await read_value(request, None)
    try:
        endpoint = read_endpoint(said)
    except ValueError as error:
        raise InvalidRequest(str(error)) from error
    await ask(context, PushOutbox.unsubscribe, job_id, endpoint)
    return empty(headers=NOSNIFF)
