"""Several dispatchers, as fast as they can: no job is lost, doubled or overtaken (A4)."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

import sanic_dispatch
from sanic_dispatch.settings import Mode
from tests.crash.harness import Harness
from tests.crash.history import History, Violation
from tests.kit.redis import RedisServer

IS_TORTURE = "TORTURE" in os.environ
JOBS = 20_000 if IS_TORTURE else 600
PAUSE_S = 0.001


async def sell_out(
    folder: Path, rng: random.Random, url: str, count: int, most: int, rest_s: float = PAUSE_S
) -> tuple[list[Violation], History]:
    """So many dispatchers sell so many drinks as fast as they can. What is wrong, and all of it."""
    options = ("--redis-url", url)
    async with Harness(folder, Mode.REDIS, rng, *options, count=count, most=most) as harness:
        for server in harness.servers:
            await server.start()
        harness.open(PAUSE_S, rest_s)
        await harness.sold_out()
        return await harness.close(), harness.history


@pytest.mark.timeout(1800 if IS_TORTURE else 240)
@pytest.mark.parametrize("count", [2, 3])
async def test_each_job_goes_to_one_worker_in_order(
    count: int, redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """C1 to C6 over all dispatchers, and each job arrives exactly once."""
    violations, history = await sell_out(tmp_path / "bar", rng, redis.url, count, JOBS)
    assert violations == []
    taken = Counter(delivery.data for delivery in history.taken)
    assert len(taken) == JOBS
    assert set(taken.values()) == {1}


BUGS = {
    "C3": ("call('ZREM', queue.free, id)\n  end", "end"),
    "C4": ("'ZRANGE', queue.free, 0, 0", "'ZRANGE', queue.free, -1, -1"),
}
"""What breaks which rule: a held record that may be paired again, and the newest one first."""


@pytest.mark.parametrize("rule", BUGS)
async def test_a_bug_in_the_scripts_is_found(
    rule: str,
    redis: RedisServer,
    rng: random.Random,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same with a copy that is broken: what finds nothing above does find something."""
    package = Path(sanic_dispatch.__file__).parent
    shutil.copytree(package, tmp_path / "broken" / "sanic_dispatch")
    script = tmp_path / "broken" / "sanic_dispatch" / "queues" / "lua" / "common.lua"
    whole, broken = BUGS[rule]
    assert whole in script.read_text()
    script.write_text(script.read_text().replace(whole, broken))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # it comes before the folder that we are in
    monkeypatch.setattr("tests.crash.harness.LONGEST_DRAIN_S", 5.0)  # it may never be empty
    # The robots take their time, so that a line forms, and one who is overtaken is so by far.
    violations, _ = await sell_out(tmp_path / "bar", rng, redis.url, 2, 100, rest_s=0.1)
    assert rule in {violation.rule for violation in violations}
