"""The floor of everything durable: how many times a second this disk says that it has something."""

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


async def measure(plan: Plan, _: Sequence[Side]) -> Report:
    """The table."""
    ways: dict[str, Callable[[Path], None]] = {
        "append 4 KiB, fsync": append,
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
    """How often it can be done in a second."""
    count, began_s = 0, time.perf_counter()
    while (took_s := time.perf_counter() - began_s) < seconds:
        do()
        count += 1
    return count / took_s


def append(folder: Path) -> None:
    """As a log grows."""
    descriptor = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, BLOCK)
    os.fsync(descriptor)
    os.close(descriptor)


def replace(folder: Path) -> None:
    """As a file is replaced that nobody must ever see half written."""
    new = folder / "new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(descriptor, BLOCK)
    os.fsync(descriptor)
    os.close(descriptor)
    new.replace(folder / "file")
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
