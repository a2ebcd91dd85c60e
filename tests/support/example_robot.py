"""The examples' robot, as a process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.paths import CPEE_EXAMPLES


@asynccontextmanager
async def example_robot(*arguments: str) -> AsyncIterator[str]:
    """Run it on a free port; yields its address for a model's endpoint."""
    robot = await asyncio.create_subprocess_exec(
        sys.executable,
        str(CPEE_EXAMPLES / "robot.py"),
        "--port",
        "0",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert robot.stdout
        said = await asyncio.wait_for(robot.stdout.readline(), 20)
        yield said.decode().split()[-1].replace("http:", "http-post:")
    finally:
        robot.terminate()
        await robot.wait()
