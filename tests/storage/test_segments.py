"""Segments: blocks that can be read alone, an index that can be lost, and what damage does."""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch.storage import segment_log, segment_writer
from sanic_dispatch.storage.event_log import (
    Damage,
    Hole,
    Missing,
    Page,
    Question,
    Retention,
    page_of,
)
from sanic_dispatch.storage.event_record import LoggedEvent, encode_event
from sanic_dispatch.storage.journal import BatchRead
from sanic_dispatch.storage.segment_files import rebuild_indexes
from sanic_dispatch.storage.segment_format import FOLDER, segments_in
from sanic_dispatch.storage.segment_index import SegmentIndex, index_path
from sanic_dispatch.storage.segment_log import EventRow, SegmentLog
from tests.storage.events import event, events, payloads, records
from tests.support.disk_faults import Disk, Killed

BLOCK, SEGMENT = 10, 40


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have small blocks and segments."""
    monkeypatch.setattr(segment_writer, "BLOCK_EVENTS", BLOCK)
    monkeypatch.setattr(segment_writer, "SEGMENT_EVENTS", SEGMENT)


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


QUESTIONS: list[dict[str, Any]] = [
    {}, {"ticket": 3}, {"ticket": 99}, {"worker": "Robot 3"}, {"worker": "nobody"},
    {"worker": "http://engine/callbacks/17/"}, {"kind": "job.done"}, {"kind": "job.praised"},
    {"worker": "Robot 3", "kind": "job.done"}, {"worker": "Robot 3", "kind": "job.submitted"},
    {"worker": "http://engine/callbacks/17/", "kind": "job.done"}, {"from_s": 1050.0},
    {"to_s": 1050.0}, {"from_s": 1040.0, "to_s": 1061.0}, {"text": "ICE 1"}, {"after": 77},
    {"ticket": 3, "worker": "Robot 2"}, {"ticket": 3, "worker": "Robot 3"},
    {"kind": "job.done", "after": 50, "to_s": 1100.0},
]  # fmt: skip


@pytest.mark.parametrize("wanted", QUESTIONS, ids=str)
@pytest.mark.parametrize("flushed", [0, 3, 40, 133, 150])
def test_answers(flushed: int, wanted: dict[str, Any], tmp_path: Path) -> None:
    """Whatever is in segments or in memory, the answers are those of a search through all."""
    log = filled(tmp_path, flushed)
    log.add(records(flushed + 1, 150))
    for limit in (3, 1000):
        question = Question(**wanted, limit=limit)
        assert log.find(question) == page_of(events(1, 150), question)._replace(damage=[], holes=[])


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


def test_payloads_of_a_span(tmp_path: Path) -> None:
    """Payloads are found by time, block by block, from segments and from memory."""
    log = filled(tmp_path, 133)
    log.add(records(134, 150))
    assert list(log.payloads()) == payloads(1, 150)
    found = list(log.payloads(1061.0, 1071.0))
    assert set(payloads(61, 70)) <= set(found)
    assert set(found) < set(payloads(1, 150))


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


def test_events_that_come_meanwhile(tmp_path: Path) -> None:
    """A flush ends although events keep coming: those have time until the next one."""
    log = opened(tmp_path)
    log.add(records(1, 5))
    log.flush(rest=lambda: log.add(records(log.last_number + 1, log.last_number + 5)))
    assert 0 < log.unflushed < log.last_number < 50
    assert everything(log) == events(1, log.last_number)


@pytest.mark.parametrize("read", [SegmentLog.scan, SegmentLog.payloads], ids=["scan", "payloads"])
def test_events_that_are_moved_meanwhile(
    read: Callable[[SegmentLog], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader gets them once, although they are in memory and then in a segment."""
    log = filled(tmp_path, 15)
    log.add(records(16, 18))
    paths = log.files.paths

    def move() -> list[tuple[int, Path]]:
        with monkeypatch.context() as patch:
            patch.setattr(log.files, "paths", paths)
            log.flush()
        return paths()

    monkeypatch.setattr(log.files, "paths", move)
    wanted = {SegmentLog.scan: events, SegmentLog.payloads: payloads}[read]
    assert list(read(log)) == wanted(1, 18)


# ---- the index is derived


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: path.write_bytes(b"x" + path.read_bytes()[1:]),
    ],
)
def test_a_lost_index(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    """A missing or damaged index is rebuilt, and is the same again."""
    filled(tmp_path, 100)
    path = index_path(segments(tmp_path)[0])
    before = path.read_bytes()
    spoil(path)
    assert opened(tmp_path).find(Question(ticket=3)).events == events(11, 15)[1:]
    assert path.read_bytes() == before


def test_an_index_of_an_older_segment(tmp_path: Path) -> None:
    """After a kill between a segment and its index, the index of before is not believed."""
    filled(tmp_path, 23)
    path = index_path(segments(tmp_path)[0])
    old = path.read_bytes()
    filled(tmp_path, 31)
    path.write_bytes(old)
    assert opened(tmp_path).last_number == 31
    assert everything(opened(tmp_path)) == events(1, 31)


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


def test_rebuilding(tmp_path: Path) -> None:
    """All indexes can be rebuilt, and are the same again."""
    filled(tmp_path, 100)
    before = [index_path(path).read_bytes() for path in segments(tmp_path)]
    for path in segments(tmp_path):
        index_path(path).write_bytes(b"?")
    rebuild_indexes(tmp_path / FOLDER)
    assert [index_path(path).read_bytes() for path in segments(tmp_path)] == before


def test_a_segment_grows_under_a_reader(tmp_path: Path) -> None:
    """A reader keeps reading the old file of a segment that is rewritten."""
    log = filled(tmp_path, 15)
    found = log.scan()
    assert next(found) == event(1)
    log.add(records(16, 18))
    log.flush()
    assert list(found) == events(2, 15)
    other = opened(tmp_path)
    log.add(records(19, 22))
    log.flush()
    assert everything(other) == events(1, 22)


# ---- damage


def test_every_byte_that_rots(tmp_path: Path) -> None:
    """A flipped bit is reported with the file, or changes nothing that is answered."""
    filled(tmp_path, 100)
    path = segments(tmp_path)[1]
    content, index = path.read_bytes(), index_path(path).read_bytes()
    wanted = Page(events(1, 100), None, [], [])
    dice = random.Random(1)
    for at in dice.sample(range(len(content)), 250):
        path.write_bytes(
            content[:at] + bytes([content[at] ^ 1 << dice.randrange(8)]) + content[at + 1 :]
        )
        for fresh in (False, True):
            index_path(path).unlink() if fresh else index_path(path).write_bytes(index)
            log = opened(tmp_path)
            page = log.find(Question(limit=1000))
            scanned = {each for each in everything(log) if not isinstance(each, LoggedEvent)}
            assert scanned == {*page.damage, *page.holes}
            found = list(log.payloads())
            if found != payloads(1, 100):
                assert {each.path for each in found if isinstance(each, Damage)} == {path}
            if page == wanted:
                continue
            assert page.damage, at
            assert {each.path for each in page.damage} == {path}
            assert [each for each in page.events if not 41 <= each.n <= 80] == [
                *events(1, 40),
                *events(81, 100),
            ]
            assert len(page.events) >= 90 or fresh
            assert set(page.events) <= set(events(1, 100))


def test_a_segment_that_is_cut_off(tmp_path: Path) -> None:
    """A segment without its end is damaged, also between two blocks; numbers go on."""
    log = filled(tmp_path, 35)
    path = segments(tmp_path)[0]
    content, blocks = path.read_bytes(), log.files.index(path).blocks
    for length in [*(block.block.at for block in blocks[1:]), len(content) - 1, 0]:
        path.write_bytes(content[:length])
        log = SegmentLog(tmp_path)
        log.load(last_number=35)
        page = log.find(Question(limit=1000))
        assert [damage.path for damage in page.damage][:1] == [path]
        assert list(page.events) == events(1, len(page.events))
        log.add(records(36, 40))
        log.flush()
        assert log.find(Question(after=35)).events == events(36, 40)
        segments(tmp_path)[-1].unlink()


def test_holes(tmp_path: Path) -> None:
    """Numbers that are missing are reported with the times around them, where asked for."""
    log = filled(tmp_path, 33)
    log.add(records(39, 41))
    log.flush()
    log.add(records(50, 51))
    holes = [Hole(34, 38, 1033.0, 1039.0), Hole(42, 49, 1041.0, 1050.0)]
    for each in (log, opened(tmp_path)):
        assert each.find(Question()).holes == (holes if each is log else holes[:1])
    assert log.find(Question(limit=36)).holes == holes[:1]
    assert log.find(Question(after=38)).holes == holes[1:]
    assert log.find(Question(to_s=1040.0)).holes == holes[:1]
    assert log.find(Question(from_s=1040.0)).holes == holes[1:]


def test_a_hole_at_the_end(tmp_path: Path) -> None:
    """Events that the store has seen and that are nowhere are a hole; numbers go on after it."""
    filled(tmp_path, 33)
    log = SegmentLog(tmp_path, now_s=lambda: 1100.0)
    log.load(last_number=40)
    assert log.last_number == 40
    (hole,) = log.find(Question()).holes
    assert hole == Hole(34, 40, 1033.0, 1100.0)


def test_a_segment_that_is_gone(tmp_path: Path) -> None:
    """It leaves a hole, also at the beginning: it was not dropped as too old."""
    filled(tmp_path, 150)
    segments(tmp_path)[1].unlink()
    assert [hole[:2] for hole in opened(tmp_path).find(Question()).holes] == [(41, 80)]
    segments(tmp_path)[0].unlink()
    assert [hole[:2] for hole in opened(tmp_path).find(Question()).holes] == [(1, 80)]


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


def test_the_last_segment_cannot_be_read(tmp_path: Path) -> None:
    """Numbers go on after the last one that the store knows; answers report the hole."""
    filled(tmp_path, 150)
    last = segments(tmp_path)[-1]
    last.unlink()
    last.mkdir()  # so reading it fails
    log = SegmentLog(tmp_path, now_s=lambda: 1160.0)
    log.load(150)
    log.add(records(151, 152))
    assert log.try_flush()
    page = log.find(Question(limit=1000))
    assert page.events == [*events(1, 120), *events(151, 152)]
    assert [each.path for each in page.damage] == [last]
    assert [hole[:2] for hole in page.holes] == [(121, 150)]


def test_the_last_segment_can_be_read_again(tmp_path: Path) -> None:
    """Events that were moved to the next segment meanwhile, from the store, count once."""
    filled(tmp_path, 150)
    last = segments(tmp_path)[-1]
    last.rename(tmp_path / "aside")
    last.mkdir()  # so reading it fails
    log = SegmentLog(tmp_path, now_s=lambda: 1160.0)
    log.load(150)
    log.add(records(130, 152))
    assert log.try_flush()
    last.rmdir()
    (tmp_path / "aside").rename(last)
    for reader in (log, opened(tmp_path)):
        assert everything(reader) == events(1, 152)
        for after in (119, 125, 140, 151):
            assert reader.find(Question(after=after, limit=1000)).events == events(after + 1, 152)


# ---- kills and disks without room


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
