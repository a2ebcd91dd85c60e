"""kill -9 at random moments under load, in every durable mode.

CRASH_SEED repeats the random numbers of an earlier run.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from statistics import median

import pytest

from sanic_dispatch.config.settings import Mode
from tests.crash.harness import Harness
from tests.crash.server import DURABLE
from tests.support.seeds import IS_TORTURE, seed_of

KILLS = int(os.environ.get("TORTURE_KILLS", "200")) if IS_TORTURE else 2
KILLS_A_ROUND = 10
SEED = seed_of("CRASH_SEED")
READY_S = 2.0 if IS_TORTURE else 10.0
"""Generous, since the tests share their machine; that nothing is lost is what counts."""


@pytest.mark.timeout(1800 if IS_TORTURE else 120)
@pytest.mark.parametrize("mode", DURABLE, ids=str)
async def test_nothing_is_lost_when_the_server_is_killed(mode: Mode, tmp_path: Path) -> None:
    """C1 to C6 over many lives of the server; each start takes at most 2 s."""
    print(f"CRASH_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    rng = random.Random(f"{SEED} {mode}")
    ready_s, left = [], KILLS
    while left:
        kills = min(left, KILLS_A_ROUND)
        left -= kills
        async with Harness(tmp_path / f"round-{left}", mode, rng) as harness:
            await harness.server.start()
            harness.open()
            for _ in range(kills):
                await harness.kill(after_s=rng.uniform(0.05, 1.0))
                await harness.restart()
            assert await harness.close() == []
            ready_s += harness.server.ready_s
            print(  # noqa: T201
                f"{mode}: {kills} kills, {len(harness.history.acknowledged)} acknowledged, "
                f"{len(harness.history.taken)} delivered, {len(harness.history.cut_off)} begun"
            )
    print(f"ready after {median(ready_s):.2f} s, at most {max(ready_s):.2f} s")  # noqa: T201
    typical = median if IS_TORTURE else min
    assert typical(ready_s) < READY_S
