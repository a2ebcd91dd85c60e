"""Commands, most of them as processes: output, exit code, and a terminal for them."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from click.testing import CliRunner

from sanic_dispatch.cli.main import cli
from tests.support.paths import ROOT

NOTHING: Mapping[str, str] = MappingProxyType({})

CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("SANIC_DISPATCH_")}


@dataclass
class Done:
    """The output and the exit code of a command."""

    code: int | None
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """The output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


def heed_ctrl_c() -> None:
    """Let SIGINT end a command that is started: a suite in the background ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def start(*arguments: str, **options: Any) -> asyncio.subprocess.Process:
    """Start a command without settings of the environment."""
    environment = {**CLEAN, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **options.pop("env", {})}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
    settings = {"env": environment, "preexec_fn": heed_ctrl_c, **pipes, **options}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sanic_dispatch", *arguments, **settings
    )


async def ended(process: asyncio.subprocess.Process, stdin: bytes = b"") -> Done:
    """Wait for its end."""
    out, err = await asyncio.wait_for(process.communicate(stdin), 30)
    return Done(process.returncode, out.decode(), err.decode())


async def run(*arguments: str, stdin: bytes = b"", **options: Any) -> Done:
    """Run a command to its end."""
    return await ended(await start(*arguments, **options), stdin)


async def run_unread(*arguments: str) -> Done:
    """Run a command whose output goes to a closed pipe, as before ``| head``; return its end."""
    read, write = os.pipe()
    os.close(read)
    process = await start(*arguments, stdout=write)
    os.close(write)
    _, err = await asyncio.wait_for(process.communicate(), 30)
    return Done(process.returncode, "", err.decode())


async def run_here(*arguments: str, stdin: bytes = b"", env: Mapping[str, str] = NOTHING) -> Done:
    """Run a command to its end in a thread of this process: a process of its own takes 0.8 s.

    What a service in this process logs meanwhile is in the output, too.
    """
    cleared = dict.fromkeys(os.environ.keys() - CLEAN.keys())
    runner = CliRunner(env={**cleared, "COLUMNS": "100", **env})
    done = await asyncio.to_thread(runner.invoke, cli, arguments, input=stdin)
    return Done(done.exit_code, done.stdout, done.stderr)


async def line_of(stream: asyncio.StreamReader | None, holds: Callable[[str], Any]) -> str:
    """Return the next line for which ``is_wanted`` is true."""
    assert stream is not None
    async with asyncio.timeout(20):
        while line := (await stream.readline()).decode():
            if holds(line):
                return line
    raise AssertionError("the output ended")


@asynccontextmanager
async def on_a_terminal(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Any]]:
    """Start a command on a terminal, with a way to wait for its output."""
    ours, theirs = pty.openpty()
    process = await start(*arguments, stdout=theirs, env={"TERM": "xterm", "LINES": "30"})
    os.close(theirs)
    seen, news = bytearray(), asyncio.Event()

    def read() -> None:
        try:
            seen.extend(os.read(ours, 65536))
        except OSError:
            asyncio.get_running_loop().remove_reader(ours)
        news.set()

    async def until(words: bytes) -> None:
        async with asyncio.timeout(20):
            while words not in seen:
                news.clear()
                await news.wait()

    asyncio.get_running_loop().add_reader(ours, read)
    try:
        yield process, until
    finally:
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)
