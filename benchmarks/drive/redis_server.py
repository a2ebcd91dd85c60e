"""A redis-server for the benchmarks, on a free port and on the server's core."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.drive import machine
from benchmarks.drive.servers import folder_of_its_own, free_port

APPEND, SYNC = "yes", "always"
"""As in compose.yaml: acknowledged writes are on the disk."""


@dataclass
class RedisServer:
    """A running redis-server."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """The URL for a dispatcher."""
        return f"redis://127.0.0.1:{self.port}/0"

    def cpu_s(self) -> float:
        """Return its CPU time."""
        return machine.cpu_s(self.process.pid)


def is_installed() -> bool:
    """Return whether redis-server is installed."""
    return shutil.which("redis-server") is not None


def command(folder: Path, port: int, append: str, sync: str) -> list[str]:
    """Return the command of a redis-server in this folder."""
    return [
        "redis-server", "--port", str(port), "--dir", str(folder), "--save", "",
        "--appendonly", append, "--appendfsync", sync, "--logfile", "redis.log",
    ]  # fmt: skip


def started(folder: Path, port: int, append: str, sync: str) -> subprocess.Popen[bytes]:
    """Start a redis-server in this folder, and return once it accepts connections."""
    process = subprocess.Popen(command(folder, port, append, sync))
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            continue
        return process


@contextmanager
def running() -> Iterator[RedisServer]:
    """Start one in an empty folder; it is killed at the end of the block."""
    with folder_of_its_own() as folder:
        port = free_port()
        with machine.on(machine.server_cores()):
            server = RedisServer(port, started(folder, port, APPEND, SYNC))
        try:
            yield server
        finally:
            server.process.kill()
            server.process.wait()
