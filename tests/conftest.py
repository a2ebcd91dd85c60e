"""The suite as a whole: the order of its files, and the garbage collector of its processes."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

HERE = Path(__file__).parent

LONG = ("browser", "crash", "cluster", "runbook", "histories", "cpee")
"""The folders with files that take long, besides this one."""

gc.set_threshold(50_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes long first, so that all processes of a run end at about the same time."""
    items.sort(key=lambda item: item.path.parent != HERE and item.path.parent.name not in LONG)


def pytest_collection_finish() -> None:
    """Keep the modules and the 6,500 tests out of each collection: one took 0.9 s with them."""
    gc.freeze()
