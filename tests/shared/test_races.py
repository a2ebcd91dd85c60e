"""Several dispatchers, as fast as they can: no job is lost, doubled or overtaken (A4)."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from sanic_dispatch.settings import Mode
from tests.crash.harness import Harness
from tests.kit.redis import RedisServer

IS_TORTURE = "TORTURE" in os.environ
JOBS = 20_000 if IS_TORTURE else 600


@pytest.mark.timeout(1800 if IS_TORTURE else 240)
@pytest.mark.parametrize("count", [2, 3])
async def test_each_job_goes_to_one_worker_in_order(
    count: int, redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """C1 to C6 over all dispatchers, and each job arrives exactly once."""
    options = ("--redis-url", redis.url)
    async with Harness(
        tmp_path / "bar", Mode.REDIS, rng, *options, count=count, most=JOBS
    ) as harness:
        for server in harness.servers:
            await server.start()
        harness.open(pause_s=0.001)
        await harness.sold_out()
        assert await harness.close() == []
        taken = Counter(delivery.data for delivery in harness.history.taken)
        assert len(taken) == JOBS
        assert set(taken.values()) == {1}
