"""The topics of the service."""

from __future__ import annotations

from typing import Any

from sanic import Blueprint, HTTPResponse, Request

from sanic_dispatch.web.context import Context, context_of
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import TOPICS
from sanic_dispatch.web.responses import GET_AND_HEAD, json_answer

topics = Blueprint("topics")


@describe(TOPICS)
async def list_topics(request: Request) -> HTTPResponse:
    """List the topics, the unnamed one first; without those that are not listed."""
    service = context_of(request)
    found = (service, *service.topics.values())
    return json_answer({"topics": [_fields(each) for each in found if each.settings.listed]})


topics.add_route(list_topics, "/topics", GET_AND_HEAD)


def _fields(context: Context) -> dict[str, Any]:
    settings = context.settings
    return {
        "name": settings.topic,
        "title": settings.display_title,
        "orders": "paused" if context.dispatcher.is_paused else "open",
    }
