"""Valkey instead of Redis: the same tests, where valkey-server is on the PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

VALKEY = "valkey-server"

TESTS = (
    "tests/storage/test_redis.py",
    "tests/storage/test_redis_cluster.py",
    "tests/storage/test_redis_events.py",
    "tests/cluster/test_forwarding.py",
    "tests/cluster/test_members.py",
)


@pytest.mark.skipif(shutil.which(VALKEY) is None, reason=f"{VALKEY} is not installed")
@pytest.mark.timeout(600)
def test_everything_works_with_valkey() -> None:
    """Commits, ownership, failures, events, clusters, forwarding."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", *TESTS]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "REDIS_PROGRAM": VALKEY},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
