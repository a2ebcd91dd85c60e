"""Fixtures for the tests of the dispatcher."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.world import World, running_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A dispatcher in memory, on a clock that stands still."""
    async with running_world() as world:
        yield world
