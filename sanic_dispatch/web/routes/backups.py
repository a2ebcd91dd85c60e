"""Online backups; they need the operator's token."""

from __future__ import annotations

from pathlib import Path

from sanic import Blueprint, HTTPResponse, Request

from sanic_dispatch.dispatch.online_backup import OnlineBackup
from sanic_dispatch.errors import InvalidRequest
from sanic_dispatch.web import auth
from sanic_dispatch.web.calls import ask
from sanic_dispatch.web.context import context_of
from sanic_dispatch.web.deadlines import answering_within
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import BACK_UP
from sanic_dispatch.web.request_body import read_object
from sanic_dispatch.web.responses import json_answer

backups = Blueprint("backups", url_prefix="/operator")

LONGEST_S = 6 * 60 * 60.0
"""How long a backup may take: with a long history, and a slow disk, that is more than a minute."""


@backups.post("/backup", stream=True)
@describe(BACK_UP)
async def back_up(request: Request) -> HTTPResponse:
    """Write a backup to a folder of the service's machine, while the service goes on.

    The answer comes when the backup is whole and synced. It has everything that was acknowledged
    before the request. If the client closes the connection, the backup is called off.
    """
    auth.check(request, auth.OPERATOR)
    body = await read_object(request)
    folder = body.get("folder")
    if not isinstance(folder, str) or len(body) > 1:
        raise InvalidRequest("send one member, folder: the absolute path of a new or empty folder")
    with answering_within(request, LONGEST_S):
        made = await ask(context_of(request), OnlineBackup.make, Path(folder))
    return json_answer({"folder": folder, **made._asdict()})
