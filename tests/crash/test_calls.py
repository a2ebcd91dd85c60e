"""The server dies at its n-th write, fsync or rename; or such a call fails.

CRASH_SEED repeats the dice of an earlier run.
"""

from __future__ import annotations

import os
import random
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from sanic_dispatch.settings import Mode
from tests.crash.harness import Harness
from tests.crash.server import DURABLE, Ended
from tests.crash.strace import CALLS, has_injected, need, strace
from tests.kit.server import eventually

IS_TORTURE = "TORTURE" in os.environ
SEED = int(os.environ.get("CRASH_SEED", random.SystemRandom().randrange(2**32)))
LONGEST_S = 30.0
"""How long to wait for a fault: on a busy machine many changes share one write."""

AFTER_S = 1.0
"""How long a life goes on after calls have failed."""


class Point(NamedTuple):
    """The n-th call of its kind."""

    mode: Mode
    call: str
    n: int

    def __str__(self) -> str:
        return f"{self.mode}-{self.call}-{self.n}"


def points() -> list[Point]:
    """All there are, or one of each mode that the dice say."""
    rng = random.Random(SEED)
    chosen = []
    for mode in DURABLE:
        of_mode = [Point(mode, c, n) for c, last in CALLS[mode].items() for n in range(1, last + 1)]
        chosen += of_mode if IS_TORTURE else [rng.choice(of_mode)]
    return chosen


@pytest.mark.timeout(120)
@pytest.mark.parametrize("point", points(), ids=str)
async def test_nothing_is_lost_when_it_dies_at_a_call(point: Point, tmp_path: Path) -> None:
    """C1 to C6: whatever was half done on the disk."""
    await suffer(point, "signal=KILL", f"{point.n}", tmp_path)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("point", points(), ids=str)
async def test_nothing_is_lost_when_calls_fail(point: Point, tmp_path: Path) -> None:
    """C1 to C6: what could not be stored is not acknowledged, and the next one is."""
    error = "EIO" if point.n % 2 else "ENOSPC"
    await suffer(point, f"error={error}", f"{point.n}..{point.n + 2}", tmp_path)


async def suffer(point: Point, what: str, when: str, folder: Path) -> None:
    """A life with this fault, under load, and one without, to the drain."""
    need("strace")
    print(f"CRASH_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    data_dir = folder / "data"
    async with Harness(data_dir, point.mode, random.Random(SEED)) as harness:
        with suppress(Ended):
            await harness.server.start(strace(data_dir, point.mode, point.call, what, when))
        harness.open()

        async def has_come() -> bool:
            return not harness.server.is_running or has_injected(data_dir)

        await eventually(has_come, LONGEST_S)
        await harness.kill(AFTER_S)
        await harness.restart()
        assert await harness.close() == []
