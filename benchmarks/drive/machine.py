"""The machine: what it is, and who runs on which of its cores."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("sanic", "uvloop", "httptools", "aiohttp", "websockets", "ujson", "structlog")

RECEIVERS = Path("/sys/class/net/lo/queues/rx-0/rps_cpus")
"""A mask of the cores that receive what comes over the loopback; 0: the sender's."""

BACKLOG = Path("/proc/sys/net/core/netdev_max_backlog")
"""How many packets wait for such a core; what is more is dropped, and sent again 0.2 s later."""


def server_cores() -> set[int]:
    """The first core that this process may use."""
    return {min(_ALLOWED)}


def load_cores() -> set[int]:
    """All the others; the same one where there is only one."""
    return _ALLOWED - server_cores() or _ALLOWED


def stay_off_the_servers_core() -> None:
    """From now on this process makes the load, on a core of its own."""
    os.sched_setaffinity(0, load_cores())


@contextmanager
def on(cores: set[int]) -> Iterator[None]:
    """For a while this process runs on those cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def receiving_apart() -> Iterator[bool]:
    """For a while the kernel receives on the load's core what comes over the loopback.

    That is work of those who listen, as with phones on a network; without this it is done within
    the sender's own system call. Only root may have it so; yields whether it is.
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
    """What the numbers were measured on."""
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
    """How much processor time all threads of a process have had, seconds."""
    spent_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        spent_ns += int((task / "schedstat").read_text().split()[0])
    return spent_ns / 1e9


def rss(pid: int | str = "self") -> int:
    """How much memory a process occupies, bytes."""
    return _field(f"/proc/{pid}/status", "VmRSS") * 1024


def descriptors(pid: int) -> int:
    """How many files and connections a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _field(path: str, name: str) -> int:
    return int(Path(path).read_text().partition(f"{name}:")[2].split()[0])


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


_ALLOWED = os.sched_getaffinity(0)
