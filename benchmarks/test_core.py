"""How long each step of the core takes: ``pytest benchmarks/test_core.py``, not among the tests."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.measure.core_steps import STEPS


@pytest.mark.parametrize("name", STEPS)
async def test_step(benchmark: Any, name: str) -> None:
    """One step, as often as it takes to know."""
    benchmark(STEPS[name]())
