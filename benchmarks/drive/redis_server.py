"""A redis-server of the benchmarks' own, on a free port and on the servers' core."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.drive import machine
from benchmarks.drive.servers import folder_of_its_own, free_port
from benchmarks.measure.redis_loss import started

APPEND, SYNC = "yes", "always"
"""As in compose.yaml: what was acknowledged is on the disk."""


@dataclass
class RedisServer:
    """One that runs."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """What a dispatcher is told."""
        return f"redis://127.0.0.1:{self.port}/0"

    def cpu_s(self) -> float:
        """Its processor time."""
        return machine.cpu_s(self.process.pid)


def is_installed() -> bool:
    """Whether there is such a program."""
    return shutil.which("redis-server") is not None


@contextmanager
def running() -> Iterator[RedisServer]:
    """One with an empty folder; killed at the end."""
    with folder_of_its_own() as folder:
        port = free_port()
        with machine.on(machine.server_cores()):
            server = RedisServer(port, started(folder, port, APPEND, SYNC))
        try:
            yield server
        finally:
            server.process.kill()
            server.process.wait()
