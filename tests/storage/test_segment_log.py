"""The log in segments: events move there once, old ones go, and numbers go on."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from sanic_dispatch.core.job import JobRef
from sanic_dispatch.storage import segment_log, segment_writer
from sanic_dispatch.storage.event_log import Hole, Question, Retention
from sanic_dispatch.storage.event_record import encode_event
from sanic_dispatch.storage.journal import BatchRead
from sanic_dispatch.storage.segment_format import FOLDER
from sanic_dispatch.storage.segment_index import SegmentIndex, index_path
from sanic_dispatch.storage.segment_log import EventRow, SegmentLog
from tests.storage.events import events, payloads, records
from tests.storage.small_segments import everything, filled, opened, segments
from tests.support.disk_faults import Disk, Killed, bad_sector, cannot_be_looked_at

pytestmark = pytest.mark.usefixtures("small_segments")


@pytest.mark.parametrize("flushed", [0, 40, 45, 50])
def test_the_newest(flushed: int, tmp_path: Path) -> None:
    """The last events are those of the segments and of the memory, without a gap."""
    log = filled(tmp_path, flushed)
    log.add(records(flushed + 1, 50))
    for most in (1, 7, 30, 1000):
        assert list(log.newest(most)) == events(1, 50)[-most:]


def test_the_newest_after_a_kill(tmp_path: Path) -> None:
    """Of what was read from journals no more is decoded than that."""
    filled(tmp_path, 20)
    log = opened(tmp_path)
    lines = [b"[%b]" % b",".join(map(encode_event, events(n, n + 4))) for n in range(21, 50, 5)]
    log.add_later([BatchRead([], b"rotten"), *(BatchRead([], line) for line in lines)])
    assert list(log.newest(12)) == events(1, 50)[-12:]
    assert list(log.newest(1000)) == events(1, 50)


def test_the_newest_of_what_a_store_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of its rows no more is decoded."""
    monkeypatch.setattr(segment_log, "DECODED_AT_START", 12)
    filled(tmp_path, 20)
    log = opened(tmp_path)
    lines = [b"[%b]" % b",".join(map(encode_event, events(n, n + 4))) for n in range(26, 50, 5)]
    newer = [EventRow(n, line) for n, line in zip(range(30, 51, 5), lines, strict=True)]
    log.add_rows([EventRow(25, b"[rotten]"), *newer], [])
    assert list(log.newest(12)) == events(1, 50)[-12:]
    assert log.last_number == 50


def test_the_newest_after_a_hole(tmp_path: Path) -> None:
    """What comes before a hole does not count; nothing does if the last event is lost."""
    log = filled(tmp_path, 20)
    log.add(records(31, 33))
    assert list(log.newest(10)) == events(31, 33)
    log.load(last_number=34)
    assert list(log.newest(10)) == []


def test_what_is_there_is_not_added_again(tmp_path: Path) -> None:
    """Events of a journal that are in segments already are ignored."""
    filled(tmp_path, 33)
    log = opened(tmp_path)
    assert log.last_number == 33
    log.add(records(1, 20))
    log.add(records(21, 36))
    log.add(records(30, 36))
    assert log.unflushed == 3
    log.flush()
    assert everything(opened(tmp_path)) == events(1, 36)
    assert list(log.payloads()) == payloads(1, 36)


def test_a_segment_that_could_not_be_read_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its events, which the journals may have too, are not added to it again."""
    filled(tmp_path, 33)
    log = SegmentLog(tmp_path)
    with monkeypatch.context() as faulty:
        faulty.setattr(log.files, "opened", unreadable)
        log.load(33)
    for last_n in (33, 36):
        log.add(records(21, last_n))
        assert log.try_flush()
        assert everything(log) == everything(opened(tmp_path)) == events(1, last_n)
    assert list(log.payloads()) == payloads(1, 36)


def test_a_segment_that_cannot_be_read_once_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next flush does not add its events again."""
    log = filled(tmp_path, 33)
    log.add(records(34, 36))
    with monkeypatch.context() as faulty:
        faulty.setattr(log.files, "add", unreadable)
        assert not log.try_flush()
    log.add(records(37, 38))
    assert log.try_flush()
    assert everything(log) == everything(opened(tmp_path)) == events(1, 38)


@pytest.mark.parametrize("is_there", [False, True], ids=["new", "left by a killed process"])
def test_the_folder_is_synced(
    is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is durable before the journals may go, also if the first sync of it fails."""
    if is_there:
        (tmp_path / FOLDER).mkdir()
    log = opened(tmp_path)
    log.add(records(1, 3))
    synced: list[Path] = []

    def sync(folder: Path) -> None:
        synced.append(folder)
        if len(synced) == 1:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(segment_log, "fsync_folder", sync)
    assert not log.try_flush()
    for last_n in (3, 5):
        log.add(records(last_n, last_n))
        assert log.try_flush()
    assert synced == [tmp_path, tmp_path]


@pytest.mark.parametrize("name", [".segment-000000000000001.gz.new", ".past-1.snapshot.new"])
def test_erasing_in_a_folder_that_cannot_be_listed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not over before what a killed process left there is removed: it may have the data."""
    log = filled(tmp_path, 5)
    left = tmp_path / FOLDER / name
    left.write_bytes(b"secret")
    with monkeypatch.context() as faulty:
        faulty.setattr(os, "scandir", not_allowed)
        faulty.setattr(os, "listdir", not_allowed)
        with pytest.raises(PermissionError):
            log.erase([JobRef(1, "4711")])
    log.erase([JobRef(1, "4711")])
    assert not left.exists()


def not_allowed(*_: object) -> None:
    raise PermissionError(13, "Permission denied")


def unreadable(*_: object) -> None:
    raise OSError(5, "Input/output error")


@pytest.mark.parametrize("is_known", [True, False], ids=["with its index", "without"])
def test_the_last_segment_has_a_bad_sector(
    is_known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not go on after what can be read of it, and is whole once the fault has passed."""
    log = filled(tmp_path, 33)
    if not is_known:
        log.load()
        index_path(segments(tmp_path)[0]).unlink()
    with monkeypatch.context() as faulty:
        bad_sector(faulty)
        log.add(records(34, 36))
        assert log.try_flush()
    log.add(records(37, 38))
    assert log.try_flush()
    assert everything(log) == everything(opened(tmp_path)) == events(1, 38)


def test_events_that_come_meanwhile(tmp_path: Path) -> None:
    """A flush ends although events keep coming: those have time until the next one."""
    log = opened(tmp_path)
    log.add(records(1, 5))
    log.flush(rest=lambda: log.add(records(log.last_number + 1, log.last_number + 5)))
    assert 0 < log.unflushed < log.last_number < 50
    assert everything(log) == events(1, log.last_number)


@pytest.mark.parametrize("gone", [slice(-1, None), slice(None)], ids=["the last", "all"])
def test_what_is_gone_while_it_runs(gone: slice, tmp_path: Path) -> None:
    """It is a hole at once, and later events are moved to a new segment."""
    filled(tmp_path, 150)
    log = opened(tmp_path)
    removed = segments(tmp_path)[gone]
    for path in removed:
        path.unlink()
    first_n = {1: 121, 4: 1}[len(removed)]
    log.add(records(151, 200))
    assert log.try_flush()
    assert opened(tmp_path).find(Question(after=150)).events == events(151, 200)
    for reader in (log, opened(tmp_path)):
        assert [hole[:2] for hole in reader.find(Question(limit=200)).holes] == [(first_n, 150)]


# ---- retention


@pytest.mark.parametrize(
    ("keep_s", "keep_bytes", "first_n"),
    [(500.0, 10**9, 1), (60.0, 10**9, 1), (59.0, 10**9, 41), (0.0, 10**9, 81), (500.0, 1, 121)],
)
def test_what_is_too_old_or_too_long(
    keep_s: float, keep_bytes: int, first_n: int, tmp_path: Path
) -> None:
    """Whole segments go, the oldest first, and never the last one; that is counted, and no hole."""
    filled(tmp_path, 149)
    log = SegmentLog(tmp_path, retention=Retention(keep_s, keep_bytes), now_s=lambda: 1100.0)
    log.load()
    log.add(records(150, 150))
    log.flush()
    assert everything(log) == everything(opened(tmp_path)) == events(first_n, 150)
    assert log.find(Question()).holes == []
    assert log.stats.dropped == first_n - 1
    assert log.stats.size_bytes == sum(path.stat().st_size for path in segments(tmp_path))
    others = [each for each in (tmp_path / FOLDER).iterdir() if each.name != "dropped.json"]
    assert len(others) == 2 * len(segments(tmp_path))
    assert log.last_number == opened(tmp_path).last_number == 150


def test_what_becomes_too_old_meanwhile(tmp_path: Path) -> None:
    """It goes also if nothing is flushed."""
    filled(tmp_path, 150)
    now_s = 1100.0
    log = SegmentLog(tmp_path, retention=Retention(100.0), now_s=lambda: now_s)
    log.load()
    log.maintain()
    assert everything(log) == events(1, 150)
    now_s = 1181.0
    log.maintain()
    assert everything(log) == everything(opened(tmp_path)) == events(81, 150)
    assert log.stats.dropped == 80


def test_old_segments_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk without room for a new segment the old ones go all the same, once a minute."""
    filled(tmp_path, 150)
    log = SegmentLog(tmp_path, retention=Retention(100.0), now_s=lambda: 1181.0)
    log.load()
    log.add(records(151, 152))
    with monkeypatch.context() as patch:
        patch.setattr(segment_writer, "seal_end", _no_room)
        assert not log.try_flush()
        assert everything(log) == events(81, 152)
        assert [path.name for path in segments(tmp_path)] == SEGMENT_NAMES[2:]
    log.maintain()
    assert everything(opened(tmp_path)) == events(81, 152)


SEGMENT_NAMES = [f"segment-{first_n:015}.gz" for first_n in (1, 41, 81, 121)]


def _no_room(*_: object) -> bytes:
    raise OSError(28, "No space left on device")


def test_a_damaged_segment_becomes_too_old(tmp_path: Path) -> None:
    """It counts as old as its file, and keeps none of those after it."""
    filled(tmp_path, 150)
    first = segments(tmp_path)[0]
    content = first.read_bytes()
    first.write_bytes(content[:60] + bytes([content[60] ^ 1]) + content[61:])
    index_path(first).unlink()
    os.utime(first, (1080.0, 1080.0))
    now_s = 1180.0
    log = SegmentLog(tmp_path, retention=Retention(100.0), now_s=lambda: now_s)
    log.load()
    log.maintain()
    assert segments(tmp_path)[0] == first
    now_s = 1181.0
    log.maintain()
    assert everything(log) == everything(opened(tmp_path)) == events(81, 150)


def test_the_oldest_segment_is_gone(tmp_path: Path) -> None:
    """Somebody has removed it, to make room: that is a hole, and those after it become too old."""
    filled(tmp_path, 150)
    now_s = 1100.0
    log = SegmentLog(tmp_path, retention=Retention(100.0), now_s=lambda: now_s)
    log.load()
    segments(tmp_path)[0].unlink()
    log.add(records(151, 152))
    assert log.try_flush()
    assert [hole[:2] for hole in log.find(Question()).holes] == [(1, 40)]
    now_s = 1181.0
    log.maintain()
    assert everything(log) == everything(opened(tmp_path)) == events(81, 152)
    assert log.find(Question()).holes == []


def test_a_segment_that_cannot_be_looked_at_is_not_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A passing fault of the disk removes no history."""
    log = filled(tmp_path, 150)
    log.add(records(151, 152))
    with monkeypatch.context() as faulty:
        cannot_be_looked_at(faulty)
        assert log.try_flush()
    assert everything(log) == everything(opened(tmp_path)) == events(1, 152)


def test_a_segment_that_is_gone_takes_no_room(tmp_path: Path) -> None:
    """No other segment is dropped for it: those on the disk are within --keep-history-size."""
    filled(tmp_path, 150)
    length = sum(path.stat().st_size for path in segments(tmp_path))
    log = SegmentLog(tmp_path, retention=Retention(500.0, length), now_s=lambda: 1100.0)
    log.load()
    segments(tmp_path)[1].unlink()
    log.add(records(151, 170))
    assert log.try_flush()
    assert log.find(Question(limit=1000)).events == events(1, 40) + events(81, 170)
    assert log.stats.size_bytes == sum(path.stat().st_size for path in segments(tmp_path))


def test_the_oldest_segment_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is as old as its file, and goes with those after it."""
    filled(tmp_path, 150)
    first = segments(tmp_path)[0]
    os.utime(first, (1040.0, 1040.0))
    log = SegmentLog(tmp_path, retention=Retention(100.0), now_s=lambda: 1181.0)
    log.load()
    real = log.files.index

    def index(path: Path) -> SegmentIndex:
        if path == first:
            raise OSError(5, "Input/output error")
        return real(path)

    monkeypatch.setattr(log.files, "index", index)
    log.maintain()
    assert everything(log) == everything(opened(tmp_path)) == events(81, 150)
    assert log.stats.dropped == 40


# ---- kills and disks without room


@pytest.mark.parametrize("call", ["open", "writev", "fsync", "rename"])
def test_a_write_that_fails(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever call fails, events stay in memory or are in a segment, and are there once."""
    for after in range(8):
        folder = tmp_path / f"{after}"
        folder.mkdir()
        log = filled(folder, 38)
        log.add(records(39, 57))
        with monkeypatch.context() as patch:
            Disk(patch, folder).fail(call, after=after)
            with suppress(OSError):
                log.flush()
        assert everything(log) == events(1, 57)
        log.flush()
        assert everything(log) == everything(opened(folder)) == events(1, 57)


def killed(log: SegmentLog, last_n: int) -> None:
    log.add(records(log.last_number + 1, last_n))
    log.flush()


def test_a_kill_while_old_events_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever that is broken off, whole segments are gone or there, and the next time ends it."""
    for number in range(100):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        filled(folder, 150)
        log = SegmentLog(folder, retention=Retention(keep_s=60.0), now_s=lambda: 1181.0)
        log.load()
        with monkeypatch.context() as patch:
            disk = Disk(patch, folder)
            disk.kill_at(number)
            try:
                log.maintain()
            except Killed:
                pass
            else:
                break
        found = everything(opened(folder))
        assert found in [events(first_n, 150) for first_n in (1, 41, 81, 121)]
        log.load()
        log.maintain()
        assert everything(log) == everything(opened(folder)) == events(121, 150)
        assert len(list((folder / FOLDER).glob("segment-*"))) == 2
    assert number > 9


@pytest.mark.parametrize("before", [0, 33, 38, 40])
def test_a_kill_at_every_call(before: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a flush is broken off, each event of the journals is there once after the next."""
    for number in range(100):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        log = filled(folder, before)
        with monkeypatch.context() as patch:
            disk = Disk(patch, folder)
            disk.kill_at(number)
            try:
                killed(log, 57)
            except Killed:
                pass
            else:
                break
        log = opened(folder)
        assert everything(log) == events(1, log.last_number)
        assert log.last_number >= before
        log.add(records(before + 1, 57))
        log.flush()
        assert everything(opened(folder)) == events(1, 57)
        assert list(opened(folder).payloads()) == payloads(1, 57)
    assert number > 5


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written stays in memory, is answered, and is written once there is room."""
    log = filled(tmp_path, 33)
    with monkeypatch.context() as patch:
        Disk(patch, tmp_path).fill()
        with pytest.raises(OSError, match="No space"):
            killed(log, 57)
    assert log.unflushed == 24
    assert everything(log) == events(1, 57)
    log.flush()
    assert everything(opened(tmp_path)) == events(1, 57)


def test_room_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What had no room is written when the log is maintained, and until then it says so."""
    log = filled(tmp_path, 33)
    log.add(records(34, 57))
    with monkeypatch.context() as patch:
        Disk(patch, tmp_path).fill()
        assert not log.try_flush()
        log.maintain()
        assert log.stats.is_failing
    log.maintain()
    assert not log.stats.is_failing
    assert log.unflushed == 0
    assert everything(opened(tmp_path)) == events(1, 57)


def test_no_room_for_long(tmp_path: Path) -> None:
    """What has to be forgotten is a hole."""
    log = filled(tmp_path, 33)
    log.add(records(34, 57))
    assert log.drop_unflushed(most=10) == log.stats.lost == 14
    assert [hole[:2] for hole in log.find(Question()).holes] == [(34, 47)]
    log.flush()
    assert [hole[:2] for hole in opened(tmp_path).find(Question()).holes] == [(34, 47)]
    assert everything(opened(tmp_path)) == [
        *events(1, 33), *events(48, 57), Hole(34, 47, 1033.0, 1048.0),
    ]  # fmt: skip


# ---- epochs


def test_epochs(tmp_path: Path) -> None:
    """Each begins with the next event, and all are there after a start."""
    log = opened(tmp_path)
    log.begin_epoch("a", 5.0)
    log.add(records(1, 33))
    log.flush()
    log = opened(tmp_path)
    log.begin_epoch("b", 6.0)
    assert opened(tmp_path).epochs == log.epochs == [("a", 1, 5.0), ("b", 34, 6.0)]


def test_damaged_epochs(tmp_path: Path) -> None:
    """Without them no older cursor is good, and nothing else is wrong."""
    log = opened(tmp_path)
    log.begin_epoch("a", 5.0)
    (tmp_path / FOLDER / "epochs.json").write_bytes(b'[["a",1,5.0]]')
    log = opened(tmp_path)
    assert log.epochs == []
    log.begin_epoch("b", 6.0)
    assert opened(tmp_path).epochs == [("b", 1, 6.0)]


def test_no_number_of_an_earlier_epoch_is_given_again(tmp_path: Path) -> None:
    """Numbers go on where the last epoch began, if the segment that had them is gone."""
    log = filled(tmp_path, 20)
    log.begin_epoch("b", 6.0)
    for path in segments(tmp_path):
        path.unlink()
    log = opened(tmp_path)
    assert log.last_number == 20
    assert [(hole.first_n, hole.last_n) for hole in log.find(Question()).holes] == [(1, 20)]
