"""The menu over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import structlog
from sanic import Blueprint, HTTPResponse, Request

from sanic_dispatch.config.menu import BUILT_IN, encoded, read_menu
from sanic_dispatch.errors import DispatchError, SettingsError
from sanic_dispatch.web.calls import ask, unavailable_drinks
from sanic_dispatch.web.conditional import validated
from sanic_dispatch.web.context import context_of
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import MENU
from sanic_dispatch.web.responses import GET_AND_HEAD

menu = Blueprint("menu")

_log = structlog.get_logger("sanic_dispatch.web")


class Menu:
    """The operator's menu file, or the built-in menu; an edit of the file takes effect at once.

    An invalid edit is logged once, and the previous menu stays. Raises SettingsError if the file is
    invalid from the start.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen = self._stamp()
        self._read(read_menu(path) if path else BUILT_IN)

    def json(self, unavailable: Collection[str]) -> bytes:
        """Return the current menu in JSON, some drinks marked. Blocks: call it in a thread."""
        stamp = self._stamp()
        if self._path and stamp != self._seen:
            self._seen = stamp
            try:
                self._read(read_menu(self._path))
            except SettingsError as error:
                _log.warning("menu.refused", reason=str(error))
        if not unavailable:
            return self._json
        marked = [
            {**drink, "available": False} if drink["id"] in unavailable else drink
            for drink in self._menu["drinks"]
        ]
        return encoded({**self._menu, "drinks": marked})

    def _read(self, menu: dict[str, Any]) -> None:
        self._menu, self._json = menu, encoded(menu)
        self.drinks: Sequence[str] = tuple(drink["id"] for drink in menu["drinks"])
        """The ids of the drinks."""

    def _stamp(self) -> tuple[int, int] | None:
        """Return what changes with the file's content; None if there is no file."""
        try:
            found = self._path.stat() if self._path else None
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size) if found else None


@describe(MENU)
async def look(request: Request) -> HTTPResponse:
    """Return the menu; drinks that no robot here makes are marked, as far as that is known."""
    context = context_of(request)
    try:
        unavailable = await ask(context, unavailable_drinks)
    except DispatchError:
        unavailable = ()
    content = await asyncio.to_thread(context.menu.json, unavailable)
    return validated(request, content, "application/json")


menu.add_route(look, "/menu", GET_AND_HEAD)
