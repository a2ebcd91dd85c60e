"""The menu over HTTP."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse, Request

from sanic_dispatch.errors import DispatchError
from sanic_dispatch.web.calls import ask, unavailable_drinks
from sanic_dispatch.web.conditional import conditional_response
from sanic_dispatch.web.context import context_of
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import MENU
from sanic_dispatch.web.responses import GET_AND_HEAD

menu = Blueprint("menu")


@describe(MENU)
async def look(request: Request) -> HTTPResponse:
    """Return the menu; drinks that no robot here makes are marked, as far as that is known."""
    context = context_of(request)
    await context.menu.refresh()
    try:
        unavailable = await ask(context, unavailable_drinks)
    except DispatchError:
        unavailable = ()
    return conditional_response(request, context.menu.json(unavailable), "application/json")


menu.add_route(look, "/menu", GET_AND_HEAD)
