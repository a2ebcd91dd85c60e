"""Fixtures for all tests of the live channel."""

from __future__ import annotations

from tests.support.valid_frames import every_frame_is_valid

__all__ = ["every_frame_is_valid"]
