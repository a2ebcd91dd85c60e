"""What Prometheus sees: counted where it happens, put into words when somebody looks."""

from __future__ import annotations

from sanic_dispatch.metrics.calls import CountedCallbacks
from sanic_dispatch.metrics.exposition import Exposition
from sanic_dispatch.metrics.jobs import JobTally
from sanic_dispatch.metrics.loop_lag import LoopLag
from sanic_dispatch.metrics.sources import Sources

__all__ = ["CountedCallbacks", "Exposition", "JobTally", "LoopLag", "Sources"]
