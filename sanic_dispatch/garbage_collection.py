"""Python's garbage collector, while the service starts and while it runs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

MORE = 10_000
"""How many more objects there are to be before the collector looks at the new ones. With Python's
700 it looks at what is on its way to the disk again and again, to find that it is still wanted."""


@contextmanager
def no_collection() -> Iterator[None]:
    """Reading and importing make no garbage, only ever more for the collector to look through."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def collect_seldom() -> None:
    """From now on; what is there now stays, and need never be looked through."""
    gc.freeze()
    gc.set_threshold(MORE)
