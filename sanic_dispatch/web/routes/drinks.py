"""The menu over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import structlog
from sanic import Blueprint, HTTPResponse, Request

from sanic_dispatch.config.menu import BUILT_IN, encoded, read_menu
from sanic_dispatch.errors import SettingsError
from sanic_dispatch.web.conditional import validated
from sanic_dispatch.web.openapi.operation import NOT_MODIFIED, Answer, describe, in_json
from sanic_dispatch.web.openapi.schemas import ref
from sanic_dispatch.web.responses import LOOKED_AT

menu = Blueprint("menu")

_log = structlog.get_logger("sanic_dispatch.web")


class Menu:
    """The operator's menu, or the built-in one; an edit counts at once.

    A file that is damaged by an edit is said to be, once, and the menu before it stands.
    Raises SettingsError where there is none before it.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen = self._stamp()
        self._json = encoded(read_menu(path) if path else BUILT_IN)

    def json(self) -> bytes:
        """The menu as it is now. It blocks, so the event loop has it done by a thread."""
        stamp = self._stamp()
        if self._path and stamp != self._seen:
            self._seen = stamp
            try:
                self._json = encoded(read_menu(self._path))
            except SettingsError as error:
                _log.warning("menu.refused", reason=str(error))
        return self._json

    def _stamp(self) -> tuple[int, int] | None:
        """Another one for another content; None where there is no file."""
        try:
            found = self._path.stat() if self._path else None
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size) if found else None


@describe(
    tag="pages",
    answers={
        200: Answer(
            "The drinks, with an ETag.",
            in_json(ref("menu"), {"drinks": [{"id": "mojito", "name": "Mojito"}]}),
        ),
        304: NOT_MODIFIED,
    },
)
async def look(request: Request) -> HTTPResponse:
    """What there is to drink."""
    content = await asyncio.to_thread(cast(Menu, request.app.ctx.menu).json)
    return validated(request, content, "application/json")


menu.add_route(look, "/menu", LOOKED_AT)
