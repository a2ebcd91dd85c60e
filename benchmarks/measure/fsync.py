"""The floor of durable storage: syncs per second of this disk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import Side, folder_of_its_own
from benchmarks.report.figures import Figure
from benchmarks.report.tables import Report, Table

BLOCK = b"x" * 4096

APPEND = "append 4 KiB, fsync"


async def measure(plan: Plan, _: Sequence[Side]) -> Report:
    """Measure both ways."""
    ways: dict[str, Callable[[Path], None]] = {
        APPEND: append,
        "new file of 4 KiB, fsync, rename, fsync of the folder": replace,
    }
    with folder_of_its_own() as folder:
        taken = {
            name: [per_s(lambda do=do: do(folder), plan.seconds) for _ in range(plan.rounds)]  # type: ignore[misc]
            for name, do in ways.items()
        }
    rows = [[name, Figure.of(rates).show()] for name, rates in taken.items()]
    return Report("fsync", "What the disk can do", [Table(["way", "per second"], rows)], taken)


def per_s(do: Callable[[], None], seconds: float) -> float:
    """Return how often a function runs per second."""
    count, began_s = 0, time.perf_counter()
    while (took_s := time.perf_counter() - began_s) < seconds:
        do()
        count += 1
    return count / took_s


def write_synced(path: Path, flag: int) -> None:
    """Write a block to a file opened with this flag, and sync it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flag)
    os.write(descriptor, BLOCK)
    os.fsync(descriptor)
    os.close(descriptor)


def append(folder: Path) -> None:
    """Append to a file, as a journal does."""
    write_synced(folder / "log", os.O_APPEND)


def replace(folder: Path) -> None:
    """Replace a file atomically."""
    new = folder / "new"
    write_synced(new, os.O_TRUNC)
    new.replace(folder / "file")
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
