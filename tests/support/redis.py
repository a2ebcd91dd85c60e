"""A redis-server for the tests, on a socket file or a free port, which ends with the process."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from time import monotonic, sleep

import pytest

from sanic_dispatch.config.settings import Mode
from tests.support.ports import free_port

STARTING_S = 20.0


PROGRAM = os.environ.get("REDIS_PROGRAM", "redis-server")
"""The server that is tested, or valkey-server."""


def program() -> str:
    """Return the path of the server; without it the test is skipped, except in CI."""
    found = shutil.which(PROGRAM)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{PROGRAM} is missing")
        pytest.skip(f"{PROGRAM} is not installed")
    return found


class RedisServer:
    """A server on a port and in a folder of its own, which can be killed and restarted.

    It is ready once it answers PING with ``pong``.
    """

    def __init__(self, folder: Path, *options: str, port: int = 0, pong: bytes = b"+PONG") -> None:
        self.folder = folder
        self.port = port or free_port()
        self._options = options
        self._pong = pong
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Start it, and return once it answers."""
        command = [
            program(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
            "--dir", str(self.folder), "--logfile", "redis.log", *self._options,
        ]  # fmt: skip
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        deadline_s = monotonic() + STARTING_S
        while not self.ask("PING").startswith(self._pong):
            assert self._process.poll() is None, (self.folder / "redis.log").read_text()
            assert monotonic() < deadline_s, "redis-server does not answer"
            sleep(0.01)

    def ask(self, *words: str) -> bytes:
        """Return the beginning of its answer to a command; empty if it does not answer."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.sendall(f"{' '.join(words)}\r\n".encode())
                return connection.recv(65536)
        except OSError:
            return b""

    def kill(self) -> None:
        """kill -9."""
        self.signal(signal.SIGKILL)
        assert self._process
        self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            self.kill()


def redis_values(mode: Mode, folder: Path) -> dict[str, str]:
    """Return the settings for queues in this mode, under the folder's prefix."""
    if not mode.is_shared:
        return {}
    return {"redis_url": shared_server().url, "redis_prefix": prefix_of(folder)}


def prefix_of(folder: Path) -> str:
    """Return the prefix of keys that belongs to a folder."""
    return str(folder).replace("/", ".")[-64:]


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    """A prefix that no other test uses."""
    return prefix_of(tmp_path)


@contextmanager
def synced_server(folder: Path) -> Iterator[RedisServer]:
    """Run a server that syncs each write before it answers, in a new folder."""
    folder.mkdir()
    server = RedisServer(folder, "--appendonly", "yes", "--appendfsync", "always")
    server.start()
    try:
        yield server
    finally:
        server.stop()


@cache
def shared_server() -> RedisServer:
    """Return the server for all tests that only need a prefix of their own."""
    folder = tempfile.TemporaryDirectory(prefix="dispatch-redis-")
    server = RedisServer(Path(folder.name))
    server.start()
    atexit.register(folder.cleanup)
    atexit.register(server.stop)
    return server
