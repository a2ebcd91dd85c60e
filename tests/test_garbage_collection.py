"""The garbage collector: it looks seldom, and still finds what nobody wants."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from sanic_dispatch.garbage_collection import GEN0_THRESHOLD, collect_seldom


class Ring:
    """Something that only the collector can free."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def seldom() -> Iterator[None]:
    before = gc.get_threshold()
    collect_seldom()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("seldom")
def test_rings_are_still_found() -> None:
    """What a long evening leaves behind does not pile up."""
    rings = [weakref.ref(Ring()) for _ in range(3 * GEN0_THRESHOLD)]
    assert sum(ring() is not None for ring in rings) <= GEN0_THRESHOLD


@pytest.mark.usefixtures("seldom")
def test_what_is_wanted_is_left_in_peace() -> None:
    """A burst of orders is not looked through while it is on its way."""
    gc.collect()
    before = gc.get_stats()[0]["collections"]
    kept = [Ring() for _ in range(GEN0_THRESHOLD // 4)]
    assert kept
    assert gc.get_stats()[0]["collections"] == before
