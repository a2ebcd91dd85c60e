"""The real server as a process, which is killed and started again on the same folder."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import ujson

from sanic_dispatch.cluster.members import Member
from sanic_dispatch.cluster.spreading import spread
from sanic_dispatch.config.settings import Mode
from tests.support.server import POLL_S, ROOT, free_port

TOKEN = "an-operator-of-the-harness"
LONGEST_START_S = 30.0

DURABLE = [Mode.JSON_FILE, Mode.CACHED_JSON_FILE, Mode.SQLITE]


class Ended(Exception):
    """The server ended before it was ready."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"exit code {code}: {said[-2000:]}")
        self.code, self.said = code, said


class Server:
    """``sanic-dispatch serve`` on one folder and one port, over all its lives.

    ``wrap`` is a command in front of it, such as strace. Its output goes to ``log``.
    """

    def __init__(self, folder: Path, mode: Mode, *options: str, log: Path | None = None) -> None:
        self.folder, self.mode = folder, mode
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.log = log or folder.with_name(f"{folder.name}.log")
        self.ready_s: list[float] = []
        """The duration of each start until /health was answered."""
        self.program: Sequence[str] = ("sanic_dispatch",)
        """The module that is run, and its arguments before those of the command."""
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def add_options(self, *options: str) -> None:
        """Add options for the next start."""
        self._options = (*self._options, *options)

    def spawn(self, wrap: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start it in a process group of its own, without waiting for it."""
        program = (sys.executable, "-m", *self.program)
        command = [*wrap, *program, "serve", *self._arguments()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stderr=log,
                stdout=log,
                process_group=0,
                env={
                    "PYTHONPATH": str(ROOT),
                    **os.environ,
                    "SANIC_DISPATCH_OPERATOR_TOKEN": TOKEN,
                },
            )
        return self._process

    async def start(self, wrap: Sequence[str] = ()) -> None:
        """Start it, and return once it answers. Raises Ended."""
        began_s, said = monotonic(), self.log.stat().st_size if self.log.exists() else 0
        process = self.spawn(wrap)
        async with aiohttp.ClientSession() as http:
            while not await self._answers(http):
                if process.poll() is not None:
                    raise Ended(process.returncode, self.log.read_text()[said:])
                if monotonic() - began_s > LONGEST_START_S:
                    raise TimeoutError("the server is not ready")
                await asyncio.sleep(POLL_S)
        self.ready_s.append(monotonic() - began_s)

    async def _answers(self, http: aiohttp.ClientSession) -> bool:
        with suppress(aiohttp.ClientError, OSError):
            async with http.get(self.url + "health") as response:
                return response.status == 200
        return False

    @property
    def is_running(self) -> bool:
        """Return whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """kill -9 it, and what wraps it."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process
        self._process.send_signal(number)

    async def ended(self, within_s: float = 20.0) -> int:
        """Wait for its end, and return its exit code."""
        assert self._process
        return await asyncio.to_thread(self._process.wait, within_s)

    async def stop(self) -> int:
        """Tell it to stop, and return its exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    def memory(self) -> int:
        """Return its resident memory, bytes."""
        status = Path(f"/proc/{self._pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def open_files(self) -> int:
        """Return the number of its descriptors."""
        return len(os.listdir(f"/proc/{self._pid}/fd"))

    @property
    def _pid(self) -> int:
        assert self._process
        return self._process.pid

    def lines(self) -> Iterator[dict[str, Any]]:
        """Return what it has logged in all its lives."""
        for line in self.log.read_bytes().splitlines():
            with suppress(ValueError):  # a line that was cut off, or no line of the log
                said = ujson.loads(line)
                if isinstance(said, dict):
                    yield said

    def _arguments(self) -> list[str]:
        given = {
            "--port": self.port,
            "--host": "127.0.0.1",
            "--mode": self.mode.value,
            "--data-dir": self.folder,
            "--log-format": "json",
        }
        return [str(part) for option in given.items() for part in option] + list(self._options)


def rightful_owners(servers: Sequence[Server], *topics: str) -> dict[str, Server]:
    """Return which of the running servers each topic, by default the unnamed one, is spread to."""
    names = {f"{socket.gethostname()}:{server.port}": server for server in servers}
    members = tuple(Member(name, "", topics or ("",)) for name in sorted(names))
    return {topic: names[owner.name] for topic, owner in spread(members).items()}


def moment_of(line: dict[str, Any], offset_s: float) -> float:
    """Return when a line was logged, by this process's monotonic clock."""
    return datetime.fromisoformat(line["timestamp"]).timestamp() + offset_s
