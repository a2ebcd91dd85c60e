"""Where the numbers come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from sanic_dispatch.clock import Clock
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.dispatch.watchdog import Watchdog
from sanic_dispatch.live.hub import Hub
from sanic_dispatch.observability.histogram import CommitTally
from sanic_dispatch.observability.metrics.delivery_counts import CountedCallbacks
from sanic_dispatch.observability.metrics.job_counts import JobTally
from sanic_dispatch.observability.metrics.loop_lag import LoopLag


class Sources(NamedTuple):
    """Everything that is read when somebody looks."""

    settings: Settings
    clock: Clock
    hub: Hub
    commits: Mapping[str, CommitTally]
    jobs: JobTally
    calls: CountedCallbacks
    watchdog: Watchdog
    loop_lag: LoopLag
    responses: Counter[int]
    """HTTP answers by status."""
