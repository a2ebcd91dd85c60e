"""The server dies at its n-th write, sync, rename or unlink; or such a call fails.

CRASH_SEED repeats the random numbers of an earlier run.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from sanic_dispatch.config.settings import Mode
from tests.crash.harness import Harness
from tests.crash.server import DURABLE, Ended, Server
from tests.crash.shop import Shop
from tests.crash.strace import (
    CALLS,
    CHECKPOINT,
    FIRST_SEGMENT,
    FLUSH,
    HISTORY_FILES,
    has_injected,
    need,
    strace,
)
from tests.support.seeds import IS_TORTURE, seed_of
from tests.support.server import eventually

SEED = seed_of("CRASH_SEED")
CACHED = Mode.CACHED_JSON_FILE
LONGEST_S = 30.0
"""How long to wait for a fault: on a busy machine many changes share one write."""

QUIET_S = 2.5
"""How long there are no orders, again and again: a checkpoint is written after a second."""

LONG_QUIET_S = 10.0
"""The same where a checkpoint must come: on a busy machine the last orders take a while."""

AFTER_S = 1.0
"""How long the server goes on after calls have failed."""


class Point(NamedTuple):
    """The n-th call of its kind."""

    mode: Mode
    call: str
    n: int

    def __str__(self) -> str:
        return f"{self.mode}-{self.call}-{self.n}"


def points() -> list[Point]:
    """Return all points, or one random point of each mode."""
    return [point for mode in DURABLE for point in chosen(mode, CALLS[mode])]


def chosen(mode: Mode, calls: Mapping[str, int]) -> list[Point]:
    """Return all points at these calls, or a random one."""
    points = [Point(mode, call, n) for call, last in calls.items() for n in range(1, last + 1)]
    return points if IS_TORTURE else [random.Random(SEED).choice(points)]


in_flushes = pytest.mark.parametrize("point", chosen(CACHED, FLUSH), ids=str)
in_checkpoints = pytest.mark.parametrize("point", chosen(CACHED, CHECKPOINT), ids=str)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("point", points(), ids=str)
async def test_nothing_is_lost_when_it_dies_at_a_call(point: Point, tmp_path: Path) -> None:
    """C1 to C6, with any call half done."""
    await run_with_fault(point, "signal=KILL", f"{point.n}", tmp_path)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("point", points(), ids=str)
async def test_nothing_is_lost_when_calls_fail(point: Point, tmp_path: Path) -> None:
    """C1 to C6: what could not be stored is not acknowledged, and the next order is."""
    error = "EIO" if point.n % 2 else "ENOSPC"
    await run_with_fault(point, f"error={error}", f"{point.n}..{point.n + 2}", tmp_path)


@pytest.mark.timeout(120)
@in_checkpoints
async def test_nothing_is_lost_when_it_dies_in_a_checkpoint(point: Point, tmp_path: Path) -> None:
    """C1 to C6, whichever files are new already, and with any rest of the journals."""
    await run_with_fault_in_checkpoint(point, "signal=KILL", f"{point.n}", tmp_path)


@pytest.mark.timeout(120)
@in_checkpoints
async def test_nothing_is_lost_when_a_checkpoint_fails(point: Point, tmp_path: Path) -> None:
    """C1 to C6: the journals stay until the files are complete."""
    error = "EIO" if point.n % 2 else "ENOSPC"
    await run_with_fault_in_checkpoint(
        point, f"error={error}", f"{point.n}..{point.n + 2}", tmp_path
    )


@pytest.mark.timeout(120)
@in_flushes
async def test_no_event_is_lost_when_it_dies_in_a_flush(point: Point, tmp_path: Path) -> None:
    """C1 to C6, and each event is there once: in a segment, or in a journal."""
    async with after_a_fault(
        point, "signal=KILL", f"{point.n}", tmp_path, quiet_s=QUIET_S, names=HISTORY_FILES
    ) as harness:
        await harness.kill(AFTER_S)


@pytest.mark.timeout(120)
@in_flushes
async def test_no_event_is_lost_when_a_flush_fails(point: Point, tmp_path: Path) -> None:
    """C1 to C6, and the next flush writes what this one could not."""
    error = "EIO" if point.n % 2 else "ENOSPC"
    segment = tmp_path / "data" / FIRST_SEGMENT
    async with after_a_fault(
        point, f"error={error}", f"{point.n}", tmp_path, quiet_s=QUIET_S, names=HISTORY_FILES
    ) as harness:
        failed_s = time.time()
        if not harness.server.is_running:  # it could not begin an epoch, and did not start
            return

        async def is_written() -> bool:
            # There is none before the first call fails; the next flush may come before we look.
            is_first = point.n == 1
            return segment.exists() and (is_first or segment.stat().st_mtime > failed_s)

        # Not the maintenance: calls are counted for each thread, and its first one would fail too.
        harness.pause_orders(LONG_QUIET_S)
        await eventually(is_written, LONGEST_S + LONG_QUIET_S)
        await harness.kill(0.0)


async def run_with_fault_in_checkpoint(point: Point, what: str, when: str, folder: Path) -> None:
    """Do the same with pauses, in which checkpoints are written.

    The folder is as a kill has left it: then only checkpoints replace files.
    """
    need("strace")
    data_dir = folder / "data"
    data_dir.mkdir()
    server = Server(data_dir, point.mode)
    await server.start()
    async with Shop(server) as shop:
        assert await shop.register() == 202
    server.kill()
    await run_with_fault(point, what, when, folder, quiet_s=QUIET_S)


async def run_with_fault(
    point: Point, what: str, when: str, folder: Path, quiet_s: float = 0.0
) -> None:
    """Run under load with this fault, then without, to the drain.

    ``quiet_s``: pause the orders for so long, again and again.
    """
    async with after_a_fault(point, what, when, folder, quiet_s=quiet_s) as harness:
        await harness.kill(AFTER_S)


@asynccontextmanager
async def after_a_fault(
    point: Point, what: str, when: str, folder: Path, *, quiet_s: float, names: Sequence[str] = ()
) -> AsyncIterator[Harness]:
    """Yield a server under load once the fault has come; then restart it, and drain it.

    ``names`` are the files in question, if not all of the mode.
    """
    need("strace")
    print(f"CRASH_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    data_dir = folder / "data"
    async with Harness(data_dir, point.mode, random.Random(SEED)) as harness:
        with suppress(Ended):
            await harness.server.start(
                strace(data_dir, point.mode, point.call, what, when, names=names)
            )
        harness.open(quiet_s=quiet_s)

        async def has_come() -> bool:
            return not harness.server.is_running or has_injected(data_dir)

        await eventually(has_come, LONGEST_S)
        yield harness
        await harness.restart()
        assert await harness.close() == []
