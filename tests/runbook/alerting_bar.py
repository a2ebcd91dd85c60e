"""A server with the fault of a runbook entry, and the operator's tools."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.prometheus import PATIENCE_S, Prometheus, need
from tests.support.server import ROOT, eventually

TOKEN = "an-operators-token"

FAULTY = """
import sys
from sanic_dispatch.app import serve
from sanic_dispatch.config.settings import Mode, Settings

def prepare(app, _):
    app.ctx.menu.json = lambda _: 1 // 0

serve(Settings.of(Mode.IN_MEMORY, port=int(sys.argv[1]), operator_tokens=(sys.argv[2],)), prepare)
"""
"""A server with a bug."""


class Bar:
    """A real process, watched by a real Prometheus."""

    def __init__(
        self, port: int, folder: Path, prometheus: Prometheus, http: aiohttp.ClientSession
    ) -> None:
        self.port, self.folder, self.prometheus, self.http = port, folder, prometheus, http
        self.url = f"http://127.0.0.1:{port}/"
        self._process: subprocess.Popen[bytes] | None = None

    # ---- its life

    async def start(self, *options: str, code: str | None = None) -> None:
        """Start it, and return once Prometheus has scraped it twice."""
        arguments = ["--port", str(self.port), "--host", "127.0.0.1", "--data-dir", self.folder,
                     "--operator-token", TOKEN, *options]  # fmt: skip
        what = ["-c", code, str(self.port), TOKEN] if code else ["-m", "sanic_dispatch", "serve"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220
                [sys.executable, *what, *([] if code else arguments)],
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        await eventually(self.is_ready, PATIENCE_S)
        await eventually(lambda: self.prometheus.has_seen(self.port), PATIENCE_S)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def is_ready(self) -> bool:
        """Return what /ready answers."""
        try:
            async with self.http.get(self.url + "ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    # ---- what the runbook speaks of

    async def fires(self, alert: str) -> None:
        """Wait until the alert's query is true."""
        await eventually(lambda: self.prometheus.fires(alert, self.port), PATIENCE_S)

    async def is_quiet(self, alert: str) -> None:
        """Wait until it is no longer true."""

        async def check() -> bool:
            return not await self.prometheus.fires(alert, self.port)

        await eventually(check, PATIENCE_S)

    async def cli(self, *words: str) -> str:
        """Run sanic-dispatch as the operator does; return its output."""
        command = [sys.executable, "-m", "sanic_dispatch", *words]
        env = {**os.environ, "SANIC_DISPATCH_URL": self.url, "SANIC_DISPATCH_TOKEN": TOKEN}
        done = await asyncio.to_thread(
            subprocess.run, command, env=env, capture_output=True, text=True, check=True
        )
        return str(done.stdout)

    async def submit(self, data: Any = "mojito") -> int:
        """Submit an order; return the status."""
        async with self.http.post(self.url + "submit-job", json=data) as answer:
            return answer.status

    async def register(self, callback: str, **headers: str) -> tuple[int, Any]:
        """Register a worker; return status and body."""
        headers = {"CPEE-CALLBACK": callback, **headers}
        async with self.http.post(self.url + "register-worker", headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def states(self) -> list[str]:
        """Return all jobs' states. Raises ClientResponseError if the storage does not answer."""
        headers, url = {"Authorization": f"Bearer {TOKEN}"}, self.url + "operator/jobs"
        async with self.http.get(url, headers=headers, raise_for_status=True) as answer:
            return [job["state"] for job in (await answer.json())["jobs"]]

    async def has(self, state: str) -> None:
        """Wait until a job is in this state."""

        async def check() -> bool:
            with suppress(aiohttp.ClientResponseError):
                return state in await self.states()
            return False

        await eventually(check, PATIENCE_S)

    # ---- faults

    def disk_is_full(self, *, full: bool) -> None:
        """Limit the size of files, or remove the limit."""
        assert self._process
        unlimited = resource.RLIM_INFINITY
        limits = (0 if full else unlimited, unlimited)
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, limits)

    @asynccontextmanager
    async def slow_disk(self, seconds: float) -> AsyncIterator[None]:
        """Delay each sync."""
        assert self._process
        delay = f"inject=fsync,fdatasync:delay_enter={int(seconds * 1e6)}"
        command = [need("strace"), "-f", "-q", "-p", str(self._process.pid), "-o", "/dev/null",
                   "-e", "trace=fsync,fdatasync", "-e", delay]  # fmt: skip
        strace = subprocess.Popen(command)  # noqa: ASYNC220
        try:
            await eventually(self._is_traced, PATIENCE_S)
            yield
        finally:
            strace.terminate()
            strace.wait()

    async def _is_traced(self) -> bool:
        assert self._process
        tasks = Path(f"/proc/{self._process.pid}/task")
        states = [(task / "status").read_text() for task in tasks.iterdir()]  # noqa: ASYNC240
        return all("TracerPid:\t0\n" not in state for state in states)

    @asynccontextmanager
    async def without_cpu(self) -> AsyncIterator[None]:
        """Let the process have the processor only for a part of the time."""
        holding = asyncio.create_task(self._hold_up())
        try:
            yield
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)
            self._signal(signal.SIGCONT)

    async def _hold_up(self) -> None:
        while True:
            self._signal(signal.SIGSTOP)
            await asyncio.sleep(0.4)
            self._signal(signal.SIGCONT)
            await asyncio.sleep(0.05)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)


async def repeated(act: Callable[[], Any], stack: AsyncExitStack) -> None:
    """Repeat a call in the background until the end of the block, also if it fails."""

    async def again() -> None:
        while True:
            with suppress(Exception):  # a slow disk may have it answered 503
                await act()

    task = asyncio.create_task(again())
    stack.callback(task.cancel)
