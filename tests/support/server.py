"""The real server on a free port: inside the test's own loop, or as a process."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import aiohttp
from sanic import Sanic

from sanic_dispatch.app import create_app
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.server.runner import serving
from sanic_dispatch.server.sockets import listening_socket
from tests.support.paths import ROOT
from tests.support.ports import free_port as free_port

POLL_S = 0.02
"""How often to look whether a server has started: all the time would cost as much as the start."""


@dataclass
class Service:
    """A running server and a client for it."""

    base_url: str
    http: aiohttp.ClientSession
    app: Sanic[Any, Any]

    async def submit(self, data: Any, **headers: str) -> tuple[int, Any, str]:
        """Submit an order; return status, body and job id."""
        url = self.base_url + "submit-job"
        async with self.http.post(url, json=data, headers=headers) as response:
            location = response.headers.get("Location", "")
            return response.status, await response.json(), location.removeprefix("jobs/")

    async def job(self, job_id: str) -> dict[str, Any]:
        """Return the server's answer about a job."""
        async with self.http.get(f"{self.base_url}jobs/{job_id}") as response:
            job: dict[str, Any] = await response.json()
            return job


@asynccontextmanager
async def running_service(**values: Any) -> AsyncIterator[Service]:
    """Run a server in this event loop; in memory, on a free port, unless the settings say more."""
    with listening_socket("127.0.0.1", values.pop("port", 0)) as sock:
        port = sock.getsockname()[1]
        mode = values.pop("mode", Mode.IN_MEMORY)
        app = create_app(Settings.of(mode, port=port, host="127.0.0.1", **values))
        app.config.TOUCHUP = False  # it rewrites Sanic's classes, which works once per process
        async with serving(app, sock), aiohttp.ClientSession() as http:
            yield Service(f"http://127.0.0.1:{port}/", http, app)


@contextmanager
def server_process(*arguments: str, port: int, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """Run ``sanic-dispatch serve``; yields once it listens, and kills it at the end."""
    command = [sys.executable, "-m", "sanic_dispatch", "serve", "--port", str(port), *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=cwd, env=env, stderr=subprocess.PIPE, text=True)
    try:
        _wait_until_listening(process, port)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _wait_until_listening(process: subprocess.Popen[str], port: int) -> None:
    deadline = monotonic() + 20
    while monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended: {process.communicate()[1]}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        sleep(POLL_S)
    raise RuntimeError("the server does not listen")


async def eventually(check: Any, within_s: float = 5.0) -> None:
    """Wait until an awaitable check is true; fail if it never is."""
    async with asyncio.timeout(within_s):
        while not await check():  # noqa: ASYNC110 - it is asked over HTTP
            await asyncio.sleep(0.01)
