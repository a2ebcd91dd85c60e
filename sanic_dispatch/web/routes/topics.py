"""The topics of the service: those for everybody, and those that an operator's token opens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

from sanic import Blueprint, HTTPResponse, Request

from sanic_dispatch.errors import DispatchError
from sanic_dispatch.web import auth
from sanic_dispatch.web.calls import ask, is_paused
from sanic_dispatch.web.context import TOPICS_PATH, Context, context_of
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import OPENED_TOPICS, TOPICS
from sanic_dispatch.web.responses import GET_AND_HEAD, json_answer, relative_to

topics = Blueprint("topics")
opened_topics = Blueprint("opened_topics", url_prefix="/operator")


@describe(TOPICS)
async def list_topics(request: Request) -> HTTPResponse:
    """List the topics, the unnamed one first; without those that are not listed."""
    listed = [each for each in _topics(request) if each.settings.listed]
    orders = await asyncio.gather(*map(_orders, listed))
    found = zip(listed, orders, strict=True)
    return json_answer({"topics": [_fields(each) | {"orders": word} for each, word in found]})


topics.add_route(list_topics, "/topics", GET_AND_HEAD)


@opened_topics.get("/topics")
@describe(OPENED_TOPICS)
async def list_opened_topics(request: Request) -> HTTPResponse:
    """List the topics that the operator's token opens, also those that are not listed.

    A token of the service opens every topic, one of a topic only that.
    """
    auth.check(request, auth.OPERATOR)
    home = relative_to(request.path, "../../../" if context_of(request).settings.topic else "../")
    found = [each for each in _topics(request) if each.access.may_monitor(request)]
    return json_answer({"topics": [_fields(each) | {"url": home + _path(each)} for each in found]})


def _topics(request: Request) -> Iterator[Context]:
    """Yield all topics of the service, the unnamed one first."""
    service = cast(Context, request.app.ctx)
    yield service
    yield from service.topics.values()


def _fields(context: Context) -> dict[str, Any]:
    return {"name": context.settings.topic, "title": context.settings.display_title}


async def _orders(context: Context) -> str:
    """Return whether a topic takes orders, as far as is known."""
    with suppress(DispatchError):
        if await ask(context, is_paused):
            return "paused"
    return "open"


def _path(context: Context) -> str:
    """Return the path of a topic, relative to that of the unnamed one."""
    name = context.settings.topic
    return f"{TOPICS_PATH[1:]}{name}/" if name else ""
