"""Commands under valgrind, and the instructions that a server's process has run meanwhile."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import click

from benchmarks.drive.servers import (
    COMPILED,
    ROOT,
    Server,
    Side,
    folder_of_its_own,
    free_port,
    listening,
)

IDLE_TIMES = 3
"""How often an idle server is counted. The least counts: a store may still write its files."""

_TOTAL = re.compile(r"^totals: (\d+)", re.MULTILINE)


def require_valgrind() -> None:
    """Raise ClickException without valgrind."""
    if shutil.which("valgrind") is None:
        raise click.ClickException("valgrind is not installed")


def under_valgrind(
    options: Sequence[str], command: Sequence[str], folder: Path
) -> subprocess.Popen[bytes]:
    """Run a command under valgrind, so that counts repeat: one order of hashes, compiled files."""
    return subprocess.Popen(
        ["valgrind", f"--log-file={folder}/%p.log", *options, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **COMPILED, "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


class CountedServer:
    """A server whose instructions are counted from ``begin`` on.

    What it does by itself as time goes by does not count: ``begin`` measures how much that is in a
    second, which is the same however slow the machine.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self._dumps = 0
        self._idle_per_s = 0.0
        self._since_s = 0.0

    async def begin(self, settle_s: float, idle_s: float) -> None:
        """Start to count: let the server come to rest, and then count what it does idle."""
        await self._tell("instrumentation", "on")
        await asyncio.sleep(settle_s)
        await self.count()
        rates = []
        for _ in range(IDLE_TIMES):
            await asyncio.sleep(idle_s)
            elapsed_s = time.perf_counter() - self._since_s
            rates.append(await self.count() / elapsed_s)
        self._idle_per_s = min(rates)

    async def count(self) -> float:
        """Return the instructions since the last call."""
        elapsed_s = time.perf_counter() - self._since_s
        await self._tell("dump")
        self._since_s = time.perf_counter()
        self._dumps += 1
        found = _TOTAL.search((self.server.folder / f"counts.{self._dumps}").read_text())
        assert found
        return int(found[1]) - elapsed_s * self._idle_per_s

    async def _tell(self, *words: str) -> None:
        assert self.server.process
        process = await asyncio.create_subprocess_exec(
            "vgdb", f"--pid={self.server.process.pid}", "--wait=60", *words,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        if process.returncode:
            raise click.ClickException(f"vgdb {' '.join(words)}: {said.decode()}")


@asynccontextmanager
async def counted(side: Side) -> AsyncIterator[CountedServer]:
    """Run a side under callgrind, which counts nothing yet: that would take it five times as long.

    The process is killed at the end of the block.
    """
    options = [
        "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=counts",
    ]  # fmt: skip
    with folder_of_its_own() as folder:
        port = free_port()
        process = under_valgrind(options, side.command(folder, port), folder)
        try:
            server = Server(side, "127.0.0.1", port, folder, process)
            await listening(server)
            yield CountedServer(server)
        finally:
            process.kill()
            process.wait()
