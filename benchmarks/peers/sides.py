"""The sides: ours and the peers, synced before they acknowledge, and not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.drive import redis_server
from benchmarks.drive.servers import ours
from benchmarks.peers.parts import (
    Part,
    debian_program,
    npm_packages,
    program_path,
    python_package,
)
from benchmarks.peers.with_dispatch import WORKERS
from sanic_dispatch.config.settings import Mode

Command = Sequence[str]


class Place(NamedTuple):
    """Where a server is started, and whether it has to sync before it acknowledges."""

    folder: Path
    port: int
    is_synced: bool
    backend_port: int
    """The port of the server that was started before it."""


class Server(NamedTuple):
    """A server; ``notes`` say how it is started: synced, and not synced."""

    part: Part
    command: Callable[[Place], Command]
    notes: tuple[str, str]


@dataclass(frozen=True)
class Peer:
    """A job queue: its servers, its worker, and what submits.

    Worker and submitter speak to the last one of the servers.
    """

    name: str
    servers: Sequence[Server]
    worker: Command
    submitter: Command
    notes: tuple[str, str]
    """What the worker is, and what submits."""
    libraries: Sequence[Part] = ()
    kinds: Sequence[bool] = (True, False)
    """Whether it is measured synced, not synced, or both."""

    @property
    def parts(self) -> Sequence[Part]:
        """All that has to be installed."""
        return [*self.libraries, *(server.part for server in self.servers)]

    def missing(self) -> list[Part]:
        """Return the parts that are not installed."""
        return [part for part in self.parts if part.version() is None]

    def server_note(self, *, is_synced: bool) -> str:
        """Say how its servers are started."""
        return " and ".join(server.notes[0 if is_synced else 1] for server in self.servers)


def run_by_python(module: str, *arguments: str) -> Command:
    """Return the command that runs a module."""
    return [sys.executable, "-m", module, *arguments]


def run_by_node(script: str, *arguments: str) -> Command:
    """Return the command that runs a script beside this module."""
    return ["node", str(Path(__file__).with_name(script)), *arguments]


def redis_command(place: Place) -> Command:
    """Return the command of a redis-server: with its log synced always, or without one."""
    append, sync = ("yes", "always") if place.is_synced else ("no", "no")
    return redis_server.command(place.folder, place.port, append, sync)


def beanstalkd_command(place: Place) -> Command:
    """Return the command of a beanstalkd: with its log synced always, or without one."""
    log = ["-b", str(place.folder), "-f", "0"] if place.is_synced else []
    path = program_path("beanstalkd") or "beanstalkd"
    return [path, "-l", "127.0.0.1", "-p", str(place.port), *log]


def nats_command(place: Place) -> Command:
    """Return the command of a nats-server, which syncs always, or every two minutes."""
    sync = "sync_interval: always" if place.is_synced else ""
    settings = place.folder / "nats.conf"
    settings.write_text(f'jetstream {{\n  store_dir: "{place.folder}"\n  {sync}\n}}\n')
    path = program_path("nats-server") or "nats-server"
    return [path, "-a", "127.0.0.1", "-p", str(place.port), "-c", str(settings)]


def dispatcher_command(mode: Mode) -> Callable[[Place], Command]:
    """Return a function that returns the command of ours in a mode."""

    def command(place: Place) -> Command:
        url = f"redis://127.0.0.1:{place.backend_port}/0"
        more = ["--redis-url", url] if mode.is_shared else []
        return ours(mode, *more).command(place.folder, place.port)

    return command


REDIS = Server(
    debian_program("redis-server", "--version"),
    redis_command,
    ("`redis-server --appendonly yes --appendfsync always`", "`redis-server`"),
)
BEANSTALKD = Server(
    debian_program("beanstalkd", "-v"),
    beanstalkd_command,
    ("`beanstalkd -b DIR -f 0`", "`beanstalkd`"),
)
NATS = Server(
    debian_program("nats-server", "--version", least=(2, 10)),
    nats_command,
    ("`nats-server`, `sync_interval: always`", "`nats-server`, which syncs every two minutes"),
)


def dispatcher(mode: Mode, *kinds: bool) -> Peer:
    """Return ours in a mode, with its own client at both ends."""
    note = f"`sanic-dispatch serve --mode {mode.value}`"
    server = Server(python_package("sanic-dispatch"), dispatcher_command(mode), (note, note))
    return Peer(
        mode.value,
        [REDIS, server] if mode.is_shared else [server],
        run_by_python("benchmarks.peers.with_dispatch", "work"),
        run_by_python("benchmarks.peers.with_dispatch", "submit"),
        (f"{WORKERS} `client.Worker` in one process", "`DispatchClient.submit`, by HTTP"),
        kinds=kinds,
    )


OURS = [
    dispatcher(Mode.IN_MEMORY, False),
    dispatcher(Mode.CACHED_JSON_FILE, True),
    dispatcher(Mode.SQLITE, True),
    dispatcher(Mode.REDIS, True, False),
]

OTHERS = [
    Peer(
        "dramatiq",
        [REDIS],
        run_by_python("dramatiq", "--processes", "1", "benchmarks.peers.with_dramatiq"),
        run_by_python("benchmarks.peers.with_dramatiq"),
        ("`dramatiq --processes 1`, with 8 threads", "`actor.send`"),
        [python_package("dramatiq")],
    ),
    Peer(
        "BullMQ",
        [REDIS],
        run_by_node("with_bullmq.cjs", "work"),
        run_by_node("with_bullmq.cjs", "submit"),
        ("a `Worker`, concurrency 10, 1,000 finished jobs are kept", "`queue.add`"),
        [*npm_packages("bullmq", "ioredis"), debian_program("node", "--version", "nodejs npm")],
    ),
    Peer(
        "SAQ",
        [REDIS],
        run_by_python("saq", "benchmarks.peers.with_saq.settings"),
        run_by_python("benchmarks.peers.with_saq"),
        ("`saq`, concurrency 10", "`queue.enqueue`"),
        [python_package("saq")],
    ),
    Peer(
        "Celery",
        [REDIS],
        run_by_python("celery", "-A", "benchmarks.peers.with_celery", "worker", "-c", "1"),
        run_by_python("benchmarks.peers.with_celery"),
        ("`celery worker -c 1`, which acknowledges a job before it works", "`task.delay`"),
        [python_package("celery")],
    ),
    Peer(
        "beanstalkd",
        [BEANSTALKD],
        run_by_python("benchmarks.peers.with_beanstalkd", "work"),
        run_by_python("benchmarks.peers.with_beanstalkd", "submit"),
        ("greenstalk's `reserve` and `delete`, one job at a time", "greenstalk's `put`"),
        [python_package("greenstalk")],
    ),
    Peer(
        "NATS JetStream",
        [NATS],
        run_by_python("benchmarks.peers.with_nats", "work"),
        run_by_python("benchmarks.peers.with_nats", "submit"),
        ("nats-py's `fetch(10)` of a work queue, and `ack`", "nats-py's `publish`"),
        [python_package("nats-py")],
    ),
]

ALL = [*OURS, *OTHERS]
