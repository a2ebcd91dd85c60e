"""Times of the core's steps: ``pytest benchmarks/test_core.py``; not run with the tests."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.measure.core_steps import STEPS


@pytest.mark.parametrize("name", STEPS)
def test_step(benchmark: Any, name: str) -> None:
    """Time one step."""
    benchmark(STEPS[name]())
