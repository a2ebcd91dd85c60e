"""The suite as a whole: the order of its files, its garbage collector, and hypothesis.

A busy machine may take long for an example, which says nothing about what is tested.
"""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent

LONG = ("browser", "crash", "cluster", "runbook", "histories", "cpee")
"""The folders with files that take long, besides this one."""

gc.set_threshold(50_000)

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes long first, so that all processes of a run end at about the same time."""
    items.sort(key=lambda item: item.path.parent != HERE and item.path.parent.name not in LONG)


def pytest_collection_finish() -> None:
    """Keep modules and tests out of each garbage collection: one took 0.9 s with them."""
    gc.freeze()
