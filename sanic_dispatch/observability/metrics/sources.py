"""The objects that the metrics of a topic are read from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sanic_dispatch.clock import Clock
from sanic_dispatch.cluster.ownership import Ownership
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.dispatch.pairing_watchdog import Watchdog
from sanic_dispatch.live.hub import Hub
from sanic_dispatch.observability.durations import CommitStats, DeliveryStats
from sanic_dispatch.observability.metrics.job_counts import JobCounts
from sanic_dispatch.outbox.outbox import Outbox
from sanic_dispatch.outbox.push_outbox import PushOutbox
from sanic_dispatch.storage.event_log import LogStats


class Sources(NamedTuple):
    """What a scrape reads of a topic."""

    settings: Settings
    clock: Clock
    hub: Hub
    commits: Mapping[str, CommitStats]
    jobs: JobCounts
    deliveries: DeliveryStats
    watchdog: Watchdog
    history: LogStats
    ownership: Ownership | None
    outbox: Outbox
    push_outbox: PushOutbox
