"""Backups of a running service: made under load, and served after a kill.

CRASH_SEED repeats the random numbers of an earlier run.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from sanic_dispatch.config.settings import Mode
from tests.crash.harness import Harness
from tests.crash.server import DURABLE, TOKEN, Ended, Server
from tests.crash.shop import Shop
from tests.support.commands import run
from tests.support.redis import RedisServer
from tests.support.seeds import IS_TORTURE, seed_of

ROUNDS = 10 if IS_TORTURE else 1
CACHED = Mode.CACHED_JSON_FILE
MODES = [Mode.IN_MEMORY, *DURABLE] if IS_TORTURE else [CACHED]
"""tests/storage/test_backup.py tries all of them, without a process."""
SEED = seed_of("CRASH_SEED")
LONG = pytest.mark.timeout(1800 if IS_TORTURE else 120)


@LONG
@pytest.mark.parametrize("mode", MODES, ids=str)
async def test_a_backup_under_load_is_served(mode: Mode, tmp_path: Path) -> None:
    """C1 to C6 hold for all that was acknowledged before, and events are without gaps."""
    print(f"CRASH_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    rng = random.Random(f"{SEED} {mode}")
    for number in range(ROUNDS):
        async with Harness(tmp_path / f"round-{number}", mode, rng) as harness:
            await harness.server.start()
            harness.open()
            await asyncio.sleep(rng.uniform(0.5, 1.0))
            made, at_s = await harness.back_up(tmp_path / f"copy-{number}")
            await harness.kill(after_s=rng.uniform(0.1, 0.5))
            restored = CACHED if mode is Mode.IN_MEMORY else mode
            await harness.restore(tmp_path / f"copy-{number}", restored, at_s)
            assert await harness.close() == []
            acknowledged = len(harness.history.acknowledged)
            print(f"{mode}: {made}, {acknowledged} acknowledged in the end")  # noqa: T201


@LONG
async def test_a_backup_of_redis_is_served(tmp_path: Path) -> None:
    """From an empty Redis, into which the records were imported; older events are in the folder."""
    print(f"CRASH_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    rng = random.Random(SEED)
    (tmp_path / "redis").mkdir()
    redis = RedisServer(tmp_path / "redis")
    redis.start()
    options, copy = ("--redis-url", redis.url), tmp_path / "copy"
    try:
        async with Harness(tmp_path / "bar", Mode.REDIS, rng, *options) as harness:
            await harness.server.start()
            harness.open()
            await asyncio.sleep(rng.uniform(0.5, 1.0))
            _, at_s = await harness.back_up(copy)
            await harness.kill(after_s=rng.uniform(0.1, 0.5))
            redis.ask("FLUSHALL")
            exported = await run("export", "--data-dir", str(copy))
            imported = await run(
                "import", "--mode", "Redis", *options, "--data-dir", str(copy),
                stdin=exported.out.encode(),
            )  # fmt: skip
            assert (exported.code, imported.code) == (0, 0), imported.err
            await harness.restore(copy, Mode.REDIS, at_s)
            assert await harness.close() == []
    finally:
        redis.stop()


@LONG
@pytest.mark.parametrize("mode", [CACHED, Mode.SQLITE] if IS_TORTURE else [CACHED], ids=str)
async def test_a_kill_during_a_backup(mode: Mode, tmp_path: Path) -> None:
    """What it leaves is not served; the service goes on from its own folder."""
    data, copy = tmp_path / "data", tmp_path / "copy"
    data.mkdir()
    server = Server(data, mode)
    server.program = ("tests.crash.halted_backups",)
    await server.start()
    try:
        async with Shop(server) as shop:
            assert [await shop.order(n) for n in range(20)] == [202] * 20
        asking = asyncio.create_task(
            run("backup", str(copy), "--url", server.url, "--token", TOKEN)
        )
        while not copy.exists():  # noqa: ASYNC110 - a file of a process
            await asyncio.sleep(0.001)
        server.kill()
        assert (await asking).code == 3
        with pytest.raises(Ended, match="the backup in it is incomplete"):
            await Server(copy, mode).start()
        assert (await run("check", "--data-dir", str(copy))).code == 1
        await server.start()
        async with Shop(server) as again:
            assert await again.jobs() == shop.accepted_ids
    finally:
        server.kill()
