"""A process that flushes a history of full segments, some of which are then one too many."""

from __future__ import annotations

import sys
from pathlib import Path

from sanic_dispatch.storage.event_log import Retention
from sanic_dispatch.storage.segment_log import SegmentLog
from sanic_dispatch.storage.segment_writer import SEGMENT_EVENTS
from tests.storage.events import records

FLUSHED = SEGMENT_EVENTS // 2
"""The events that are in a segment before, which grows."""

EVENTS = 2 * SEGMENT_EVENTS + FLUSHED

RETENTION = Retention(keep_bytes=300_000)
"""Room for two of the three segments."""


def opened(folder: Path) -> SegmentLog:
    """Open the log as a start does: with all events that were in a journal at the flush."""
    log = SegmentLog(folder, retention=RETENTION)
    log.load()
    log.add(records(1, EVENTS))
    return log


if __name__ == "__main__":
    running = opened(Path(sys.argv[1]))
    while not running.try_flush():
        pass
