"""Webhooks: who is told of events; all need the operator's token."""

from __future__ import annotations

import secrets

from sanic import Blueprint, HTTPResponse, Request
from sanic.response import empty

from sanic_dispatch.callbacks.url import check_is_url
from sanic_dispatch.config.webhook_entry import (
    GROUPS,
    MAX_URL_CHARS,
    is_secret,
    new_secret,
    new_webhook_id,
    read_entry,
)
from sanic_dispatch.core.events import EventKind
from sanic_dispatch.errors import InvalidRequest
from sanic_dispatch.history.questions import replay_of
from sanic_dispatch.outbox.outbox import Outbox
from sanic_dispatch.web import auth
from sanic_dispatch.web.calls import ask
from sanic_dispatch.web.context import context_of
from sanic_dispatch.web.openapi.operation import (
    AN_OBJECT,
    READING,
    TAKING,
    Answer,
    Body,
    Operation,
    Parameter,
    describe,
    in_json,
)
from sanic_dispatch.web.openapi.operations import AFTER, LIMIT, OF_AN_OPERATOR
from sanic_dispatch.web.openapi.schemas import (
    A_WEBHOOK,
    A_WEBHOOK_MESSAGE,
    ABSOLUTE_URL,
    WEBHOOK_ID,
    WEBHOOK_SECRET,
    ref,
)
from sanic_dispatch.web.request_body import read_object
from sanic_dispatch.web.responses import NOSNIFF, json_answer
from sanic_dispatch.web.routes.event_queries import query_arguments

webhook_acts = Blueprint("webhook_acts", url_prefix="/operator/webhooks")

_ID = Parameter(
    "path", "webhook_id", "the webhook's id", {"type": "string", "minLength": 1}, WEBHOOK_ID, True
)
_GROUP, _END = "[A-Za-z0-9+/]{4}", "[A-Za-z0-9+/]{2}(==|[A-Za-z0-9+/]=)"
_BASE64 = f"(({_GROUP}){{8,20}}({_END})?|({_GROUP}){{21}}([A-Za-z0-9+/]{{2}}==)?)"
_SECRET = {"type": "string", "pattern": f"^whsec_{_BASE64}$"}
_KINDS = {"enum": [*GROUPS, *(kind.value for kind in EventKind)]}
_ENTRY = {
    "type": "object",
    "required": ["url"],
    "properties": {
        "url": ABSOLUTE_URL | {"maxLength": MAX_URL_CHARS},
        "events": {"type": "array", "minItems": 1, "items": _KINDS, "default": ["job.*"]},
        "payload": {"type": "boolean", "description": "whether messages have a job's data"},
        "secret": _SECRET | {"description": "one is made if there is none"},
    },
    "additionalProperties": False,
}
_WITH_SECRET = {"id": WEBHOOK_ID, "secret": WEBHOOK_SECRET}
_UNKNOWN = ("Unauthorized", "UnknownWebhook", *TAKING)


@webhook_acts.get("", name="list_webhooks")
@describe(
    Operation(
        **OF_AN_OPERATOR,
        answers={
            200: Answer(
                "In the order in which they were added.",
                in_json(ref("webhooks"), {"webhooks": [A_WEBHOOK]}),
            )
        },
        errors=("Unauthorized", "ShuttingDown", *READING),
    )
)
async def list_webhooks(request: Request) -> HTTPResponse:
    """Return the webhooks, what is pending for each of them, and why."""
    auth.check(request, auth.OPERATOR)
    return json_answer({"webhooks": await ask(context_of(request), Outbox.endpoints)})


@webhook_acts.post("", name="add_webhook", stream=True)
@describe(
    Operation(
        **OF_AN_OPERATOR,
        body=Body(
            _ENTRY,
            {"url": "https://till.example/hook", "events": ["job.*"], "payload": True},
        ),
        answers={
            201: Answer(
                "The webhook; this is the only answer with a secret that was made.",
                in_json(ref("webhook_secret"), _WITH_SECRET),
            )
        },
        errors=("Unauthorized", *AN_OBJECT, "NotAUrl", "NotAllowed", "TooManyWebhooks", *TAKING),
    )
)
async def add_webhook(request: Request) -> HTTPResponse:
    """Tell a URL of what happens from now on, by signed messages (Standard Webhooks)."""
    auth.check(request, auth.OPERATOR)
    context = context_of(request)
    try:
        entry = read_entry(await read_object(request))
    except ValueError as error:
        raise InvalidRequest(str(error)) from error
    check_is_url("url", entry.url)
    await context.webhook_client.check(entry.url)
    entry = entry._replace(secret=entry.secret or new_secret())
    webhook_id = new_webhook_id()
    await ask(context, Outbox.add, webhook_id, entry)
    return json_answer({"id": webhook_id, "secret": entry.secret}, 201)


@webhook_acts.delete("/<webhook_id:str>", name="remove_webhook")
@describe(
    Operation(
        **OF_AN_OPERATOR,
        parameters=(_ID,),
        answers={204: Answer("It is removed.")},
        errors=(*_UNKNOWN, "WebhookConfigured"),
    )
)
async def remove_webhook(request: Request, webhook_id: str) -> HTTPResponse:
    """Remove a webhook; what is pending for it is dropped."""
    auth.check(request, auth.OPERATOR)
    await ask(context_of(request), Outbox.remove, webhook_id)
    return empty(headers=NOSNIFF)


@webhook_acts.post("/<webhook_id:str>/rotate", name="rotate_webhook", stream=True)
@describe(
    Operation(
        **OF_AN_OPERATOR,
        parameters=(_ID,),
        body=Body(
            {"type": "object", "properties": {"secret": _SECRET}, "additionalProperties": False},
            {"secret": WEBHOOK_SECRET},
            required=False,
        ),
        answers={200: Answer("The new secret.", in_json(ref("webhook_secret"), _WITH_SECRET))},
        errors=(*_UNKNOWN, *AN_OBJECT, "WebhookConfigured"),
    )
)
async def rotate_webhook(request: Request, webhook_id: str) -> HTTPResponse:
    """Sign with a new secret, and for a day with the one before, too."""
    auth.check(request, auth.OPERATOR)
    said = await read_object(request)
    secret = said.get("secret", "")
    if said.keys() - {"secret"} or (secret != "" and not is_secret(secret)):
        raise InvalidRequest(f"send one member, secret: one such as {new_secret()[:12]}…, or none")
    secret = secret or new_secret()
    await ask(context_of(request), Outbox.rotate, webhook_id, secret)
    return json_answer({"id": webhook_id, "secret": secret})


@webhook_acts.post("/<webhook_id:str>/test", name="test_webhook")
@describe(
    Operation(
        **OF_AN_OPERATOR,
        parameters=(_ID,),
        answers={
            200: Answer(
                "Whether it was delivered, and if not, why.",
                in_json(
                    ref("webhook_trial"),
                    {"id": "msg_0f1e2d3c4b5a6978", "delivered": False, "reason": "status 500"},
                ),
            )
        },
        errors=_UNKNOWN,
    )
)
async def test_webhook(request: Request, webhook_id: str) -> HTTPResponse:
    """Send a message of the type webhook.test at once; it is not repeated."""
    auth.check(request, auth.OPERATOR)
    message_id = f"msg_{secrets.token_hex(16)}"
    return json_answer(await ask(context_of(request), Outbox.send_test, webhook_id, message_id))


_GOING_ON = Operation(
    **OF_AN_OPERATOR,
    parameters=(_ID,),
    answers={200: Answer("The webhook.", in_json(ref("webhook"), A_WEBHOOK))},
    errors=_UNKNOWN,
)


@webhook_acts.post("/<webhook_id:str>/continue", name="continue_webhook")
@describe(_GOING_ON)
async def continue_webhook(request: Request, webhook_id: str) -> HTTPResponse:
    """Send again at once, from where it stopped."""
    auth.check(request, auth.OPERATOR)
    return json_answer(
        await ask(context_of(request), Outbox.resume_endpoint, webhook_id, drop=False)
    )


@webhook_acts.post("/<webhook_id:str>/drop", name="drop_pending")
@describe(_GOING_ON)
async def drop_pending(request: Request, webhook_id: str) -> HTTPResponse:
    """Drop what is pending, and send from the next event on."""
    auth.check(request, auth.OPERATOR)
    return json_answer(
        await ask(context_of(request), Outbox.resume_endpoint, webhook_id, drop=True)
    )


@webhook_acts.get("/<webhook_id:str>/events", name="webhook_events")
@describe(
    Operation(
        **OF_AN_OPERATOR,
        parameters=(
            _ID,
            Parameter("query", "since", "only events after this number", AFTER, 140),
            Parameter("query", "limit", "how many events to look at", LIMIT, 100),
        ),
        answers={
            200: Answer(
                "The oldest first; next is the next page's since.",
                in_json(ref("webhook_events"), {"events": [A_WEBHOOK_MESSAGE], "next": 141}),
            )
        },
        errors=(*_UNKNOWN, "InvalidRequest"),
    )
)
async def webhook_events(request: Request, webhook_id: str) -> HTTPResponse:
    """Return the messages of a webhook again, without jobs' data, as far as events are kept."""
    auth.check(request, auth.OPERATOR)
    replay = replay_of(query_arguments(request))
    found = await ask(context_of(request), Outbox.events, webhook_id, *replay)
    return json_answer(found)
