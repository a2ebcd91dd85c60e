"""The garbage collector runs seldom, and still finds reference cycles."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from sanic_dispatch.garbage_collection import GEN0_THRESHOLD, collect_seldom


class Ring:
    """A reference cycle, which only the collector can free."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def seldom() -> Iterator[None]:
    before = gc.get_threshold()
    collect_seldom()
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("seldom")
def test_cycles_are_still_found() -> None:
    """Cycles do not pile up over a long run."""
    rings = [weakref.ref(Ring()) for _ in range(3 * GEN0_THRESHOLD)]
    assert sum(ring() is not None for ring in rings) <= GEN0_THRESHOLD


@pytest.mark.usefixtures("seldom")
def test_live_objects_are_seldom_scanned() -> None:
    """A burst of orders is not scanned while it is handled."""
    gc.collect()
    before = gc.get_stats()[0]["collections"]
    kept = [Ring() for _ in range(GEN0_THRESHOLD // 4)]
    assert kept
    assert gc.get_stats()[0]["collections"] == before
