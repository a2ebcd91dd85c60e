"""The free workers of a topic's tables."""

from __future__ import annotations

from itertools import chain
from operator import attrgetter

from sanic_dispatch.core.tables import Tables
from sanic_dispatch.core.worker import Worker


def free_workers(tables: Tables) -> list[Worker]:
    """Return the free workers, those that have waited longest first."""
    return sorted(chain(*tables.workers.free_by_rule.values()), key=attrgetter("place"))
