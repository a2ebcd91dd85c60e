"""Fixtures for all tests of the live channel."""

from __future__ import annotations

import pytest

from sanic_dispatch.live.hub import Hub
from tests.support.story import Story
from tests.support.valid_frames import every_frame_is_valid

__all__ = ["every_frame_is_valid"]


@pytest.fixture
def story() -> Story:
    """Jobs, workers and their events, on a clock of their own."""
    return Story()


@pytest.fixture
def hub(story: Story) -> Hub:
    """A hub that follows the story."""
    return story.hub()
