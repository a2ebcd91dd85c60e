"""Edits of the operator's menu file."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import structlog
from aiohttp import ClientWebSocketResponse

from tests.support.http_requests import CALLBACK, ask
from tests.support.server import running_service
from tests.web.routes.test_drinks import BEER, OWN, TEA, register, written


async def test_an_edit_is_seen_live(tmp_path: Path) -> None:
    """Nobody has to ask for the menu, and nothing else has to happen."""
    path = written(tmp_path / "menu.json", OWN)
    async with running_service(menu=path) as service:
        await register(service, "register-worker?match.drink=water", CALLBACK)
        async with service.http.ws_connect(f"{service.base_url}live") as board:
            first = await board.receive_json(timeout=5)
            assert first["state"]["bar"]["unavailable"] == ["tea"]
            written(path, {"drinks": [BEER]})
            assert await unavailable_in_next_patch(board) == ["beer"]


async def unavailable_in_next_patch(board: ClientWebSocketResponse) -> Any:
    """Return what is unavailable after the next change; heartbeats may come before it."""
    async with asyncio.timeout(5):
        while "patch" not in (frame := await board.receive_json()):
            continue
        return frame["patch"]["bar"]["unavailable"]


async def test_an_edit_counts_at_once(tmp_path: Path) -> None:
    """A damaged edit is logged, and the last good menu stays."""
    path = written(tmp_path / "menu.json", OWN)
    async with running_service(menu=path) as service:
        written(path, {"drinks": [TEA]})
        assert (await ask(service, "GET", "menu")).body == {"drinks": [TEA]}
        with structlog.testing.capture_logs() as lines:
            written(path, '{"drinks": [')
            for _ in range(2):
                assert (await ask(service, "GET", "menu")).body == {"drinks": [TEA]}
        assert [line["event"] for line in lines] == ["menu.refused"]
        os.remove(path)
        assert (await ask(service, "GET", "menu")).body == {"drinks": [TEA]}
