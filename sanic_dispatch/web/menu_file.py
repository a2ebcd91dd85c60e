"""The menu of a topic, taken over from its file whenever that is edited."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import structlog

from sanic_dispatch.clock import Clock
from sanic_dispatch.config.menu import BUILT_IN, encoded, read_menu
from sanic_dispatch.errors import SettingsError

_log = structlog.get_logger("sanic_dispatch.web")

LOOK_S = 0.5
"""How often the menu file is checked for edits."""


class Menu:
    """The operator's menu file, or the built-in menu.

    An invalid edit is logged once, and the previous menu stays. Raises SettingsError if the file is
    invalid from the start.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp = _stamp(path) if path else None
        self._refreshing = asyncio.Lock()
        self._take(read_menu(path) if path else BUILT_IN)

    async def refresh(self) -> None:
        """Take over an edit of the file, if there is one."""
        if self._path is None:
            return
        async with self._refreshing:
            stamp = await asyncio.to_thread(_stamp, self._path)
            if stamp == self._stamp:
                return
            try:
                self._take(await asyncio.to_thread(read_menu, self._path))
            except SettingsError as error:
                _log.warning("menu.refused", reason=str(error))
            self._stamp = stamp  # not before: a request that is cut off has not read the edit

    async def refresh_regularly(self, clock: Clock) -> None:
        """Take over each edit of the file within a second, until cancelled."""
        while True:
            await clock.sleep(LOOK_S)
            await self.refresh()

    def json(self, unavailable: Collection[str]) -> bytes:
        """Return the menu in JSON, with these drinks marked."""
        if not unavailable:
            return self._json
        marked = [
            {**drink, "available": False} if drink["id"] in unavailable else drink
            for drink in self._menu["drinks"]
        ]
        return encoded({**self._menu, "drinks": marked})

    def _take(self, menu: dict[str, Any]) -> None:
        self._menu, self._json = menu, encoded(menu)
        self.drinks: Sequence[str] = tuple(drink["id"] for drink in menu["drinks"])
        """The ids of the drinks."""


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes with the file's content; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
