"""Segments as they are built: full blocks, and lines that any tool reads."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from sanic_dispatch.storage.event_log import Retention
from sanic_dispatch.storage.event_record import encode_event
from sanic_dispatch.storage.segment_log import SegmentLog
from tests.storage.events import events, payloads, records
from tests.storage.small_segments import everything, filled, opened, segments

pytestmark = pytest.mark.usefixtures("small_segments")


@pytest.mark.parametrize("step", [1, 7, 10, 40, 150])
def test_blocks_and_segments(step: int, tmp_path: Path) -> None:
    """However events come, blocks and segments are full but for the last."""
    log = filled(tmp_path, 150, step)
    assert [path.name for path in segments(tmp_path)] == [
        f"segment-{n:015}.gz" for n in (1, 41, 81, 121)
    ]
    sizes = [
        [each.last_n - each.first_n + 1 for each in log.files.index(path).blocks]
        for path in segments(tmp_path)
    ]
    assert sizes == [[10] * 4] * 3 + [[10] * 3]
    assert everything(opened(tmp_path)) == events(1, 150)
    assert list(opened(tmp_path).payloads()) == payloads(1, 150)


def test_any_tool_reads_them(tmp_path: Path) -> None:
    """A segment is gzip, with a line for each event."""
    filled(tmp_path, 10)
    lines = gzip.decompress(segments(tmp_path)[0].read_bytes()).splitlines()
    assert lines[:10] == [encode_event(each) for each in events(1, 10)]
    assert lines[10] == b'[2,1,"%032x",0,{"order":\x0b 1}]' % 1
    assert lines[-1] == b'{"blocks":2}'


def test_payloads_can_be_left_out(tmp_path: Path) -> None:
    """Without payloads nothing of a job's data is on the disk."""
    log = SegmentLog(tmp_path, retention=Retention(payloads=False))
    log.load()
    log.add(records(1, 30))
    log.flush()
    assert b"order" not in gzip.decompress(segments(tmp_path)[0].read_bytes())
    assert everything(log) == events(1, 30)
    assert list(log.payloads()) == []
