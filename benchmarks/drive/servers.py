"""The sides of a comparison: how each is started, and how its queue is filled."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import urlsplit
from uuid import UUID

from benchmarks.drive import machine
from benchmarks.drive.wire import DATA
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Fact
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.storage.export_format import Content
from sanic_dispatch.storage.export_import import write_contents

ROOT = Path(__file__).parents[2]
TOKEN = "operator-of-the-benchmarks"
MOST_JOBS = 10_000_000
START_S = 300.0
"""How long a server may take to listen: under valgrind, on a slow machine, minutes."""

FIRST_S, APART_S = 1_732_412_340.0, 0.25
"""Submission time of the first job in a file (Unix seconds), and the interval to each next one."""

COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
"""Have Python keep its compiled files, as in an installation."""

ORIGINAL_MODES = ("InMemory", "JsonFile", "CachedJsonFile")

Fill = Callable[[Path, int], Awaitable[None]]
Command = Callable[[Path, int], Sequence[str]]


async def nothing_to_fill(_: Path, __: int) -> None:
    """Do nothing: a queue in memory is filled over HTTP once the server runs."""


@dataclass(frozen=True)
class Side:
    """A server that is compared with others."""

    name: str
    command: Command
    fill: Fill = nothing_to_fill
    is_kept: bool = False
    """Whether its queue is in files, which ``fill`` writes."""
    is_floor: bool = False
    """Whether it has no queue at all."""
    url: str = ""
    """The URL of a server that runs already; otherwise ``command`` starts it."""


@dataclass
class Server:
    """A running side; without a process it was started elsewhere."""

    side: Side
    host: str
    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    started_s: float = field(default_factory=time.perf_counter)

    @property
    def name(self) -> str:
        """Its name in the tables."""
        return self.side.name

    @property
    def base_url(self) -> str:
        """The URL of its root."""
        return f"http://{self.host}:{self.port}/"

    def cpu_s(self) -> float:
        """Return its CPU time; 0 for a server started elsewhere."""
        return machine.cpu_s(self.process.pid) if self.process else 0.0

    def descriptors(self) -> int:
        """Return the number of its open descriptors; 0 likewise."""
        return machine.descriptors(self.process.pid) if self.process else 0

    def rss(self) -> int:
        """Return its resident memory in bytes; 0 likewise."""
        return machine.rss(self.process.pid) if self.process else 0


def submitted_at(number: int) -> str:
    """Return the submission time of the job of this number."""
    return to_rfc3339(FIRST_S + number * APART_S)


def waiting(jobs: Sequence[Job]) -> Content:
    """Return the content of a store with these waiting jobs; their tickets start at 1."""
    facts = [
        Fact("last_ticket", len(jobs)),
        Fact("paused", False),
        Fact("secret", "00" * 32),
    ]
    return Content(facts, [], jobs, [])


def ours(mode: Mode, *more: str) -> Side:
    """Return this project in a mode, with default settings otherwise."""

    def command(folder: Path, port: int) -> Sequence[str]:
        return [
            sys.executable, "-m", "sanic_dispatch", "serve", "--host", "127.0.0.1",
            "--port", str(port), "--mode", mode.value, "--data-dir", str(folder),
            "--max-jobs", str(MOST_JOBS), "--max-workers", "1000000", "--operator-token", TOKEN,
            *more,
        ]  # fmt: skip

    async def fill(folder: Path, depth: int) -> None:
        jobs = [Job(f"{n:032x}", n, DATA, submitted_at(n), n) for n in range(1, depth + 1)]
        await write_contents(Settings.of(mode, data_dir=folder), waiting(jobs))

    return Side(mode.value, command, fill if mode.is_durable else nothing_to_fill, mode.is_durable)


def original(path: str, mode: str) -> Side:
    """Return the Job Dispatcher Service in a mode; it writes to its working directory."""
    program = os.path.realpath(path)

    def command(_: Path, port: int) -> Sequence[str]:
        return [program, "--port", str(port), "--mode", mode]

    async def fill(folder: Path, depth: int) -> None:
        data = json.loads(DATA)
        jobs = [
            {"id": str(UUID(int=n)), "data": data, "submitted_at": submitted_at(n)}
            for n in range(1, depth + 1)
        ]
        (folder / "jobs.json").write_text(json.dumps(jobs))

    is_kept = mode != "InMemory"
    return Side(f"original, {mode}", command, fill if is_kept else nothing_to_fill, is_kept)


def bare_sanic() -> Side:
    """Return the floor: a handler that parses the JSON and answers."""
    return Side(
        "bare Sanic",
        lambda _, port: [sys.executable, "-m", "benchmarks.measure.floors", str(port)],
        is_floor=True,
    )


def running(url: str) -> Side:
    """Return a server that runs already; its queue should be empty."""
    return Side(url, lambda _, __: [], url=url)


@contextmanager
def folder_of_its_own() -> Iterator[Path]:
    """Make an empty folder below the working directory, removed at the end of the block.

    Unlike /tmp it is not in memory, where a sync costs nothing.
    """
    folder = Path(mkdtemp(dir=".", prefix=".benchmark-")).absolute()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@asynccontextmanager
async def started(side: Side, depth: int = 0) -> AsyncIterator[Server]:
    """Run a side on the server's core, with ``depth`` jobs if its queue is in files."""
    if side.url:
        parts = urlsplit(side.url)
        yield Server(side, parts.hostname or "127.0.0.1", parts.port or 80, Path())
        return
    with folder_of_its_own() as folder:
        if side.is_kept and depth:
            await side.fill(folder, depth)
        with launched(side, folder) as server:
            await listening(server)
            yield server


@asynccontextmanager
async def all_started(sides: Sequence[Side], depth: int = 0) -> AsyncIterator[list[Server]]:
    """Run all sides at the same time; an idle one only waits."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(started(side, depth)) for side in sides]


@contextmanager
def launched(side: Side, folder: Path) -> Iterator[Server]:
    """Start the process of a side, killed at the end of the block; it may not listen yet."""
    port = free_port()
    process = subprocess.Popen(
        side.command(folder, port),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **COMPILED},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, machine.server_cores()),
    )
    try:
        yield Server(side, "127.0.0.1", port, folder, process)
    finally:
        process.kill()
        process.wait()


async def listening(server: Server) -> None:
    """Return once the server accepts connections. Raises RuntimeError if it does not."""
    while time.perf_counter() - server.started_s < START_S:
        if server.process and server.process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex((server.host, server.port)) == 0:
                return
        await asyncio.sleep(0.002)
    raise RuntimeError(f"{server.name} does not listen")


def free_port() -> int:
    """Return a port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
