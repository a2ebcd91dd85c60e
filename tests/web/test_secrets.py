"""Tokens given to the service are never in its output, answers or logs."""

from __future__ import annotations

import asyncio
import io
import json
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from sanic_dispatch.config.settings import LogFormat, LogLevel, Mode, Settings
from sanic_dispatch.observability import log
from tests.support.http_requests import CALLBACK
from tests.support.server import free_port, running_service, server_process
from tests.web.test_auth import PUBLIC, ROUTES_OF

CANARIES = {role: f"canary{role}Zx81kQ7" for role in ROUTES_OF}
WRONG = "wrongcanaryZx81kQ7"
LOOKED_FOR = "Zx81kQ7"

BODIES: list[dict[str, Any]] = [
    {"json": {"drink": "mojito", "callback": CALLBACK}},
    {"data": "NaN", "headers": {"Content-Type": "application/json"}},
    {"data": "x", "headers": {"Content-Type": "text/plain"}},
    {"json": 1, "headers": {"Idempotency-Key": '"'}},
    {"json": 1, "headers": {"CPEE-CALLBACK": "http://169.254.169.254/"}},
    {"json": 1, "headers": {"CPEE-CALLBACK": CALLBACK, "X-Operator": "\x7f"}},
]


class Listener:
    """Sends requests, and keeps all answers."""

    def __init__(self, base_url: str, http: aiohttp.ClientSession) -> None:
        self.base_url, self.http = base_url, http
        self.heard: list[str] = []

    async def everything(self) -> None:
        """Send requests to every route, with each token in each way, and every kind of mistake."""
        routes = (
            [route for routes in ROUTES_OF.values() for route in routes] + PUBLIC + ["GET /nope"]
        )
        for route in routes:
            for token in (*CANARIES.values(), WRONG):
                for body in BODIES if route.startswith("POST ") else [{}]:
                    await self._ask(route, token, body)
        for token in (*CANARIES.values(), WRONG):
            await self._follow(token)

    async def _ask(self, route: str, token: str, body: dict[str, Any]) -> None:
        method, _, path = route.partition(" /")
        for name, value in (
            ("<job_id>", "0" * 32),
            ("<path>", "order_drink.html"),
            ("<ticket>", "1"),
        ):
            path = path.replace(name, value)
        url = self.base_url + path
        options = dict(body)
        headers = {"CPEE-CALLBACK": CALLBACK, **options.pop("headers", {})}
        bearer = {**headers, "Authorization": f"Bearer {token}"}
        for target, sent in ((url, bearer), (f"{url}?token={token}", headers)):
            with suppress(ValueError):  # headers that the client does not send
                async with self.http.request(
                    method, target, headers=sent, allow_redirects=False, **options
                ) as answer:
                    self.heard.append(str(answer.headers))
                    self.heard.append((await answer.read()).decode())

    async def _follow(self, token: str) -> None:
        for view in ("board", "monitor"):
            url = f"{self.base_url.replace('http', 'ws')}live?view={view}&token={token}"
            async with connect(url) as ws:
                with suppress(ConnectionClosed):
                    self.heard.append(str(await ws.recv()))
                    await ws.send("hello")
                    self.heard.append(str(await ws.recv()))
                self.heard.append(str(ws.close_reason))

    def heard_of(self, secret: str) -> list[str]:
        """Return the texts that contain this secret."""
        return [text for text in self.heard if secret in text]


async def test_no_token_is_printed_or_answered(tmp_path: Path) -> None:
    """Every route and error of a server, from the start to SIGTERM, at level debug."""
    (tmp_path / "worker.token").write_text(f"# for robots\n{CANARIES['worker']}\n")
    arguments = ("--mode", "CachedJsonFile", "--log-format", "json", "--log-level", "debug",
                 "--worker-token-file", str(tmp_path / "worker.token"),
                 "--submit-token", CANARIES["submit"],
                 "--operator-token", CANARIES["operator"])  # fmt: skip
    port = free_port()
    with server_process(*arguments, port=port, cwd=tmp_path) as process:
        assert process.stderr
        reading = asyncio.create_task(asyncio.to_thread(process.stderr.read))
        async with aiohttp.ClientSession() as http:
            ear = Listener(f"http://127.0.0.1:{port}/", http)
            await ear.everything()
        process.send_signal(signal.SIGTERM)
        printed = await reading
    assert len(ear.heard) > 500
    assert "job.submitted" in printed
    assert "dispatch.stopped" in printed
    assert not ear.heard_of(LOOKED_FOR)
    assert LOOKED_FOR not in printed
    for line in printed.splitlines():
        assert isinstance(json.loads(line), dict)
    for name in ("jobs.json", "dispatch.json"):
        assert LOOKED_FOR not in (tmp_path / name).read_text()


async def test_a_token_that_was_made_is_printed_once(tmp_path: Path) -> None:
    """Without an operator's token its link is printed, outside the log."""
    port = free_port()
    arguments = ("--mode", "InMemory", "--log-format", "json")
    with server_process(*arguments, port=port, cwd=tmp_path) as process:
        assert process.stderr
        printed = ""
        while "dispatch.started" not in printed:
            printed += await asyncio.to_thread(process.stderr.readline)
        process.kill()
        printed += await asyncio.to_thread(process.stderr.read)
    (link,) = [line for line in printed.splitlines() if line.startswith("operator: ")]
    token = link.partition("?token=")[2]
    assert len(token) == 32
    assert printed.count(token) == 1


async def test_a_fault_of_ours_says_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """500 says nothing, and the traceback in the log has neither a token nor a whole id."""
    stream = io.StringIO()
    log.configure(LogFormat.JSON, LogLevel.DEBUG, stream)
    tokens = {f"{role}_tokens": (token,) for role, token in CANARIES.items()}
    async with running_service(**tokens) as service:

        async def fail(*_: object, **__: object) -> None:
            raise RuntimeError(f"at http://x/?token={WRONG}")

        for name in ("submit", "register", "look_up", "complete"):
            monkeypatch.setattr(service.app.ctx.dispatcher, name, fail)
        ear = Listener(service.base_url, service.http)
        await ear.everything()
    log.configure()
    assert any('"status":500' in text for text in ear.heard)
    assert "RuntimeError" in stream.getvalue()
    assert not ear.heard_of(LOOKED_FOR)
    assert LOOKED_FOR not in stream.getvalue()


def test_tokens_are_not_in_the_settings_words() -> None:
    """The repr of Settings has no token."""
    settings = Settings.of(
        Mode.IN_MEMORY, **{f"{role}_tokens": (token,) for role, token in CANARIES.items()}
    )
    assert LOOKED_FOR not in repr(settings)
    assert LOOKED_FOR not in str(settings)
