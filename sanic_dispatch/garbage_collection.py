"""Python's garbage collector: off during bulk loads, infrequent while the service runs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

GEN0_THRESHOLD = 10_000
"""New objects before a collection. With Python's 700 it would traverse the records that wait for
their commit again and again."""


@contextmanager
def no_collection() -> Iterator[None]:
    """Disable collection in the block: imports and bulk loads allocate, but leave no garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def collect_seldom() -> None:
    """Exempt all present objects from collection, and collect new ones less often."""
    gc.freeze()
    gc.set_threshold(GEN0_THRESHOLD)
