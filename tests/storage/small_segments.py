"""Logs whose segments have four blocks of ten events, with the fixture ``small_segments``."""

from __future__ import annotations

from pathlib import Path

from sanic_dispatch.storage.event_log import Missing
from sanic_dispatch.storage.event_record import LoggedEvent
from sanic_dispatch.storage.segment_format import FOLDER, segments_in
from sanic_dispatch.storage.segment_log import SegmentLog
from tests.storage.events import records

BLOCK, SEGMENT = 10, 40


def opened(folder: Path) -> SegmentLog:
    """A log that has what is on the disk."""
    log = SegmentLog(folder, now_s=lambda: 1100.0)
    log.load()
    return log


def filled(folder: Path, last_n: int, step: int = 7) -> SegmentLog:
    """A log with events, flushed a few at a time."""
    log = opened(folder)
    for first_n in range(1, last_n + 1, step):
        upto = min(last_n, first_n + step - 1)
        log.add(records(first_n, upto))
        log.flush()
    return log


def segments(folder: Path) -> list[Path]:
    """The paths of the segments."""
    return list(segments_in(folder / FOLDER).values())


def everything(log: SegmentLog) -> list[LoggedEvent | Missing]:
    """All events that a log has, and what is missing."""
    return list(log.scan())
