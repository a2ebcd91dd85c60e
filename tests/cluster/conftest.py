"""Fixtures: a redis-server for each test that disturbs it."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis import RedisServer, prefix, synced_server

__all__ = ["prefix"]

SEED = int(os.environ.get("CRASH_SEED", random.SystemRandom().randrange(2**32)))


@pytest.fixture
def rng() -> random.Random:
    """Random numbers; CRASH_SEED repeats those of an earlier run."""
    print(f"CRASH_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    return random.Random(SEED)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that syncs each write before it answers."""
    with synced_server(tmp_path / "redis") as server:
        yield server
