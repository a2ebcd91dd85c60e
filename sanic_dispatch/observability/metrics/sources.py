"""The objects that the metrics are read from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from sanic_dispatch.clock import Clock
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.dispatch.pairing_watchdog import Watchdog
from sanic_dispatch.live.hub import Hub
from sanic_dispatch.observability.histogram import CommitStats
from sanic_dispatch.observability.metrics.delivery_counts import CountedCallbacks
from sanic_dispatch.observability.metrics.job_counts import JobCounts
from sanic_dispatch.observability.metrics.loop_lag import LoopLag
from sanic_dispatch.storage.event_log import LogStats


class Sources(NamedTuple):
    """Everything that a scrape reads."""

    settings: Settings
    clock: Clock
    hub: Hub
    commits: Mapping[str, CommitStats]
    jobs: JobCounts
    calls: CountedCallbacks
    watchdog: Watchdog
    loop_lag: LoopLag
    responses: Counter[int]
    """HTTP responses by status."""
    history: LogStats
