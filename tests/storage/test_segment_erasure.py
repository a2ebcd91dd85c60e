"""Segments that are rewritten without the data of forgotten jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sanic_dispatch.core.job import JobRef
from sanic_dispatch.storage.event_log import Hole, Question
from sanic_dispatch.storage.event_record import Payload
from sanic_dispatch.storage.segment_files import rebuild_indexes
from sanic_dispatch.storage.segment_format import FOLDER
from sanic_dispatch.storage.segment_index import index_path
from sanic_dispatch.storage.segment_log import SegmentLog
from sanic_dispatch.storage.snapshots import SnapshotRef
from tests.storage.events import events, payloads, records
from tests.storage.small_segments import opened, segments
from tests.support.disk_faults import Disk, bad_sector
from tests.support.leftovers import files_with

LAST_N = 150


@pytest.fixture
def log(tmp_path: Path, small_segments: None) -> SegmentLog:
    """Four segments of four small blocks, and some events in memory."""
    log = opened(tmp_path)
    log.add(records(1, 133))
    log.flush()
    log.add(records(134, LAST_N))
    return log


def named(*tickets: int) -> list[JobRef]:
    """Name jobs of ``events``."""
    return [JobRef(ticket, f"{ticket:032x}") for ticket in tickets]


def others(*tickets: int) -> list[Payload]:
    """All payloads but those of these jobs."""
    return [each for each in payloads(1, LAST_N) if each.ticket not in tickets]


@pytest.mark.parametrize("tickets", [(1,), (2, 3), (3, 26, 29), (30,), tuple(range(1, 9)), (99,)])
def test_payloads_are_gone(tickets: tuple[int, ...], log: SegmentLog, tmp_path: Path) -> None:
    """From segments and from memory; all events and all other payloads stay, also later."""
    log.erase(named(*tickets))
    assert list(log.payloads()) == others(*tickets)
    assert list(log.scan()) == events(1, LAST_N)
    log.flush()
    assert list(opened(tmp_path).payloads()) == others(*tickets)
    assert opened(tmp_path).find(Question(limit=1000)).events == events(1, LAST_N)
    for ticket in tickets:
        assert files_with(tmp_path, b'{"order":\x0b %d}' % ticket) == []


def test_a_segment_that_cannot_be_looked_at(log: SegmentLog, tmp_path: Path) -> None:
    """It may have the data: the erasing fails, and has to be tried again."""
    path = segments(tmp_path)[0]
    path.unlink()
    path.symlink_to(path)  # any error but that it is missing, also for root
    with pytest.raises(OSError, match="symbolic links"):
        log.erase(named(1))
    path.unlink()
    log.erase(named(1))


def test_a_segment_with_a_bad_sector(log: SegmentLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be read of it is not taken for all that is left."""
    with monkeypatch.context() as faulty:
        bad_sector(faulty)
        with pytest.raises(OSError, match="Input/output error"):
            log.erase(named(1))
    assert list(log.scan()) == events(1, LAST_N)
    log.erase(named(1))
    assert list(log.payloads()) == others(1)


def test_other_segments_are_left_alone(log: SegmentLog, tmp_path: Path) -> None:
    """Only a segment that has the job is rewritten, and its index is as if rebuilt."""
    before = {path: path.read_bytes() for path in segments(tmp_path)}
    log.erase(named(10))
    assert [path.read_bytes() != before[path] for path in before] == [False, True, False, False]
    indexes = [index_path(path).read_bytes() for path in before]
    rebuild_indexes(tmp_path / FOLDER)
    assert [index_path(path).read_bytes() for path in before] == indexes


def test_it_grows_after_that(log: SegmentLog, tmp_path: Path) -> None:
    """The last segment loses a payload, and then continues."""
    log.erase(named(25, 26, 27))
    log.flush()
    log.add(records(LAST_N + 1, 170))
    log.flush()
    left = [each for each in payloads(1, 170) if each.ticket not in (25, 26, 27)]
    assert list(opened(tmp_path).payloads()) == left
    assert list(opened(tmp_path).scan()) == events(1, 170)
    assert len(segments(tmp_path)) == 5


def test_a_reader_reads_on(log: SegmentLog) -> None:
    """A reader of a segment's old file is not disturbed."""
    found = log.scan()
    first = next(found)
    log.erase(named(1, 2))
    assert [first, *found] == events(1, LAST_N)


def test_what_a_killed_flush_has_left(log: SegmentLog, tmp_path: Path) -> None:
    """A segment that was never renamed has the data too."""
    left = tmp_path / FOLDER / ".segment-000000000000121.gz.new"
    left.write_bytes(segments(tmp_path)[-1].read_bytes())
    log.erase(named(26))
    assert not left.exists()


def test_what_is_removed_is_gone_after_a_power_cut(
    log: SegmentLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is synced after the last file is removed, also if no segment is replaced."""
    folder, order = tmp_path / FOLDER, list[tuple[str, Path | None]]()
    (job,) = named(99)
    log.snapshots.put(SnapshotRef(1, 0), job.id.encode())
    disk = Disk(monkeypatch, tmp_path)
    disk.before = lambda number, name, path: order.append((name, path))
    log.erase([job])
    removed = [at for at, (name, _) in enumerate(order) if name == "unlink"]
    assert removed
    assert ("fsync", folder) in order[removed[-1] :]


def damage(path: Path, at: int) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])


def test_what_cannot_be_read_is_left_out(log: SegmentLog, tmp_path: Path) -> None:
    """A damaged payload block may have the data; what is left of the segment is answered."""
    path = segments(tmp_path)[1]
    second = log.files.index(path).payloads[1]
    damage(path, second.block.at + 40)
    log = opened(tmp_path)
    log.erase(named(10))
    readable = [each for each in payloads(1, 133) if not 50 < each.n <= 60]
    assert list(log.payloads()) == [each for each in readable if each.ticket != 10]
    assert log.find(Question(limit=1000)).events == events(1, 133)
    assert not log.find(Question()).damage


def test_damaged_events_are_still_reported(log: SegmentLog, tmp_path: Path) -> None:
    """A block of events has no data, so it is kept as it is."""
    path = segments(tmp_path)[1]
    damage(path, log.files.index(path).blocks[1].block.at + 40)
    log = opened(tmp_path)
    (before,) = log.find(Question(limit=1000)).damage
    log.erase(named(9))
    (after,) = log.find(Question(limit=1000)).damage
    assert (after.path, after.why) == (before.path, before.why)
    assert after.byte < before.byte
    assert log.find(Question(limit=1000)).events == [*events(1, 50), *events(61, 133)]


def test_a_segment_that_was_cut_off_is_still_reported(log: SegmentLog, tmp_path: Path) -> None:
    """It is not made to look whole."""
    path = segments(tmp_path)[1]
    path.write_bytes(path.read_bytes()[: log.files.index(path).blocks[2].block.at])
    log = opened(tmp_path)
    log.erase(named(9))
    page = log.find(Question(limit=1000))
    assert [each.path for each in page.damage] == [path]
    assert page.holes == [Hole(61, 80, 1060.0, 1081.0)]
    assert 9 not in [each.ticket for each in log.payloads() if isinstance(each, Payload)]


def test_nothing_readable_is_left(log: SegmentLog, tmp_path: Path) -> None:
    """A segment of which nothing can be read is removed: its events are a hole then."""
    path = segments(tmp_path)[1]
    path.write_bytes(bytes(len(path.read_bytes())))
    log = opened(tmp_path)
    log.erase(named(9))
    assert not path.exists()
    assert [hole[:2] for hole in log.find(Question(limit=1000)).holes] == [(41, 80)]
    log.add(records(134, 140))
    log.flush()
    assert log.find(Question(after=80, limit=1000)).events == events(81, 140)
