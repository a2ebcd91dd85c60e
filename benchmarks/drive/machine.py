"""The machine: its description, and the cores that server and load run on."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("sanic", "uvloop", "httptools", "aiohttp", "websockets", "ujson", "structlog")

RECEIVERS = Path("/sys/class/net/lo/queues/rx-0/rps_cpus")
"""Mask of the cores that process packets received on the loopback; 0: the sender's core."""

BACKLOG = Path("/proc/sys/net/core/netdev_max_backlog")
"""Length of such a core's packet queue; packets beyond are dropped, and resent 0.2 s later."""


def server_cores() -> set[int]:
    """Return the first core that this process may use."""
    return {min(_ALLOWED)}


def load_cores() -> set[int]:
    """Return the other cores, or the same one if there is only one."""
    return _ALLOWED - server_cores() or _ALLOWED


def stay_off_the_servers_core() -> None:
    """Bind this process, as the load, to the cores of the load."""
    os.sched_setaffinity(0, load_cores())


@contextmanager
def on(cores: set[int]) -> Iterator[None]:
    """Bind this process to these cores inside the block."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def receiving_apart() -> Iterator[bool]:
    """Have the kernel receive loopback packets on the load's core inside the block.

    Otherwise receiving is done within the sender's system call and counts as work of the server;
    over a network it is the clients' work. Only root may change it: yields whether it was done.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(_set(BACKLOG, "100000"))
            stack.enter_context(_set(RECEIVERS, f"{1 << min(load_cores()):x}"))
            is_apart = True
        except OSError:
            is_apart = False
        yield is_apart


@contextmanager
def _set(path: Path, value: str) -> Iterator[None]:
    before = path.read_text()
    path.write_text(f"{value}\n")
    try:
        yield
    finally:
        path.write_text(before)


def describe() -> dict[str, str]:
    """Return the facts about the machine for the report."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return {
        "processor": f"{_processor()}, {len(_ALLOWED)} cores",
        "memory": f"{_field('/proc/meminfo', 'MemTotal') // 2**20} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_version()}: {libraries}",
        "cores": f"server on {sorted(server_cores())}, load on {sorted(load_cores())}",
        "load average before": f"{os.getloadavg()[0]:.1f}",
    }


def cpu_s(pid: int) -> float:
    """Return the CPU time of all threads of a process, seconds."""
    spent_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        spent_ns += int((task / "schedstat").read_text().split()[0])
    return spent_ns / 1e9


def rss(pid: int | str = "self") -> int:
    """Return the resident memory of a process, bytes."""
    return _field(f"/proc/{pid}/status", "VmRSS") * 1024


def descriptors(pid: int) -> int:
    """Return the number of open descriptors of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _field(path: str, name: str) -> int:
    return int(Path(path).read_text().partition(f"{name}:")[2].split()[0])


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


_ALLOWED = os.sched_getaffinity(0)
