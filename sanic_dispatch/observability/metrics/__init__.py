"""Prometheus metrics: counted as plain numbers, formatted when scraped."""

from __future__ import annotations

from sanic_dispatch.observability.metrics.exposition import Exposition
from sanic_dispatch.observability.metrics.job_counts import JobCounts
from sanic_dispatch.observability.metrics.loop_lag import LoopLag
from sanic_dispatch.observability.metrics.sources import Sources

__all__ = ["Exposition", "JobCounts", "LoopLag", "Sources"]
